//! Giving out what a turn has found: readiness, then messages, then due timers.

use crate::drift::Firing;
use crate::event::Event;
use crate::pending::Dispatch;
use crate::reactor::Reactor;
use crate::readiness::{Direction, Readiness};
use crate::remote::Command;
use crate::scope::ScopeEnd;
use crate::side::Elapsed;
use crate::source::{NEVER, Source};
use crate::timers::Due;
use crate::token::{Timer, Token};
use crate::waiters::{Waiters, Woken};

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
            match due {
                Due::Timer(index) => self.fire_timer(index),
                Due::Source(index) => self.fire_source(index),
                Due::Scope(index) => self.fire_scope(index),
            }
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

    fn fire_timer(&mut self, index: u32) {
        let Some((id, plain)) = self.plain.at_index(index) else { return };
        let (deadline_ns, armed_ns) = (plain.deadline.as_nanos(), plain.armed_ns);
        let firing = self.wait.explain(deadline_ns, self.pending.fired_at_ns);
        let waiters = plain.waiters.take();
        if plain.held {
            plain.fired = Some(firing);
            plain.fired_in_turn = self.metrics.turns;
        } else {
            self.plain.remove(id);
        }
        let timer = Timer { id, reactor: self.id };
        match deadline_ns < armed_ns {
            true => self.record(&self.wait.explain(armed_ns, self.pending.fired_at_ns)),
            false => self.record(&firing),
        }
        self.pending.firings.push_back(Dispatch { event: Event::Timer { timer, firing }, waiters });
    }

    /// The deadline of a scope has passed. Whoever it ends is collected, to be woken with the rest.
    fn fire_scope(&mut self, index: u32) {
        let (at_ns, wait) = (self.pending.fired_at_ns, self.wait);
        let Some(id) = self.scopes.timer_fired(index) else { return };
        let Some(end) = self.scopes.elapsed(id, at_ns, wait) else { return };
        if let ScopeEnd::Elapsed(elapsed) = &end {
            self.record(&elapsed.firing());
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
            firings[direction.side()] = Some((direction, self.wait.explain(wanted_ns, at_ns), waiters));
        }
        source.file(index, self.now_ns, &mut self.timers);
        self.metrics.refiled += u64::from(firings.iter().all(Option::is_none) && source.is_filed());
        let undelivered = source.undelivered.get() != Readiness::NONE;
        let token = Token { id, reactor: self.id };
        for (direction, firing, waiters) in firings.into_iter().flatten() {
            let event = Event::Deadline { token, direction, firing };
            self.record(&firing);
            let queue = if undelivered { &mut self.pending.deferred } else { &mut self.pending.firings };
            queue.push_back(Dispatch { event, waiters });
        }
    }

    fn record(&mut self, firing: &Firing) {
        self.metrics.drift.record(firing);
        self.ledger.fired(firing, self.metrics.turns);
        self.metrics.fired += 1;
        self.metrics.coalesced += u64::from(self.pending.fired > 0);
        self.pending.fired += 1;
    }
}
