//! [`Pulse`]: the timer of hyper's pings, which is asked for the time with every request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use punctual_reactor::{Instant, SendSleep};

use crate::hyper::Timer;

/// Reads the clock once in a poll of its connection. That is exact enough for when a frame has come, and too early for a
/// deadline: what is set is moved by what has passed since.
///
/// hyper wants it `Send`, though it stays on the loop.
#[derive(Clone)]
pub(super) struct Pulse(Arc<Shared>);

struct Shared {
    timer: Timer,
    /// The present, as of this poll; 0 is unknown.
    now_ns: AtomicU64,
}

impl Pulse {
    pub(super) fn new() -> Pulse {
        Pulse(Arc::new(Shared { timer: Timer::new(), now_ns: AtomicU64::new(0) }))
    }

    /// A poll begins.
    pub(super) fn begins(&self) {
        self.0.now_ns.store(0, Relaxed);
    }

    #[inline]
    fn now(&self) -> Instant {
        match self.0.now_ns.load(Relaxed) {
            0 => {
                let now = Instant::now();
                self.0.now_ns.store(now.as_nanos(), Relaxed);
                now
            }
            now_ns => Instant::from_nanos(now_ns),
        }
    }

    /// When `deadline`, which was reckoned from the present of this poll, is to fire.
    fn at(&self, deadline: std::time::Instant) -> Instant {
        let passed = Instant::now().saturating_duration_since(self.now());
        self.0.timer.here(deadline) + passed
    }

    fn sleep_at(&self, deadline: Instant) -> Pin<Box<dyn ::hyper::rt::Sleep>> {
        Box::pin(Sleep { sleep: SendSleep::until(deadline), waits: false, pulse: self.clone() })
    }
}

impl ::hyper::rt::Timer for Pulse {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn ::hyper::rt::Sleep>> {
        self.sleep_at(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn ::hyper::rt::Sleep>> {
        self.sleep_at(self.at(deadline))
    }

    fn now(&self) -> std::time::Instant {
        self.0.timer.there(self.now())
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn ::hyper::rt::Sleep>>, deadline: std::time::Instant) {
        let deadline = self.at(deadline);
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(sleep) => {
                let sleep = sleep.get_mut();
                sleep.sleep.reset(deadline);
                sleep.waits = false;
            }
            None => *sleep = self.sleep_at(deadline),
        }
    }
}

struct Sleep {
    sleep: SendSleep,
    /// It has been polled, by the one task that polls it.
    waits: bool,
    pulse: Pulse,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.waits && self.pulse.now() < self.sleep.deadline() {
            return Poll::Pending;
        }
        let poll = Pin::new(&mut self.sleep).poll(cx);
        self.waits = poll.is_pending();
        poll
    }
}

impl ::hyper::rt::Sleep for Sleep {}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use ::hyper::rt::Timer;
    use punctual_reactor::{Runtime, VirtualClock};

    use super::{Duration, Instant, Pin, Pulse};

    const MS: Duration = Duration::from_millis(1);

    /// Waits for it as a connection does, each of whose polls begins anew.
    async fn wait(pulse: &Pulse, sleep: &mut Pin<Box<dyn ::hyper::rt::Sleep>>) -> Instant {
        poll_fn(|cx| {
            pulse.begins();
            sleep.as_mut().poll(cx)
        })
        .await;
        Instant::now()
    }

    #[test]
    fn the_present_is_that_of_the_poll_and_deadlines_count_from_when_they_are_set() {
        let clock = VirtualClock::new();
        let runtime = Runtime::builder().clock(clock.clone()).build().expect("a runtime");
        runtime.block_on(async {
            let pulse = Pulse::new();
            let began = Instant::now();
            let hypers = Timer::now(&pulse);
            clock.advance(3 * MS);
            assert_eq!(Timer::now(&pulse), hypers, "the same poll");
            let mut sleep = pulse.sleep_until(hypers + 7 * MS);
            let fired = wait(&pulse, &mut sleep).await;
            assert_eq!(fired, began + 10 * MS, "from when it was set, not from the present of the poll");
            assert_eq!(Timer::now(&pulse), hypers + 10 * MS, "another poll");
            clock.advance(MS);
            pulse.reset(&mut sleep, hypers + 15 * MS);
            assert_eq!(wait(&pulse, &mut sleep).await, began + 16 * MS);
            assert_eq!(wait(&pulse, &mut pulse.sleep(MS)).await, began + 17 * MS);
        });
        assert_eq!(runtime.metrics().live_timers, 0);
    }
}
