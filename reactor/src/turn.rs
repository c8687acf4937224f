//! One turn of the loop, in the order of its steps.
//!
//! ```text
//!  plan ─▶ arm ─▶ park ─▶ poll ─▶ unpark ─▶ readiness ─▶ messages ─▶ due timers ─▶ (tasks)
//!   │       the alarm,      │                └────── given out by next_event, in this order ──────┘
//!   │       lazily          └ or spin, in precise mode
//!   └ zero wait if anything was left over
//! ```
//!
//! Readiness comes before timers, so that data which arrived in time is never reported as a timeout. The
//! waiting is in `wait.rs`, the giving out in `dispatch.rs`.

use std::io;
use std::time::Duration;

use crate::arena::Id;
use crate::blame::Given;
use crate::event::Event;
use crate::instant::nanos;
use crate::pending::Dispatch;
use crate::reactor::{ALARM, Reactor, WAKER};
use crate::readiness::Readiness;
use crate::source::NEVER;
use crate::token::{StaleToken, Token};
use crate::wait::Prepared;
use crate::waiters::WakeTasks;

impl Reactor {
    /// Takes one turn: sleeps until something happens or `max_wait` has passed (`None`: for ever), then
    /// makes what it found available to [`next_event`](Reactor::next_event). It may find nothing.
    ///
    /// What a turn leaves unread is kept, and the next turn does not sleep.
    ///
    /// # Errors
    /// What the kernel says of the poll or the alarm; nothing is lost by it. In a process that was forked off from the one the
    /// reactor was made in: that it belongs to the other.
    pub fn turn(&mut self, max_wait: Option<Duration>) -> io::Result<()> {
        // Without a runtime there are none.
        self.turn_waking(max_wait, &mut |_task| {})
    }

    /// The same for a runtime. A task that waits alone for what the kernel says or for a timer, as nearly always one does, is
    /// handed to `tasks` at once: to wake it is to queue it, and there is nothing that could happen between the two. All else
    /// is left to be given out.
    pub(crate) fn turn_waking(
        &mut self,
        max_wait: Option<Duration>,
        tasks: &mut impl WakeTasks,
    ) -> io::Result<()> {
        self.remote.process.check()?;
        if self.accounts && !self.clock_is_fresh && self.prepared.is_none() {
            self.account_between_turns();
            self.clock_is_fresh = true;
        }
        self.metrics.turns += 1;
        let limit_ns = self.limit(max_wait);
        match self.clock.as_virtual().cloned() {
            None => self.wait_until(limit_ns)?,
            Some(clock) => self.wait_virtual(&clock, limit_ns)?,
        }
        self.clock_is_fresh = false;
        self.unpark();
        self.ledger.begin_turn(self.now_ns);
        self.pending.begin_turn(self.budget.messages);
        let woken = self.take_events(|task| tasks.wake(task));
        self.take_due();
        let fired = if self.serves_tasks { self.fire_lone_tasks(woken, tasks) } else { 0 };
        self.pending.delivered = woken + fired;
        let rehearses = self.spinner.as_ref().is_some_and(|spinner| spinner.rehearses(self.now_ns));
        if woken + fired == 0
            && !rehearses
            && self.wait.slept
            && self.now_ns < limit_ns
            && !self.has_leftovers()
        {
            self.metrics.spurious_wakes += 1;
        }
        Ok(())
    }

    /// Readies the loop for a sleep in somebody else's poll of its [`AsFd`](std::os::fd::AsFd) descriptor:
    /// arms the alarm and lets remote threads signal. Returns how long that poll may wait; `None` means
    /// until the descriptor is readable. Call [`turn`](Reactor::turn) with a zero wait after it, however it
    /// ended, then drain [`next_event`](Reactor::next_event). A timer or deadline set after it is not in the
    /// alarm: call it again then.
    ///
    /// # Errors
    /// What the kernel says of the alarm.
    pub fn prepare(&mut self) -> io::Result<Option<Duration>> {
        self.remote.process.check()?;
        let at_ns = self.timers.alarm().map_or(NEVER, |alarm| alarm.at_ns);
        if self.accounts {
            self.account_between_turns();
        }
        let now_ns = self.read_clock();
        if self.has_leftovers() || at_ns <= now_ns || !self.remote.park() {
            self.prepared = None;
            return Ok(Some(Duration::ZERO));
        }
        if let Some(clock) = self.clock.as_virtual().cloned() {
            return Ok(self.prepare_virtual(&clock));
        }
        let setting = self.alarm.set(at_ns, now_ns)?;
        self.metrics.settimes += u64::from(setting.settime);
        self.prepared = Some(Prepared { at_ns: now_ns, ends_ns: setting.ends_ns });
        Ok(setting.timeout)
    }

    /// The next thing that this turn found: first readiness, then messages, then timers in the order of
    /// their deadlines. What was deregistered, cancelled or moved meanwhile is not given out.
    pub fn next_event(&mut self) -> Option<Event> {
        if self.accounts {
            self.handler_is_back();
        }
        // Nobody waits for what is used like this.
        let Some(Dispatch { event, .. }) = self.next_dispatch() else {
            self.all_given_out();
            return None;
        };
        if self.accounts {
            self.ledger.given = Some((Given::of(&event, self.pending.called_from), self.now_ns));
        } else {
            self.pending.handled = true;
        }
        Some(event)
    }

    /// By when the turn has to be over with waiting.
    fn limit(&mut self, max_wait: Option<Duration>) -> u64 {
        match max_wait {
            _ if self.has_leftovers() => 0,
            None => NEVER,
            Some(Duration::ZERO) => 0,
            Some(wait) => self.read_clock_unless_fresh().saturating_add(nanos(wait)),
        }
    }

    /// Latches what is said of a source in memory; it is given out in the next turn.
    pub(crate) fn set_readiness(
        &mut self,
        token: Token,
        readiness: Readiness,
    ) -> Result<(), StaleToken> {
        let source = self.source(token)?;
        source.latch(readiness);
        let undelivered = source.undelivered.get();
        source.undelivered.set(undelivered | readiness);
        if undelivered == Readiness::NONE {
            self.pending.told.push(token.id);
        }
        Ok(())
    }

    pub(crate) fn has_leftovers(&self) -> bool {
        !self.pending.is_empty() || self.timers.has_due() || self.inbox.may_hold_work()
    }

    /// Latches what the kernel said, and drops what it said of registrations that have ended. What was said of
    /// sources in memory is latched already. Returns how many events nobody has to be told of any more.
    fn take_events(&mut self, mut wake: impl FnMut(Id)) -> usize {
        if !self.pending.told.is_empty() {
            self.pending.ready.extend(self.pending.told.drain(..));
        }
        let mut told = 0;
        for event in &self.events {
            let named = Token::id_of(event.token());
            let Some((id, source)) = named.and_then(|id| Some((id, self.sources.get_mut(id)?))) else {
                match event.token() {
                    ALARM => self.alarm.went_off(),
                    WAKER => {}
                    _ => self.metrics.stale_events += 1,
                }
                continue;
            };
            let readiness = Readiness::of(event);
            source.latch(readiness);
            if self.serves_tasks && source.wake_lone_tasks(readiness, &mut wake) {
                told += 1;
                continue;
            }
            let undelivered = source.undelivered.get();
            source.undelivered.set(undelivered | readiness);
            if undelivered == Readiness::NONE {
                self.pending.push_ready(id);
            }
        }
        self.events.clear();
        self.metrics.events += told as u64;
        told
    }
}
