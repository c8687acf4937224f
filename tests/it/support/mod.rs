//! What the topics share: runtimes on every clock and alarm, and the oracles.

pub(crate) mod child;
pub(crate) mod duplex;
pub(crate) mod namespace;
pub(crate) mod net;
pub(crate) mod post;
pub(crate) mod wire;

use std::future::Future;
use std::io::{Write, stderr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use punctual::reactor::{Event, Reactor};
use punctual::{AlarmKind, Builder, Runtime, VirtualClock, sleep};
use rustix::time::{ClockId, clock_gettime};

pub(crate) const ALARMS: [AlarmKind; 2] = [AlarmKind::TimerFd, AlarmKind::PollTimeout];

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const US: Duration = Duration::from_micros(1);
pub(crate) const NS: Duration = Duration::from_nanos(1);

/// The tests' own clock: the one the kernel's timers run on, read without the help of the code under test.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// A path for a file of a test's own: of no other, here or in another process, nor of one that was left over.
pub(crate) fn temporary(what: &str) -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    std::env::temp_dir().join(format!("punctual-{process}-{number}-{}-{what}", now_ns()))
}

/// What this thread has computed so far: other work of the machine does not count.
pub(crate) fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Runs `test` with a runtime on each alarm, each on a thread of its own, and sees afterwards that nothing
/// fired early by the runtime's own account.
pub(crate) fn for_each_alarm(test: impl Fn(&Runtime) + Sync) {
    for_each_alarm_with(|builder| builder, test);
}

/// The same with more choices made.
pub(crate) fn for_each_alarm_with(
    choose: impl Fn(Builder) -> Builder + Sync,
    test: impl Fn(&Runtime) + Sync,
) {
    on_threads(ALARMS, |alarm| {
        let runtime = choose(Runtime::builder().alarm(alarm)).build().expect("a runtime");
        test(&runtime);
        assert_eq!(runtime.drift().early, 0, "early firings on {alarm:?}");
    });
}

/// Runs `test` with a reactor on each alarm, each on a thread of its own.
pub(crate) fn for_each_reactor(test: impl Fn(Reactor) + Sync) {
    on_threads(ALARMS, |alarm| {
        test(Reactor::builder().alarm(alarm).build_reactor().expect("a reactor"));
    });
}

/// Runs `body` for each of `cases` at the same time; a panic of one is a panic of the whole.
pub(crate) fn on_threads<T: Send>(cases: impl IntoIterator<Item = T>, body: impl Fn(T) + Sync) {
    let body = &body;
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || body(case));
        }
    });
}

pub(crate) fn virtual_runtime() -> (Runtime, VirtualClock) {
    let clock = VirtualClock::new();
    let runtime = Runtime::builder().clock(clock.clone()).build().expect("a runtime");
    (runtime, clock)
}

pub(crate) fn virtual_reactor() -> (Reactor, VirtualClock) {
    let clock = VirtualClock::new();
    let reactor = Reactor::builder().clock(clock.clone()).build_reactor().expect("a reactor");
    (reactor, clock)
}

/// O1: sleeps, and holds the result against a clock read before the arming.
pub(crate) async fn never_early_sleep(duration: Duration) {
    let before = now_ns();
    sleep(duration).await;
    let passed = Duration::from_nanos(now_ns() - before);
    assert!(passed >= duration, "a sleep of {duration:?} ended after {passed:?}");
}

/// Everything the reactor has to give out now.
pub(crate) fn drain(reactor: &mut Reactor) -> Vec<Event> {
    std::iter::from_fn(|| reactor.next_event()).collect()
}

/// Polls `future` once, on behalf of nobody.
pub(crate) fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// O7: ends the process if it is not dropped within ten times `budget`: a hang must not hang the suite.
pub(crate) fn watchdog(what: &'static str, budget: Duration) -> Watchdog {
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

#[must_use]
pub(crate) struct Watchdog {
    _done: Sender<()>,
}

/// Says that a test cannot run here, and what would run it.
pub(crate) fn skip(reason: &str) {
    // Past the capture of the test runner, which shows nothing of a test that passes.
    let _ = writeln!(stderr(), "SKIPPED: {reason}");
}

/// The seeds of a random test: a few fixed ones, or the one in `PUNCTUAL_SEED`.
pub(crate) fn seeds(fixed: &[u64]) -> Vec<u64> {
    match std::env::var("PUNCTUAL_SEED") {
        Ok(seed) => vec![seed.parse().expect("PUNCTUAL_SEED is a number")],
        Err(_) => fixed.to_vec(),
    }
}
