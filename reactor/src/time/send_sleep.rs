//! [`SendSleep`]: a sleep that may be held anywhere.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::drift::Firing;
use crate::executor::{Driver, context};
use crate::instant::Instant;
use crate::remote::{Handle, Shared};
use crate::time::timing::{self, Timing};

/// A [`Sleep`](crate::Sleep) for interfaces that ask for `Send + Sync`, though they poll it on the loop that it was made
/// on. It names its timer and its runtime instead of holding them.
///
/// Cancel-safe: dropped, it leaves nothing behind; dropped outside of its runtime, as of that runtime's next turn.
/// It takes no leeway.
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct SendSleep {
    runtime: Arc<Shared>,
    timing: Timing,
}

impl SendSleep {
    /// Waits until `deadline`. One in the past is ready in the next turn of the loop.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn until(deadline: Instant) -> SendSleep {
        let runtime = context::current("SendSleep").remote.clone();
        SendSleep { runtime, timing: Timing::new(deadline) }
    }

    /// When it is to end.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.timing.deadline
    }

    /// How its lateness came about, once it has ended.
    #[must_use]
    pub fn firing(&self) -> Option<Firing> {
        self.timing.firing()
    }

    /// Moves it to `deadline`, as [`Sleep::reset`](crate::Sleep::reset) does.
    ///
    /// # Panics
    /// Outside of its runtime.
    #[track_caller]
    pub fn reset(&mut self, deadline: Instant) {
        let SendSleep { runtime, timing } = self;
        on_its_loop(runtime, |driver| timing.reset(driver, deadline));
    }
}

/// # Panics
/// If it is not the runtime of this thread.
#[track_caller]
fn on_its_loop<R>(runtime: &Arc<Shared>, what: impl FnOnce(&Driver) -> R) -> R {
    let driver = context::current("SendSleep");
    assert!(driver.is_reached_by(runtime), "this sleep belongs to another runtime: poll it there");
    what(&driver)
}

impl Future for SendSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let SendSleep { runtime, timing } = &mut *self;
        on_its_loop(runtime, |driver| timing.poll(driver, cx))
    }
}

impl Drop for SendSleep {
    fn drop(&mut self) {
        let Some(timer) = self.timing.give_up() else { return };
        let here = context::try_current().filter(|driver| driver.is_reached_by(&self.runtime));
        match here {
            Some(driver) => timing::remove(&driver, timer),
            None => Handle { shared: self.runtime.clone() }.tell(move || {
                if let Some(driver) = context::try_current() {
                    timing::remove(&driver, timer);
                }
            }),
        }
    }
}

impl fmt::Debug for SendSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendSleep").field("timing", &self.timing).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::Duration;

    use super::*;
    use crate::{Runtime, VirtualClock};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn it_ends_at_its_deadline_and_not_before_and_can_be_moved() {
        fn send_and_sync<T: Send + Sync>(_: &T) {}
        let runtime = Runtime::builder().clock(VirtualClock::new()).build().expect("a runtime");
        runtime.block_on(async {
            let began = Instant::now();
            let mut sleep = SendSleep::until(began + MS);
            send_and_sync(&sleep);
            (&mut sleep).await;
            assert_eq!(Instant::now(), began + MS);
            sleep.reset(began + 5 * MS);
            (&mut sleep).await;
            assert_eq!(Instant::now(), began + 5 * MS);
        });
        assert_eq!(runtime.metrics().live_timers, 0);
    }

    #[test]
    fn dropped_on_another_thread_or_outside_of_its_runtime_it_leaves_no_timer() {
        let runtime = Runtime::new().expect("a runtime");
        let armed = || {
            runtime.block_on(async {
                let mut sleep = SendSleep::until(Instant::now() + 3_600_000 * MS);
                let poll = Pin::new(&mut sleep).poll(&mut Context::from_waker(Waker::noop()));
                assert!(poll.is_pending());
                Some(sleep)
            })
        };
        let (here, there) = (armed(), armed());
        assert_eq!(runtime.metrics().live_timers, 2);
        drop(here);
        std::thread::spawn(move || drop(there)).join().expect("no panic");
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
        assert_eq!(runtime.metrics().live_timers, 0);
        let after_its_runtime = armed();
        drop(runtime);
        drop(after_its_runtime);
    }

    #[test]
    #[should_panic(expected = "belongs to another runtime")]
    fn another_runtime_does_not_poll_it() {
        let (one, other) = (Runtime::new().expect("a runtime"), Runtime::new().expect("a runtime"));
        let mut sleep = one.block_on(async { [SendSleep::until(Instant::now())] });
        other.block_on(&mut sleep[0]);
    }
}
