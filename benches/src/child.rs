//! The processes of the peers: this program again, in another role.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::rounds::{Figures, Subject};
use crate::runtimes;
use crate::workloads::connect::Dials;

/// The core of whatever is measured, and that of whatever loads it.
pub(crate) const SERVER_CORE: usize = 0;
pub(crate) const LOAD_CORE: usize = 1;

/// The word that makes a process a child.
const ROLE: &str = "--as-child";

/// What this process was started as, if it is a child.
pub(crate) fn as_child() -> Option<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [role, what, peer, variant, number] = words.as_slice() else { return None };
    if role != ROLE {
        return None;
    }
    pin(SERVER_CORE);
    let peer = runtimes::find(peer)?;
    let number: u64 = number.parse().ok()?;
    match what.as_str() {
        "echo" => (peer.echo)(variant, Ends::after(number)),
        "sleep" => (peer.sleep)(variant, number),
        "hold" => (peer.hold)(variant),
        "dial" => (peer.dial)(variant, Dials::to(number as u16)),
        "tasks" => (peer.tasks)(number),
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

/// Ties this thread to a core, if there are as many.
pub(crate) fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    // A machine with one core measures as well, only worse.
    let _ = sched_setaffinity(None, &cores);
}

/// Says where it listens, to the process that has started it.
pub(crate) fn listening(address: SocketAddr) {
    println!("{address}");
    let _ = std::io::stdout().flush();
}

/// Ends a server when so many of its connections have: then a run of it has a fixed amount of work.
#[derive(Clone)]
pub(crate) struct Ends(std::sync::Arc<std::sync::atomic::AtomicU64>);

impl Ends {
    fn after(connections: u64) -> Ends {
        Ends(std::sync::Arc::new(connections.into()))
    }

    pub(crate) fn one(&self) {
        if self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) == 1 {
            std::process::exit(0);
        }
    }
}

/// A child that is killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `peer` under `wrapper`, as `strace` and its arguments; nothing for none.
    pub(crate) fn start(
        wrapper: &[OsString],
        peer: &str,
        variant: &str,
        connections: usize,
    ) -> Result<Server, String> {
        Server::start_as("echo", wrapper, peer, variant, connections)
    }

    /// As [`start`](Server::start), of another kind of server.
    pub(crate) fn start_as(
        what: &str,
        wrapper: &[OsString],
        peer: &str,
        variant: &str,
        connections: usize,
    ) -> Result<Server, String> {
        let mut child = command(wrapper, what, peer, variant, connections as u64)?
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("it cannot be started: {error}"))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
        }
        match line.trim().parse() {
            Ok(address) => Ok(Server { child, address }),
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                Err("it does not listen".into())
            }
        }
    }

    /// The processor time that all its threads have had, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten();
        let of = |path: std::path::PathBuf| {
            let line = fs::read_to_string(path.join("schedstat")).ok()?;
            line.split(' ').next()?.parse::<u64>().ok()
        };
        tasks.flatten().filter_map(|task| of(task.path())).sum()
    }

    /// Its memory that is not shared with others, in bytes.
    pub(crate) fn memory(&self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    }

    /// How often one of its threads has waited for something.
    pub(crate) fn waits(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten();
        let of = |path: std::path::PathBuf| {
            let text = fs::read_to_string(path.join("status")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            line.trim().parse::<u64>().ok()
        };
        tasks.flatten().filter_map(|task| of(task.path())).sum()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(mut self) -> Result<(), String> {
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("it ended with {status}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells the process that has started this one a figure.
pub(crate) fn tell(name: &str, value: f64) {
    println!("{name}\t{value}");
}

/// What a child tells that does `what` and ends.
pub(crate) fn told(subject: &Subject, what: &str, number: u64) -> Result<Figures, String> {
    let output = command(&[], what, subject.peer, subject.variant, number)?
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("it ended with {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let figure = |line: &str| {
        let (name, value) = line.split_once('\t')?;
        Some((Cow::Owned(name.to_owned()), value.parse().ok()?))
    };
    text.lines().map(|line| figure(line).ok_or_else(|| format!("it says {line:?}"))).collect()
}

/// This program as `peer` doing `what`.
pub(crate) fn command(
    wrapper: &[OsString],
    what: &str,
    peer: &str,
    variant: &str,
    number: u64,
) -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut words = wrapper.iter().cloned().chain([program.into_os_string()]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).args([ROLE, what, peer, variant]).arg(number.to_string());
    Ok(command)
}
