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

/// A [`Firing`] without its deadline, in as little room as will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fired {
    pub(crate) at_ns: u64,
    quantisation_ns: u64,
    kernel_ns: u64,
}

impl Fired {
    /// The loop's own part of the lateness.
    #[inline]
    pub(crate) fn in_loop_ns(&self, deadline_ns: u64) -> u64 {
        self.at_ns.saturating_sub(deadline_ns + self.quantisation_ns + self.kernel_ns)
    }

    /// The whole of it, for the deadline it was.
    pub(crate) fn firing(&self, deadline_ns: u64) -> Firing {
        Firing {
            deadline: Instant::from_nanos(deadline_ns),
            fired: Instant::from_nanos(self.at_ns),
            quantisation: Duration::from_nanos(self.quantisation_ns),
            kernel: Duration::from_nanos(self.kernel_ns),
            in_loop: Duration::from_nanos(self.in_loop_ns(deadline_ns)),
        }
    }
}

impl Wait {
    #[inline]
    pub(crate) fn fired(&self, deadline_ns: u64, at_ns: u64) -> Fired {
        let (armed, woke) = if self.slept && self.woke_ns >= deadline_ns {
            (self.armed_ns.clamp(deadline_ns, self.woke_ns), self.woke_ns)
        } else {
            (deadline_ns, deadline_ns)
        };
        Fired { at_ns, quantisation_ns: armed - deadline_ns, kernel_ns: woke - armed }
    }

    pub(crate) fn explain(&self, deadline_ns: u64, fired_ns: u64) -> Firing {
        self.fired(deadline_ns, fired_ns).firing(deadline_ns)
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

/// Firings of one turn. Most of them are late by the same wake-up and the same backlog, which is recorded once for them all.
#[derive(Debug, Default)]
pub(crate) struct Firings {
    /// How many there are.
    pub(crate) count: u64,
    /// How many of them are still to be recorded in those two parts.
    alike: u64,
    kernel_ns: u64,
    in_loop_ns: u64,
}

impl Drift {
    /// Records one of several. They are all recorded once they are [settled](Drift::settle).
    #[inline]
    pub(crate) fn record_of(&mut self, firings: &mut Firings, deadline_ns: u64, fired: Fired) {
        self.early += u64::from(fired.at_ns < deadline_ns);
        self.total.record(fired.at_ns.saturating_sub(deadline_ns));
        self.quantisation.record(fired.quantisation_ns);
        let parts = (fired.kernel_ns, fired.in_loop_ns(deadline_ns));
        if parts != (firings.kernel_ns, firings.in_loop_ns) {
            self.settle(firings);
            (firings.kernel_ns, firings.in_loop_ns) = parts;
        }
        firings.alike += 1;
        firings.count += 1;
    }

    #[inline]
    pub(crate) fn settle(&mut self, firings: &mut Firings) {
        let alike = std::mem::take(&mut firings.alike);
        if alike > 0 {
            self.kernel.record_alike(firings.kernel_ns, alike);
            self.in_loop.record_alike(firings.in_loop_ns, alike);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record_alone(drift: &mut Drift, deadline_ns: u64, fired: Fired) {
        let mut alone = Firings::default();
        drift.record_of(&mut alone, deadline_ns, fired);
        drift.settle(&mut alone);
    }

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
    fn firings_that_are_alike_are_recorded_as_if_each_were_alone() {
        let slept = Wait { slept: true, armed_ns: 130, woke_ns: 180, held_up_ns: 0 };
        let (mut together, mut each, mut firings) =
            (Drift::default(), Drift::default(), Firings::default());
        for (deadline_ns, at_ns) in
            [(100, 200), (110, 200), (150, 200), (120, 260), (125, 260), (190, 260)]
        {
            let fired = slept.fired(deadline_ns, at_ns);
            together.record_of(&mut firings, deadline_ns, fired);
            record_alone(&mut each, deadline_ns, fired);
        }
        together.settle(&mut firings);
        together.settle(&mut firings);
        assert_eq!(firings.count, 6);
        let parts = |drift: &Drift| {
            let all = [&drift.total, &drift.quantisation, &drift.kernel, &drift.in_loop];
            all.map(|part| (part.buckets().collect::<Vec<_>>(), part.sum(), part.max()))
        };
        assert_eq!(parts(&together), parts(&each));
    }

    #[test]
    fn an_early_firing_is_counted() {
        let mut drift = Drift::default();
        record_alone(&mut drift, 100, Wait::default().fired(100, 100));
        assert_eq!(drift.early, 0);
        record_alone(&mut drift, 100, Wait::default().fired(100, 99));
        assert_eq!((drift.early, drift.total.count()), (1, 2));
    }
}
