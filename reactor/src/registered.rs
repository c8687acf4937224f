//! [`Registered`]: the part of a registration that is the same whatever is registered, and is compiled once.

use std::cell::{Cell, RefMut};
use std::rc::Rc;
use std::task::Waker;

use crate::arena::Id;
use crate::executor::Driver;
use crate::failure::Failure;
use crate::instant::Instant;
use crate::operation::{Operation, Step, Times};
use crate::phases::{PhaseEnding, PhaseIndex};
use crate::reactor::Reactor;
use crate::readiness::{Direction, Readiness};
use crate::source::{NEVER, Source, Unusual};
use crate::token::Token;

pub(crate) struct Registered {
    pub(crate) driver: Rc<Driver>,
    /// Its name among those of the driver's reactor.
    pub(crate) id: Id,
    /// The reactor has it too, until it is closed.
    pub(crate) source: Rc<Source>,
    /// As which phase what waits on a side is recorded.
    pub(crate) phases: [Cell<Option<PhaseIndex>>; 2],
    /// Its operations are of no scope.
    pub(crate) outside_scopes: Cell<bool>,
}

impl Registered {
    pub(crate) fn new(driver: Rc<Driver>, token: Token, source: Rc<Source>) -> Registered {
        let (phases, outside_scopes) = Default::default();
        Registered { driver, id: token.id, source, phases, outside_scopes }
    }

    #[inline]
    pub(crate) fn token(&self) -> Token {
        Token { id: self.id, reactor: self.driver.id }
    }

    /// The scope to which an operation that begins now belongs.
    #[inline]
    pub(crate) fn scope(&self) -> Option<Id> {
        if self.outside_scopes.get() { None } else { self.driver.scope() }
    }

    /// What an operation is to do. Mostly nothing but readiness has a say, and the reactor need not be asked.
    #[inline(always)]
    pub(crate) fn step(&self, operation: &mut Operation) -> Step {
        let begins = !operation.begun;
        if begins {
            operation.begun = true;
            operation.scope = self.scope();
            if operation.trivial {
                self.assume(Readiness::that_allow(operation.direction));
            }
        }
        if operation.scope.is_some() || self.source.has(operation.minds) {
            return self.step_by_the_reactor(operation, begins);
        }
        self.source.step(operation, self.driver.turn_number(), &self.driver.budget)
    }

    #[inline(never)]
    fn step_by_the_reactor(&self, operation: &mut Operation, begins: bool) -> Step {
        self.reactor().step(&self.source, operation, begins)
    }

    /// Takes `readiness` for granted, and has those woken who wait.
    #[cold]
    pub(crate) fn assume(&self, readiness: Readiness) {
        self.source.latch(readiness);
        self.driver.wake_all(self.source.take_waiters());
    }

    /// Somebody waits on the side whose deadline has been put.
    #[inline(never)]
    pub(crate) fn deadline_is_put(&self, direction: Direction) {
        self.reactor().deadline_is_put(self.id, &self.source, direction);
    }

    /// Whether a system call may be made at once, without beginning an operation for it: no scope, no deadline and no end has
    /// a say.
    #[inline]
    pub(crate) fn may_try_at_once(&self, direction: Direction) -> bool {
        let driver = &*self.driver;
        if self.scope().is_some() || self.source.has(Unusual::when_beginning(direction)) {
            return false;
        }
        let is_ready = self.source.readiness.get().allows(direction);
        is_ready && !self.source.had_its_share(direction, driver.turn_number(), &driver.budget)
    }

    /// Whether `operation`, which has waited, may make its system call, and only readiness has a say in that.
    #[inline(always)]
    pub(crate) fn may_try(&self, operation: &Operation) -> bool {
        let driver = &*self.driver;
        operation.scope.is_none()
            && !self.source.has(operation.minds)
            && self.source.step(operation, driver.turn_number(), &driver.budget) == Step::Try
    }

    /// The same of one of which nothing more is to be known than that it [waits alone](Operation::waiting_alone).
    #[inline(always)]
    pub(crate) fn may_try_alone(&self, direction: Direction) -> bool {
        let (driver, source) = (&*self.driver, &*self.source);
        !source.has(Unusual::when_waiting(direction))
            && source.readiness.get().allows(direction)
            && self.scope().is_none()
            && !source.had_its_share(direction, driver.turn_number(), &driver.budget)
    }

    /// Books a system call that moved something.
    #[inline]
    pub(crate) fn moved(&self, direction: Direction, bytes: usize, drained: bool) {
        self.source.moved(direction, self.driver.turn_number(), bytes, drained);
    }

    /// Whether `operation` begins, and nothing is to be had yet.
    #[inline(always)]
    pub(crate) fn has_to_wait(&self, operation: &Operation) -> bool {
        !operation.begun && !self.source.readiness.get().allows(operation.direction)
    }

    /// Has an operation begin that [has to wait](Registered::has_to_wait), if nothing else has a say in that: no scope, no deadline,
    /// no end, and nobody who waits there. Returns whether it waits; otherwise nothing has happened.
    #[inline(never)]
    pub(crate) fn wait_at_once(&self, waker: &Waker, operation: &mut Operation) -> bool {
        let (driver, source) = (&*self.driver, &*self.source);
        let Some(side) = source.known_side(operation.direction) else { return false };
        let quiet = !source.has(operation.minds) && side.waiting.get() == 0 && !operation.trivial;
        if !quiet || self.scope().is_some() || !driver.is_polled_with(waker) {
            return false;
        }
        // Before the reactor is borrowed: then there is less that has to be kept meanwhile.
        let now_ns = if side.timeout() == NEVER { 0 } else { driver.clock.now().as_nanos() };
        let mut reactor = self.reactor();
        let begun_at_ns = if side.timeout() == NEVER { reactor.now_ns } else { now_ns };
        (operation.begun, operation.blocked) = (true, true);
        let times = (begun_at_ns, begun_at_ns.saturating_add(side.timeout()));
        let (guard_ns, poller) = (driver.frame.until_ns(), driver.poller());
        reactor.wait_alone(self.id, source, side, operation, (times, guard_ns), poller);
        true
    }

    /// Has `operation` wait. Returns whether it does: otherwise the source is closed, or the scope has ended.
    #[inline(never)]
    pub(crate) fn wait(&self, waker: &Waker, operation: &mut Operation) -> bool {
        // First, as nothing else is at hand yet that would have to be kept meanwhile.
        let times = operation.times_of_wait(self.source.side(operation.direction), &self.driver.clock);
        let (driver, source) = (&*self.driver, &*self.source);
        if !driver.is_polled_with(waker) || !source.is_free(operation) {
            return self.wait_beside_others(waker, operation, times);
        }
        let (guard_ns, poller) = (driver.frame.until_ns(), driver.poller());
        let mut reactor = self.reactor();
        // As for those that do not wait alone.
        let begun_at_ns = if times.0 == 0 { reactor.now_ns } else { times.0 };
        let side = source.side(operation.direction);
        reactor.wait_alone(self.id, source, side, operation, ((begun_at_ns, times.1), guard_ns), poller);
        true
    }

    /// The same in a scope, for a waker that is not the task's, or where another operation waits or this one did.
    #[inline(never)]
    fn wait_beside_others(
        &self,
        waker: &Waker,
        operation: &mut Operation,
        (begun_at_ns, own_ns): (u64, u64),
    ) -> bool {
        let driver = &*self.driver;
        let wakeup = driver.wakeup(waker);
        if operation.scope.is_some() && self.has_ended_meanwhile(operation) {
            return false;
        }
        let poller = driver.poller();
        let guard_ns = driver.frame.until_ns();
        let times = Times { own_ns, guard_ns, begun_at_ns, held_up_before_ns: 0 };
        self.reactor().wait(self.token(), &self.source, operation, times, wakeup, poller).is_ok()
    }

    /// Whether the attempt itself, or the clone of the waker, has ended the scope: both may be anybody's code.
    fn has_ended_meanwhile(&self, operation: &Operation) -> bool {
        operation.scope.is_some_and(|scope| self.reactor().scopes.ended(scope).is_some())
    }

    #[cold]
    pub(crate) fn failure(&self, operation: &mut Operation) -> Failure {
        // A scope whose deadline has passed may have ended just now, by being looked at.
        self.driver.wake_ended();
        self.reactor().failure(&self.source, operation)
    }

    /// Sees off an operation of the poll-based interface that nobody polls any more.
    pub(crate) fn end_if_given_up(&self, operation: &mut Operation) {
        if !self.source.has(Unusual::fired(operation.direction)) {
            return;
        }
        let given_up = self.reactor().was_given_up(&self.source, operation);
        if given_up {
            self.end(operation, PhaseEnding::Dropped);
            *operation = Operation::new(operation.direction);
        }
    }

    #[cold]
    pub(crate) fn failed(&self, operation: &mut Operation, failure: &Failure) {
        let ending = PhaseEnding::of(failure, operation.direction);
        let ended_by = match failure {
            Failure::Elapsed(elapsed) => Some(elapsed.deadline),
            _ => None,
        };
        // A failure is recorded also of one that did not wait.
        self.leave(operation, true, ending, ended_by);
    }

    /// The operation has its result. One that did not wait has nothing to end.
    #[inline]
    pub(crate) fn done(&self, operation: &mut Operation) {
        if operation.waiting {
            self.leave_done(operation);
        }
    }

    #[inline(never)]
    fn leave_done(&self, operation: &mut Operation) {
        let source = &*self.source;
        match source.known_side(operation.direction) {
            Some(side) if operation.alone && side.waiting.get() == 1 && !source.is_closed() => {
                operation.waiting = false;
                let phase = self.phases[operation.direction.side()].get();
                self.reactor().leave_alone(source, side, phase.filter(|_| operation.blocked));
            }
            _ => self.leave_others_done(operation),
        }
    }

    /// The same of one of which nothing more is to be known than that it [waits alone](Operation::waiting_alone).
    #[inline(never)]
    pub(crate) fn done_alone(&self, direction: Direction) {
        let source = &*self.source;
        match source.known_side(direction) {
            Some(side) if side.waiting.get() == 1 && !source.is_closed() => {
                let phase = self.phases[direction.side()].get();
                self.reactor().leave_alone(source, side, phase);
            }
            _ => self.leave_others_done(&mut Operation::waiting_alone(direction)),
        }
    }

    /// The same where others wait beside it, or did.
    #[inline(never)]
    fn leave_others_done(&self, operation: &mut Operation) {
        let phase = self.phases[operation.direction.side()].get().filter(|_| operation.blocked);
        operation.waiting = false;
        let mut reactor = self.reactor();
        if let Some(phase) = phase {
            let began_ns = operation.times(self.source.side(operation.direction)).begun_at_ns;
            let until_ns = reactor.bound_of(&self.source, operation, began_ns);
            reactor.record_done(phase, began_ns, until_ns);
        }
        let wakeup = reactor.leave(&self.source, operation);
        drop(reactor);
        drop(wakeup);
    }

    /// The operation is over, or was given up.
    #[inline]
    pub(crate) fn end(&self, operation: &mut Operation, ending: PhaseEnding) {
        if operation.waiting {
            self.leave(operation, operation.blocked, ending, None);
        }
    }

    /// Takes it out of those that wait, and has it be recorded if it is a phase. Not inlined: whoever does not wait
    /// is to carry no more than the branch.
    #[inline(never)]
    fn leave(
        &self,
        operation: &mut Operation,
        recorded: bool,
        ending: PhaseEnding,
        ended_by: Option<Instant>,
    ) {
        let mut reactor = self.reactor();
        let phase = self.phases[operation.direction.side()].get();
        if let Some(phase) = phase.filter(|_| recorded) {
            reactor.record_operation(&self.source, operation, phase, ending, ended_by);
        }
        if std::mem::take(&mut operation.waiting) {
            let wakeup = reactor.leave(&self.source, operation);
            drop(reactor);
            drop(wakeup);
        }
    }

    fn reactor(&self) -> RefMut<'_, Reactor> {
        self.driver.reactor.borrow_mut()
    }
}
