//! [`Ledger`]: the stretches of late, and who is to blame for what.

use std::collections::VecDeque;
use std::time::Duration;

use crate::blame::Blame;
use crate::blame::culprit::{Culprit, Others};
use crate::blame::meter::Meter;
use crate::blame::stretch::{Given, Holder, Stretch};
use crate::blame::warning::{Warning, Warnings};
use crate::drift::Fired;
use crate::instant::nanos;

/// How many stretches are kept.
const STRETCHES_MAX: usize = 256;

/// What takes less than this part of the threshold is not kept by itself.
const FLOOR_PART: u64 = 64;

/// What takes less than this part of the threshold is not worth two system calls.
const METERED_PART: u64 = 4;

#[derive(Debug)]
pub(crate) struct Ledger {
    threshold_ns: u64,
    /// From which length on a stretch is kept.
    pub(crate) floor_ns: u64,
    keep: usize,
    accounts: bool,
    /// In the order in which they ended.
    stretches: VecDeque<Stretch>,
    turn: Turn,
    stalls: u64,
    late_firings: u64,
    worst: Vec<Culprit>,
    /// Whom the firings of this turn are put down to, so that many timers that are late for one reason cost one search.
    found: Option<Found>,
    warnings: Warnings,
    meter: Meter,
    /// On a bare reactor: what was given out last, and when.
    pub(crate) given: Option<(Given, u64)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    began_ns: u64,
    /// `None` while it goes on.
    ended_ns: Option<u64>,
}

/// A culprit, and when the longest of its polls was.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) culprit: Culprit,
    began_ns: u64,
    ended_ns: u64,
}

impl Found {
    /// Whether it alone explains most of the time between two moments.
    fn explains(&self, from_ns: u64, to_ns: u64) -> bool {
        let (began_ns, ended_ns) = (self.began_ns.max(from_ns), self.ended_ns.min(to_ns));
        ended_ns.saturating_sub(began_ns) * 2 > to_ns - from_ns
    }
}

/// What is chosen of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices {
    pub(crate) threshold: Duration,
    pub(crate) keep: usize,
    pub(crate) accounts: bool,
    pub(crate) meters: bool,
}

impl Ledger {
    pub(crate) fn new(choices: Choices) -> Ledger {
        let threshold_ns = nanos(choices.threshold);
        Ledger {
            threshold_ns,
            floor_ns: (threshold_ns / FLOOR_PART).max(1),
            keep: choices.keep,
            accounts: choices.accounts,
            stretches: VecDeque::new(),
            turn: Turn { began_ns: 0, ended_ns: Some(0) },
            stalls: 0,
            late_firings: 0,
            worst: Vec::new(),
            found: None,
            warnings: Warnings::default(),
            meter: Meter::new(choices.accounts && choices.meters),
            given: None,
        }
    }

    pub(crate) fn begin_turn(&mut self, now_ns: u64) {
        self.turn = Turn { began_ns: now_ns, ended_ns: None };
    }

    pub(crate) fn turn_began_ns(&self) -> u64 {
        self.turn.began_ns
    }

    /// What was until then is accounted, or is nobody's.
    pub(crate) fn nobody_until(&mut self, now_ns: u64) {
        self.turn.ended_ns = Some(now_ns);
    }

    /// When the last turn ended; `None` if it goes on.
    pub(crate) fn turn_ended_ns(&self) -> Option<u64> {
        self.turn.ended_ns
    }

    /// The turn has ended: it was a stall if it was long.
    #[inline]
    pub(crate) fn close_turn(&mut self, turn: u64, ended_ns: u64) {
        if self.turn.ended_ns.is_some() {
            return;
        }
        let began_ns = self.turn.began_ns;
        self.turn.ended_ns = Some(ended_ns);
        let took_ns = ended_ns.saturating_sub(began_ns);
        if self.found.is_some() {
            self.settle();
        }
        if took_ns >= self.threshold_ns {
            self.stalled(turn, began_ns, ended_ns);
        }
        // Last, so that what the thread ran in a long turn is still to be had.
        self.meter.worked(took_ns, ended_ns);
    }

    #[cold]
    fn stalled(&mut self, turn: u64, began_ns: u64, ended_ns: u64) {
        self.stalls += 1;
        let found = self.find(turn, began_ns, ended_ns);
        self.tell_of(found.culprit);
    }

    /// Keeps a stretch. It is over now, or nearly so.
    pub(crate) fn push(&mut self, mut stretch: Stretch) {
        if stretch.own_ns >= self.threshold_ns / METERED_PART && stretch.polls == 1 {
            stretch.ran = self.meter.ran(stretch.began_ns, stretch.ended_ns, stretch.own_ns);
        }
        if self.stretches.len() >= STRETCHES_MAX {
            self.stretches.pop_front();
        }
        self.stretches.push_back(stretch);
    }

    /// A deadline has fired.
    #[inline]
    pub(crate) fn fired(&mut self, deadline_ns: u64, fired: Fired, turn: u64) {
        let in_loop_ns = fired.in_loop_ns(deadline_ns);
        if in_loop_ns >= self.threshold_ns {
            self.fired_late(fired.at_ns - in_loop_ns, fired.at_ns, turn);
        }
    }

    #[cold]
    fn fired_late(&mut self, from_ns: u64, to_ns: u64, turn: u64) {
        self.late_firings += 1;
        if !self.found.as_ref().is_some_and(|found| found.explains(from_ns, to_ns)) {
            self.settle();
            self.found = Some(self.find(turn, from_ns, to_ns));
        }
        if let Some(found) = &mut self.found {
            found.culprit.late_firings += 1;
            found.culprit.lateness_ns = found.culprit.lateness_ns.max(to_ns - from_ns);
        }
    }

    /// No more firings of this turn are put down to whom they were put down to so far.
    fn settle(&mut self) {
        if let Some(found) = self.found.take() {
            self.tell_of(found.culprit);
        }
    }

    fn tell_of(&mut self, culprit: Culprit) {
        keep_worst(&mut self.worst, &culprit, self.keep);
        self.warnings.push(culprit);
    }

    /// Whether there may be something to be said.
    #[inline]
    pub(crate) fn may_warn(&self) -> bool {
        self.found.is_some() || !self.warnings.is_empty()
    }

    /// What is to be said now of what held the loop, now that the firings which it made late have been put down to it.
    #[inline]
    pub(crate) fn take_warning(&mut self, now_ns: u64) -> Option<Warning> {
        if !self.may_warn() {
            return None;
        }
        self.settle();
        self.warnings.take(now_ns)
    }

    pub(crate) fn blame(&self) -> Blame {
        let mut worst = self.worst.clone();
        if let Some(found) = &self.found {
            keep_worst(&mut worst, &found.culprit, self.keep);
        }
        Blame {
            stalls: self.stalls,
            late_firings: self.late_firings,
            threshold: Duration::from_nanos(self.threshold_ns),
            accounts: self.accounts,
            worst,
        }
    }

    /// Whose stretches cover most of the time between two moments, if any is known of.
    pub(crate) fn held_by(&self, from_ns: u64, to_ns: u64) -> Option<Found> {
        let mut holders: Vec<Share<'_>> = Vec::new();
        let mut count = 0;
        let mut held_ns = 0;
        let recent = self.stretches.iter().rev().take_while(|stretch| stretch.ended_ns > from_ns);
        for stretch in recent {
            let overlap_ns = stretch.overlap(from_ns, to_ns);
            if overlap_ns == 0 {
                continue;
            }
            count += stretch.polls;
            held_ns += stretch.own_ns;
            match holders.iter_mut().find(|share| share.longest.holder.is(&stretch.holder)) {
                Some(share) => share.add(stretch, overlap_ns),
                None => holders.push(Share::new(stretch, overlap_ns)),
            }
        }
        let named = holders.iter().filter(|share| share.longest.holder != Holder::ShortPolls);
        let most = named.max_by_key(|share| share.overlap_ns)?;
        let others = Others { count: count - most.polls, held_ns: held_ns - most.held_ns };
        Some(most.found(others))
    }

    /// The same, and the loop itself, if the greater part of the time is in no stretch.
    fn find(&mut self, turn: u64, from_ns: u64, to_ns: u64) -> Found {
        let found = self.held_by(from_ns, to_ns);
        let known_ns = found
            .as_ref()
            .map_or(0, |Found { culprit, .. }| culprit.held_ns.saturating_add(culprit.others.held_ns));
        let unknown_ns = (to_ns - from_ns).saturating_sub(known_ns);
        match found {
            Some(found) if found.culprit.held_ns >= unknown_ns => found,
            _ => self.loop_itself(turn, from_ns, to_ns, unknown_ns),
        }
    }

    fn loop_itself(&mut self, turn: u64, began_ns: u64, ended_ns: u64, held_ns: u64) -> Found {
        let holder = if self.accounts { Holder::Loop } else { Holder::Unknown };
        let culprit = Culprit {
            holder,
            held_ns,
            polls: 1,
            turn,
            began_ns,
            ran: self.meter.ran(began_ns, ended_ns, held_ns),
            others: Others::default(),
            late_firings: 0,
            lateness_ns: 0,
        };
        Found { culprit, began_ns, ended_ns }
    }
}

/// What one holder has of a time.
struct Share<'a> {
    longest: &'a Stretch,
    overlap_ns: u64,
    held_ns: u64,
    polls: u64,
}

impl<'a> Share<'a> {
    fn new(stretch: &'a Stretch, overlap_ns: u64) -> Share<'a> {
        Share { longest: stretch, overlap_ns, held_ns: stretch.own_ns, polls: stretch.polls }
    }

    fn add(&mut self, stretch: &'a Stretch, overlap_ns: u64) {
        if stretch.own_ns > self.longest.own_ns {
            self.longest = stretch;
        }
        self.overlap_ns += overlap_ns;
        self.held_ns += stretch.own_ns;
        self.polls += stretch.polls;
    }

    fn found(&self, others: Others) -> Found {
        let Stretch { holder, began_ns, ended_ns, turn, ran, .. } = self.longest;
        let culprit = Culprit {
            holder: holder.clone(),
            held_ns: self.held_ns,
            polls: self.polls,
            turn: *turn,
            began_ns: *began_ns,
            // That of one poll says nothing of several.
            ran: ran.filter(|_| self.polls == 1),
            others,
            late_firings: 0,
            lateness_ns: 0,
        };
        Found { culprit, began_ns: *began_ns, ended_ns: *ended_ns }
    }
}

/// Puts a culprit in its place among the worst, if it has one there.
fn keep_worst(worst: &mut Vec<Culprit>, culprit: &Culprit, keep: usize) {
    match worst.iter().position(|known| known.is(culprit)) {
        Some(at) => worst[at].merge(culprit),
        None if worst.len() < keep => worst.push(culprit.clone()),
        None => match worst.last_mut() {
            Some(least) if least.held_ns < culprit.held_ns => *least = culprit.clone(),
            _ => return,
        },
    }
    // Of two that held it equally long the earlier stays first.
    worst.sort_by_key(|culprit| std::cmp::Reverse(culprit.held_ns));
}
