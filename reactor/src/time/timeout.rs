//! [`timeout`]: a bound on anything that is awaited.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::drift::Firing;
use crate::executor::{Driver, context};
use crate::instant::Instant;
use crate::time::sleep::Sleep;
use crate::waits::{Frame, TimerLabel};

/// A [`timeout`] has ended what it guarded.
#[derive(Clone, Copy, Debug)]
pub struct Elapsed {
    firing: Firing,
    budget: Duration,
    set_at: &'static Location<'static>,
}

impl Elapsed {
    /// When the deadline was.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.firing.deadline
    }

    /// How much time it gave, from when it was set.
    #[must_use]
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// When it fired, and through whom it was late.
    #[must_use]
    pub fn firing(&self) -> Firing {
        self.firing
    }

    /// Where it was set.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.set_at
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (budget, late) = (self.budget, self.firing.lateness());
        write!(f, "timed out after {budget:?} (set at {}), fired {late:?} late", self.set_at)
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// Awaits `future` for at most `duration`, counted from this call; then drops it.
///
/// If both are due in the same turn, the future wins. As a guard rather than an appointment it takes
/// the runtime's leeway: a hundredth of `duration`, at most a millisecond by default.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn timeout<F: IntoFuture>(
    duration: Duration,
    future: F,
) -> impl Future<Output = Result<F::Output, Elapsed>> {
    let driver = context::current("timeout");
    let now = driver.clock.now();
    guard(now, now + duration, future.into_future(), Location::caller())
}

/// Awaits `future` until `deadline` at most; then drops it. See [`timeout`].
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn timeout_at<F: IntoFuture>(
    deadline: impl Into<Instant>,
    future: F,
) -> impl Future<Output = Result<F::Output, Elapsed>> {
    let driver = context::current("timeout_at");
    guard(driver.clock.now(), deadline.into(), future.into_future(), Location::caller())
}

fn guard<F: Future>(
    now: Instant,
    deadline: Instant,
    future: F,
    set_at: &'static Location<'static>,
) -> impl Future<Output = Result<F::Output, Elapsed>> {
    let driver = context::current("timeout");
    let budget = deadline - now;
    let leeway = driver.reactor.borrow().guard_leeway(budget);
    let (frame, until_ns) = (driver.frame.make(), deadline.as_nanos());
    let sleep = Sleep::new(driver.clone(), deadline).with_leeway(leeway);
    let sleep = sleep.called(TimerLabel::UNNAMED).bounds(frame, set_at);
    Guard { future, sleep, driver, frame, until_ns, budget, set_at }
}

pin_project! {
    /// See [`Joined`](crate::executor::join::Joined).
    #[project = Projected]
    struct Guard<F> {
        #[pin]
        future: F,
        sleep: Sleep,
        driver: Rc<Driver>,
        frame: Frame,
        until_ns: u64,
        budget: Duration,
        set_at: &'static Location<'static>,
    }
}

impl<F: Future> Future for Guard<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Projected { future, sleep, driver, frame, until_ns, budget, set_at } = self.project();
        if let Poll::Ready(output) = driver.frame.poll_until(*until_ns, *frame, future, cx) {
            return Poll::Ready(Ok(output));
        }
        match (Pin::new(&mut *sleep).poll(cx), sleep.firing()) {
            (Poll::Ready(()), Some(firing)) => {
                Poll::Ready(Err(Elapsed { firing, budget: *budget, set_at }))
            }
            _ => Poll::Pending,
        }
    }
}
