//! Timers of their own, not of a source: the raw ones, and those behind a sleep.

use std::task::Waker;

use crate::arena::Id;
use crate::drift::Fired;
use crate::instant::Instant;
use crate::leeway::Leeway;
use crate::reactor::Reactor;
use crate::source::NEVER;
use crate::timers::{Due, TimerKey};
use crate::token::{StaleToken, Timer};
use crate::waiters::{Note, Poller, Waiters, WakeTasks, Wakeup};
use crate::waits::{Frame, TimerLabel};

/// A timer of its own, not of a source, from its arming until it fires, is cancelled, or its owner has seen
/// it fire. A thousand sleepers touch two cache lines of it each.
#[derive(Debug)]
pub(crate) struct PlainTimer {
    key: TimerKey,
    /// Kept after it has fired, until its owner looks: the timer of a sleep.
    pub(crate) held: bool,
    pub(crate) deadline_ns: u64,
    /// When the turn began in which it was armed or moved: one that was armed after its deadline is late from then on.
    pub(crate) armed_ns: u64,
    pub(crate) label: TimerLabel,
    /// In which frame it was polled last.
    pub(crate) within: Frame,
    stage: Stage,
}

/// What has become of it, and who waits for it: one, or nobody.
#[derive(Debug)]
pub(crate) enum Stage {
    Alone,
    /// A task of the runtime, by its name.
    Task {
        task: Id,
        since_ns: u64,
        scope: Option<Id>,
    },
    /// Somebody else.
    Waker(Box<(Waker, Note)>),
    Fired {
        fired: Fired,
        in_turn: u64,
    },
}

impl Stage {
    /// It is waited for by `wakeup`.
    #[inline]
    pub(crate) fn awaited(wakeup: Wakeup, note: Note) -> Stage {
        match wakeup {
            Wakeup::Task(task) => Stage::Task { task, since_ns: note.since_ns, scope: note.scope },
            Wakeup::Waker(waker) => Stage::Waker(Box::new((waker, note))),
        }
    }
}

impl PlainTimer {
    /// How it has fired, if it has.
    #[inline]
    pub(crate) fn fired(&self) -> Option<Fired> {
        match self.stage {
            Stage::Fired { fired, .. } => Some(fired),
            _ => None,
        }
    }

    /// The task that waits for it by name, if one does.
    #[inline]
    pub(crate) fn lone_task(&self) -> Option<Id> {
        match self.stage {
            Stage::Task { task, .. } => Some(task),
            _ => None,
        }
    }

    /// In which turn it has fired, if it has.
    pub(crate) fn fired_in_turn(&self) -> Option<u64> {
        match self.stage {
            Stage::Fired { in_turn, .. } => Some(in_turn),
            _ => None,
        }
    }

    /// It fires.
    #[inline]
    pub(crate) fn fire(&mut self, fired: Fired, in_turn: u64) {
        self.stage = Stage::Fired { fired, in_turn };
    }

    /// Hands the task that waits for it to `tasks`. Returns whether nobody else has to be told.
    #[inline]
    pub(crate) fn wake_lone_task(&self, tasks: &mut impl WakeTasks) -> bool {
        match self.stage {
            Stage::Task { task, .. } => tasks.wake(task),
            Stage::Waker(_) => return false,
            Stage::Alone | Stage::Fired { .. } => {}
        }
        true
    }

    /// What the audit says of whoever waits for it.
    pub(crate) fn note(&self) -> Option<Note> {
        match &self.stage {
            Stage::Task { task, since_ns, scope } => Some(Note {
                since_ns: *since_ns,
                until_ns: NEVER,
                poller: Poller { task: *task, frame: self.within },
                scope: *scope,
            }),
            Stage::Waker(waits) => Some(waits.1),
            Stage::Alone | Stage::Fired { .. } => None,
        }
    }

    /// Has whoever waits woken through `wakeup` from now on; returns through what it was before.
    #[must_use]
    pub(crate) fn wait(&mut self, wakeup: Wakeup, note: Note) -> Option<Wakeup> {
        let since_ns = self.note().map_or(note.since_ns, |before| before.since_ns);
        self.within = note.poller.frame;
        let stage = Stage::awaited(wakeup, Note { since_ns, ..note });
        wakeup_of(std::mem::replace(&mut self.stage, stage))
    }

    /// Takes out whoever waits for it.
    pub(crate) fn take_waiters(&mut self) -> Waiters {
        let Some(note) = self.note() else { return Waiters::default() };
        let wakeup = wakeup_of(std::mem::replace(&mut self.stage, Stage::Alone));
        wakeup.map_or_else(Waiters::default, |wakeup| Waiters::one(0, wakeup, note))
    }
}

fn wakeup_of(stage: Stage) -> Option<Wakeup> {
    match stage {
        Stage::Task { task, .. } => Some(Wakeup::Task(task)),
        Stage::Waker(waits) => Some(Wakeup::Waker(waits.0)),
        Stage::Alone | Stage::Fired { .. } => None,
    }
}

impl Reactor {
    /// Sets a timer for `deadline`. A deadline in the past fires in the next turn; what had passed before it was set is not lateness of ours.
    pub fn insert_timer(&mut self, deadline: Instant, leeway: Leeway) -> Timer {
        self.add_plain(deadline, leeway, false, (TimerLabel::SLEEP, Frame::NONE), Stage::Alone)
    }

    /// The same with a name, where somebody may wait for it already.
    #[inline(always)]
    pub(crate) fn add_plain(
        &mut self,
        deadline: Instant,
        leeway: Leeway,
        held: bool,
        (label, within): (TimerLabel, Frame),
        stage: Stage,
    ) -> Timer {
        // The wheel entry names the slot, and the slot names the wheel entry.
        let index = self.plain.next_index();
        let (deadline_ns, armed_ns) = (deadline.as_nanos(), self.now_ns);
        let key = self.timers.insert(deadline_ns, leeway, Due::Timer(index));
        let plain = PlainTimer { key, held, deadline_ns, armed_ns, label, within, stage };
        let id = self.plain.insert(plain);
        debug_assert_eq!(id.index, index);
        Timer { id, reactor: self.id }
    }

    /// Takes a timer back; `false` if it has fired or was cancelled, or is another reactor's.
    pub fn cancel_timer(&mut self, timer: Timer) -> bool {
        self.remove_timer(timer).is_some_and(|stage| !matches!(stage, Stage::Fired { .. }))
    }

    /// Takes a timer out; whoever waits for it is in what is returned.
    pub(crate) fn remove_timer(&mut self, timer: Timer) -> Option<Stage> {
        if timer.reactor != self.id {
            return None;
        }
        let timers = &mut self.timers;
        self.plain.discard_if(timer.id, |plain| {
            if plain.fired().is_none() {
                timers.cancel(plain.key);
            }
            Some(std::mem::replace(&mut plain.stage, Stage::Alone))
        })
    }

    /// Takes out a timer that has fired, and tells how.
    #[inline]
    pub(crate) fn take_fired(&mut self, timer: Timer) -> Option<Fired> {
        self.plain.discard_if(timer.id, |timer| timer.fired())
    }

    /// Moves a timer to `deadline`; moving it later is a store.
    ///
    /// # Errors
    /// [`StaleToken`] if it has fired or was cancelled.
    pub fn reset_timer(&mut self, timer: Timer, deadline: Instant) -> Result<(), StaleToken> {
        if timer.reactor != self.id {
            return Err(StaleToken::Foreign);
        }
        let plain = self.plain.get_mut(timer.id).ok_or(StaleToken::Ended)?;
        if !self.timers.reset(plain.key, deadline.as_nanos()) {
            return Err(StaleToken::Ended);
        }
        plain.deadline_ns = deadline.as_nanos();
        plain.armed_ns = self.now_ns;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_two_cache_lines_with_its_slot() {
        assert!(size_of::<Option<PlainTimer>>() <= 120, "{}", size_of::<Option<PlainTimer>>());
    }
}
