//! One operation on one side of a source: when it tries, when it waits, when it gives up.

use std::task::Waker;
use std::time::Duration;

use crate::arena::Id;
use crate::clock::Clock;
use crate::drift::Wait;
use crate::failure::{Bound, Failure, OperationElapsed};
use crate::instant::Instant;
use crate::reactor::Reactor;
use crate::readiness::Direction;
use crate::scope::tree::Member;
use crate::source::{NEVER, Side, Source, Used};
use crate::token::Token;
use crate::waiters::{Note, Poller};

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
    begun: bool,
    /// Its name among the operations on its side, once it has waited.
    name: u32,
    /// Whether it is counted among those that wait.
    pub(crate) waiting: bool,
    /// Whether it has waited for the source, and not only for its turn.
    pub(crate) blocked: bool,
    /// Its own deadline, from the side's timeout.
    pub(crate) own_ns: u64,
    /// That of the earliest [`timeout`](crate::timeout) around it, once it waits.
    pub(crate) guard_ns: u64,
    /// When its time began; 0 if its side had no deadline and it has not waited.
    pub(crate) begun_at_ns: u64,
    /// The scope it began in, and as which of its members it waits.
    pub(crate) scope: Option<Id>,
    member: usize,
    /// How long the loop had been held up before it waited, the turn it began in included.
    held_up_before_ns: u64,
}

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
    pub(crate) fn new(direction: Direction) -> Operation {
        Operation {
            direction,
            begun: false,
            name: 0,
            waiting: false,
            blocked: false,
            own_ns: NEVER,
            guard_ns: NEVER,
            begun_at_ns: 0,
            scope: None,
            member: usize::MAX,
            held_up_before_ns: 0,
        }
    }

    /// Returns whether it may begin: a deadline that has passed already lets it touch nothing. Without one nothing
    /// is to be compared with the time, and its own time begins where it waits: one that need not wait reads no clock.
    fn begin(&mut self, side: &Side, clock: &Clock, loop_now_ns: &mut u64) -> bool {
        if side.deadline == NEVER && side.timeout != 0 {
            return true;
        }
        self.fix_deadline(side, clock, loop_now_ns);
        self.due_ns(side) > self.begun_at_ns
    }

    /// Fixes its own deadline, by a clock read now.
    fn fix_deadline(&mut self, side: &Side, clock: &Clock, loop_now_ns: &mut u64) {
        let now_ns = clock.now().as_nanos();
        *loop_now_ns = now_ns.max(*loop_now_ns);
        self.own_ns = now_ns.saturating_add(side.timeout);
        self.begun_at_ns = now_ns;
    }

    fn elapsed(&self, side: &Side, at_ns: u64) -> OperationElapsed {
        let bound = if side.deadline <= self.own_ns {
            Bound::Deadline(side.set_at)
        } else {
            let timeout_ns = self.own_ns.saturating_sub(self.begun_at_ns);
            Bound::Timeout(Duration::from_nanos(timeout_ns), side.timeout_set_at)
        };
        OperationElapsed {
            began: Instant::from_nanos(self.begun_at_ns),
            deadline: Instant::from_nanos(self.due_ns(side)),
            fired: Instant::from_nanos(at_ns),
            bound,
            before_it_began: !self.waiting,
            wait: side.elapsed_after,
            held_up_ns: self.held_up(&side.elapsed_after),
        }
    }

    /// How long turns held the loop up while it waited, until the one before which the loop waited like this.
    fn held_up(&self, wait: &Wait) -> u64 {
        if self.waiting { wait.held_up_ns.saturating_sub(self.held_up_before_ns) } else { 0 }
    }

    #[inline]
    fn due_ns(&self, side: &Side) -> u64 {
        side.deadline.min(self.own_ns)
    }

    /// Whether a deadline of its side, or its own, has fired while it waited.
    #[inline]
    fn has_elapsed(&self, side: &Side) -> bool {
        self.waiting && self.due_ns(side) <= side.elapsed_at
    }
}

impl Default for Operation {
    fn default() -> Operation {
        Operation::new(Direction::Read)
    }
}

/// The reactor's part of an operation. It calls nobody and wakes nobody.
impl Reactor {
    pub(crate) fn step(&mut self, token: Token, operation: &mut Operation, scope: Option<Id>) -> Step {
        let begins = !std::mem::replace(&mut operation.begun, true);
        if begins {
            operation.scope = scope;
        }
        if let Some(scope) = operation.scope
            && let Some(step) = self.step_in_scope(token, operation, scope, begins)
        {
            return step;
        }
        let Reactor { id, sources, clock, metrics, budget, now_ns, .. } = self;
        let Some(source) = sources.get_mut(token.id).filter(|_| token.reactor == *id) else {
            return Step::Fail;
        };
        let ready = source.readiness.allows(operation.direction);
        let interrupted = source.interrupt.is_some();
        let side = source.side(operation.direction);
        // What came first counts: an interrupt lets nothing fire after it.
        if operation.has_elapsed(side) {
            return Step::TryOnceMore;
        }
        if interrupted {
            return Step::Fail;
        }
        if begins && !operation.begin(side, clock, now_ns) {
            return Step::Fail;
        }
        if !ready {
            return Step::Wait;
        }
        if side.used.turn != metrics.turns {
            side.used = Used { turn: metrics.turns, ..Used::default() };
        } else if side.used.operations >= budget.operations || side.used.bytes >= budget.bytes {
            return Step::Yield;
        }
        Step::Try
    }

    /// What the scope of an operation makes of it: nothing, as long as the scope has not ended.
    fn step_in_scope(
        &mut self,
        token: Token,
        operation: &Operation,
        scope: Id,
        begins: bool,
    ) -> Option<Step> {
        if begins {
            // Of a source that is closed or cancelled the failure tells which came first.
            return self.refuses(scope).map(|_| Step::Fail);
        }
        let (order, by_deadline) = self.scopes.ended(scope)?;
        let source = self.source(token).ok()?;
        let side = &source.sides[operation.direction.side()];
        let fired_before = operation.has_elapsed(side) && side.elapsed_order < order;
        let interrupted_before = source.interrupt_order < order;
        let once_more = fired_before || by_deadline && !interrupted_before;
        Some(if operation.waiting && once_more { Step::TryOnceMore } else { Step::Fail })
    }

    /// Whether an operation of the poll-based interface was given up by whoever polled it: it was told
    /// that its time is over, and everything that was runnable then has run since.
    pub(crate) fn was_given_up(&mut self, token: Token, operation: &Operation) -> bool {
        let all_ran_in = self.all_ran_in_turn;
        let Ok(source) = self.source(token) else { return false };
        let side = source.side(operation.direction);
        let told = operation.waiting && operation.due_ns(side) <= side.elapsed_at;
        told && side.elapsed_in_turn <= all_ran_in
    }

    /// Books a system call that moved something.
    pub(crate) fn moved(&mut self, token: Token, direction: Direction, bytes: usize, drained: bool) {
        let Ok(source) = self.source(token) else { return };
        // A short write has filled the buffer; a short read has emptied it only if nothing else, as
        // urgent data or an end, can have cut it short.
        let proves = direction == Direction::Write
            || source.short_reads_drain && source.readiness.short_read_drains();
        if drained && proves {
            source.readiness.clear(direction);
        }
        let used = &mut source.side(direction).used;
        used.operations = used.operations.saturating_add(1);
        used.bytes = used.bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Books a system call that would have blocked.
    pub(crate) fn blocked(&mut self, token: Token, direction: Direction) {
        if let Ok(source) = self.source(token) {
            source.readiness.clear(direction);
        }
    }

    /// Has `waker` woken when the side is ready or the operation's time is up. Returns the waker it had before,
    /// to be dropped where its drop can do no harm, or `waker` itself if the source is closed.
    pub(crate) fn wait(
        &mut self,
        token: Token,
        operation: &mut Operation,
        waker: Waker,
        poller: Poller,
    ) -> Result<Option<Waker>, Waker> {
        let wait = self.wait;
        let Reactor { id, sources, clock, now_ns, .. } = self;
        let Some(source) = sources.get_mut(token.id).filter(|_| token.reactor == *id) else {
            return Err(waker);
        };
        let in_memory = source.in_memory;
        let side = source.side(operation.direction);
        if operation.begun_at_ns == 0 && side.timeout != NEVER {
            operation.fix_deadline(side, clock, now_ns);
        } else if operation.begun_at_ns == 0 {
            // Not read anew: in a scope with a deadline it was when the operation began. If a deadline is set only
            // while it waits, what came before in this turn counts as part of its wait.
            operation.begun_at_ns = *now_ns;
        }
        let first = side.waiting == 0;
        let joins = !operation.waiting;
        if !operation.waiting {
            operation.waiting = true;
            let turn_so_far_ns = operation.begun_at_ns.saturating_sub(wait.woke_ns);
            operation.held_up_before_ns = wait.held_up_ns + turn_so_far_ns;
            side.waiting += 1;
            side.last_operation = side.last_operation.wrapping_add(1);
            operation.name = side.last_operation;
        }
        let Operation { name, begun_at_ns: since_ns, scope, .. } = *operation;
        let note = Note { since_ns, until_ns: operation.own_ns, poller, scope };
        let before = side.waiters.set(name, waker, note);
        // Others may wait too: the side is told at the earliest time of all.
        let alone = side.waiting == 1;
        side.own = if alone { operation.own_ns } else { operation.own_ns.min(side.own) };
        let wanted_ns = side.deadline.min(side.own);
        if wanted_ns != side.wanted {
            self.want(token.id, operation.direction, wanted_ns);
        }
        self.waiting_sides += usize::from(first && !in_memory);
        if let Some(scope) = scope.filter(|_| joins) {
            let member = Member::Operation { source: token.id, direction: operation.direction, name };
            operation.member = self.scopes.join(scope, member).unwrap_or(usize::MAX);
        }
        Ok(before)
    }

    /// An operation waits no longer; the last to go takes the side's wish along. Returns its waker, to be
    /// dropped where its drop can do no harm.
    pub(crate) fn leave(&mut self, token: Token, operation: &Operation) -> Option<Waker> {
        if let Some(scope) = operation.scope {
            // An operation on a source has no waker there.
            let _ = self.scopes.leave(scope, operation.member);
        }
        let source = self.source(token).ok()?;
        let in_memory = source.in_memory;
        let side = source.side(operation.direction);
        let waker = side.waiters.remove(operation.name);
        side.waiting -= 1;
        if side.waiting == 0 {
            side.wanted = NEVER;
            side.own = NEVER;
            self.waiting_sides -= usize::from(!in_memory);
        }
        waker
    }
}

impl Reactor {
    /// Why an operation has failed: what came first of a deadline that fired, a cancel or shutdown, the end of
    /// the scope and that of the source. Of a source that is `closed` its owner has kept what is known.
    #[cold]
    pub(crate) fn failure(
        &mut self,
        token: Token,
        operation: &Operation,
        closed: Option<&Source>,
    ) -> Failure {
        let scope_end = operation.scope.and_then(|scope| self.scopes.end_of(scope));
        let source = match self.source(token) {
            Ok(source) => source.failure(operation),
            Err(_) => closed.map_or((0, Failure::Closed), |source| source.failure(operation)),
        };
        match scope_end {
            Some((order, end)) if order < source.0 => {
                let mut failure = end.failure(operation.waiting.then_some(operation.begun_at_ns));
                if let Failure::Elapsed(elapsed) = &mut failure {
                    elapsed.held_up_ns = operation.held_up(&elapsed.wait);
                }
                failure
            }
            _ => source.1,
        }
    }
}

impl Source {
    /// Why an operation on it has failed, and when that was in the order of all that ends anything.
    fn failure(&self, operation: &Operation) -> (u64, Failure) {
        let side = &self.sides[operation.direction.side()];
        match &self.interrupt {
            _ if operation.has_elapsed(side) => {
                let elapsed = operation.elapsed(side, side.elapsed_at);
                (side.elapsed_order, Failure::Elapsed(elapsed))
            }
            Some(interrupt) => (self.interrupt_order, Failure::from(interrupt)),
            None if !operation.waiting && operation.due_ns(side) <= operation.begun_at_ns => {
                (NEVER, Failure::Elapsed(operation.elapsed(side, operation.begun_at_ns)))
            }
            None => (self.closed_order, Failure::Closed),
        }
    }
}
