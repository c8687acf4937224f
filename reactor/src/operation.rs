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
use crate::side::{Elapsed, Side};
use crate::source::{NEVER, Source, Unusual};
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

/// What is kept of an operation between two polls: little, as each connection that says nothing has one.
#[derive(Debug)]
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
    /// Whether it waits alone: then what else is to be known of it is [kept with its side](crate::lone::Lone).
    pub(crate) alone: bool,
    /// Whether there is nothing to be moved: it waits for nothing.
    pub(crate) trivial: bool,
    /// The scope it began in.
    pub(crate) scope: Option<Id>,
    /// When it began, if its side had a deadline then; otherwise 0. If it waits that is known elsewhere.
    begun_at_ns: u64,
    /// What else is to be known of it if it waits, and not alone.
    known: Option<Box<Known>>,
}

/// What is known of an operation that waits in a scope, or beside others.
#[derive(Debug)]
pub(crate) struct Known {
    /// Its name among the operations on its side, once it has waited beside others.
    pub(crate) name: u32,
    /// As which of the members of its scope it waits.
    pub(crate) member: u32,
    pub(crate) times: Times,
}

/// When an operation began, and by when it is to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Its own deadline, from the side's timeout.
    pub(crate) own_ns: u64,
    /// That of the earliest [`timeout`](crate::timeout) around it, once it waits.
    pub(crate) guard_ns: u64,
    /// When its time began; 0 if its side had no deadline and it has not waited.
    pub(crate) begun_at_ns: u64,
    /// How long the loop had been held up before it waited, the turn it began in included.
    pub(crate) held_up_before_ns: u64,
}

/// As which member of its scope an operation waits that is none.
pub(crate) const NO_MEMBER: u32 = u32::MAX;

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

impl Times {
    const UNKNOWN: Times =
        Times { own_ns: NEVER, guard_ns: NEVER, begun_at_ns: 0, held_up_before_ns: 0 };
}

impl Default for Times {
    fn default() -> Times {
        Times::UNKNOWN
    }
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
            alone: false,
            trivial: false,
            scope: None,
            begun_at_ns: 0,
            known: None,
        }
    }

    /// One of which no more is to be known than that it [waits alone](Operation::alone) for its source.
    pub(crate) fn waiting_alone(direction: Direction) -> Operation {
        Operation {
            minds: Unusual::when_waiting(direction),
            begun: true,
            waiting: true,
            blocked: true,
            alone: true,
            ..Operation::new(direction)
        }
    }

    /// It waits, and not alone, as one of these `times`.
    pub(crate) fn waits_beside(&mut self, name: u32, times: Times) {
        (self.waiting, self.alone) = (true, false);
        self.minds = Unusual::when_waiting(self.direction);
        self.known = Some(Box::new(Known { name, member: NO_MEMBER, times }));
    }

    /// What is known of it if it waits, and not alone.
    #[inline]
    pub(crate) fn known(&self) -> Option<&Known> {
        self.known.as_deref()
    }

    pub(crate) fn known_mut(&mut self) -> Option<&mut Known> {
        self.known.as_deref_mut()
    }

    /// Returns whether it may begin: a deadline that has passed already lets it touch nothing. Without one nothing
    /// is to be compared with the time, and its own time begins where it waits: one that need not wait reads no clock.
    pub(crate) fn begin(&mut self, side: &Side, reactor: &mut Reactor) -> bool {
        if !side.may_let_none_begin() {
            return true;
        }
        self.begun_at_ns = reactor.clock.now().as_nanos();
        reactor.now_ns = self.begun_at_ns.max(reactor.now_ns);
        self.own_ns(side).min(side.deadline()) > self.begun_at_ns
    }

    /// Its own deadline, if it has begun, and does not wait yet.
    #[inline]
    fn own_ns(&self, side: &Side) -> u64 {
        self.begun_at_ns.saturating_add(side.timeout())
    }

    /// When its time began, 0 if that is not known, and its own deadline, if it begins to wait now: its time begins here, if
    /// it has not begun before. Of one that waits already they are known elsewhere.
    #[inline]
    pub(crate) fn times_of_wait(&self, side: &Side, clock: &Clock) -> (u64, u64) {
        if self.waiting {
            return (0, NEVER);
        }
        if self.begun_at_ns != 0 {
            return (self.begun_at_ns, self.own_ns(side));
        }
        if side.timeout() == NEVER {
            return (0, NEVER);
        }
        let now_ns = clock.now().as_nanos();
        (now_ns, now_ns.saturating_add(side.timeout()))
    }

    /// When it began, and by when it is to end, as far as that is known.
    pub(crate) fn times(&self, side: &Side) -> Times {
        match self.known() {
            Some(known) => known.times,
            None if self.alone => side.lone.times.get(),
            None if self.begun_at_ns == 0 => Times::UNKNOWN,
            None => Times { own_ns: self.own_ns(side), begun_at_ns: self.begun_at_ns, ..Times::UNKNOWN },
        }
    }

    fn elapsed(&self, side: &Side, at_ns: u64) -> OperationElapsed {
        let times = self.times(side);
        let Times { own_ns, begun_at_ns, .. } = times;
        let bound = if side.deadline() <= own_ns {
            Bound::Deadline(side.set_at.get())
        } else {
            let timeout_ns = own_ns.saturating_sub(begun_at_ns);
            Bound::Timeout(Duration::from_nanos(timeout_ns), side.timeout_set_at.get())
        };
        let wait = side.elapsed().after;
        OperationElapsed {
            began: Instant::from_nanos(begun_at_ns),
            deadline: Instant::from_nanos(side.deadline().min(own_ns)),
            fired: Instant::from_nanos(at_ns),
            bound,
            before_it_began: !self.waiting,
            wait,
            held_up_ns: self.held_up(&times, &wait),
        }
    }

    /// How long turns held the loop up while it waited, until the one before which the loop waited like this.
    pub(crate) fn held_up(&self, times: &Times, wait: &Wait) -> u64 {
        if self.waiting { wait.held_up_ns.saturating_sub(times.held_up_before_ns) } else { 0 }
    }

    /// Whether a deadline of its side, or its own, has fired while it waited.
    pub(crate) fn has_elapsed(&self, side: &Side) -> bool {
        self.waiting && side.deadline().min(self.times(side).own_ns) <= side.elapsed().at_ns
    }
}

impl Note {
    pub(crate) fn of(times: &Times, poller: Poller, scope: Option<Id>) -> Note {
        Note { since_ns: times.begun_at_ns, until_ns: times.own_ns, poller, scope }
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
        } else if self.had_its_share(operation.direction, turn, budget) {
            Step::Yield
        } else {
            Step::Try
        }
    }

    /// Why an operation on it has failed, and when that was in the order of all that ends anything.
    pub(crate) fn failure(&self, operation: &Operation) -> (u64, Failure) {
        let side = self.side(operation.direction);
        let Times { own_ns, begun_at_ns, .. } = operation.times(side);
        match self.interrupted() {
            _ if operation.has_elapsed(side) => {
                let Elapsed { at_ns, order, .. } = side.elapsed();
                (order, Failure::Elapsed(operation.elapsed(side, at_ns)))
            }
            Some((order, interrupt)) => (*order, Failure::from(interrupt)),
            None if !operation.waiting && side.deadline().min(own_ns) <= begun_at_ns => {
                (NEVER, Failure::Elapsed(operation.elapsed(side, begun_at_ns)))
            }
            None => (self.closed_order(), Failure::Closed),
        }
    }
}

#[cfg(test)]
mod tests;
