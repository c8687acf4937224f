//! [`Source`]: what is kept of one registration, shared by the reactor and the registration's owner.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::panic::Location;

use crate::arena::Id;
use crate::budget::Budget;
use crate::event::Cause;
use crate::leeway::Leeway;
use crate::operation::Operation;
use crate::readiness::{Direction, Readiness};
use crate::side::{Elapsed, Side};
use crate::waiters::{Waiters, Woken};
use crate::waits::{KeptSubject, Label, Subject};

mod filing;
mod used;

use filing::Entry;
use used::Used;

/// A deadline that is not set.
pub(crate) const NEVER: u64 = u64::MAX;

/// One registration: its readiness, and per side its deadline and who waits.
///
/// The reactor's arena holds it, and so does its owner: an operation that need not wait finds all it asks for here and
/// borrows nothing. What ends a registration marks it here; so its owner learns from it what came first.
///
/// There is at most one wheel entry for both sides. It is filed for the earliest wish of the two and
/// left alone when a wish moves later: extending a deadline is a store. An entry that meets an extended
/// wish files itself again.
pub(crate) struct Source {
    /// What is known to be possible; cleared only by a `WouldBlock`.
    pub(crate) readiness: Cell<Readiness>,
    /// What of it was not given out yet; then it is queued to be.
    pub(crate) undelivered: Cell<Readiness>,
    /// Whether an operation has more to look at than readiness.
    unusual: Cell<Unusual>,
    /// Whether a short read proves that nothing more is to be read.
    pub(crate) short_reads_drain: Cell<bool>,
    /// Its readiness comes from this thread, and not from the kernel: it is no reason for virtual time to stand
    /// still.
    pub(crate) in_memory: Cell<bool>,
    /// Used through [`Reactor`](crate::Reactor) itself: its deadlines are events, not operations.
    pub(crate) raw: Cell<bool>,
    /// Whether it closes its descriptor itself, and nobody else ought to.
    pub(crate) owns_descriptor: Cell<bool>,
    /// Somebody else has closed its descriptor, and the number is another's.
    pub(crate) lost_descriptor: Cell<bool>,
    used: Used,
    read: Side,
    /// Most connections never wait to write, nor is there a bound on it: room for it is made when there is.
    write: OnceCell<Box<Side>>,
    entry: Entry,
    rare: OnceCell<Box<Rare>>,
    /// With whom or what its operations wait, for the audit.
    subject: Cell<Option<KeptSubject>>,
}

/// What few sources have.
#[derive(Debug, Default)]
struct Rare {
    /// Ends all operations, those to come included, and when that was in the order of all that ends anything. The
    /// first cause stays.
    interrupt: OnceCell<(u64, Interrupt)>,
    /// The scope in which what waits here is said to wait that is of none.
    home: Cell<Option<Id>>,
}

/// Why operations on a source end without the source's doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    Cancelled(Cause),
    Shutdown,
}

/// What makes an operation look twice; a set, one bit each. With none of them an operation depends on nothing but
/// readiness and its share of the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unusual(u8);

impl Unusual {
    const NOTHING: Unusual = Unusual(0);
    /// It was interrupted, or closed.
    const ENDED: Unusual = Unusual(1);

    /// An operation on this side may be out of time before it begins.
    const fn bounded(direction: Direction) -> Unusual {
        Unusual(2 << direction.side())
    }

    /// A deadline has fired on this side.
    pub(crate) const fn fired(direction: Direction) -> Unusual {
        Unusual(8 << direction.side())
    }

    /// What an operation looks for that begins.
    pub(crate) const fn when_beginning(direction: Direction) -> Unusual {
        Unusual(Unusual::ENDED.0 | Unusual::bounded(direction).0)
    }

    /// What one looks for that waits.
    pub(crate) const fn when_waiting(direction: Direction) -> Unusual {
        Unusual(Unusual::ENDED.0 | Unusual::fired(direction).0)
    }
}

impl Source {
    pub(crate) fn new(leeway: Leeway, readiness: Readiness) -> Source {
        Source {
            readiness: Cell::new(readiness),
            undelivered: Cell::new(Readiness::NONE),
            unusual: Cell::new(Unusual::NOTHING),
            short_reads_drain: Cell::new(false),
            in_memory: Cell::new(false),
            owns_descriptor: Cell::new(false),
            lost_descriptor: Cell::new(false),
            raw: Cell::new(false),
            used: Used::default(),
            read: Side::new(leeway),
            write: OnceCell::new(),
            entry: Entry::default(),
            rare: OnceCell::new(),
            subject: Cell::new(None),
        }
    }

    #[inline]
    pub(crate) fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => self.write.get().map_or_else(|| self.new_write(), |write| &**write),
        }
    }

    #[cold]
    #[inline(never)]
    fn new_write(&self) -> &Side {
        self.write.get_or_init(|| Box::new(Side::new(self.leeway())))
    }

    /// Those that anything has been said or done on: all others have neither bounds nor anybody who waits.
    pub(crate) fn sides(&self) -> impl Iterator<Item = (Direction, &Side)> {
        let write = self.write.get().map(|write| (Direction::Write, &**write));
        [(Direction::Read, &self.read)].into_iter().chain(write)
    }

    /// The side, if it is one of those.
    #[inline]
    pub(crate) fn known_side(&self, direction: Direction) -> Option<&Side> {
        match direction {
            Direction::Read => Some(&self.read),
            Direction::Write => self.write.get().map(|write| &**write),
        }
    }

    /// The widest leeway of its deadlines.
    pub(crate) fn leeway(&self) -> Leeway {
        self.read.leeway.get()
    }

    /// Whether this turn has seen its share of work on a side.
    #[inline]
    pub(crate) fn had_its_share(&self, direction: Direction, turn: u32, budget: &Budget) -> bool {
        self.used.is_its_share(direction, turn, budget)
    }

    pub(crate) fn subject(&self) -> Option<Subject> {
        let subject = self.subject.take();
        self.subject.set(subject.clone());
        subject.map(Subject::from)
    }

    /// Returns the one before.
    pub(crate) fn set_subject(&self, subject: Subject) -> Option<Subject> {
        self.subject.replace(Some(subject.into())).map(Subject::from)
    }

    pub(crate) fn home(&self) -> Option<Id> {
        self.rare.get().and_then(|rare| rare.home.get())
    }

    pub(crate) fn set_home(&self, scope: Option<Id>) {
        self.rare().home.set(scope);
    }

    fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    /// What the audit calls an operation on a side.
    pub(crate) fn label(&self, direction: Direction) -> Label {
        let told = self.known_side(direction).and_then(Side::label);
        told.unwrap_or_else(|| match direction {
            Direction::Read => Label::new("read"),
            Direction::Write => Label::new("write"),
        })
    }

    /// Whether there is any of what an operation looks for.
    #[inline]
    pub(crate) fn has(&self, unusual: Unusual) -> bool {
        self.unusual.get().0 & unusual.0 != 0
    }

    /// Whether `operation`, which is to wait, is in no scope, and neither it nor another waits there yet.
    #[inline]
    pub(crate) fn is_free(&self, operation: &Operation) -> bool {
        let nobody_waits = self.side(operation.direction).waiting.get() == 0;
        nobody_waits && operation.scope.is_none() && !self.is_closed()
    }

    fn mark(&self, what: Unusual, holds: bool) {
        let Unusual(before) = self.unusual.get();
        self.unusual.set(Unusual(if holds { before | what.0 } else { before & !what.0 }));
    }

    pub(crate) fn set_deadline(&self, direction: Direction, at_ns: u64) {
        let side = self.side(direction);
        side.deadline.set(at_ns);
        self.mark(Unusual::bounded(direction), side.may_let_none_begin());
    }

    /// The same by somebody, at some place. Returns whether somebody waits on that side.
    #[inline]
    pub(crate) fn put_deadline(
        &self,
        direction: Direction,
        at_ns: u64,
        set_at: Option<&'static Location<'static>>,
    ) -> bool {
        let Some(side) = self.side_to_bound(direction, at_ns) else { return false };
        side.deadline.set(at_ns);
        side.set_at.set(set_at);
        side.overdue.set(false);
        self.mark(Unusual::bounded(direction), side.may_let_none_begin());
        side.waiting.get() > 0
    }

    pub(crate) fn put_timeout(
        &self,
        direction: Direction,
        timeout_ns: u64,
        set_at: &'static Location<'static>,
    ) {
        let Some(side) = self.side_to_bound(direction, timeout_ns) else { return };
        side.timeout.set(timeout_ns);
        side.timeout_set_at.set(Some(set_at));
        self.mark(Unusual::bounded(direction), side.may_let_none_begin());
    }

    /// The side that is to be bounded by `ns`. To take away a bound where there never was one needs no room.
    #[inline]
    fn side_to_bound(&self, direction: Direction, ns: u64) -> Option<&Side> {
        if ns == NEVER { self.known_side(direction) } else { Some(self.side(direction)) }
    }

    /// The time of a side is over.
    pub(crate) fn fired(&self, direction: Direction, elapsed: Elapsed) {
        self.mark(Unusual::fired(direction), true);
        self.side(direction).fired(elapsed);
    }

    /// Takes `readiness` for granted.
    #[inline]
    pub(crate) fn latch(&self, readiness: Readiness) {
        self.readiness.set(self.readiness.get() | readiness);
    }

    /// Books a system call that would have blocked.
    #[inline]
    pub(crate) fn blocked(&self, direction: Direction) {
        self.readiness.set(self.readiness.get().without(direction));
    }

    /// Books a system call that moved something. A short write has filled the buffer; a short read has emptied it only
    /// if nothing else, as urgent data or an end, can have cut it short.
    #[inline]
    pub(crate) fn moved(&self, direction: Direction, turn: u32, bytes: usize, drained: bool) {
        let proves = |readiness: Readiness| {
            direction == Direction::Write
                || self.short_reads_drain.get() && readiness.short_read_drains()
        };
        if drained && proves(self.readiness.get()) {
            self.blocked(direction);
        }
        self.used.add(direction, turn, bytes);
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.entry.is_closed()
    }

    /// When it was closed, in the order of all that ends anything; [`NEVER`] if it is open.
    pub(crate) fn closed_order(&self) -> u64 {
        self.entry.closed_order()
    }

    /// It is closed, and has no wheel entry any more.
    pub(crate) fn close(&self, order: u64) {
        self.mark(Unusual::ENDED, true);
        self.entry.close(order);
    }

    /// What interrupts it, and when that was in the order of all that ends anything.
    pub(crate) fn interrupted(&self) -> Option<&(u64, Interrupt)> {
        self.rare.get().and_then(|rare| rare.interrupt.get())
    }

    /// Interrupts with `why`, unless something else came first. Returns whom to wake.
    pub(crate) fn interrupt(&self, why: Interrupt, order: u64) -> Option<Waiters> {
        self.rare().interrupt.set((order, why)).ok()?;
        self.mark(Unusual::ENDED, true);
        if !self.raw.get() {
            // For the operations, what fires from now on comes second.
            self.sides().for_each(|(_, side)| side.wanted.set(NEVER));
        }
        Some(self.take_waiters())
    }

    /// How many of its sides have an operation that waits for the kernel.
    pub(crate) fn sides_waiting_for_the_kernel(&self) -> usize {
        let waiting = self.sides().filter(|(_, side)| side.waiting.get() > 0);
        if self.in_memory.get() { 0 } else { waiting.count() }
    }

    /// Takes out who waits for any of `readiness`.
    pub(crate) fn take_waiters_for(&self, readiness: Readiness) -> Waiters {
        let mut waiters = Waiters::default();
        for direction in Direction::BOTH.into_iter().filter(|direction| readiness.allows(*direction)) {
            waiters.append(self.known_side(direction).map(Side::take_waiters).unwrap_or_default());
        }
        waiters
    }

    /// Has the tasks woken that wait alone for any of `readiness`. Returns whether nobody else waits for it.
    #[inline]
    pub(crate) fn wake_lone_tasks(&self, readiness: Readiness, wake: &mut impl FnMut(Id)) -> bool {
        let write = self.write.get().filter(|_| readiness.allows(Direction::Write));
        let only_reads = write.is_none_or(|write| write.wake_lone_task(wake));
        (!readiness.allows(Direction::Read) || self.read.wake_lone_task(wake)) && only_reads
    }

    /// The same; mostly it is one.
    #[inline]
    pub(crate) fn take_woken(&self, readiness: Readiness) -> Woken {
        let waits = |direction| {
            let side = self.known_side(direction).filter(|_| readiness.allows(direction));
            side.filter(|side| side.has_waiters())
        };
        match (waits(Direction::Read), waits(Direction::Write)) {
            (None, None) => Woken::Nobody,
            (Some(side), None) | (None, Some(side)) => side.take_woken(),
            (Some(_), Some(_)) => Woken::All(self.take_waiters()),
        }
    }

    pub(crate) fn take_waiters(&self) -> Waiters {
        let mut all = self.read.take_waiters();
        if let Some(write) = self.write.get() {
            all.append(write.take_waiters());
        }
        all
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Source");
        all.field("readiness", &self.readiness.get()).field("sides", &self.sides().collect::<Vec<_>>());
        all.field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod accounts;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_interrupt_stays() {
        let source = Source::new(Leeway::MILLISECOND, Readiness::NONE);
        assert!(source.interrupt(Interrupt::Cancelled("first".into()), 1).is_some());
        assert!(source.interrupt(Interrupt::Shutdown, 2).is_none());
        assert_eq!(source.interrupted(), Some(&(1, Interrupt::Cancelled("first".into()))));
    }
}
