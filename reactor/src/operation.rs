//! One operation on one side of a source: when it tries, when it waits, when it gives up.

use std::time::Duration;

use crate::arena::Id;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::drift::Wait;
use crate::failure::{Bound, Failure, OperationElapsed};
use crate::instant::Instant;
use crate::reactor::Reactor;
use crate::readiness::{Direction, Readiness};
use crate::scope::tree::Member;
use crate::side::{Elapsed, Side};
use crate::source::{NEVER, Source, Unusual};
use crate::token::Token;
use crate::waiters::{Note, Poller, Wakeup};

/// What one attempt has achieved.
#[derive(Clone, Copy, Debug)]
pub struct Done<T> {
    /// What the operation ends with; `None` if it is to go on.
    pub(crate) value: Option<T>,
    pub(crate) bytes: usize,
    pub(crate) drained: bool,
}

impl<T> Done<T> {
    /// Something other than bytes.
    pub fn new(value: T) -> Done<T> {
        Done { value: Some(value), bytes: 0, drained: false }
    }

    /// A step of an operation of several: moved `bytes` of the `asked` and is to go on, in this turn if
    /// the budget allows.
    #[must_use]
    pub fn step(bytes: usize, asked: usize) -> Done<T> {
        Done { value: None, bytes, drained: 0 < bytes && bytes < asked }
    }

    /// What the operation ends with, if this was the last of it.
    pub fn into_value(self) -> Option<T> {
        self.value
    }

    /// Makes a step the last one: the operation ends with `value`.
    #[must_use]
    pub fn ends_with(self, value: T) -> Done<T> {
        Done { value: Some(value), ..self }
    }
}

impl Done<usize> {
    /// Moved `bytes` of the `asked` that there was room for. Fewer than asked, but not none, means that
    /// the kernel had no more.
    #[must_use]
    pub fn bytes(bytes: usize, asked: usize) -> Done<usize> {
        Done { value: Some(bytes), bytes, drained: 0 < bytes && bytes < asked }
    }
}

/// What is kept of an operation between two polls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) direction: Direction,
    /// What lets it try.
    awaits: Readiness,
    /// What else it has to look for on its source.
    pub(crate) minds: Unusual,
    pub(crate) begun: bool,
    /// Whether it is counted among those that wait.
    pub(crate) waiting: bool,
    /// Whether it has waited for the source, and not only for its turn.
    pub(crate) blocked: bool,
    /// Its name among the operations on its side, once it has waited.
    name: u32,
    /// The scope it began in, and as which of its members it waits.
    pub(crate) scope: Option<Id>,
    member: u32,
    /// Its own deadline, from the side's timeout.
    pub(crate) own_ns: u64,
    /// That of the earliest [`timeout`](crate::timeout) around it, once it waits.
    pub(crate) guard_ns: u64,
    /// When its time began; 0 if its side had no deadline and it has not waited.
    pub(crate) begun_at_ns: u64,
    /// How long the loop had been held up before it waited, the turn it began in included.
    held_up_before_ns: u64,
}

/// As which member of its scope an operation waits that is none.
const NO_MEMBER: u32 = u32::MAX;

/// What an operation is to do when it is polled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make the system call.
    Try,
    /// A deadline has fired: make the system call, and give up if it would block.
    TryOnceMore,
    /// Nothing is to be had yet.
    Wait,
    /// This side has had its share of the turn: the others first.
    Yield,
    /// Closed, interrupted, or out of time before it began.
    Fail,
}

impl Operation {
    #[inline]
    pub(crate) fn new(direction: Direction) -> Operation {
        Operation {
            direction,
            awaits: Readiness::that_allow(direction),
            minds: Unusual::when_beginning(direction),
            begun: false,
            waiting: false,
            blocked: false,
            name: 0,
            scope: None,
            member: NO_MEMBER,
            own_ns: NEVER,
            guard_ns: NEVER,
            begun_at_ns: 0,
            held_up_before_ns: 0,
        }
    }

    /// Returns whether it may begin: a deadline that has passed already lets it touch nothing. Without one nothing
    /// is to be compared with the time, and its own time begins where it waits: one that need not wait reads no clock.
    fn begin(&mut self, side: &Side, reactor: &mut Reactor) -> bool {
        if !side.may_let_none_begin() {
            return true;
        }
        self.fix_deadline(side, &reactor.clock);
        reactor.now_ns = self.begun_at_ns.max(reactor.now_ns);
        self.due_ns(side) > self.begun_at_ns
    }

    /// Its own time begins where it waits, if it has not begun before.
    #[inline]
    pub(crate) fn about_to_wait(&mut self, side: &Side, clock: &Clock) {
        if self.begun_at_ns == 0 && side.timeout() != NEVER {
            self.fix_deadline(side, clock);
        }
    }

    /// Fixes its own deadline, by a clock read now.
    #[inline]
    fn fix_deadline(&mut self, side: &Side, clock: &Clock) {
        let now_ns = clock.now().as_nanos();
        self.own_ns = now_ns.saturating_add(side.timeout());
        self.begun_at_ns = now_ns;
    }

    fn elapsed(&self, side: &Side, at_ns: u64) -> OperationElapsed {
        let bound = if side.deadline() <= self.own_ns {
            Bound::Deadline(side.set_at.get())
        } else {
            let timeout_ns = self.own_ns.saturating_sub(self.begun_at_ns);
            Bound::Timeout(Duration::from_nanos(timeout_ns), side.timeout_set_at.get())
        };
        let wait = side.elapsed().after;
        OperationElapsed {
            began: Instant::from_nanos(self.begun_at_ns),
            deadline: Instant::from_nanos(self.due_ns(side)),
            fired: Instant::from_nanos(at_ns),
            bound,
            before_it_began: !self.waiting,
            wait,
            held_up_ns: self.held_up(&wait),
        }
    }

    /// How long turns held the loop up while it waited, until the one before which the loop waited like this.
    fn held_up(&self, wait: &Wait) -> u64 {
        if self.waiting { wait.held_up_ns.saturating_sub(self.held_up_before_ns) } else { 0 }
    }

    #[inline]
    fn due_ns(&self, side: &Side) -> u64 {
        side.deadline().min(self.own_ns)
    }

    /// Whether a deadline of its side, or its own, has fired while it waited.
    fn has_elapsed(&self, side: &Side) -> bool {
        self.waiting && self.due_ns(side) <= side.elapsed().at_ns
    }
}

impl Note {
    #[inline]
    fn of(operation: &Operation, poller: Poller) -> Note {
        let Operation { begun_at_ns: since_ns, own_ns: until_ns, scope, .. } = *operation;
        Note { since_ns, until_ns, poller, scope }
    }
}

impl Default for Operation {
    fn default() -> Operation {
        Operation::new(Direction::Read)
    }
}

impl Source {
    /// What an operation is to do next, if nothing but its readiness and its share of the turn have a say.
    #[inline]
    pub(crate) fn step(&self, operation: &Operation, turn: u32, budget: &Budget) -> Step {
        if !self.readiness.get().intersects(operation.awaits) {
            Step::Wait
        } else if self.side(operation.direction).had_its_share(turn, budget) {
            Step::Yield
        } else {
            Step::Try
        }
    }

    /// Why an operation on it has failed, and when that was in the order of all that ends anything.
    fn failure(&self, operation: &Operation) -> (u64, Failure) {
        let side = self.side(operation.direction);
        match self.interrupted() {
            _ if operation.has_elapsed(side) => {
                let Elapsed { at_ns, order, .. } = side.elapsed();
                (order, Failure::Elapsed(operation.elapsed(side, at_ns)))
            }
            Some((order, interrupt)) => (*order, Failure::from(interrupt)),
            None if !operation.waiting && operation.due_ns(side) <= operation.begun_at_ns => {
                (NEVER, Failure::Elapsed(operation.elapsed(side, operation.begun_at_ns)))
            }
            None => (self.closed_order(), Failure::Closed),
        }
    }
}

/// The reactor's part of an operation. It calls nobody and wakes nobody.
impl Reactor {
    /// What an operation is to do next where more than readiness has a say: a scope, a deadline, an end of the source.
    #[inline(never)]
    pub(crate) fn step(&mut self, source: &Source, operation: &mut Operation, begins: bool) -> Step {
        if let Some(scope) = operation.scope
            && let Some(step) = self.step_in_scope(source, operation, scope, begins)
        {
            return step;
        }
        if source.is_closed() {
            return Step::Fail;
        }
        let side = source.side(operation.direction);
        // What came first counts: an interrupt lets nothing fire after it.
        if operation.has_elapsed(side) {
            return Step::TryOnceMore;
        }
        if source.interrupted().is_some() || begins && !operation.begin(side, self) {
            return Step::Fail;
        }
        source.step(operation, self.metrics.turns as u32, &self.budget)
    }

    /// What the scope of an operation makes of it: nothing, as long as the scope has not ended.
    fn step_in_scope(
        &mut self,
        source: &Source,
        operation: &Operation,
        scope: Id,
        begins: bool,
    ) -> Option<Step> {
        if begins {
            // Of a source that is closed or cancelled the failure tells which came first.
            return self.refuses(scope).map(|_| Step::Fail);
        }
        let (order, by_deadline) = self.scopes.ended(scope)?;
        if source.is_closed() {
            return None;
        }
        let side = source.side(operation.direction);
        let fired_before = operation.has_elapsed(side) && side.elapsed().order < order;
        let interrupted_before = source.interrupted().is_some_and(|(before, _)| *before < order);
        let once_more = fired_before || by_deadline && !interrupted_before;
        Some(if operation.waiting && once_more { Step::TryOnceMore } else { Step::Fail })
    }

    /// Whether an operation of the poll-based interface was given up by whoever polled it: it was told
    /// that its time is over, and everything that was runnable then has run since.
    pub(crate) fn was_given_up(&self, source: &Source, operation: &Operation) -> bool {
        let side = source.side(operation.direction);
        let told = operation.has_elapsed(side) && !source.is_closed();
        told && side.elapsed().in_turn <= self.all_ran_in_turn
    }

    /// Has the task that is polled woken when the side is ready or the operation's time is up: as nearly all wait, where
    /// [nothing else does](Source::is_free).
    #[inline]
    pub(crate) fn wait_alone(
        &mut self,
        token: Token,
        source: &Source,
        operation: &mut Operation,
        poller: Poller,
    ) {
        let side = source.side(operation.direction);
        self.count_waiting(source, operation);
        side.waiting.set(1);
        self.waiting_sides += usize::from(!source.in_memory.get());
        let note = Note::of(operation, poller);
        side.waiters_mut().borrow_mut().set_only(operation.name, Wakeup::Task(poller.task), note);
        side.own.set(operation.own_ns);
        let wanted_ns = side.deadline().min(operation.own_ns);
        if wanted_ns != side.wanted.get() {
            self.want(token.id, source, operation.direction, wanted_ns);
        }
    }

    /// It waits from now on, under a name of its own.
    #[inline]
    fn count_waiting(&mut self, source: &Source, operation: &mut Operation) {
        let side = source.side(operation.direction);
        self.now_ns = self.now_ns.max(operation.begun_at_ns);
        if operation.begun_at_ns == 0 {
            // Not read anew: in a scope with a deadline it was when the operation began. If a deadline is set only
            // while it waits, what came before in this turn counts as part of its wait.
            operation.begun_at_ns = self.now_ns;
        }
        operation.waiting = true;
        operation.minds = Unusual::when_waiting(operation.direction);
        let turn_so_far_ns = operation.begun_at_ns.saturating_sub(self.wait.woke_ns);
        operation.held_up_before_ns = self.wait.held_up_ns + turn_so_far_ns;
        operation.name = side.last_operation.get().wrapping_add(1);
        side.last_operation.set(operation.name);
    }

    /// An operation that waited alone, and was woken, waits no longer. Returns whether that is how it was.
    #[inline]
    pub(crate) fn leave_alone(&mut self, source: &Source, operation: &Operation) -> bool {
        let side = source.side(operation.direction);
        let alone = side.waiting.get() == 1 && operation.scope.is_none();
        if !alone || source.is_closed() || side.has_waiters() {
            return false;
        }
        side.waiting.set(0);
        side.wanted.set(NEVER);
        side.own.set(NEVER);
        self.waiting_sides -= usize::from(!source.in_memory.get());
        true
    }

    /// Has `wakeup` done when the side is ready or the operation's time is up. Returns the one it had before,
    /// to be dropped where its drop can do no harm, or `wakeup` itself if the source is closed.
    pub(crate) fn wait(
        &mut self,
        token: Token,
        source: &Source,
        operation: &mut Operation,
        wakeup: Wakeup,
        poller: Poller,
    ) -> Result<Option<Wakeup>, Wakeup> {
        if source.is_closed() {
            return Err(wakeup);
        }
        let side = source.side(operation.direction);
        if !operation.waiting {
            self.begin_to_wait(token, source, operation);
        }
        let note = Note::of(operation, poller);
        let before = side.waiters_mut().borrow_mut().set(operation.name, wakeup, note);
        // Others may wait too: the side is told at the earliest time of all.
        let alone = side.waiting.get() == 1;
        let own_ns = if alone { operation.own_ns } else { operation.own_ns.min(side.own.get()) };
        side.own.set(own_ns);
        let wanted_ns = side.deadline().min(own_ns);
        if wanted_ns != side.wanted.get() {
            self.want(token.id, source, operation.direction, wanted_ns);
        }
        Ok(before)
    }

    fn begin_to_wait(&mut self, token: Token, source: &Source, operation: &mut Operation) {
        self.count_waiting(source, operation);
        let side = source.side(operation.direction);
        let others = side.waiting.replace(side.waiting.get() + 1);
        self.waiting_sides += usize::from(others == 0 && !source.in_memory.get());
        if let Some(scope) = operation.scope {
            let Operation { direction, name, .. } = *operation;
            let member =
                self.scopes.join(scope, Member::Operation { source: token.id, direction, name });
            // More than 2^32 of them would not fit in memory.
            operation.member = member.map_or(NO_MEMBER, |member| member as u32);
        }
    }

    /// An operation waits no longer; the last to go takes the side's wish along. Returns its wakeup, to be
    /// dropped where its drop can do no harm.
    pub(crate) fn leave(&mut self, source: &Source, operation: &Operation) -> Option<Wakeup> {
        if let Some(scope) = operation.scope {
            // An operation on a source has no waker there.
            let _ = self.scopes.leave(scope, operation.member as usize);
        }
        if source.is_closed() {
            return None;
        }
        let side = source.side(operation.direction);
        side.waiting.set(side.waiting.get() - 1);
        if side.waiting.get() == 0 {
            side.wanted.set(NEVER);
            side.own.set(NEVER);
            self.waiting_sides -= usize::from(!source.in_memory.get());
        }
        side.waiters().and_then(|waiters| waiters.borrow_mut().remove(operation.name))
    }

    /// Why an operation has failed: what came first of a deadline that fired, a cancel or shutdown, the end of
    /// the scope and that of the source.
    #[cold]
    pub(crate) fn failure(&mut self, source: &Source, operation: &Operation) -> Failure {
        let (order, failure) = source.failure(operation);
        match operation.scope.and_then(|scope| self.scopes.end_of(scope)) {
            Some((ended, end)) if ended < order => {
                let mut failure = end.failure(operation.waiting.then_some(operation.begun_at_ns));
                if let Failure::Elapsed(elapsed) = &mut failure {
                    elapsed.held_up_ns = operation.held_up(&elapsed.wait);
                }
                failure
            }
            _ => failure,
        }
    }
}
