//! [`Source`]: what is kept of one registration, shared by the reactor and the registration's owner.

use std::cell::{Cell, OnceCell, RefCell};
use std::panic::Location;

use crate::arena::Id;
use crate::event::Cause;
use crate::leeway::Leeway;
use crate::operation::Operation;
use crate::readiness::{Direction, Readiness};
use crate::side::{Elapsed, Side};
use crate::timers::{Due, TimerKey, Timers};
use crate::waiters::{Waiters, Woken};
use crate::waits::Subject;

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
#[derive(Debug)]
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
    pub(crate) sides: [Side; 2],
    entry: Cell<Option<TimerKey>>,
    /// By when the entry fires: its deadline plus its leeway.
    entry_fires_by: Cell<u64>,
    /// Ends all operations, those to come included, and when that was in the order of all that ends anything. The
    /// first cause stays.
    interrupt: OnceCell<Box<(u64, Interrupt)>>,
    /// When it was closed, in the same order.
    closed_order: Cell<u64>,
    /// With whom or what its operations wait, for the audit.
    pub(crate) subject: RefCell<Option<Subject>>,
    /// The scope in which what waits here is said to wait that is of none.
    pub(crate) home: Cell<Option<Id>>,
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
            sides: [Side::new("read", leeway), Side::new("write", leeway)],
            entry: Cell::new(None),
            entry_fires_by: Cell::new(NEVER),
            interrupt: OnceCell::new(),
            closed_order: Cell::new(NEVER),
            subject: RefCell::new(None),
            home: Cell::new(None),
        }
    }

    #[inline]
    pub(crate) fn side(&self, direction: Direction) -> &Side {
        &self.sides[direction.side()]
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

    /// Tells `operation` what is kept of it here, if it waits alone.
    #[inline]
    pub(crate) fn tell(&self, operation: &mut Operation) {
        if operation.alone {
            self.side(operation.direction).lone().tell(operation);
        }
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

    /// The same by somebody, at some place.
    #[inline]
    pub(crate) fn put_deadline(
        &self,
        direction: Direction,
        at_ns: u64,
        set_at: Option<&'static Location<'static>>,
    ) {
        self.set_deadline(direction, at_ns);
        let side = self.side(direction);
        side.set_at.set(set_at);
        side.overdue.set(false);
    }

    pub(crate) fn set_timeout(&self, direction: Direction, timeout_ns: u64) {
        let side = self.side(direction);
        side.timeout.set(timeout_ns);
        self.mark(Unusual::bounded(direction), side.may_let_none_begin());
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
        self.side(direction).book(turn, bytes);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed_order.get() != NEVER
    }

    pub(crate) fn closed_order(&self) -> u64 {
        self.closed_order.get()
    }

    /// It is closed, unless it was before.
    pub(crate) fn close(&self, order: u64) {
        self.mark(Unusual::ENDED, true);
        self.closed_order.set(order);
    }

    /// What interrupts it, and when that was in the order of all that ends anything.
    pub(crate) fn interrupted(&self) -> Option<&(u64, Interrupt)> {
        self.interrupt.get().map(|interrupt| &**interrupt)
    }

    /// Interrupts with `why`, unless something else came first. Returns whom to wake.
    pub(crate) fn interrupt(&self, why: Interrupt, order: u64) -> Option<Waiters> {
        self.interrupt.set(Box::new((order, why))).ok()?;
        self.mark(Unusual::ENDED, true);
        if !self.raw.get() {
            // For the operations, what fires from now on comes second.
            self.sides.iter().for_each(|side| side.wanted.set(NEVER));
        }
        Some(self.take_waiters())
    }

    /// Wants to be told at `at_ns` for `direction`. Returns whether the wheel had to be touched.
    #[inline]
    pub(crate) fn want(
        &self,
        direction: Direction,
        at_ns: u64,
        index: u32,
        now_ns: u64,
        timers: &mut Timers,
    ) -> bool {
        let side = self.side(direction);
        side.wanted.set(at_ns);
        // No leeway makes it fire later than the entry does: nothing to compute, nothing to move.
        if at_ns >= self.entry_fires_by.get() {
            return false;
        }
        let leeway = side.leeway.get().for_timeout(at_ns.saturating_sub(now_ns)).as_nanos();
        if at_ns.saturating_add(leeway) >= self.entry_fires_by.get() {
            return false;
        }
        self.file(index, now_ns, timers);
        true
    }

    /// Files the wheel entry for the earlier wish of the two sides, if there is one.
    #[inline(never)]
    pub(crate) fn file(&self, index: u32, now_ns: u64, timers: &mut Timers) {
        self.unfile(timers);
        let wishes = || self.sides.iter().map(|side| (side.wanted.get(), side.leeway.get()));
        let at = wishes().map(|(wanted_ns, _)| wanted_ns).min().unwrap_or(NEVER);
        if at == NEVER {
            return;
        }
        let fires_by =
            wishes().filter(|(wanted_ns, _)| *wanted_ns != NEVER).map(|(wanted_ns, leeway)| {
                let timeout_ns = wanted_ns.saturating_sub(now_ns);
                wanted_ns.saturating_add(leeway.for_timeout(timeout_ns).as_nanos())
            });
        let leeway = Leeway::at_most_nanos(fires_by.min().unwrap_or(at) - at);
        self.entry.set(Some(timers.insert(at, leeway, Due::Source(index))));
        self.entry_fires_by.set(at.saturating_add(leeway.as_nanos()));
    }

    /// Takes the wheel entry out.
    pub(crate) fn unfile(&self, timers: &mut Timers) {
        if let Some(entry) = self.entry.take() {
            timers.cancel(entry);
            self.entry_fires_by.set(NEVER);
        }
    }

    pub(crate) fn is_filed(&self) -> bool {
        self.entry_fires_by.get() != NEVER
    }

    /// The wheel entry has fired and is gone.
    pub(crate) fn entry_fired(&self) {
        self.entry.set(None);
        self.entry_fires_by.set(NEVER);
    }

    /// How many of its sides have an operation that waits for the kernel.
    pub(crate) fn sides_waiting_for_the_kernel(&self) -> usize {
        let waiting = self.sides.iter().filter(|side| side.waiting.get() > 0);
        if self.in_memory.get() { 0 } else { waiting.count() }
    }

    /// Takes out who waits for any of `readiness`.
    pub(crate) fn take_waiters_for(&self, readiness: Readiness) -> Waiters {
        let mut waiters = Waiters::default();
        for direction in Direction::BOTH.into_iter().filter(|direction| readiness.allows(*direction)) {
            waiters.append(self.side(direction).take_waiters());
        }
        waiters
    }

    /// Has the tasks woken that wait alone for any of `readiness`. Returns whether nobody else waits for it.
    #[inline]
    pub(crate) fn wake_lone_tasks(&self, readiness: Readiness, wake: &mut impl FnMut(Id)) -> bool {
        let [read, write] = &self.sides;
        let write = !readiness.allows(Direction::Write) || write.wake_lone_task(wake);
        let read = !readiness.allows(Direction::Read) || read.wake_lone_task(wake);
        read && write
    }

    /// The same; mostly it is one.
    #[inline]
    pub(crate) fn take_woken(&self, readiness: Readiness) -> Woken {
        let waits = |direction| readiness.allows(direction) && self.side(direction).has_waiters();
        match (waits(Direction::Read), waits(Direction::Write)) {
            (false, false) => Woken::Nobody,
            (true, false) => self.side(Direction::Read).take_woken(),
            (false, true) => self.side(Direction::Write).take_woken(),
            (true, true) => Woken::All(self.take_waiters()),
        }
    }

    pub(crate) fn take_waiters(&self) -> Waiters {
        let [read, write] = &self.sides;
        let mut all = read.take_waiters();
        all.append(write.take_waiters());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use punctual_timer_wheel::Tick;

    const S: u64 = 1_000_000_000;

    fn rig() -> (Source, Timers) {
        (Source::new(Leeway::MILLISECOND, Readiness::NONE), Timers::new(S, Tick::default()))
    }

    #[test]
    fn extending_touches_no_wheel_and_shortening_does() {
        let (source, mut timers) = rig();
        assert!(source.want(Direction::Read, 5 * S, 0, S, &mut timers));
        for later in 1..1_000 {
            assert!(!source.want(Direction::Read, 5 * S + later, 0, S, &mut timers));
        }
        assert!(!source.want(Direction::Read, NEVER, 0, S, &mut timers), "disarming is a store too");
        assert!(source.want(Direction::Write, 2 * S, 0, S, &mut timers));
        assert_eq!(timers.len(), 1, "one entry for both sides");
        assert_eq!(timers.next_deadline(), Some(2 * S));
    }

    #[test]
    fn a_tight_deadline_is_not_held_back_by_the_leeway_of_an_earlier_one() {
        let (source, mut timers) = rig();
        source.want(Direction::Read, 5 * S, 0, S, &mut timers);
        // Two milliseconds from now take no leeway, but the entry filed for 5 s may come 1 ms late.
        let now = 5 * S - 1_900_000;
        assert!(source.want(Direction::Read, 5 * S + 100_000, 0, now, &mut timers));
        assert_eq!(timers.alarm().map(|alarm| alarm.at_ns), Some(5 * S + 100_000));
    }

    #[test]
    fn the_leeways_of_both_sides_are_kept() {
        let (source, mut timers) = rig();
        source.sides[0].leeway.set(Leeway::at_most_nanos(100_000_000));
        source.want(Direction::Read, 20 * S, 0, S, &mut timers);
        source.want(Direction::Write, 20 * S + 10_000_000, 0, S, &mut timers);
        let alarm = timers.alarm().expect("an entry").at_ns;
        assert!((20 * S..=20 * S + 11_000_000).contains(&alarm), "{alarm}");
    }

    #[test]
    fn the_first_interrupt_stays() {
        let (source, _) = rig();
        assert!(source.interrupt(Interrupt::Cancelled("first".into()), 1).is_some());
        assert!(source.interrupt(Interrupt::Shutdown, 2).is_none());
        assert_eq!(source.interrupted(), Some(&(1, Interrupt::Cancelled("first".into()))));
    }
}
