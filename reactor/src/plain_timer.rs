//! Timers of their own, not of a source: the raw ones, and those behind a sleep.

use crate::instant::Instant;
use crate::leeway::Leeway;
use crate::reactor::Reactor;
use crate::timers::{Due, PlainTimer};
use crate::token::{StaleToken, Timer};
use crate::waiters::Waiters;
use crate::waits::{Frame, TimerLabel};

impl Reactor {
    /// Sets a timer for `deadline`. A deadline in the past fires in the next turn; what had passed before it was set is not lateness of ours.
    pub fn insert_timer(&mut self, deadline: Instant, leeway: Leeway) -> Timer {
        self.add_timer(deadline, leeway, false)
    }

    pub(crate) fn add_timer(&mut self, deadline: Instant, leeway: Leeway, held: bool) -> Timer {
        // The wheel entry names the slot, and the slot names the wheel entry.
        let index = self.plain.next_index();
        let key = self.timers.insert(deadline.as_nanos(), leeway, Due::Timer(index));
        let id = self.plain.insert(PlainTimer {
            key,
            deadline,
            armed_ns: self.now_ns,
            label: TimerLabel::SLEEP,
            within: Frame::NONE,
            held,
            fired: None,
            fired_in_turn: 0,
            waiters: Waiters::default(),
        });
        debug_assert_eq!(id.index, index);
        Timer { id, reactor: self.id }
    }

    /// Takes a timer back; `false` if it has fired or was cancelled, or is another reactor's.
    pub fn cancel_timer(&mut self, timer: Timer) -> bool {
        self.remove_timer(timer).is_some_and(|plain| plain.fired.is_none())
    }

    /// Takes a timer out, with whoever waits for it.
    pub(crate) fn remove_timer(&mut self, timer: Timer) -> Option<PlainTimer> {
        let plain = if timer.reactor == self.id { self.plain.remove(timer.id) } else { None }?;
        self.timers.cancel(plain.key);
        Some(plain)
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
        plain.deadline = deadline;
        plain.armed_ns = self.now_ns;
        Ok(())
    }
}
