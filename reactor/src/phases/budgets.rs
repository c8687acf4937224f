//! [`BudgetRecord`]: how phases fared that were given about the same time.

use std::time::Duration;

use super::PhaseEnding;
use crate::instant::nanos;

/// How phases ended that were given about the same time: within a quarter of an octave, since what a deadline leaves
/// is different each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetRecord {
    /// The least time that one of them was given.
    pub shortest: Duration,
    /// The most. If it is the same as the [shortest](BudgetRecord::shortest), all of them were given just that.
    pub longest: Duration,
    /// How they ended.
    pub counts: BudgetCounts,
}

/// How many phases were given some time, and how many of them came to an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetCounts {
    /// All of them.
    pub count: u64,
    /// Those that were done.
    pub done: u64,
    /// Those that a bound of ours ended. The rest ended otherwise.
    pub timed_out: u64,
}

impl BudgetCounts {
    #[inline]
    fn record(&mut self, ending: PhaseEnding) {
        self.count += 1;
        self.done += u64::from(ending == PhaseEnding::Done);
        self.timed_out += u64::from(ending.is_timeout_of_ours());
    }
}

/// The budgets in use, in order. There are at most 256 of them, whatever comes: four an octave.
#[derive(Clone, Debug, Default)]
pub(super) struct Budgets {
    pub(super) of: Vec<(u8, BudgetRecord)>,
    /// Those that were given no time at all: they could have taken for ever.
    pub(super) unbounded: BudgetCounts,
}

impl Budgets {
    #[inline]
    pub(super) fn record(&mut self, budget: Option<Duration>, ending: PhaseEnding) {
        let Some(budget) = budget else { return self.unbounded.record(ending) };
        let bucket = bucket_of(nanos(budget));
        let record = match self.of.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => &mut self.of[at].1,
            Err(at) => {
                let counts = BudgetCounts::default();
                self.of.insert(at, (bucket, BudgetRecord { shortest: budget, longest: budget, counts }));
                &mut self.of[at].1
            }
        };
        record.shortest = record.shortest.min(budget);
        record.longest = record.longest.max(budget);
        record.counts.record(ending);
    }
}

/// Zero for itself, then a quarter of an octave each.
#[inline]
fn bucket_of(ns: u64) -> u8 {
    if ns < 4 {
        return ns as u8;
    }
    let octave = ns.ilog2();
    ((octave - 1) * 4) as u8 + ((ns >> (octave - 2)) & 3) as u8
}

#[cfg(test)]
mod tests {
    use super::super::TimeoutBy;
    use super::*;

    #[test]
    fn buckets_are_in_order_a_quarter_of_an_octave_wide_and_fit_a_byte() {
        let values = (0..64u32)
            .flat_map(|bit| (0..8u64).map(move |eighth| (1u64 << bit) / 8 * eighth + (1 << bit)));
        let buckets: Vec<u8> = values.map(bucket_of).collect();
        assert!(buckets.is_sorted());
        assert_eq!(bucket_of(0), 0);
        assert_eq!((bucket_of(1 << 32), bucket_of((1 << 32) + (1 << 30) - 1)), (124, 124));
        assert_eq!(bucket_of((1 << 32) + (1 << 30)), 125);
        assert_eq!(bucket_of(u64::MAX), 251);
    }

    #[test]
    fn a_budget_that_is_always_the_same_is_known_exactly() {
        let mut budgets = Budgets::default();
        let second = Duration::from_secs(1);
        for _ in 0..3 {
            budgets.record(Some(second), PhaseEnding::Done);
        }
        budgets.record(Some(second), PhaseEnding::Timeout(TimeoutBy::Own));
        budgets.record(Some(second), PhaseEnding::Timeout(TimeoutBy::Kernel));
        budgets.record(Some(5 * second), PhaseEnding::Cancelled);
        budgets.record(None, PhaseEnding::Done);
        let counts = |count, done, timed_out| BudgetCounts { count, done, timed_out };
        let (one, five) = (budgets.of[0].1, budgets.of[1].1);
        assert_eq!((one.shortest, one.longest, one.counts), (second, second, counts(5, 3, 1)));
        assert_eq!((five.shortest, five.counts), (5 * second, counts(1, 0, 0)));
        assert_eq!(budgets.unbounded, counts(1, 1, 0));
    }

    #[test]
    fn whatever_budgets_come_their_number_is_bounded() {
        let mut budgets = Budgets::default();
        let mut ns = 1u64;
        for step in 0..200_000u64 {
            ns = ns.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step);
            budgets.record(Some(Duration::from_nanos(ns >> (step % 64))), PhaseEnding::Done);
        }
        assert!(budgets.of.len() <= 252, "{}", budgets.of.len());
        assert_eq!(budgets.of.iter().map(|(_, record)| record.counts.count).sum::<u64>(), 200_000);
    }
}
