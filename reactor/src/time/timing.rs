//! [`Timing`]: the part of a sleep that is not tied to a thread.

use std::task::{Context, Poll};

use crate::drift::{Fired, Firing};
use crate::executor::Driver;
use crate::instant::Instant;
use crate::leeway::Leeway;
use crate::plain_timer::Stage;
use crate::source::NEVER;
use crate::token::Timer;
use crate::waiters::Note;
use crate::waits::{Frame, TimerLabel};

/// A deadline and the timer that was made for it, by name: whoever holds it says on which runtime.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) deadline: Instant,
    pub(super) leeway: Leeway,
    pub(super) label: TimerLabel,
    pub(super) state: State,
}

// Its tag is a word, so that what comes after it is copied in words: in odd pieces it would be waited for.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(super) enum State {
    New,
    Waiting(Timer),
    Fired(Fired),
}

impl Timing {
    #[inline]
    pub(super) fn new(deadline: Instant) -> Timing {
        Timing { deadline, leeway: Leeway::NONE, label: TimerLabel::SLEEP, state: State::New }
    }

    pub(super) fn firing(&self) -> Option<Firing> {
        match self.state {
            State::Fired(fired) => Some(fired.firing(self.deadline.as_nanos())),
            _ => None,
        }
    }

    pub(super) fn was_left(&self, driver: &Driver) -> bool {
        let State::Waiting(timer) = self.state else { return false };
        let mut reactor = driver.reactor.borrow_mut();
        let all_ran_in = reactor.all_ran_in_turn;
        let fired_in = reactor.plain.get_mut(timer.id).and_then(|plain| plain.fired_in_turn());
        fired_in.is_some_and(|fired_in| fired_in <= all_ran_in)
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

    /// Starts over: it had fired, though perhaps nobody had looked yet. Whoever waited for it has been woken.
    fn rearm(&mut self, driver: &Driver, deadline: Instant) {
        let State::Waiting(timer) = self.state else {
            self.state = State::New;
            return;
        };
        let mut reactor = driver.reactor.borrow_mut();
        let fired = reactor.plain.remove(timer.id);
        let named =
            fired.as_ref().map_or((self.label, Frame::NONE), |fired| (fired.label, fired.within));
        self.state = State::Waiting(reactor.add_plain(deadline, self.leeway, true, named, Stage::Alone));
        drop(reactor);
        drop(fired);
    }

    #[inline]
    pub(super) fn cancel(&mut self, driver: &Driver) {
        if let Some(timer) = self.give_up() {
            remove(driver, timer);
        }
    }

    /// The timer that is to be taken out, if there is one.
    #[inline]
    pub(super) fn give_up(&mut self) -> Option<Timer> {
        match std::mem::replace(&mut self.state, State::New) {
            State::Waiting(timer) => Some(timer),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn poll(&mut self, driver: &Driver, cx: &mut Context<'_>) -> Poll<()> {
        let timer = match self.state {
            State::Fired(_) => return Poll::Ready(()),
            _ if driver.is_closed() => panic!("the runtime of this sleep has been dropped"),
            State::New => {
                self.begin(driver, cx);
                return Poll::Pending;
            }
            State::Waiting(timer) => timer,
        };
        let fired = driver.reactor.borrow_mut().take_fired(timer);
        if let Some(fired) = fired {
            self.state = State::Fired(fired);
            return Poll::Ready(());
        }
        self.wait_on(timer, driver, cx);
        Poll::Pending
    }

    /// Arms the timer.
    #[inline]
    fn begin(&mut self, driver: &Driver, cx: &mut Context<'_>) {
        let wakeup = driver.wakeup(cx.waker());
        let (poller, scope) = (driver.poller(), driver.scope());
        let mut reactor = driver.reactor.borrow_mut();
        let note = Note { since_ns: reactor.now_ns, until_ns: NEVER, poller, scope };
        let (named, stage) = ((self.label, poller.frame), Stage::awaited(wakeup, note));
        self.state = State::Waiting(reactor.add_plain(self.deadline, self.leeway, true, named, stage));
    }

    /// Polled again before it has fired.
    #[cold]
    fn wait_on(&mut self, timer: Timer, driver: &Driver, cx: &mut Context<'_>) {
        let wakeup = driver.wakeup(cx.waker());
        let (poller, scope) = (driver.poller(), driver.scope());
        let mut reactor = driver.reactor.borrow_mut();
        let note = Note { since_ns: reactor.now_ns, until_ns: NEVER, poller, scope };
        let Some(plain) = reactor.plain.get_mut(timer.id) else { return };
        plain.label = self.label;
        let before = plain.wait(wakeup, note);
        drop(reactor);
        drop(before);
    }
}

/// Takes a timer out; its waker is dropped while nothing is borrowed.
#[inline(never)]
pub(super) fn remove(driver: &Driver, timer: Timer) {
    let removed = driver.reactor.borrow_mut().remove_timer(timer);
    drop(removed);
}
