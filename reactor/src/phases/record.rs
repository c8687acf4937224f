//! [`PhaseRecord`]: what is known of one phase.

use super::budgets::Budgets;
use super::{BudgetCounts, BudgetRecord, PhaseEnding, PhaseEndings};
use crate::histogram::Histogram;

/// How one phase has fared on a runtime since that was built.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PhaseRecord {
    /// Its name, as `resolve`, `tcp-connect`, `read`.
    pub phase: &'static str,
    /// How often it ended in which way.
    pub endings: PhaseEndings,
    /// How long it took when it was done.
    pub done: Histogram,
    /// How long it had taken when something else ended it: it would have taken longer (statistics say
    /// *censored*).
    pub cut_off: Histogram,
    /// How it fared by the time that it was given, from the shortest to the longest.
    pub budgets: Vec<BudgetRecord>,
    /// How it fared without any deadline.
    pub unbounded: BudgetCounts,
}

/// The phases of one runtime, each under an index that stays.
#[derive(Debug, Default)]
pub(crate) struct Phases {
    of: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    phase: &'static str,
    endings: PhaseEndings,
    done: Histogram,
    cut_off: Histogram,
    budgets: Budgets,
}

/// A phase among those of its runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PhaseIndex(u8);

/// How many phases are told apart. Those that come later are [counted together](OTHERS).
const MOST: usize = 64;

/// The name of all phases beyond the first 63.
const OTHERS: &str = "(others)";

impl Phases {
    /// The index of the phase called `phase`.
    pub(crate) fn index_of(&mut self, phase: &'static str) -> PhaseIndex {
        let known = self.of.iter().position(|kept| kept.phase == phase);
        let index = known.unwrap_or_else(|| {
            if self.of.len() == MOST {
                return MOST - 1;
            }
            let phase = if self.of.len() == MOST - 1 { OTHERS } else { phase };
            self.of.push(Kept {
                phase,
                endings: PhaseEndings::default(),
                done: Histogram::new(),
                cut_off: Histogram::new(),
                budgets: Budgets::default(),
            });
            self.of.len() - 1
        });
        PhaseIndex(index as u8)
    }

    /// One phase has ended so, after this time, of that which it was given ([`NEVER`](crate::source::NEVER): it had no deadline).
    pub(crate) fn record(
        &mut self,
        phase: PhaseIndex,
        ending: PhaseEnding,
        took_ns: u64,
        budget_ns: u64,
    ) {
        if ending == PhaseEnding::Done {
            return self.record_done(phase, took_ns, budget_ns);
        }
        let Some(kept) = self.of.get_mut(usize::from(phase.0)) else { return };
        let of_budget = kept.budgets.of(budget_ns);
        of_budget.count += 1;
        of_budget.timed_out += u64::from(ending.is_timeout_of_ours());
        kept.endings.record(ending);
        kept.cut_off.record(took_ns);
    }

    /// The same of one that was done.
    #[inline]
    pub(crate) fn record_done(&mut self, phase: PhaseIndex, took_ns: u64, budget_ns: u64) {
        let Some(kept) = self.of.get_mut(usize::from(phase.0)) else { return };
        kept.budgets.done(budget_ns);
        kept.endings.record(PhaseEnding::Done);
        kept.done.record(took_ns);
    }

    /// Those that have ended at least once, by name.
    pub(crate) fn records(&self) -> Vec<PhaseRecord> {
        let known = self.of.iter().filter(|kept| kept.endings.total() > 0);
        let mut records: Vec<_> = known.map(Kept::record).collect();
        records.sort_unstable_by_key(|record| record.phase);
        records
    }
}

impl Kept {
    fn record(&self) -> PhaseRecord {
        PhaseRecord {
            phase: self.phase,
            endings: self.endings,
            done: self.done.clone(),
            cut_off: self.cut_off.clone(),
            budgets: self.budgets.records().collect(),
            unbounded: self.budgets.unbounded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::TimeoutBy;
    use std::time::Duration;

    use super::*;
    use crate::source::NEVER;

    const MS: u64 = 1_000_000;

    #[test]
    fn what_was_done_is_kept_apart_from_what_was_cut_off() {
        let mut phases = Phases::default();
        let read = phases.index_of("read");
        let _never_ended = phases.index_of("write");
        phases.record(read, PhaseEnding::Done, 3 * MS, 5 * MS);
        phases.record(read, PhaseEnding::Timeout(TimeoutBy::Own), 5 * MS, 5 * MS);
        phases.record(read, PhaseEnding::Cancelled, MS, NEVER);
        let records = phases.records();
        let [record] = &records[..] else { panic!("{records:?}") };
        assert_eq!((record.phase, record.endings.total(), record.endings.timeouts()), ("read", 3, 1));
        assert_eq!((record.done.count(), record.done.max()), (1, Duration::from_millis(3)));
        assert_eq!((record.cut_off.count(), record.cut_off.max()), (2, Duration::from_millis(5)));
        assert_eq!((record.budgets.len(), record.unbounded.count), (1, 1));
    }

    #[test]
    fn whatever_names_come_their_number_is_bounded() {
        let mut phases = Phases::default();
        for number in 0..200 {
            let name: &'static str = Box::leak(format!("phase {number:03}").into_boxed_str());
            let index = phases.index_of(name);
            assert_eq!(phases.index_of(name), index);
            phases.record(index, PhaseEnding::Done, MS, NEVER);
        }
        let records = phases.records();
        assert_eq!(records.len(), MOST);
        assert_eq!((records[0].phase, records[0].endings.total()), (OTHERS, 137));
        assert_eq!((records[1].phase, records[1].endings.total()), ("phase 000", 1));
    }
}
