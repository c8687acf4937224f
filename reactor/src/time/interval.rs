//! [`Interval`]: the same wait again and again, without drifting.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::executor::context;
use crate::instant::{Instant, nanos};
use crate::time::sleep::Sleep;

/// What an [`Interval`] does about the ticks that came due while nobody waited.
///
/// With a period of 100 and nobody waiting until 350:
///
/// | | ticks at |
/// |---|---|
/// | `Burst` | 350, 350, 350, 400, 500: all of them, at once |
/// | `Delay` | 350, 450, 550: one, and the schedule starts anew |
/// | `Skip` | 350, 400, 500: one, and the schedule stays |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTicks {
    /// Deliver all of them, one after the other without a wait.
    Burst,
    /// Deliver one, and count the period from then.
    Delay,
    /// Deliver one, and go on with the next that is still to come.
    #[default]
    Skip,
}

/// Ticks at a period; made by [`interval`] and [`interval_at`].
#[derive(Debug)]
pub struct Interval {
    sleep: Sleep,
    period: Duration,
    missed: MissedTicks,
}

/// Ticks at once, then every `period`.
///
/// # Panics
/// Outside of a runtime, or if `period` is zero.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    let now = context::current("interval").clock.now();
    interval_at(now, period)
}

/// Ticks at `start`, then every `period`.
///
/// # Panics
/// Outside of a runtime, or if `period` is zero.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "the period of an interval is zero: it would tick without end");
    let sleep = Sleep::new(context::current("interval_at"), start).called("interval");
    Interval { sleep, period, missed: MissedTicks::default() }
}

impl Interval {
    /// Sets what to do about missed ticks; [`MissedTicks::Skip`] unless set.
    pub fn set_missed_ticks(&mut self, missed: MissedTicks) {
        self.missed = missed;
    }

    /// Sets what to do about missed ticks.
    #[must_use]
    pub fn with_missed_ticks(mut self, missed: MissedTicks) -> Interval {
        self.missed = missed;
        self
    }

    /// The time between two ticks.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Waits for the next tick; returns when it was due. Cancel-safe: a tick that was not taken stays.
    pub async fn tick(&mut self) -> Instant {
        std::future::poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// As [`tick`](Interval::tick), for hand-written futures.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        let due = self.sleep.deadline();
        let next = self.missed.next(due, self.sleep.now(), self.period);
        self.sleep.reset(next);
        Poll::Ready(due)
    }
}

impl MissedTicks {
    fn next(self, due: Instant, now: Instant, period: Duration) -> Instant {
        let next = due + period;
        if next > now {
            return next;
        }
        match self {
            MissedTicks::Burst => next,
            MissedTicks::Delay => now + period,
            MissedTicks::Skip => {
                let into_period = nanos(now - due) % nanos(period);
                now - Duration::from_nanos(into_period) + period
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(missed: MissedTicks, due: u64, now: u64) -> u64 {
        let at = Instant::from_nanos;
        missed.next(at(due), at(now), Duration::from_nanos(100)).as_nanos()
    }

    #[test]
    fn t19_a_tick_in_time_changes_nothing() {
        for missed in [MissedTicks::Burst, MissedTicks::Delay, MissedTicks::Skip] {
            assert_eq!(next(missed, 100, 130), 200);
        }
    }

    #[test]
    fn t19_missed_ticks_follow_the_policy_also_at_exact_multiples() {
        assert_eq!(next(MissedTicks::Burst, 100, 350), 200);
        assert_eq!(next(MissedTicks::Delay, 100, 350), 450);
        assert_eq!(next(MissedTicks::Skip, 100, 350), 400);
        assert_eq!(next(MissedTicks::Skip, 100, 300), 400, "an exact multiple has come");
        assert_eq!(next(MissedTicks::Skip, 100, 299), 300);
    }
}
