//! Drift: how late each firing was, and through whom.
//!
//! ```text
//!  deadline        armed            woke           fired
//!  ───┼──────────────┼────────────────┼──────────────┼──▶ time
//!     │ quantisation │     kernel     │     loop     │
//!       leeway, the    timer slack,     what the loop
//!       alarm's unit   scheduling       did before it
//! ```

use std::time::Duration;

use crate::histogram::Histogram;
use crate::instant::Instant;

/// When one deadline fired, and how its lateness came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Firing {
    /// What had been asked for.
    pub deadline: Instant,
    /// When it was fired; never before [`deadline`](Firing::deadline).
    pub fired: Instant,
    /// Chosen lateness: the leeway that let it share a wake-up, and the unit of the alarm.
    pub quantisation: Duration,
    /// From the moment the kernel was asked to wake the loop until the loop ran.
    pub kernel: Duration,
    /// From the moment the loop ran (or, had it not slept, from the deadline) until it fired.
    pub in_loop: Duration,
}

impl Firing {
    /// How late it fired: the sum of the three parts.
    #[must_use]
    pub fn lateness(&self) -> Duration {
        self.fired - self.deadline
    }
}

/// The last wait of the loop, against which firings are explained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wait {
    /// Whether it slept at all; otherwise whatever is late is the loop's own doing.
    pub(crate) slept: bool,
    /// When the kernel had been asked to wake it.
    pub(crate) armed_ns: u64,
    /// When it ran again.
    pub(crate) woke_ns: u64,
    /// How long the turns before it have taken that [held the loop up](HELD_UP), all together.
    pub(crate) held_up_ns: u64,
}

/// From which length on a turn, or the loop's part of a lateness, is worth a warning, and a reason for what is late.
pub(crate) const HELD_UP: Duration = Duration::from_millis(20);

impl Wait {
    pub(crate) fn explain(&self, deadline_ns: u64, fired_ns: u64) -> Firing {
        let (armed, woke) = if self.slept && self.woke_ns >= deadline_ns {
            (self.armed_ns.clamp(deadline_ns, self.woke_ns), self.woke_ns)
        } else {
            (deadline_ns, deadline_ns)
        };
        Firing {
            deadline: Instant::from_nanos(deadline_ns),
            fired: Instant::from_nanos(fired_ns),
            quantisation: Duration::from_nanos(armed - deadline_ns),
            kernel: Duration::from_nanos(woke - armed),
            in_loop: Duration::from_nanos(fired_ns.saturating_sub(woke)),
        }
    }
}

/// The lateness of every firing so far, whole and by part.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Drift {
    /// Lateness as a whole.
    pub total: Histogram,
    /// Chosen lateness: leeway and the unit of the alarm.
    pub quantisation: Histogram,
    /// The kernel's wake-up.
    pub kernel: Histogram,
    /// The loop's own backlog.
    pub in_loop: Histogram,
    /// Firings before their deadline. Anything but zero is a bug of this crate.
    pub early: u64,
}

impl Drift {
    pub(crate) fn record(&mut self, firing: &Firing) {
        self.early += u64::from(firing.fired < firing.deadline);
        let ns = |duration: Duration| duration.as_nanos() as u64;
        self.total.record(ns(firing.lateness()));
        self.quantisation.record(ns(firing.quantisation));
        self.kernel.record(ns(firing.kernel));
        self.in_loop.record(ns(firing.in_loop));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(wait: Wait, deadline_ns: u64, fired_ns: u64) -> [u128; 3] {
        let firing = wait.explain(deadline_ns, fired_ns);
        let parts = [firing.quantisation, firing.kernel, firing.in_loop].map(|part| part.as_nanos());
        assert_eq!(parts.iter().sum::<u128>(), firing.lateness().as_nanos(), "the parts add up");
        parts
    }

    #[test]
    fn lateness_is_split_at_the_alarm_and_the_wake_up() {
        let slept = |armed_ns, woke_ns| Wait { slept: true, armed_ns, woke_ns, held_up_ns: 0 };
        assert_eq!(parts(slept(130, 180), 100, 200), [30, 50, 20]);
        assert_eq!(parts(slept(90, 180), 100, 200), [0, 80, 20], "an alarm for an earlier timer");
        assert_eq!(parts(slept(900, 180), 100, 200), [80, 0, 20], "I/O woke it within the leeway");
        assert_eq!(parts(slept(50, 60), 100, 200), [0, 0, 100], "it became due while the loop ran");
        assert_eq!(parts(Wait::default(), 100, 200), [0, 0, 100], "the loop never slept");
    }

    #[test]
    fn an_early_firing_is_counted() {
        let mut drift = Drift::default();
        drift.record(&Wait::default().explain(100, 100));
        assert_eq!(drift.early, 0);
        drift.record(&Wait::default().explain(100, 99));
        assert_eq!((drift.early, drift.total.count()), (1, 2));
    }
}
