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
    /// Whether it waits alone: then what else is to be known of it is [kept with its side](crate::lone::Lone), and not here until
    /// that [tells](Source::tell) it.
    pub(crate) alone: bool,
    /// Whether there is nothing to be moved: it waits for nothing.
    pub(crate) trivial: bool,
    /// The scope it began in.
    pub(crate) scope: Option<Id>,
    /// What else is to be known of it: nothing as long as it need not wait, and has no deadline.
    known: Option<Known>,
}

/// What is known of an operation that waits, or may be out of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// Its name among the operations on its side, once it has waited beside others.
    pub(crate) name: u32,
    /// As which of the members of its scope it waits.
    pub(crate) member: u32,
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

impl Known {
    const NOTHING: Known = Known {
        name: 0,
        member: NO_MEMBER,
        own_ns: NEVER,
        guard_ns: NEVER,
        begun_at_ns: 0,
        held_up_before_ns: 0,
    };
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
            known: None,
        }
    }

    #[inline]
    pub(crate) fn known(&self) -> Known {
        self.known.unwrap_or(Known::NOTHING)
    }

    #[inline]
    pub(crate) fn known_mut(&mut self) -> &mut Known {
        self.known.get_or_insert(Known::NOTHING)
    }

    /// Returns whether it may begin: a deadline that has passed already lets it touch nothing. Without one nothing
    /// is to be compared with the time, and its own time begins where it waits: one that need not wait reads no clock.
    pub(crate) fn begin(&mut self, side: &Side, reactor: &mut Reactor) -> bool {
        if !side.may_let_none_begin() {
            return true;
        }
        self.fix_deadline(side, &reactor.clock);
        reactor.now_ns = self.known().begun_at_ns.max(reactor.now_ns);
        self.due_ns(side) > self.known().begun_at_ns
    }

    /// When its time began, 0 if that is not known, and its own deadline, if it begins to wait now: its time begins here, if
    /// it has not begun before. Of one that waits already they are known elsewhere.
    #[inline]
    pub(crate) fn times_of_wait(&self, side: &Side, clock: &Clock) -> (u64, u64) {
        if let Some(known) = self.known.filter(|known| known.begun_at_ns != 0) {
            return (known.begun_at_ns, known.own_ns);
        }
        if self.waiting || side.timeout() == NEVER {
            return (0, NEVER);
        }
        let now_ns = clock.now().as_nanos();
        (now_ns, now_ns.saturating_add(side.timeout()))
    }

    /// Fixes its own deadline, by a clock read now.
    #[inline]
    fn fix_deadline(&mut self, side: &Side, clock: &Clock) {
        let now_ns = clock.now().as_nanos();
        let known = self.known_mut();
        known.own_ns = now_ns.saturating_add(side.timeout());
        known.begun_at_ns = now_ns;
    }

    fn elapsed(&self, side: &Side, at_ns: u64) -> OperationElapsed {
        let Known { own_ns, begun_at_ns, .. } = self.known();
        let bound = if side.deadline() <= own_ns {
            Bound::Deadline(side.set_at.get())
        } else {
            let timeout_ns = own_ns.saturating_sub(begun_at_ns);
            Bound::Timeout(Duration::from_nanos(timeout_ns), side.timeout_set_at.get())
        };
        let wait = side.elapsed().after;
        OperationElapsed {
            began: Instant::from_nanos(begun_at_ns),
            deadline: Instant::from_nanos(self.due_ns(side)),
            fired: Instant::from_nanos(at_ns),
            bound,
            before_it_began: !self.waiting,
            wait,
            held_up_ns: self.held_up(&wait),
        }
    }

    /// How long turns held the loop up while it waited, until the one before which the loop waited like this.
    pub(crate) fn held_up(&self, wait: &Wait) -> u64 {
        if self.waiting { wait.held_up_ns.saturating_sub(self.known().held_up_before_ns) } else { 0 }
    }

    #[inline]
    fn due_ns(&self, side: &Side) -> u64 {
        side.deadline().min(self.known().own_ns)
    }

    /// Whether a deadline of its side, or its own, has fired while it waited.
    pub(crate) fn has_elapsed(&self, side: &Side) -> bool {
        self.waiting && self.due_ns(side) <= side.elapsed().at_ns
    }
}

impl Note {
    #[inline]
    pub(crate) fn of(operation: &Operation, poller: Poller) -> Note {
        let Known { begun_at_ns: since_ns, own_ns: until_ns, .. } = operation.known();
        Note { since_ns, until_ns, poller, scope: operation.scope }
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
        match self.interrupted() {
            _ if operation.has_elapsed(side) => {
                let Elapsed { at_ns, order, .. } = side.elapsed();
                (order, Failure::Elapsed(operation.elapsed(side, at_ns)))
            }
            Some((order, interrupt)) => (*order, Failure::from(interrupt)),
            None if !operation.waiting && operation.due_ns(side) <= operation.known().begun_at_ns => {
                (NEVER, Failure::Elapsed(operation.elapsed(side, operation.known().begun_at_ns)))
            }
            None => (self.closed_order(), Failure::Closed),
        }
    }
}
