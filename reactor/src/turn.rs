//! One turn of the loop, in the order of its steps.
//!
//! ```text
//!  plan ─▶ arm ─▶ park ─▶ poll ─▶ unpark ─▶ readiness ─▶ messages ─▶ due timers ─▶ (tasks)
//!   │       the alarm,      │                └────── given out by next_event, in this order ──────┘
//!   │       lazily          └ or spin, in precise mode
//!   └ zero wait if anything was left over
//! ```
//!
//! Readiness comes before timers, so that data which arrived in time is never reported as a timeout.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use crate::arena::Id;
use crate::clock::VirtualClock;
use crate::drift::Wait;
use crate::event::Event;
use crate::instant::{Instant, nanos};
use crate::reactor::{ALARM, Reactor, WAKER};
use crate::readiness::{Direction, Readiness};
use crate::remote::Command;
use crate::source::{Interrupt, NEVER};
use crate::timers::Due;
use crate::token::{Timer, Token};
use crate::waiters::Waiters;

/// What a turn has found and not yet given out.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    ready: VecDeque<(Id, Readiness)>,
    firings: VecDeque<Dispatch>,
    messages_left: usize,
    /// More timers are due than one turn may fire.
    more_due: bool,
    fired: u64,
    fired_at_ns: u64,
    /// Set by [`Reactor::prepare`]: when somebody else's sleep was going to end.
    prepared_for: Option<u64>,
}

/// An event, and which operations wait for it.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) event: Event,
    pub(crate) waiters: Waiters,
}

/// How many timers are fired between two looks at the clock.
const FIRES_PER_CLOCK_READ: u64 = 16;

impl Reactor {
    /// Takes one turn: sleeps until something happens or `max_wait` has passed (`None`: for ever), then
    /// makes what it found available to [`next_event`](Reactor::next_event). It may find nothing.
    ///
    /// What a turn leaves unread is kept, and the next turn does not sleep.
    ///
    /// # Errors
    /// What the kernel says of the poll or the alarm; nothing is lost by it.
    pub fn turn(&mut self, max_wait: Option<Duration>) -> io::Result<()> {
        self.metrics.turns += 1;
        let limit_ns = self.limit(max_wait);
        match self.clock.as_virtual().cloned() {
            None => self.wait_until(limit_ns)?,
            Some(clock) => self.wait_virtual(&clock, limit_ns)?,
        }
        self.take_events();
        self.take_due();
        self.pending.messages_left = self.budget.messages;
        if self.wait.slept && self.now_ns < limit_ns && !self.has_leftovers() {
            self.metrics.spurious_wakes += 1;
        }
        Ok(())
    }

    /// Readies the loop for a sleep in somebody else's poll of its [`AsFd`](std::os::fd::AsFd) descriptor:
    /// arms the alarm and lets remote threads signal. Returns how long that poll may wait; `None` means
    /// until the descriptor is readable. Call [`turn`](Reactor::turn) with a zero wait after it, however it
    /// ended, then drain [`next_event`](Reactor::next_event).
    ///
    /// # Errors
    /// What the kernel says of the alarm.
    pub fn prepare(&mut self) -> io::Result<Option<Duration>> {
        let at_ns = self.timers.alarm().map_or(NEVER, |alarm| alarm.at_ns);
        let now_ns = self.read_clock();
        if self.has_leftovers() || at_ns <= now_ns || !self.remote.park() {
            self.pending.prepared_for = None;
            return Ok(Some(Duration::ZERO));
        }
        let setting = self.alarm.set(at_ns, now_ns)?;
        self.metrics.settimes += u64::from(setting.settime);
        self.pending.prepared_for = Some(setting.ends_ns);
        Ok(setting.timeout)
    }

    /// The next thing that this turn found: first readiness, then messages, then timers in the order of
    /// their deadlines. What was deregistered, cancelled or moved meanwhile is not given out.
    pub fn next_event(&mut self) -> Option<Event> {
        self.next_dispatch().map(|dispatch| {
            dispatch.waiters.wake();
            dispatch.event
        })
    }

    pub(crate) fn next_dispatch(&mut self) -> Option<Dispatch> {
        self.next_ready().or_else(|| self.next_message()).or_else(|| self.next_firing())
    }

    /// By when the turn has to be over with waiting.
    fn limit(&mut self, max_wait: Option<Duration>) -> u64 {
        match max_wait {
            _ if self.has_leftovers() => 0,
            None => NEVER,
            Some(Duration::ZERO) => 0,
            Some(wait) => self.read_clock().saturating_add(nanos(wait)),
        }
    }

    fn has_leftovers(&self) -> bool {
        !self.pending.ready.is_empty()
            || !self.pending.firings.is_empty()
            || self.pending.more_due
            || self.timers.has_due()
            || !self.inbox.commands.is_empty()
            || !self.inbox.woken.is_empty()
    }

    fn wait_until(&mut self, limit_ns: u64) -> io::Result<()> {
        let alarm = self.timers.alarm();
        let alarm_ns = alarm.map_or(NEVER, |alarm| alarm.at_ns);
        let target_ns = alarm_ns.min(limit_ns);
        let now_ns = if target_ns == 0 { self.now_ns } else { self.read_clock() };
        if target_ns <= now_ns {
            return self.look();
        }
        let spin = alarm.is_some_and(|alarm| alarm.exact && alarm.at_ns == target_ns);
        let slept = if self.remote.park() { self.sleep(target_ns, spin) } else { self.look() };
        self.remote.unpark();
        slept
    }

    /// Polls without waiting.
    fn look(&mut self) -> io::Result<()> {
        self.metrics.polls += 1;
        self.metrics.zero_polls += 1;
        self.poll_once(Some(Duration::ZERO))?;
        let woke_ns = self.read_clock();
        self.wait = match self.pending.prepared_for.take() {
            None => Wait { slept: false, armed_ns: woke_ns, woke_ns },
            Some(armed_ns) => {
                self.remote.unpark();
                Wait { slept: true, armed_ns, woke_ns }
            }
        };
        Ok(())
    }

    /// Sleeps until `target_ns` or an event; if it may `spin`, wakes a little before and spins the rest.
    fn sleep(&mut self, target_ns: u64, spin: bool) -> io::Result<()> {
        let lead_ns = match &mut self.spinner {
            Some(spinner) if spin => spinner.lead(self.now_ns),
            _ => 0,
        };
        let wake_ns = target_ns - lead_ns;
        let mut armed_ns = target_ns;
        if self.now_ns < wake_ns {
            armed_ns = self.poll_until(wake_ns)?;
        } else {
            self.events.clear();
        }
        let woke_ns = self.read_clock();
        let alarm_woke_it = self.events.iter().all(|event| event.token() == ALARM);
        if let Some(spinner) = self.spinner.as_mut().filter(|_| alarm_woke_it && woke_ns > armed_ns) {
            spinner.learn(woke_ns - armed_ns);
        }
        if lead_ns > 0 && alarm_woke_it {
            self.spin(target_ns)?;
            armed_ns = target_ns;
        }
        self.wait = Wait { slept: true, armed_ns, woke_ns: self.now_ns };
        Ok(())
    }

    /// Polls until an event or `at_ns`; returns when the kernel had been asked to end it. An interrupted
    /// wait is resumed with what is left of it.
    fn poll_until(&mut self, at_ns: u64) -> io::Result<u64> {
        loop {
            let setting = self.alarm.set(at_ns, self.now_ns)?;
            self.metrics.settimes += u64::from(setting.settime);
            self.metrics.polls += 1;
            match self.poll.poll(&mut self.events, setting.timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.read_clock();
                }
                result => return result.map(|()| setting.ends_ns),
            }
        }
    }

    /// Polls without sleeping until `target_ns` or an event.
    fn spin(&mut self, target_ns: u64) -> io::Result<()> {
        self.take_alarm();
        let began_ns = self.now_ns;
        while self.read_clock() < target_ns {
            self.metrics.spin_polls += 1;
            self.poll_once(Some(Duration::ZERO))?;
            if !self.events.is_empty() {
                break;
            }
        }
        let spun_ns = self.read_clock() - began_ns;
        self.metrics.spun_ns += spun_ns;
        if let Some(spinner) = &mut self.spinner {
            spinner.spent(spun_ns);
        }
        Ok(())
    }

    /// Sees off the event of an alarm that only announced a spin.
    fn take_alarm(&mut self) {
        if self.events.iter().any(|event| event.token() == ALARM) {
            self.alarm.went_off();
        }
        self.events.clear();
    }

    fn poll_once(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        loop {
            match self.poll.poll(&mut self.events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// A virtual clock jumps to the next deadline when nothing else is to be done, but not past an
    /// operation that waits on a real socket.
    fn wait_virtual(&mut self, clock: &VirtualClock, limit_ns: u64) -> io::Result<()> {
        self.look()?;
        let now_ns = self.now_ns;
        let next_ns = self.timers.next_deadline().unwrap_or(NEVER);
        let idle =
            self.events.is_empty() && self.inbox.commands.is_empty() && self.inbox.woken.is_empty();
        if !idle || limit_ns <= now_ns || next_ns <= now_ns {
            return Ok(());
        }
        let target_ns = next_ns.min(limit_ns);
        if self.waiting_sides == 0 && target_ns < NEVER {
            clock.set(Instant::from_nanos(target_ns));
            self.read_clock();
            return Ok(());
        }
        if self.remote.park() {
            let timeout = (limit_ns < NEVER).then(|| Duration::from_nanos(limit_ns - now_ns));
            self.metrics.polls += 1;
            self.poll_once(timeout)?;
        }
        self.remote.unpark();
        Ok(())
    }

    /// Latches what the kernel said, and drops what it said of registrations that have ended.
    fn take_events(&mut self) {
        for event in &self.events {
            match event.token() {
                ALARM => self.alarm.went_off(),
                WAKER => {}
                token => {
                    let id = Token::id_of(token);
                    let Some(source) = self.sources.get_mut(id) else {
                        self.metrics.stale_events += 1;
                        continue;
                    };
                    let readiness = Readiness::of(event);
                    source.readiness |= readiness;
                    self.pending.ready.push_back((id, readiness));
                }
            }
        }
        self.events.clear();
    }

    /// Makes the timers that are due ready to be popped.
    fn take_due(&mut self) {
        self.pending.more_due = !self.timers.advance(self.now_ns, self.budget.fires);
        self.pending.fired = 0;
        self.pending.fired_at_ns = self.now_ns;
    }

    fn next_ready(&mut self) -> Option<Dispatch> {
        while let Some((id, readiness)) = self.pending.ready.pop_front() {
            let Some(source) = self.sources.get_mut(id) else {
                self.metrics.stale_events += 1;
                continue;
            };
            self.metrics.events += 1;
            let mut waiters = Waiters::default();
            if readiness.allows(Direction::Read) {
                waiters = source.side(Direction::Read).waiters.take();
            }
            if readiness.allows(Direction::Write) {
                waiters.append(source.side(Direction::Write).waiters.take());
            }
            let token = Token { id, reactor: self.id };
            return Some(Dispatch { event: Event::Ready { token, readiness }, waiters });
        }
        None
    }

    fn next_message(&mut self) -> Option<Dispatch> {
        while self.pending.messages_left > 0 {
            let command = self.inbox.commands.try_recv().ok()?;
            self.pending.messages_left -= 1;
            self.metrics.messages += 1;
            let tell = |event| Some(Dispatch { event, waiters: Waiters::default() });
            match command {
                Command::Message(message) => return tell(Event::Message(message)),
                Command::Call(call) => return tell(Event::Call(call)),
                Command::Shutdown => {
                    let waiters = self.shut_down();
                    return Some(Dispatch { event: Event::Shutdown, waiters });
                }
                Command::Cancel { token, cause } => {
                    let Ok(source) = self.source(token) else {
                        self.metrics.stale_events += 1;
                        continue;
                    };
                    if let Some(waiters) = source.interrupt(Interrupt::Cancelled(cause.clone())) {
                        return Some(Dispatch { event: Event::Cancelled { token, cause }, waiters });
                    }
                }
                Command::SetDeadline { token, direction, deadline } => {
                    let both = &Direction::BOTH[..];
                    let sides = direction.as_ref().map_or(both, std::slice::from_ref);
                    for side in sides {
                        let set = self.set_deadline(token, *side, Some(deadline));
                        self.metrics.stale_events += u64::from(set.is_err());
                    }
                }
            }
        }
        None
    }

    fn next_firing(&mut self) -> Option<Dispatch> {
        loop {
            if let Some(dispatch) = self.pending.firings.pop_front() {
                return Some(dispatch);
            }
            let (_, due) = self.timers.pop()?;
            if self.pending.fired % FIRES_PER_CLOCK_READ == 0 {
                self.pending.fired_at_ns = self.read_clock();
            }
            match due {
                Due::Timer(index) => self.fire_timer(index),
                Due::Source(index) => self.fire_source(index),
            }
        }
    }

    fn fire_timer(&mut self, index: u32) {
        let Some((id, plain)) = self.plain.at_index(index) else { return };
        let deadline_ns = plain.deadline.as_nanos();
        let firing = self.wait.explain(deadline_ns, self.pending.fired_at_ns);
        let waiters = plain.waiters.take();
        if plain.held {
            plain.fired = Some(firing);
        } else {
            self.plain.remove(id);
        }
        let timer = Timer { id, reactor: self.id };
        self.fired(Dispatch { event: Event::Timer { timer, firing }, waiters }, &firing);
    }

    /// A source's wheel entry has come up: fires the sides whose wish it is, and files the rest again.
    fn fire_source(&mut self, index: u32) {
        let at_ns = self.pending.fired_at_ns;
        let Some((id, source)) = self.sources.at_index(index) else { return };
        source.entry_fired();
        let mut firings = [None, None];
        for direction in Direction::BOTH {
            let raw = source.raw;
            let side = source.side(direction);
            if side.wanted > at_ns {
                continue;
            }
            let firing = self.wait.explain(side.wanted, at_ns);
            side.wanted = NEVER;
            side.elapsed_at = at_ns;
            if raw {
                side.deadline = NEVER;
            }
            firings[direction.side()] = Some((direction, firing, side.waiters.take()));
        }
        source.file(index, self.now_ns, &mut self.timers);
        self.metrics.refiled += u64::from(firings.iter().all(Option::is_none) && source.is_filed());
        let token = Token { id, reactor: self.id };
        for (direction, firing, waiters) in firings.into_iter().flatten() {
            let event = Event::Deadline { token, direction, firing };
            self.fired(Dispatch { event, waiters }, &firing);
        }
    }

    fn fired(&mut self, dispatch: Dispatch, firing: &crate::drift::Firing) {
        self.drift.record(firing);
        self.metrics.fired += 1;
        self.metrics.coalesced += u64::from(self.pending.fired > 0);
        self.pending.fired += 1;
        self.pending.firings.push_back(dispatch);
    }
}
