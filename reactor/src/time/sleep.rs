//! [`Sleep`]: a future that is ready at a deadline.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::drift::Firing;
use crate::executor::{Driver, context};
use crate::instant::Instant;
use crate::leeway::Leeway;
use crate::time::timing::Timing;
use crate::waits::{Frame, TimerLabel};

/// Waits until a deadline; never ends early. Made by [`sleep`] and [`sleep_until`].
///
/// Cancel-safe: dropped, it leaves nothing behind. It takes no leeway unless
/// [told to](Sleep::with_leeway).
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    driver: Rc<Driver>,
    timing: Timing,
}

/// Waits for `duration`, counted from this call. [`Duration::MAX`] waits for ever.
///
/// # Panics
/// Outside of a runtime: `block_on(async { sleep(duration).await })`, not `block_on(sleep(duration))`. When
/// polled after its runtime was dropped.
#[track_caller]
#[inline]
pub fn sleep(duration: Duration) -> Sleep {
    let driver = context::current("sleep");
    let deadline = driver.clock.now() + duration;
    Sleep::new(driver, deadline)
}

/// Waits until `deadline`. One in the past is ready in the next turn of the loop.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn sleep_until(deadline: impl Into<Instant>) -> Sleep {
    Sleep::new(context::current("sleep_until"), deadline.into())
}

impl Sleep {
    #[inline]
    pub(crate) fn new(driver: Rc<Driver>, deadline: Instant) -> Sleep {
        Sleep { driver, timing: Timing::new(deadline) }
    }

    /// Has the audit call it `what`.
    pub(crate) fn called(mut self, what: &'static str) -> Sleep {
        self.timing.label.what = what;
        self
    }

    /// What the audit says of it.
    pub(crate) fn label(&mut self, label: TimerLabel) {
        self.timing.label = label;
    }

    /// What it bounds, and where.
    pub(crate) fn guards(&self) -> (&Driver, Frame) {
        (&self.driver, self.timing.label.frame)
    }

    /// Makes it the end of whatever is polled in `frame`, as it was set there.
    pub(crate) fn bounds(mut self, frame: Frame, set_at: &'static Location<'static>) -> Sleep {
        self.timing.label = TimerLabel { frame, set_at: Some(set_at), ..self.timing.label };
        self
    }

    /// Lets it end up to `leeway` later, in order to share a wake-up with others.
    #[inline]
    pub fn with_leeway(mut self, leeway: Leeway) -> Sleep {
        self.timing.cancel(&self.driver);
        self.timing.leeway = leeway;
        self
    }

    /// Reads the clock it lives by: [`Instant::now`] on its runtime, which need not be looked for.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.driver.clock.now()
    }

    /// When it is to end.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.timing.deadline
    }

    /// Whether it has ended, as seen by a poll.
    #[must_use]
    pub fn is_elapsed(&self) -> bool {
        self.timing.firing().is_some()
    }

    /// When it fired, and how late, once it has ended.
    #[must_use]
    pub fn firing(&self) -> Option<Firing> {
        self.timing.firing()
    }

    /// Whether it has fired and nobody came to look, though everything that could run since has run: what
    /// waited for it has been given up. Poll-based interfaces, which are told of no end, see by it that an
    /// operation is a new one.
    #[must_use]
    pub fn was_left(&self) -> bool {
        self.timing.was_left(&self.driver)
    }

    /// Moves it to `deadline`, also if it has ended. To move it later is a store. Whoever waits on it is
    /// woken at the new deadline; one who has been woken for the old one must poll it again.
    pub fn reset(&mut self, deadline: Instant) {
        self.timing.reset(&self.driver, deadline);
    }
}

impl Future for Sleep {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Sleep { driver, timing } = &mut *self;
        timing.poll(driver, cx)
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        self.timing.cancel(&self.driver);
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("deadline", &self.timing.deadline)
            .field("leeway", &self.timing.leeway)
            .field("state", &self.timing.state)
            .finish()
    }
}
