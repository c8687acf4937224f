//! Giving out what a turn has found: readiness, then messages, then due timers.

use crate::arena::Id;
use crate::drift::{Fired, Firings, Wait};
use crate::event::Event;
use crate::pending::Dispatch;
use crate::plain_timer::PlainTimer;
use crate::reactor::Reactor;
use crate::readiness::{Direction, Readiness};
use crate::remote::Command;
use crate::scope::ScopeEnd;
use crate::side::Elapsed;
use crate::source::{NEVER, Source};
use crate::timers::Due;
use crate::token::{Timer, Token};
use crate::waiters::{Waiters, WakeTasks, Woken};

/// How many timers are fired between two looks at the clock.
const FIRES_PER_CLOCK_READ: u64 = 16;

/// How many readiness events are given out between two looks at the timers: whoever handles them may
/// be slow.
const EVENTS_PER_TIMER_CHECK: usize = 64;

impl Reactor {
    pub(crate) fn next_dispatch(&mut self) -> Option<Dispatch> {
        if self.pending.interposing {
            if let Some(firing) = self.next_firing() {
                return Some(firing);
            }
            self.pending.interposing = false;
        }
        if let Some((token, readiness, waiters)) = self.next_ready() {
            return Some(Dispatch { event: Event::Ready { token, readiness }, waiters });
        }
        self.next_message().or_else(|| self.next_firing())
    }

    /// Makes the timers that are due ready to be popped.
    pub(crate) fn take_due(&mut self) {
        self.pending.more_due = !self.timers.advance(self.now_ns, self.budget.fires);
        self.pending.fired = 0;
        self.pending.fired_at_ns = self.now_ns;
    }

    /// The next source that may make progress, and who waits for it.
    fn next_ready(&mut self) -> Option<(Token, Readiness, Waiters)> {
        self.next_ready_with(|source, readiness| source.take_waiters_for(readiness))
    }

    /// The same for a runtime, which only wakes whoever waits: mostly one, who is handed on as such.
    pub(crate) fn next_woken(&mut self) -> Option<(Token, Woken)> {
        let next = self.next_ready_with(|source, readiness| source.take_woken(readiness));
        next.map(|(token, _, woken)| (token, woken))
    }

    #[inline]
    fn next_ready_with<R>(
        &mut self,
        take: impl FnOnce(&Source, Readiness) -> R,
    ) -> Option<(Token, Readiness, R)> {
        while let Some(id) = self.pending.ready.pop_front() {
            let Some(source) = self.sources.get_mut(id) else {
                self.metrics.stale_events += 1;
                continue;
            };
            self.metrics.events += 1;
            let readiness = source.undelivered.take();
            let taken = take(source, readiness);
            self.count_delivered();
            return Some((Token { id, reactor: self.id }, readiness, taken));
        }
        None
    }

    /// In a long batch, looks at the timers now and then.
    fn count_delivered(&mut self) {
        self.pending.delivered += 1;
        if self.pending.delivered >= EVENTS_PER_TIMER_CHECK && !self.pending.ready.is_empty() {
            self.pending.delivered = 0;
            self.pending.interposing = true;
            self.read_clock();
            self.take_due();
        }
    }

    fn next_message(&mut self) -> Option<Dispatch> {
        while self.pending.messages_left > 0 {
            let command = self.inbox.next_command()?;
            self.pending.messages_left -= 1;
            self.metrics.messages += 1;
            let tell = |event| Some(Dispatch { event, waiters: Waiters::default() });
            match command {
                Command::Message(message) => return tell(Event::Message(message)),
                Command::Call { call, from } => {
                    self.pending.called_from = from;
                    return tell(Event::Call(call));
                }
                Command::Shutdown => {
                    let waiters = self.shut_down();
                    return Some(Dispatch { event: Event::Shutdown, waiters });
                }
                Command::CancelScope { scope, cause } => {
                    let known = self.cancel_scope(scope.id, cause);
                    self.metrics.stale_events += u64::from(!known);
                }
                Command::Cancel { token, cause } => {
                    let cancelled = self.cancel(token, cause.clone());
                    self.metrics.stale_events += u64::from(cancelled.is_err());
                    if let Ok(Some(waiters)) = cancelled {
                        return Some(Dispatch { event: Event::Cancelled { token, cause }, waiters });
                    }
                }
                Command::SetDeadline { token, direction, deadline } => {
                    let both = &Direction::BOTH[..];
                    let sides = direction.as_ref().map_or(both, std::slice::from_ref);
                    for side in sides {
                        let set = self.put_deadline(token, *side, deadline.as_nanos(), None);
                        self.metrics.stale_events += u64::from(set.is_err());
                    }
                }
            }
        }
        None
    }

    /// Takes at most so many messages more in this turn, and leaves the rest in the inbox.
    pub(crate) fn take_few_messages(&mut self, most: usize) {
        self.pending.messages_left = self.pending.messages_left.min(most);
    }

    fn next_firing(&mut self) -> Option<Dispatch> {
        loop {
            if let Some(dispatch) = self.next_queued_firing() {
                return Some(dispatch);
            }
            let (_, due) = self.timers.pop()?;
            let handled = std::mem::take(&mut self.pending.handled);
            if handled || self.pending.fired.is_multiple_of(FIRES_PER_CLOCK_READ) {
                self.read_clock();
            }
            self.pending.fired_at_ns = self.now_ns;
            self.fire(due);
        }
    }

    /// One that was made earlier; if its source has ended meanwhile, or its deadline was moved or cleared, it
    /// is dropped. Operations are woken all the same: they look at their deadlines themselves.
    fn next_queued_firing(&mut self) -> Option<Dispatch> {
        loop {
            let queued = self.pending.firings.pop_front();
            let dispatch = match queued {
                None if self.pending.ready.is_empty() => self.pending.deferred.pop_front()?,
                queued => queued?,
            };
            let Event::Deadline { token, direction, .. } = dispatch.event else { return Some(dispatch) };
            match self.source(token) {
                Err(_) => self.metrics.stale_events += 1,
                Ok(source) if source.raw.get() && !source.side(direction).overdue.get() => {}
                Ok(_) => return Some(dispatch),
            }
        }
    }

    /// Fires what is due, for as long as a task waits alone for it and nothing is to be given out before; the rest is left to be
    /// given out. `woken` events have been handed on since the clock was read. Returns how many it has fired.
    #[inline]
    pub(crate) fn fire_lone_tasks(&mut self, woken: usize, tasks: &mut impl WakeTasks) -> usize {
        if !self.timers.has_due() || self.pending.comes_before_timers() || self.inbox.may_hold_work() {
            return 0;
        }
        if woken > FIRES_PER_CLOCK_READ as usize {
            self.read_clock();
        }
        let mut firings = Firings::default();
        let mut fired = 0;
        // What a timer needs is in no cache, in a crowd: the timer itself is fetched two firings ahead, and its task one.
        let mut next = self.pop_ahead();
        let mut after = self.pop_ahead();
        while let Some(due) = next {
            (next, after) = (after, self.pop_ahead());
            if let Some(task) = next.and_then(|due| self.lone_task_of(due)) {
                tasks.expect(task);
            }
            if fired > 0 && fired % FIRES_PER_CLOCK_READ == 0 {
                self.read_clock();
            }
            fired += 1;
            let fires_alone = match due {
                Due::Timer(index) => self.fire_for_lone_task(index, &mut firings, tasks),
                _ => false,
            };
            if !fires_alone {
                self.pending.fired_at_ns = self.now_ns;
                self.recorded(&mut firings);
                self.fire(due);
                for due in [next, after].into_iter().flatten() {
                    fired += 1;
                    self.fire(due);
                }
                break;
            }
        }
        self.pending.fired_at_ns = self.now_ns;
        self.recorded(&mut firings);
        fired as usize
    }

    /// Takes out the earliest that is due, and has its timer fetched.
    #[inline]
    fn pop_ahead(&mut self) -> Option<Due> {
        let (_, due) = self.timers.pop()?;
        if let Due::Timer(index) = due {
            self.plain.prefetch(index);
        }
        Some(due)
    }

    #[inline]
    fn lone_task_of(&mut self, due: Due) -> Option<Id> {
        match due {
            Due::Timer(index) => self.plain.at_index(index)?.1.lone_task(),
            _ => None,
        }
    }

    fn fire(&mut self, due: Due) {
        match due {
            Due::Timer(index) => self.fire_timer(index),
            Due::Source(index) => self.fire_source(index),
            Due::Scope(index) => self.fire_scope(index),
        }
    }

    /// Fires a timer now and hands the task that waits for it alone to `tasks`. Returns `false` if somebody else waits, and is to be
    /// told: then it has not fired yet.
    #[inline]
    fn fire_for_lone_task(
        &mut self,
        index: u32,
        firings: &mut Firings,
        tasks: &mut impl WakeTasks,
    ) -> bool {
        let Some((_, plain)) = self.plain.at_index(index) else { return true };
        if !plain.held || !plain.wake_lone_task(tasks) {
            return false;
        }
        let fired = self.wait.fired(plain.deadline_ns, self.now_ns);
        let (since_ns, since_armed) = lateness_of(plain, &self.wait, fired);
        plain.fire(fired, self.metrics.turns);
        self.metrics.drift.record_of(firings, since_ns, since_armed);
        self.ledger.fired(since_ns, since_armed, self.metrics.turns);
        true
    }

    fn fire_timer(&mut self, index: u32) {
        let Some((id, plain)) = self.plain.at_index(index) else { return };
        let fired = self.wait.fired(plain.deadline_ns, self.pending.fired_at_ns);
        let (since_ns, since_armed) = lateness_of(plain, &self.wait, fired);
        let firing = fired.firing(plain.deadline_ns);
        let waiters = plain.take_waiters();
        plain.fire(fired, self.metrics.turns);
        if !plain.held {
            self.plain.discard(id);
        }
        self.record(since_ns, since_armed);
        let timer = Timer { id, reactor: self.id };
        self.pending.firings.push_back(Dispatch { event: Event::Timer { timer, firing }, waiters });
    }

    /// The deadline of a scope has passed. Whoever it ends is collected, to be woken with the rest.
    fn fire_scope(&mut self, index: u32) {
        let (at_ns, wait) = (self.pending.fired_at_ns, self.wait);
        let Some(id) = self.scopes.timer_fired(index) else { return };
        let Some(end) = self.scopes.elapsed(id, at_ns, wait) else { return };
        if let ScopeEnd::Elapsed(elapsed) = &end {
            let (deadline_ns, fired) = elapsed.fired();
            self.record(deadline_ns, fired);
        }
        self.end_scope(id, &end);
    }

    /// A source's wheel entry has come up: fires the sides whose wish it is, and files the rest again.
    fn fire_source(&mut self, index: u32) {
        let (at_ns, turn, wait) = (self.pending.fired_at_ns, self.metrics.turns, self.wait);
        let order = self.next_order();
        let Some((id, source)) = self.sources.at_index(index) else { return };
        source.entry_fired();
        let mut firings = [None, None];
        for direction in Direction::BOTH {
            let wanted_ns = source.known_side(direction).map_or(NEVER, |side| side.wanted.get());
            if wanted_ns > at_ns {
                continue;
            }
            source.fired(direction, Elapsed { at_ns, in_turn: turn, after: wait, order });
            if source.raw.get() {
                source.set_deadline(direction, NEVER);
            }
            let waiters = source.side(direction).take_waiters();
            firings[direction.side()] = Some((direction, wanted_ns, waiters));
        }
        source.file(index, self.now_ns, &mut self.timers);
        self.metrics.refiled += u64::from(firings.iter().all(Option::is_none) && source.is_filed());
        let undelivered = source.undelivered.get() != Readiness::NONE;
        let token = Token { id, reactor: self.id };
        for (direction, wanted_ns, waiters) in firings.into_iter().flatten() {
            let fired = self.wait.fired(wanted_ns, at_ns);
            let event = Event::Deadline { token, direction, firing: fired.firing(wanted_ns) };
            self.record(wanted_ns, fired);
            let queue = if undelivered { &mut self.pending.deferred } else { &mut self.pending.firings };
            queue.push_back(Dispatch { event, waiters });
        }
    }

    fn record(&mut self, deadline_ns: u64, fired: Fired) {
        let mut alone = Firings::default();
        self.metrics.drift.record_of(&mut alone, deadline_ns, fired);
        self.ledger.fired(deadline_ns, fired, self.metrics.turns);
        self.recorded(&mut alone);
    }

    /// All of them are recorded.
    fn recorded(&mut self, firings: &mut Firings) {
        self.metrics.drift.settle(firings);
        let count = std::mem::take(&mut firings.count);
        if count > 0 {
            self.metrics.fired += count;
            self.metrics.coalesced += count - u64::from(self.pending.fired == 0);
            self.pending.fired += count;
        }
    }
}

/// From when on a timer is late that fires now, and how: of one that was armed after its deadline only what came then is lateness.
#[inline]
fn lateness_of(plain: &PlainTimer, wait: &Wait, fired: Fired) -> (u64, Fired) {
    let PlainTimer { deadline_ns, armed_ns, .. } = *plain;
    if deadline_ns >= armed_ns {
        (deadline_ns, fired)
    } else {
        (armed_ns, wait.fired(armed_ns, fired.at_ns))
    }
}

#[cfg(test)]
mod tests;
