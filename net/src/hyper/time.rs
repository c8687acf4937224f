//! [`Timer`]: hyper's deadlines, in the loop's wheel.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use punctual_reactor::{Instant, SendSleep};

/// Makes hyper's timeouts deadlines of the loop: never early, as late as the loop's own, on the loop's clock.
///
/// hyper counts in [`std::time::Instant`]s. They are taken for moments of the loop's clock as they stood to each other
/// when this was made, so that a virtual clock moves hyper's time as well.
#[derive(Clone, Copy, Debug)]
pub struct Timer {
    std: std::time::Instant,
    here: Instant,
}

impl Timer {
    /// For the runtime of this thread.
    #[must_use]
    pub fn new() -> Timer {
        // The other clock is read first, so that the time between the reads makes deadlines later, never earlier.
        let std = std::time::Instant::now();
        Timer { std, here: Instant::now() }
    }

    /// Of the loop's clock.
    pub(crate) fn here(&self, at: std::time::Instant) -> Instant {
        match at.checked_duration_since(self.std) {
            Some(after) => self.here + after,
            None => self.here - (self.std - at),
        }
    }

    /// Of hyper's.
    pub(crate) fn there(&self, at: Instant) -> std::time::Instant {
        let since = at.saturating_duration_since(self.here);
        self.std.checked_add(since).unwrap_or(self.std)
    }

    fn sleep_at(deadline: Instant) -> Pin<Box<dyn ::hyper::rt::Sleep>> {
        Box::pin(Sleep(SendSleep::until(deadline)))
    }
}

impl Default for Timer {
    fn default() -> Timer {
        Timer::new()
    }
}

impl ::hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn ::hyper::rt::Sleep>> {
        Timer::sleep_at(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn ::hyper::rt::Sleep>> {
        Timer::sleep_at(self.here(deadline))
    }

    fn now(&self) -> std::time::Instant {
        self.there(Instant::now())
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn ::hyper::rt::Sleep>>, deadline: std::time::Instant) {
        let deadline = self.here(deadline);
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(sleep) => sleep.get_mut().0.reset(deadline),
            None => *sleep = Timer::sleep_at(deadline),
        }
    }
}

struct Sleep(SendSleep);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl ::hyper::rt::Sleep for Sleep {}

#[cfg(test)]
mod tests {
    use super::*;
    use ::hyper::rt::Timer as _;
    use punctual_reactor::{Runtime, VirtualClock};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn hypers_time_is_that_of_the_loop_and_deadlines_are_exact() {
        let runtime = Runtime::builder().clock(VirtualClock::new()).build().expect("a runtime");
        runtime.block_on(async {
            let timer = Timer::new();
            let (began, hypers) = (Instant::now(), timer.now());
            timer.sleep(7 * MS).await;
            assert_eq!((Instant::now(), timer.now()), (began + 7 * MS, hypers + 7 * MS));
            let mut sleep = timer.sleep_until(hypers + 9 * MS);
            (&mut sleep).await;
            assert_eq!(timer.now(), hypers + 9 * MS);
            timer.reset(&mut sleep, hypers + 1000 * MS);
            timer.reset(&mut sleep, hypers + 10 * MS);
            sleep.await;
            assert_eq!(Instant::now(), began + 10 * MS, "a reset to earlier holds");
            timer.sleep_until(hypers).await;
            assert_eq!(Instant::now(), began + 10 * MS, "what has passed is over at once");
        });
        assert_eq!(runtime.metrics().live_timers, 0);
    }
}
