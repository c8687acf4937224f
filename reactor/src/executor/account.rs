//! Whose time it is: what the driver runs, timed, so that whoever holds the loop is known.

use std::task::RawWakerVTable;

use crate::arena::Id;
use crate::blame::{Given, Holder};
use crate::executor::driver::Driver;
use crate::executor::task::MAIN;
use crate::executor::task_info::{Origin, TaskId};
use crate::token::Token;
use crate::waiters::{self, Waiters, Wakeup};

impl Driver {
    /// Reads the clock.
    #[inline]
    pub(super) fn now_ns(&self) -> u64 {
        self.clock.now().as_nanos()
    }

    /// Reads the clock, if what is run is accounted.
    #[inline]
    pub(super) fn read_if_accounted(&self) -> u64 {
        if self.accounts { self.now_ns() } else { 0 }
    }

    /// When a poll that began at `began_ns` has ended, if it is accounted. Read by the clock if it was long, or next to nothing
    /// more is to be run in this turn.
    #[inline]
    pub(super) fn end_lap(&self, began_ns: u64) -> u64 {
        if !self.accounts {
            return 0;
        }
        match self.laps.reckon().filter(|at_ns| at_ns.saturating_sub(began_ns) < self.floor_ns) {
            Some(at_ns) => at_ns,
            None => self.end_lap_by_the_clock(),
        }
    }

    #[inline(never)]
    fn end_lap_by_the_clock(&self) -> u64 {
        let now_ns = self.now_ns();
        let left = self.tasks.run_queue.borrow().len();
        self.laps.was_read(now_ns, left);
        now_ns
    }

    /// Notes that `holder` had the thread, without what has been noted since the total of all notes was `noted_ns`.
    #[cold]
    pub(super) fn note_held(&self, holder: Holder, began_ns: u64, ended_ns: u64, noted_ns: u64) {
        let others_ns = self.noted_ns.get() - noted_ns;
        let own_ns = ended_ns.saturating_sub(began_ns).saturating_sub(others_ns);
        self.noted_ns.set(self.noted_ns.get() + own_ns);
        self.reactor.borrow_mut().note_stretch(holder, began_ns, ended_ns, own_ns);
    }

    #[cold]
    pub(super) fn note_task(
        &self,
        task: Id,
        origin: Origin,
        began_ns: u64,
        ended_ns: u64,
        noted_ns: u64,
    ) {
        let id = TaskId { id: task, reactor: self.id };
        self.note_held(Holder::Task { id, origin }, began_ns, ended_ns, noted_ns);
    }

    /// Where a task comes from that may have gone.
    pub(super) fn origin(&self, task: TaskId) -> Option<Origin> {
        if task.is_main() {
            return self.main.borrow().as_ref().map(|main| main.origin.clone());
        }
        self.tasks.borrow_mut().get_mut(task.id).map(|task| task.origin.clone())
    }

    /// Wakes who waited for what was given out. To wake a task is to queue it, which is not worth a look at the clock; other
    /// wakers are anybody's code.
    pub(super) fn wake(&self, waiters: Waiters, given: impl FnOnce() -> Option<Given>) {
        let untimed = !self.accounts || waiters.wakeups().all(|wakeup| self.is_of_task(wakeup));
        let wake = || waiters.into_wakeups().for_each(|wakeup| self.wake_untimed(wakeup));
        if untimed {
            wake();
        } else {
            self.wake_timed(wake, given);
        }
    }

    /// The same for one who waited for readiness.
    #[inline]
    pub(super) fn wake_one(&self, wakeup: Wakeup, token: Token) {
        if !self.accounts || self.is_of_task(&wakeup) {
            self.wake_untimed(wakeup);
        } else {
            self.wake_timed(|| self.wake_untimed(wakeup), || Some(Given::Ready(token)));
        }
    }

    fn wake_untimed(&self, wakeup: Wakeup) {
        match wakeup {
            Wakeup::Task(task) => self.wake_task(task),
            Wakeup::Waker(waker) => waiters::wake(waker),
        }
    }

    fn is_of_task(&self, wakeup: &Wakeup) -> bool {
        match wakeup {
            Wakeup::Task(_) => true,
            Wakeup::Waker(waker) => {
                self.task_wakers.iter().any(|kind| std::ptr::eq(waker.vtable(), *kind))
            }
        }
    }

    fn wake_timed(&self, wake: impl FnOnce(), given: impl FnOnce() -> Option<Given>) {
        let (began_ns, noted_ns) = (self.now_ns(), self.noted_ns.get());
        wake();
        let ended_ns = self.now_ns();
        if ended_ns - began_ns >= self.floor_ns {
            self.note_held(Holder::Waker(given()), began_ns, ended_ns, noted_ns);
        }
    }

    /// What the turn had found is given out. What that took beside the calls and wakers it ran is the loop's own.
    pub(super) fn account_delivery(&self, began_ns: u64, noted_ns: u64) {
        if !self.accounts {
            return;
        }
        let ended_ns = self.now_ns();
        let others_ns = self.noted_ns.get() - noted_ns;
        if ended_ns.saturating_sub(began_ns + others_ns) >= self.floor_ns {
            self.note_held(Holder::Loop, began_ns, ended_ns, noted_ns);
        }
        self.lap_ns.set(ended_ns);
    }

    /// What `holder` did since the last that was accounted is over.
    pub(super) fn account_lap(&self, holder: Holder, noted_ns: u64) {
        if !self.accounts {
            return;
        }
        let (began_ns, ended_ns) = (self.lap_ns.get(), self.now_ns());
        if ended_ns.saturating_sub(began_ns) >= self.floor_ns {
            self.note_held(holder, began_ns, ended_ns, noted_ns);
        }
        self.lap_ns.set(ended_ns);
    }

    /// The turn is over, and what it has run as well.
    pub(super) fn account_turn(&self, all_ran: bool) {
        let mut reactor = self.reactor.borrow_mut();
        if all_ran {
            reactor.all_ran_in_turn = reactor.metrics.turns;
        }
        if self.accounts {
            let ended_ns = self.lap_ns.get();
            reactor.now_ns = reactor.now_ns.max(ended_ns);
            reactor.clock_is_fresh = true;
            reactor.close_turn(ended_ns);
        }
    }

    /// Somebody else runs from here on: nothing is known of the time until the next turn, but that it is not the loop's.
    pub(super) fn account_leave(&self) {
        let mut reactor = self.reactor.borrow_mut();
        reactor.clock_is_fresh = false;
        if !self.accounts {
            let now_ns = reactor.read_clock();
            reactor.close_turn(now_ns);
        }
        let now_ns = reactor.now_ns;
        let warning = reactor.ledger.take_warning(now_ns);
        drop(reactor);
        if let Some(warning) = warning {
            warning.say();
        }
    }
}

/// By which the wakers of tasks are known.
pub(super) type TaskWakers = [&'static RawWakerVTable; 2];

/// The polls of a turn: the end of one is the beginning of the next.
pub(super) struct PollsOfTurn {
    /// When the last one ended.
    pub(super) at_ns: u64,
    count: u64,
    /// What those took that are noted by themselves, and how many these are.
    long_ns: u64,
    long: u64,
    /// The longest of the others.
    longest_ns: u64,
    longest: Id,
}

/// One of them.
pub(super) struct Lap {
    pub(super) began_ns: u64,
    pub(super) ended_ns: u64,
    pub(super) took_ns: u64,
    /// Whether it is to be noted by itself.
    pub(super) is_long: bool,
}

impl PollsOfTurn {
    pub(super) fn from(began_ns: u64) -> PollsOfTurn {
        PollsOfTurn { at_ns: began_ns, count: 0, long_ns: 0, long: 0, longest_ns: 0, longest: MAIN }
    }

    /// What `task` did since the last one is over.
    #[inline(always)]
    pub(super) fn lap(&mut self, driver: &Driver, task: Id) -> Lap {
        let began_ns = self.at_ns;
        if !driver.accounts {
            return Lap { began_ns, ended_ns: began_ns, took_ns: 0, is_long: false };
        }
        let ended_ns = driver.end_lap(began_ns);
        self.at_ns = ended_ns;
        let took_ns = ended_ns.saturating_sub(began_ns);
        let is_long = took_ns >= driver.floor_ns;
        self.count += 1;
        if is_long {
            (self.long, self.long_ns) = (self.long + 1, self.long_ns + took_ns);
        } else if took_ns > self.longest_ns {
            (self.longest_ns, self.longest) = (took_ns, task);
        }
        Lap { began_ns, ended_ns, took_ns, is_long }
    }

    /// Notes those that were too short to be noted each, if they are worth it together: the longest by its name, if that is
    /// still known, and the rest.
    #[inline]
    pub(super) fn note_short(self, driver: &Driver, began_ns: u64) {
        let held_ns = self.at_ns.saturating_sub(began_ns).saturating_sub(self.long_ns);
        if held_ns >= driver.floor_ns && self.count > self.long {
            self.note_all(driver, began_ns, held_ns);
        }
    }

    #[cold]
    fn note_all(self, driver: &Driver, began_ns: u64, held_ns: u64) {
        let longest = TaskId { id: self.longest, reactor: driver.id };
        let named = driver.origin(longest).map(|origin| Holder::Task { id: longest, origin });
        let mut reactor = driver.reactor.borrow_mut();
        let mut rest = (self.count - self.long, held_ns);
        if let Some(holder) = named {
            rest = (rest.0 - 1, rest.1.saturating_sub(self.longest_ns));
            reactor.note_stretch(holder, began_ns, self.at_ns, self.longest_ns);
        }
        reactor.note_short_polls(rest.0, began_ns, self.at_ns, rest.1);
        driver.noted_ns.set(driver.noted_ns.get() + held_ns);
    }
}
