//! What every test stands on: its own clock, a watchdog, the baseline that a runtime comes back to.

use std::io::{Write, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use punctual::Runtime;
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

/// O1: `bound` has passed since a moment at which nothing was armed yet.
///
/// # Panics
/// If it has not.
#[track_caller]
pub fn assert_passed(armed_after_ns: u64, bound: Duration) {
    let passed = since(armed_after_ns);
    assert!(passed >= bound, "early: {passed:?} of {bound:?}");
}

/// Runs `body` on a runtime of its own, under a watchdog, and sees afterwards that nothing fired early and that no source,
/// timer, wheel entry, task or scope is left. What `body` has let go of has two seconds to end: connections are
/// tasks of their own.
///
/// # Panics
/// If something is left.
pub fn on_runtime<T>(what: &'static str, body: impl AsyncFnOnce(&Runtime) -> T) -> T {
    let _watchdog = watchdog(what, PATIENCE / 10);
    let runtime = Runtime::new().expect("a runtime");
    let result = runtime.block_on(body(&runtime));
    assert_baseline(&runtime);
    result
}

/// Sees that nothing is left in `runtime`, as [`on_runtime`] does.
///
/// # Panics
/// If something is left after two seconds.
#[track_caller]
pub fn assert_baseline(runtime: &Runtime) {
    let left = || {
        let now = runtime.metrics();
        (now.live_sources, now.live_timers, now.live_wheel_entries, now.live_tasks, now.live_scopes)
    };
    let began = now_ns();
    while left() != (0, 0, 0, 0, 0) && since(began) < Duration::from_secs(2) {
        runtime.turn(Some(5 * MS)).expect("a turn");
    }
    assert_eq!(left(), (0, 0, 0, 0, 0), "sources, timers, wheel entries, tasks, scopes left");
    assert_eq!(runtime.drift().early, 0, "fired early");
}

/// O7: ends the process if it is not dropped within ten times `budget`: a hang must not hang the suite.
pub fn watchdog(what: &'static str, budget: Duration) -> Watchdog {
    let (done, ended) = channel();
    let limit = budget * 10;
    std::thread::spawn(move || {
        if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            // Not `eprintln!`: the harness would keep it until the test has ended.
            let told =
                writeln!(stderr(), "watchdog: {what} still runs after {limit:?}, ten times its budget");
            drop(told);
            std::process::abort();
        }
    });
    Watchdog { _done: done }
}

/// Watches until it is dropped: [`watchdog`].
#[must_use]
pub struct Watchdog {
    _done: Sender<()>,
}

/// Says that a test cannot run here, and what would run it.
pub fn skip(reason: &str) {
    // Past the capture of the test runner, which shows nothing of a test that passes.
    let _ = writeln!(stderr(), "SKIPPED: {reason}");
}

/// The seeds of a random test: a few fixed ones, or the one in `PUNCTUAL_SEED`.
///
/// # Panics
/// If that is not a number.
#[must_use]
pub fn seeds(fixed: &[u64]) -> Vec<u64> {
    match std::env::var("PUNCTUAL_SEED") {
        Ok(seed) => vec![seed.parse().expect("PUNCTUAL_SEED is a number")],
        Err(_) => fixed.to_vec(),
    }
}
