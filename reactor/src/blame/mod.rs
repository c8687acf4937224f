//! Blame: what held the loop when something was late, or would have been.
//!
//! ```text
//!  woke      delivered                         turn ends                       fired
//!  ──┼──────────┼────────┼──────────────────┼──────┼── next turn ── woke ─ delivered ─▶ time
//!    │ delivery │ poll A │      poll B      │ hooks│                              │
//!    └ the loop │        └ long: kept as a stretch, with who B is                  │
//!               │            deadline ├── the loop's part of the lateness ─────────┤
//!               └ the end of one is the beginning of the next: one clock read each
//! ```
//!
//! Whatever runs on the loop's thread and is not the loop's own is timed: polls of tasks, drops of tasks whose scope has
//! ended, calls from other threads, hooks of scopes, wakers that are not a task's, the handlers of a bare reactor, and
//! the time between turns that somebody else drives. What takes a 64th of the threshold and more is kept as a *stretch*.
//! When a firing's loop part reaches the threshold, or a turn does, whose stretches cover most of it is the culprit.

mod culprit;
mod ledger;
mod meter;
mod stretch;
mod warning;

use std::time::Duration;

pub use culprit::{Culprit, CulpritKind};
pub(crate) use ledger::{Choices, Ledger};
pub(crate) use meter::ThreadTime;
pub(crate) use stretch::{Given, Holder, Stretch};

use crate::executor::{Driver, Runtime, context};
use crate::instant::Instant;
use crate::reactor::Reactor;

/// What held the loop so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blame {
    /// Turns that took the [threshold](Blame::threshold) or longer, from the end of their sleep to the end of their
    /// last task, whether or not a deadline came due meanwhile.
    pub stalls: u64,
    /// Firings of which the loop's part was the threshold or more.
    pub late_firings: u64,
    /// From which length on; see [`Builder::stall_threshold`](crate::Builder::stall_threshold).
    pub threshold: Duration,
    /// Whether the time of what the loop runs [is accounted](crate::Builder::account_polls): if not, nobody is named.
    pub accounts: bool,
    /// The worst culprits, the one that held the loop longest first; one is named once for each turn. How many are
    /// kept is the [builder's choice](crate::Builder::culprits_kept).
    pub worst: Vec<Culprit>,
}

/// What held the loop of this thread so far: see [`Runtime::blame`]. Nothing outside of a runtime.
#[must_use]
pub fn blame() -> Blame {
    context::with(|driver| driver.map(|driver| driver.blame())).unwrap_or_default()
}

/// What held the loop of this thread most between two moments of its clock, if anything that it still knows of did. It
/// knows the last 256 [stretches](Culprit) that took a 64th of the threshold or longer.
#[must_use]
pub fn held_by(from: Instant, to: Instant) -> Option<Culprit> {
    context::with(|driver| driver.and_then(|driver| driver.reactor.borrow().held_by(from, to)))
}

impl Runtime {
    /// What held the loop so far: how often it stalled, and the worst culprits.
    #[must_use]
    pub fn blame(&self) -> Blame {
        self.driver().blame()
    }
}

impl Driver {
    fn blame(&self) -> Blame {
        self.reactor.borrow().blame()
    }
}

impl Reactor {
    /// What held the loop so far: how often it stalled, and the worst culprits.
    #[must_use]
    pub fn blame(&self) -> Blame {
        self.ledger.blame()
    }

    fn held_by(&self, from: Instant, to: Instant) -> Option<Culprit> {
        self.ledger.held_by(from.as_nanos(), to.as_nanos()).map(|found| found.culprit)
    }

    /// Notes that `holder` had the thread from `began_ns` on for `own_ns`, and whatever it called for the rest of the
    /// time until `ended_ns`.
    pub(crate) fn note_stretch(&mut self, holder: Holder, began_ns: u64, ended_ns: u64, own_ns: u64) {
        let turn = self.metrics.turns;
        self.ledger.push(Stretch { holder, began_ns, ended_ns, own_ns, polls: 1, turn, ran: None });
    }

    /// The same of many polls that were too short to be told of each.
    pub(crate) fn note_short_polls(&mut self, polls: u64, began_ns: u64, ended_ns: u64, own_ns: u64) {
        let (holder, turn) = (Holder::ShortPolls, self.metrics.turns);
        self.ledger.push(Stretch { holder, began_ns, ended_ns, own_ns, polls, turn, ran: None });
    }

    /// The turn has given out what it had, and what that set off has run, until `ended_ns`.
    pub(crate) fn close_turn(&mut self, ended_ns: u64) {
        self.ledger.close_turn(self.metrics.turns, ended_ns);
    }

    /// On a bare reactor: whoever was given an event has come back for the next.
    pub(crate) fn handler_is_back(&mut self) {
        let Some((given, began_ns)) = self.ledger.given.take() else { return };
        let now_ns = self.read_clock();
        if now_ns - began_ns >= self.ledger.floor_ns {
            self.note_stretch(Holder::Handler(given), began_ns, now_ns, now_ns - began_ns);
        }
    }

    /// On a bare reactor: all that the turn has found is given out.
    pub(crate) fn all_given_out(&mut self) {
        if let Some(warning) = self.ledger.take_warning(self.now_ns) {
            warning.say();
        }
        if self.ledger.turn_ended_ns().is_none() {
            // If it accounts, it has just read it.
            let now_ns = if self.accounts { self.now_ns } else { self.read_clock() };
            self.close_turn(now_ns);
        }
    }

    /// Whoever drove the loop has gone without a word.
    pub(crate) fn abandon_turn(&mut self) {
        self.clock_is_fresh = false;
        if self.ledger.turn_ended_ns().is_none() {
            self.ledger.nobody_until(self.now_ns);
        }
    }

    /// A turn begins that does not follow on the last one by itself: the time since was somebody else's.
    pub(crate) fn account_between_turns(&mut self) {
        self.handler_is_back();
        let ended_ns = self.ledger.turn_ended_ns();
        let now_ns = self.read_clock();
        let began_ns = ended_ns.unwrap_or(now_ns);
        if ended_ns.is_none() {
            self.close_turn(now_ns);
        }
        if now_ns.saturating_sub(began_ns) >= self.ledger.floor_ns && self.metrics.turns > 0 {
            self.note_stretch(Holder::Outside, began_ns, now_ns, now_ns - began_ns);
        }
        self.ledger.nobody_until(now_ns);
    }
}
