//! [`BudgetRecord`]: how phases fared that were given about the same time.

use std::time::Duration;

use crate::source::NEVER;

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

/// The budgets in use, in order. There are at most 252 of them, whatever comes: four an octave.
#[derive(Clone, Debug, Default)]
pub(super) struct Budgets {
    kept: Vec<Kept>,
    /// Where the last one was: nearly always the next one's place.
    last: usize,
    /// What the last one was given, if it had a bound: nearly always what the next one is.
    last_ns: u64,
    /// How many that were given [`last_ns`](Budgets::last_ns) were done and are not counted yet.
    done_again: u64,
    /// Those that were given no time at all: they could have taken for ever.
    pub(super) unbounded: BudgetCounts,
}

#[derive(Clone, Debug)]
struct Kept {
    bucket: u8,
    shortest_ns: u64,
    longest_ns: u64,
    counts: BudgetCounts,
}

impl Budgets {
    /// Counts one that was given `budget_ns` and is done.
    #[inline]
    pub(super) fn done(&mut self, budget_ns: u64) {
        if budget_ns == self.last_ns && budget_ns != 0 {
            self.done_again += 1;
            return;
        }
        self.done_of_another(budget_ns);
    }

    #[inline(never)]
    fn done_of_another(&mut self, budget_ns: u64) {
        let counts = self.of(budget_ns);
        counts.count += 1;
        counts.done += 1;
    }

    /// The counts of those that were given `budget_ns`, one of which has just ended.
    #[inline]
    pub(super) fn of(&mut self, budget_ns: u64) -> &mut BudgetCounts {
        if budget_ns == NEVER {
            return &mut self.unbounded;
        }
        if budget_ns != self.last_ns || self.kept.is_empty() {
            self.turn_to(budget_ns);
        }
        &mut self.kept[self.last].counts
    }

    fn turn_to(&mut self, budget_ns: u64) {
        let again = std::mem::take(&mut self.done_again);
        if let Some(last) = self.kept.get_mut(self.last) {
            last.counts.count += again;
            last.counts.done += again;
        }
        let bucket = bucket_of(budget_ns);
        if self.kept.get(self.last).is_none_or(|last| last.bucket != bucket) {
            self.find(bucket, budget_ns);
        }
        let kept = &mut self.kept[self.last];
        kept.shortest_ns = kept.shortest_ns.min(budget_ns);
        kept.longest_ns = kept.longest_ns.max(budget_ns);
        self.last_ns = budget_ns;
    }

    #[cold]
    fn find(&mut self, bucket: u8, budget_ns: u64) {
        let found = self.kept.binary_search_by_key(&bucket, |kept| kept.bucket);
        self.last = found.unwrap_or_else(|at| {
            let counts = BudgetCounts::default();
            self.kept.insert(at, Kept { bucket, shortest_ns: budget_ns, longest_ns: budget_ns, counts });
            at
        });
    }

    pub(super) fn records(&self) -> impl Iterator<Item = BudgetRecord> {
        self.kept.iter().enumerate().map(|(at, kept)| {
            let again = if at == self.last { self.done_again } else { 0 };
            let BudgetCounts { count, done, timed_out } = kept.counts;
            BudgetRecord {
                shortest: Duration::from_nanos(kept.shortest_ns),
                longest: Duration::from_nanos(kept.longest_ns),
                counts: BudgetCounts { count: count + again, done: done + again, timed_out },
            }
        })
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
        let second = 1_000_000_000;
        for _ in 0..3 {
            budgets.of(second).done += 1;
        }
        budgets.of(second).timed_out += 1;
        budgets.of(5 * second).count += 1;
        budgets.of(NEVER).done += 1;
        let counts = |count, done, timed_out| BudgetCounts { count, done, timed_out };
        let records: Vec<_> = budgets.records().collect();
        let [one, five] = &records[..] else { panic!("{records:?}") };
        let second = Duration::from_secs(1);
        assert_eq!((one.shortest, one.longest, one.counts), (second, second, counts(0, 3, 1)));
        assert_eq!((five.shortest, five.counts), (5 * second, counts(1, 0, 0)));
        assert_eq!(budgets.unbounded, counts(0, 1, 0));
    }

    #[test]
    fn what_is_done_again_and_again_is_counted_at_once_and_when_another_comes() {
        let mut budgets = Budgets::default();
        let done = |budgets: &Budgets| -> Vec<_> {
            budgets.records().map(|record| (record.counts.count, record.counts.done)).collect()
        };
        for _ in 0..3 {
            budgets.done(1_000);
        }
        assert_eq!(done(&budgets), [(3, 3)]);
        budgets.of(1_000).count += 1;
        for budget_ns in [5_000, 0, 1_000, 1_000, NEVER, 1_000] {
            budgets.done(budget_ns);
        }
        assert_eq!(done(&budgets), [(1, 1), (7, 6), (1, 1)]);
        assert_eq!((budgets.unbounded.count, budgets.unbounded.done), (1, 1));
    }

    #[test]
    fn whatever_budgets_come_their_number_is_bounded() {
        let mut budgets = Budgets::default();
        let mut ns = 1u64;
        for step in 0..200_000u64 {
            ns = ns.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step);
            budgets.of(ns >> (step % 64)).count += 1;
        }
        assert!(budgets.kept.len() <= 252, "{}", budgets.kept.len());
        assert_eq!(budgets.kept.iter().map(|kept| kept.counts.count).sum::<u64>(), 200_000);
    }
}
