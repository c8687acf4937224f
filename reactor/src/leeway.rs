//! [`Leeway`]: how late a deadline may be fired in order to share a wake-up.

use std::time::Duration;

use crate::instant::nanos;

/// How much later than its deadline a timer may be fired so that several share one wake-up of the
/// kernel. It never makes anything early.
///
/// A wake-up costs about 33 µs of CPU; a thousand sleepers that each insist on their own nanosecond
/// cost ten times the CPU of the same thousand on a millisecond's leeway. There is a handful of classes,
/// each with a wheel of its own; other values are rounded down to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leeway(u8);

const CLASSES_NS: [u64; Leeway::COUNT] = [0, 100_000, 1_000_000, 10_000_000, 100_000_000];

impl Leeway {
    pub(crate) const COUNT: usize = 5;

    /// None: a wake-up of its own. The default of sleeps.
    pub const NONE: Leeway = Leeway(0);
    /// One millisecond: the most that the deadline of a connection takes unless told otherwise.
    pub const MILLISECOND: Leeway = Leeway(2);

    /// The widest class that is no wider than `duration`.
    #[must_use]
    pub fn at_most(duration: Duration) -> Leeway {
        Leeway::at_most_nanos(nanos(duration))
    }

    pub(crate) fn at_most_nanos(ns: u64) -> Leeway {
        let wider = CLASSES_NS.iter().skip(1).take_while(|class| **class <= ns);
        Leeway(wider.count() as u8)
    }

    /// What a guard with this long to go takes: a hundredth of it, at most `self`.
    pub(crate) fn for_timeout(self, timeout_ns: u64) -> Leeway {
        Leeway::at_most_nanos(timeout_ns / 100).min(self)
    }

    /// The width of the class.
    #[must_use]
    pub fn as_duration(self) -> Duration {
        Duration::from_nanos(self.as_nanos())
    }

    pub(crate) fn as_nanos(self) -> u64 {
        CLASSES_NS[self.class()]
    }

    pub(crate) fn class(self) -> usize {
        usize::from(self.0)
    }

    pub(crate) fn all() -> impl Iterator<Item = Leeway> {
        (0..Leeway::COUNT as u8).map(Leeway)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leeway_is_rounded_down_to_its_class() {
        let class = |us| Leeway::at_most(Duration::from_micros(us)).as_duration().as_micros();
        assert_eq!([0, 99, 100, 999, 1_000, 9_999].map(class), [0, 0, 100, 100, 1_000, 1_000]);
        assert_eq!(Leeway::at_most(Duration::MAX).as_duration().as_millis(), 100);
    }

    #[test]
    fn a_guard_takes_a_hundredth_up_to_its_cap() {
        let guard = |ms: u64| Leeway::MILLISECOND.for_timeout(ms * 1_000_000).as_nanos();
        assert_eq!([5, 10, 99, 100, 5_000].map(guard), [0, 100_000, 100_000, 1_000_000, 1_000_000]);
        assert_eq!(Leeway::NONE.for_timeout(u64::MAX), Leeway::NONE);
    }
}
