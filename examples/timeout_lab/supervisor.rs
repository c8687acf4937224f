//! Starts a process for each scenario, ends it if it hangs, and prints what it found.

use std::io::{self, BufRead, BufReader, Read, Write, stdout};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process};

use crate::namespace;
use crate::options::{Options, Sabotage};
use crate::row::Row;
use crate::scenarios::{Scenario, Setting};
use crate::table;

/// What a subject says when it waits for what is to be done to it.
pub(crate) const READY: &str = "ready";

/// A scenario that takes this many times what it is meant to hangs.
const HANGS: u32 = 10;

pub(crate) fn run(options: &Options) -> ExitCode {
    match print(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("timeout_lab: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every row is acceptable.
fn print(options: &Options) -> io::Result<bool> {
    let mut out = stdout().lock();
    if options.list {
        for scenario in options.chosen() {
            writeln!(out, "{:22}  {}", scenario.name, scenario.fault)?;
        }
        return Ok(true);
    }
    if !options.json {
        writeln!(out, "{}", table::head())?;
    }
    let mut rows = Vec::new();
    for scenario in options.chosen() {
        let sabotage = options.sabotage.filter(|sabotage| sabotage.scenario.name == scenario.name);
        let row = observe(scenario, sabotage);
        match options.json {
            true => writeln!(out, "{}", serde_json::to_string(&row)?)?,
            false => writeln!(out, "{}", table::row(&row))?,
        }
        out.flush()?;
        rows.push(row);
    }
    if !options.json {
        writeln!(out, "\n{}", table::verdict(&rows))?;
    }
    Ok(rows.iter().all(Row::is_acceptable))
}

fn observe(scenario: &'static Scenario, sabotage: Option<Sabotage>) -> Row {
    let mut command = match command(scenario) {
        Ok(command) => command,
        Err(why) => return Row::skipped(scenario, why),
    };
    if let Some(sabotage) = sabotage {
        command.args(["--sabotage", &sabotage.word()]);
    }
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    match started {
        Ok(child) => Observed::new(child).row(scenario),
        Err(error) => Row::failed(scenario, format!("its process did not start: {error}")),
    }
}

/// This program again, in a network of its own if that is needed.
fn command(scenario: &Scenario) -> Result<Command, String> {
    let this =
        std::env::current_exe().map_err(|error| format!("this program is not to be found: {error}"))?;
    let mut command = match scenario.setting {
        Setting::Network(_) => {
            let mut command = namespace::unshare()?;
            command.arg(this);
            command
        }
        Setting::Plain | Setting::Stopped(_) => Command::new(this),
    };
    let parent = getpid().as_raw_pid().to_string();
    command.args(["--subject", scenario.name, "--parent", &parent]);
    Ok(command)
}

/// A process that is watched, and ended with this at the latest.
struct Observed {
    child: Child,
    lines: Receiver<String>,
    complaints: thread::JoinHandle<String>,
}

impl Observed {
    fn new(mut child: Child) -> Observed {
        let (said, lines) = channel();
        let out = child.stdout.take();
        thread::spawn(move || {
            let lines = out.into_iter().flat_map(|out| BufReader::new(out).lines());
            for line in lines.map_while(Result::ok) {
                if said.send(line).is_err() {
                    break;
                }
            }
        });
        let err = child.stderr.take();
        let complaints = thread::spawn(move || {
            let mut text = String::new();
            // What is not text, or is cut off, is no worse for it.
            let _ = err.map(|mut err| err.read_to_string(&mut text));
            text
        });
        Observed { child, lines, complaints }
    }

    fn row(mut self, scenario: &Scenario) -> Row {
        let limit = scenario.budget() * HANGS;
        let deadline = Instant::now() + limit;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line == READY => {
                    if let Setting::Stopped(pause) = scenario.setting {
                        self.stop(pause);
                    }
                }
                Ok(line) => {
                    // Nothing else is said on standard output.
                    let read = serde_json::from_str(&line);
                    self.end();
                    return read.unwrap_or_else(|error| {
                        Row::failed(scenario, format!("its row makes no sense: {error}: {line}"))
                    });
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.end();
                    return Row::failed(scenario, format!("it hung: ended after {limit:?}"));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.end();
                    let complaints = self.complaints.join().unwrap_or_default();
                    let last: Vec<_> = complaints.lines().take(3).collect();
                    let why = format!("it ended without a row, {status}: {}", last.join(" | "));
                    return Row::failed(scenario, why);
                }
            }
        }
    }

    /// Neither of the signals can fail to reach a child that has not been waited for.
    fn stop(&self, pause: Duration) {
        let pid = Pid::from_child(&self.child);
        let _ = kill_process(pid, Signal::STOP);
        thread::sleep(pause);
        let _ = kill_process(pid, Signal::CONT);
    }

    /// Sees it end; a row is the last thing that it prints, and one that hangs is killed.
    fn end(&mut self) -> String {
        let patience = Instant::now() + Duration::from_secs(1);
        while Instant::now() < patience {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.to_string();
            }
            thread::sleep(Duration::from_millis(1));
        }
        let _ = self.child.kill();
        self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
    }
}
