//! The oracles: the tests' own clock, a watchdog, and what a process and a runtime have to come back to.

use std::collections::BTreeSet;
use std::io::{Write, stderr};
use std::net::SocketAddr;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use punctual::Runtime;
use punctual::net::TcpListener;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// A millisecond.
pub const MS: Duration = Duration::from_millis(1);

/// Longer than any test's bounds: if it is reached, something never ended.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The tests' own clock: the one the kernel's timers run on, in nanoseconds, read without the help of the code under test.
#[must_use]
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// How long ago `then_ns` was.
#[must_use]
pub fn since(then_ns: u64) -> Duration {
    Duration::from_nanos(now_ns() - then_ns)
}

/// O4: what is left in `runtime`: sources, timers, wheel entries, tasks, scopes; and whether anything fired early by its own
/// account. What has been let go of has two seconds to end.
///
/// # Panics
/// If a turn of the loop fails.
#[must_use]
pub fn left_in(runtime: &Runtime) -> Vec<String> {
    let left = || {
        let now = runtime.metrics();
        (now.live_sources, now.live_timers, now.live_wheel_entries, now.live_tasks, now.live_scopes)
    };
    let began = now_ns();
    while left() != (0, 0, 0, 0, 0) && since(began) < Duration::from_secs(2) {
        runtime.turn(Some(5 * MS)).expect("a turn");
    }
    let mut all = Vec::new();
    if left() != (0, 0, 0, 0, 0) {
        all.push(format!("left are sources, timers, wheel entries, tasks, scopes: {:?}", left()));
    }
    if runtime.drift().early > 0 {
        all.push(format!("{} fired early", runtime.drift().early));
    }
    all
}

/// Sees that nothing is [left](left_in) in `runtime`.
///
/// # Panics
/// If something is.
#[track_caller]
pub fn assert_baseline(runtime: &Runtime) {
    assert_eq!(left_in(runtime), Vec::<String>::new());
}

/// `ECONNRESET`, as [`Kind::Kernel`](punctual::net::Kind::Kernel) says it.
pub const ECONNRESET: i32 = rustix::io::Errno::CONNRESET.raw_os_error();
/// `EPIPE`.
pub const EPIPE: i32 = rustix::io::Errno::PIPE.raw_os_error();
/// `ECONNREFUSED`.
pub const ECONNREFUSED: i32 = rustix::io::Errno::CONNREFUSED.raw_os_error();

/// A listener on loopback, and where it listens.
///
/// # Panics
/// Without loopback, or outside of a runtime.
#[must_use]
pub fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

/// What descriptors there are that were not there `before`.
#[must_use]
pub fn descriptors_beyond(before: &BTreeSet<String>) -> Vec<String> {
    descriptors().difference(before).map(|what| format!("a descriptor is left: {what}")).collect()
}

/// The descriptors of this process, each by its number and what it is.
///
/// # Panics
/// Without procfs.
#[must_use]
pub fn descriptors() -> BTreeSet<String> {
    let lasting = open_numbers().into_iter().filter(|(_, what)| !what.starts_with("/proc/"));
    lasting.map(|(number, what)| format!("{number} {what}")).collect()
}

/// The numbers of the descriptors of this process, and what each is.
///
/// # Panics
/// Without procfs.
#[must_use]
pub fn open_numbers() -> Vec<(u64, String)> {
    let listing = std::fs::read_dir("/proc/self/fd").expect("procfs");
    let numbers = listing.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let numbers: Vec<u64> = numbers.collect();
    // The listing itself was one, and is gone by now.
    let target = |number: u64| std::fs::read_link(format!("/proc/self/fd/{number}")).ok();
    let named = numbers.into_iter().filter_map(|number| Some((number, target(number)?)));
    named.map(|(number, target)| (number, target.to_string_lossy().into_owned())).collect()
}

/// KiB of memory that this process has for itself.
///
/// # Panics
/// Without procfs.
#[must_use]
pub fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("its resident size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// CPU time of this thread.
#[must_use]
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Allows this process as many descriptors as there may be; how many that are.
///
/// # Panics
/// If the kernel refuses.
pub fn raise_descriptors() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("up to the hard limit");
    maximum.unwrap_or(u64::MAX)
}

/// O7: ends the process if it is not dropped within `limit`: a hang must not hang the suite.
pub fn watchdog(what: &'static str, limit: Duration) -> Watchdog {
    let (done, ended) = channel();
    std::thread::spawn(move || {
        if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            // Not `eprintln!`: the harness would keep it until the test has ended.
            let _ = writeln!(stderr(), "watchdog: {what} still runs after {limit:?}");
            std::process::abort();
        }
    });
    Watchdog { _done: done }
}

/// Watches until it is dropped: [`watchdog`].
#[must_use]
#[derive(Debug)]
pub struct Watchdog {
    _done: Sender<()>,
}

/// Says that a test cannot run here, and what would run it.
pub fn skip(reason: &str) {
    // Past the capture of the test runner, which shows nothing of a test that passes.
    let _ = writeln!(stderr(), "SKIPPED: {reason}");
}
