//! [`Timing`]: the part of a sleep that is not tied to a thread.

use std::task::{Context, Poll};

use crate::drift::Firing;
use crate::executor::Driver;
use crate::instant::Instant;
use crate::leeway::Leeway;
use crate::source::NEVER;
use crate::token::Timer;
use crate::waiters::Note;
use crate::waits::TimerLabel;

/// A deadline and the timer that was made for it, by name: whoever holds it says on which runtime.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) deadline: Instant,
    pub(super) leeway: Leeway,
    pub(super) label: TimerLabel,
    pub(super) state: State,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    New,
    Waiting(Timer),
    Fired(Firing),
}

impl Timing {
    pub(super) fn new(deadline: Instant) -> Timing {
        Timing { deadline, leeway: Leeway::NONE, label: TimerLabel::SLEEP, state: State::New }
    }

    pub(super) fn firing(&self) -> Option<Firing> {
        match self.state {
            State::Fired(firing) => Some(firing),
            _ => None,
        }
    }

    pub(super) fn was_left(&self, driver: &Driver) -> bool {
        let State::Waiting(timer) = self.state else { return false };
        let mut reactor = driver.reactor.borrow_mut();
        let all_ran_in = reactor.all_ran_in_turn;
        reactor
            .plain
            .get_mut(timer.id)
            .is_some_and(|plain| plain.fired.is_some() && plain.fired_in_turn <= all_ran_in)
    }

    pub(super) fn reset(&mut self, driver: &Driver, deadline: Instant) {
        self.deadline = deadline;
        if let State::Waiting(timer) = self.state {
            let moved = driver.reactor.borrow_mut().reset_timer(timer, deadline);
            if moved.is_ok() {
                return;
            }
        }
        self.rearm(driver, deadline);
    }

    /// Starts over: it had fired, though perhaps nobody had looked yet.
    fn rearm(&mut self, driver: &Driver, deadline: Instant) {
        let fired = match self.state {
            State::Waiting(timer) => {
                let mut reactor = driver.reactor.borrow_mut();
                reactor.plain.remove(timer.id)
            }
            _ => None,
        };
        let was_waiting = matches!(self.state, State::Waiting(_));
        self.state = State::New;
        if was_waiting {
            let mut reactor = driver.reactor.borrow_mut();
            let timer = reactor.add_timer(deadline, self.leeway, true);
            if let (Some(plain), Some(fired)) = (reactor.plain.get_mut(timer.id), fired) {
                (plain.label, plain.within) = (fired.label, fired.within);
                plain.waiters = fired.waiters;
            }
            self.state = State::Waiting(timer);
        }
    }

    pub(super) fn cancel(&mut self, driver: &Driver) {
        if let Some(timer) = self.give_up() {
            remove(driver, timer);
        }
    }

    /// The timer that is to be taken out, if there is one.
    pub(super) fn give_up(&mut self) -> Option<Timer> {
        match std::mem::replace(&mut self.state, State::New) {
            State::Waiting(timer) => Some(timer),
            _ => None,
        }
    }

    pub(super) fn poll(&mut self, driver: &Driver, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.state, State::Fired(_)) {
            return Poll::Ready(());
        }
        assert!(!driver.is_closed(), "the runtime of this sleep has been dropped");
        let wakeup = driver.wakeup(cx.waker());
        let (poller, scope) = (driver.poller(), driver.scope());
        let mut reactor = driver.reactor.borrow_mut();
        let now_ns = reactor.now_ns;
        let timer = match self.state {
            State::Fired(_) => return Poll::Ready(()),
            State::Waiting(timer) => timer,
            State::New => reactor.add_timer(self.deadline, self.leeway, true),
        };
        self.state = State::Waiting(timer);
        let Some(plain) = reactor.plain.get_mut(timer.id) else { return Poll::Pending };
        match plain.fired {
            None => {
                let since_ns = plain.waiters.notes().next().map_or(now_ns, |note| note.since_ns);
                let note = Note { since_ns, until_ns: NEVER, poller, scope };
                (plain.label, plain.within) = (self.label, poller.frame);
                let before = plain.waiters.set(0, wakeup, note);
                drop(reactor);
                drop(before);
                Poll::Pending
            }
            Some(firing) => {
                reactor.plain.remove(timer.id);
                self.state = State::Fired(firing);
                Poll::Ready(())
            }
        }
    }
}

/// Takes a timer out; its waker is dropped while nothing is borrowed.
pub(super) fn remove(driver: &Driver, timer: Timer) {
    let removed = driver.reactor.borrow_mut().remove_timer(timer);
    drop(removed);
}
