//! [`WaitGuard`]: a bound of one's own making, as the audit knows it.

use crate::executor::context;
use crate::time::Sleep;
use crate::waits::{Frame, TimerLabel};

/// Tells the [audit](crate::waits) what a hand-written bound holds for, as [`timeout`](crate::timeout) does by itself:
/// what is polled [within it](WaitGuard::poll) is bounded by whichever [`Sleep`] [stands for it](Sleep::bounding), as
/// long as there is one.
///
/// It bounds nothing by itself, and belongs to the runtime on which it was made.
#[derive(Clone, Copy, Debug)]
pub struct WaitGuard(pub(crate) Frame);

impl WaitGuard {
    /// A new one, with no bound and nothing in it. Outside of a runtime it stays without.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "no two of them are alike")]
    pub fn new() -> WaitGuard {
        WaitGuard(context::with(|driver| driver.map_or(Frame::NONE, |driver| driver.frame.make())))
    }

    /// Runs `poll`, which polls what is bounded.
    pub fn poll<R>(self, poll: impl FnOnce() -> R) -> R {
        let driver = context::try_current().filter(|_| self.0.is_some());
        let _within = driver.as_ref().map(|driver| driver.frame.go_in(self.0));
        poll()
    }
}

impl Sleep {
    /// Has the [audit](crate::waits) know that the end of this is that of whatever is polled within `guard`, which is
    /// a part of `phase`. While something is known to wait there, this is no wait of its own.
    pub fn bounding(mut self, guard: WaitGuard, phase: &'static str) -> Sleep {
        self.label(TimerLabel { what: phase, frame: guard.0, set_at: None });
        self
    }

    /// Runs `poll` within the guard that this [bounds](Sleep::bounding): as [`WaitGuard::poll`], which has to look for the
    /// runtime first.
    #[inline]
    pub fn poll_bounded<R>(&self, poll: impl FnOnce() -> R) -> R {
        let (driver, frame) = self.guards();
        let _within = frame.is_some().then(|| driver.frame.go_in(frame));
        poll()
    }

    /// Has the [audit](crate::waits) call it `what`, as `retry-pause`, instead of `sleep`.
    pub fn named(mut self, what: &'static str) -> Sleep {
        self.label(TimerLabel { what, ..TimerLabel::SLEEP });
        self
    }
}
