//! A runtime for one input, and that nothing of it is left.

use std::cell::RefCell;
use std::time::Duration;

use punctual_reactor::{Clock, Runtime, VirtualClock, timeout};

/// So much that no default in a row adds up to it: what takes longer has no deadline.
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

thread_local! {
    /// One for all inputs of a thread: to make one takes three descriptors, and longer than most inputs.
    static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
}

/// Runs `input` on a virtual clock: deadlines cost no time. It has to end by itself, and to leave nothing.
///
/// # Panics
/// If it does not.
pub(crate) fn run<T>(input: impl AsyncFnOnce() -> T) -> T {
    run_on(&VirtualClock::new().into(), input)
}

/// The same on `clock`, which is always the same on one thread.
pub(crate) fn run_on<T>(clock: &Clock, input: impl AsyncFnOnce() -> T) -> T {
    RUNTIME.with_borrow_mut(|kept| {
        // One that has panicked is not used again.
        let made = || Runtime::builder().clock(clock.clone()).build().expect("a runtime");
        let runtime = kept.take().unwrap_or_else(made);
        let ended = runtime.block_on(async { timeout(FOR_EVER, input()).await });
        for _ in 0..4 {
            runtime.turn(Some(Duration::ZERO)).expect("a turn");
        }
        let metrics = runtime.metrics();
        let left = (metrics.live_tasks, metrics.live_sources, metrics.live_scopes, metrics.live_timers);
        assert_eq!(left, (0, 0, 0, 0), "tasks, sources, scopes and timers left");
        assert_eq!(
            (metrics.live_wheel_entries, metrics.early),
            (0, 0),
            "wheel entries left, early firings"
        );
        *kept = Some(runtime);
        ended.unwrap_or_else(|_| panic!("it waited for {FOR_EVER:?}, and would have gone on"))
    })
}
