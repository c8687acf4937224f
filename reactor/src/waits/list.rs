//! [`Waits`]: all that waits, and what is to be said of it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use crate::waits::{Wait, WaitClass};

/// What waits, as [`waits`](crate::waits) found it: a list, in no particular order, and its summaries.
///
/// ```
/// use std::time::Duration;
/// use punctual_reactor::{Runtime, sleep, spawn, waits, yield_now};
///
/// Runtime::new()?.block_on(async {
///     let _task = spawn(sleep(Duration::from_secs(60)));
///     yield_now().await;
///     let waits = waits();
///     assert_eq!((waits.len(), waits[0].what()), (1, "sleep"));
///     assert_eq!(waits.without_deadline().count(), 0);
///     println!("{waits}");
/// });
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Waits {
    pub(super) all: Vec<Wait>,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitCounts {
    /// In all.
    pub total: usize,
    /// Without a deadline, though nobody has said that they may: [`WaitClass::Unbounded`].
    pub without_deadline: usize,
    /// Without one by their nature: [`WaitClass::Idle`].
    pub idle: usize,
    /// Without one by choice: [`WaitClass::Intended`].
    pub intended: usize,
}

/// What waits in one phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PhaseWaits {
    /// [Which](Wait::phase).
    pub phase: &'static str,
    /// How much of what.
    pub counts: WaitCounts,
    /// How long the oldest has waited.
    pub oldest: Duration,
}

impl WaitCounts {
    pub(super) fn add(&mut self, class: WaitClass) {
        self.total += 1;
        match class {
            WaitClass::Bounded => {}
            WaitClass::Idle => self.idle += 1,
            WaitClass::Intended => self.intended += 1,
            WaitClass::Unbounded => self.without_deadline += 1,
        }
    }
}

impl Waits {
    /// How much there is of each class.
    #[must_use]
    pub fn counts(&self) -> WaitCounts {
        let mut counts = WaitCounts::default();
        self.all.iter().for_each(|wait| counts.add(wait.class()));
        counts
    }

    /// By phase, that with the most waits first.
    #[must_use]
    pub fn by_phase(&self) -> Vec<PhaseWaits> {
        let mut phases = BTreeMap::new();
        for wait in &self.all {
            let (phase, counts, oldest) = (wait.phase(), WaitCounts::default(), Duration::ZERO);
            let entry = phases.entry(phase).or_insert(PhaseWaits { phase, counts, oldest });
            entry.counts.add(wait.class());
            entry.oldest = entry.oldest.max(wait.age());
        }
        let mut phases: Vec<PhaseWaits> = phases.into_values().collect();
        phases.sort_by_key(|phase| std::cmp::Reverse(phase.counts.total));
        phases
    }

    /// Those that have waited longest, at most `most` of them, the oldest first.
    #[must_use]
    pub fn oldest(&self, most: usize) -> Vec<&Wait> {
        oldest(self.all.iter().collect(), most)
    }

    /// Those without a deadline of which nobody has said that they may: [`WaitClass::Unbounded`]. The oldest first.
    pub fn without_deadline(&self) -> impl Iterator<Item = &Wait> {
        self.of_class(WaitClass::Unbounded).into_iter()
    }

    /// Those of a class, the oldest first.
    #[must_use]
    pub fn of_class(&self, class: WaitClass) -> Vec<&Wait> {
        oldest(self.all.iter().filter(|wait| wait.class() == class).collect(), usize::MAX)
    }
}

fn oldest(mut waits: Vec<&Wait>, most: usize) -> Vec<&Wait> {
    if waits.len() > most {
        if most > 0 {
            waits.select_nth_unstable_by_key(most - 1, |wait| wait.since());
        }
        waits.truncate(most);
    }
    waits.sort_by_key(|wait| wait.since());
    waits
}

impl Deref for Waits {
    type Target = [Wait];

    fn deref(&self) -> &[Wait] {
        &self.all
    }
}

impl IntoIterator for Waits {
    type Item = Wait;
    type IntoIter = std::vec::IntoIter<Wait>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.into_iter()
    }
}

impl<'a> IntoIterator for &'a Waits {
    type Item = &'a Wait;
    type IntoIter = std::slice::Iter<'a, Wait>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.iter()
    }
}

impl fmt::Display for Waits {
    /// A line each, the oldest first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for wait in self.oldest(usize::MAX) {
            writeln!(f, "{wait}")?;
        }
        Ok(())
    }
}
