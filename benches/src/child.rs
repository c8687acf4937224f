//! The processes of the peers: this program again, in another role.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, ExitCode, Stdio};

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::rounds::{Figures, Subject};
use crate::runtimes;
use crate::workloads::connect::Dials;
use crate::workloads::cores::reactors;
use crate::workloads::drift::{Crowd, Length, Sleeps};
use crate::workloads::wheel;

pub(crate) use crate::lateness::Lateness;

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
    let number: u64 = number.parse().ok()?;
    if what == "cores" {
        unpin();
        runtimes::cores(reactors(variant));
        return Some(ExitCode::SUCCESS);
    }
    pin(SERVER_CORE);
    if what == "wheel" {
        return wheel::child(peer, number as usize).map(|()| ExitCode::SUCCESS);
    }
    let peer = runtimes::find(peer)?;
    match what.as_str() {
        "echo" => (peer.echo)(variant, Ends::after(number)),
        "sleep" | "sleep-1s" | "sleep-5s" => {
            (peer.sleep)(variant, Sleeps::new(Length::of(what)?, number));
        }
        "crowd" => (peer.crowd)(variant, Crowd::new(number)),
        "hold" => (peer.hold)(variant),
        "dial" => (peer.dial)(variant, Dials::to(number as u16)),
        "tasks" => (peer.tasks)(number),
        "busy-wakes" => (peer.busy_wakes)(number),
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

/// Lets this thread, and those that it starts, have all cores there are.
fn unpin() {
    let mut cores = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|core| cores.set(core));
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

/// Tells the process that has started this one a figure.
pub(crate) fn tell(name: &str, value: f64) {
    println!("{name}\t{value}");
}

/// What a child tells that does `what` and ends.
pub(crate) fn told(subject: &Subject, what: &str, number: u64) -> Result<Figures, String> {
    let text = said(subject, what, number)?;
    let (mut figures, mut late_ns) = (Figures::new(), Vec::new());
    for line in text.lines() {
        let told = line.split_once('\t').and_then(|(name, value)| Some((name, value.parse().ok()?)));
        match told.ok_or_else(|| format!("it says {line:?}"))? {
            ("late", ns) => late_ns.push(ns as i64),
            (name, value) => drop(figures.insert(Cow::Owned(name.to_owned()), value)),
        }
    }
    // One of another language tells what it has seen, and no figures.
    if let Some(cpu_ns) = figures.remove("cpu ns") {
        let of = Lateness::figures(late_ns, cpu_ns as u64);
        figures.extend(of.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)));
    }
    Ok(figures)
}

fn said(subject: &Subject, what: &str, number: u64) -> Result<String, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut child = command(&[], what, subject.peer, subject.variant, number)?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(text)?;
    // One of another language cannot make the same sleeps. Ours never look.
    if let (Some(length), Some(mut stdin)) = (Length::of(what), child.stdin.take()) {
        let durations = length.durations(number).into_iter();
        let lines = durations.map(|sleep| format!("{}\n", sleep.as_nanos()));
        // One that does not read them has ended, or is one of ours.
        let _ = stdin.write_all(lines.collect::<String>().as_bytes());
    }
    let output = child.wait_with_output().map_err(text)?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("it ended with {}", output.status)),
    }
}

/// `peer` doing `what`, under `wrapper`: this program again, or one of another language, which is tied to its core from outside.
pub(crate) fn command(
    wrapper: &[OsString],
    what: &str,
    peer: &str,
    variant: &str,
    number: u64,
) -> Result<Command, String> {
    let mut words: Vec<OsString> = Vec::new();
    match runtimes::find(peer).and_then(|peer| peer.program) {
        Some(program) => {
            words.extend(["taskset", "-c", &SERVER_CORE.to_string()].map(OsString::from));
            words.extend(wrapper.iter().cloned());
            words.push(program.path()?.into_os_string());
            // All lengths of sleeps are one to it: it is told them.
            words.push(Length::of(what).map_or(what, |_| "sleep").into());
        }
        None => {
            words.extend(wrapper.iter().cloned());
            let program = std::env::current_exe().map_err(|error| error.to_string())?;
            words.extend([program.into_os_string(), ROLE.into(), what.into(), peer.into()]);
        }
    }
    words.extend([variant.into(), number.to_string().into()]);
    let mut command = Command::new(&words[0]);
    // One processor: that is what all of them have.
    command.args(&words[1..]).env("GOMAXPROCS", "1");
    Ok(command)
}
