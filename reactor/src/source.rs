//! [`Source`]: what the reactor keeps of one registration.

use std::panic::Location;

use crate::drift::Wait;
use crate::event::Cause;
use crate::leeway::Leeway;
use crate::readiness::{Direction, Readiness};
use crate::timers::{Due, TimerKey, Timers};
use crate::waiters::{Waiters, Woken};
use crate::waits::{Label, Subject};

/// A deadline that is not set.
pub(crate) const NEVER: u64 = u64::MAX;

/// One registration: its readiness, and per side its deadline and who waits.
///
/// There is at most one wheel entry for both sides. It is filed for the earliest wish of the two and
/// left alone when a wish moves later: extending a deadline is a store. An entry that meets an extended
/// wish files itself again.
#[derive(Debug)]
pub(crate) struct Source {
    /// What is known to be possible; cleared only by a `WouldBlock`.
    pub(crate) readiness: Readiness,
    /// What of it was not given out yet; then it is queued to be.
    pub(crate) undelivered: Readiness,
    /// Whether a short read proves that nothing more is to be read.
    pub(crate) short_reads_drain: bool,
    /// Its readiness comes from this thread, and not from the kernel: it is no reason for virtual time to stand
    /// still.
    pub(crate) in_memory: bool,
    /// Used through [`Reactor`](crate::Reactor) itself: its deadlines are events, not operations.
    pub(crate) raw: bool,
    /// Ends all operations, those to come included. The first cause stays.
    pub(crate) interrupt: Option<Interrupt>,
    /// When that was, in the order of all that ends anything; likewise the close.
    pub(crate) interrupt_order: u64,
    pub(crate) closed_order: u64,
    pub(crate) sides: [Side; 2],
    /// With whom or what its operations wait, for the audit.
    pub(crate) subject: Option<Subject>,
    entry: Option<TimerKey>,
    /// By when the entry fires: its deadline plus its leeway.
    entry_fires_by: u64,
}

/// Why operations on a source end without the source's doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    Cancelled(Cause),
    Shutdown,
}

#[derive(Debug)]
pub(crate) struct Side {
    /// The deadline of the side, sticky.
    pub(crate) deadline: u64,
    /// How long each operation may take from its start.
    pub(crate) timeout: u64,
    /// Where that was set.
    pub(crate) timeout_set_at: Option<&'static Location<'static>>,
    /// The widest leeway its deadlines may take.
    pub(crate) leeway: Leeway,
    /// Where the deadline was set, if that was on this thread.
    pub(crate) set_at: Option<&'static Location<'static>>,
    /// The earliest of the waiting operations' own deadlines, from the timeouts they were given.
    pub(crate) own: u64,
    /// When the side wants to be told: its deadline, or its operations' own.
    pub(crate) wanted: u64,
    /// When it was last told, and in which turn.
    pub(crate) elapsed_at: u64,
    pub(crate) elapsed_in_turn: u64,
    /// How the loop had waited before that.
    pub(crate) elapsed_after: Wait,
    pub(crate) elapsed_order: u64,
    /// Whether its deadline has fired and was not touched since.
    pub(crate) overdue: bool,
    /// What the audit calls an operation on it.
    pub(crate) label: Label,
    /// How many operations wait.
    pub(crate) waiting: u32,
    pub(crate) waiters: Waiters,
    /// The name of the operation that waited last.
    pub(crate) last_operation: u32,
    /// What this turn has done on this side.
    pub(crate) used: Used,
}

/// The work done on one side in one turn.
#[derive(Debug, Default)]
pub(crate) struct Used {
    pub(crate) turn: u64,
    pub(crate) bytes: u32,
    pub(crate) operations: u16,
}

impl Source {
    pub(crate) fn new(leeway: Leeway) -> Source {
        let side = |label| Side {
            label,
            deadline: NEVER,
            timeout: NEVER,
            timeout_set_at: None,
            leeway,
            set_at: None,
            own: NEVER,
            wanted: NEVER,
            elapsed_at: 0,
            elapsed_in_turn: 0,
            elapsed_after: Wait::default(),
            elapsed_order: 0,
            overdue: false,
            waiting: 0,
            waiters: Waiters::default(),
            last_operation: 0,
            used: Used::default(),
        };
        Source {
            readiness: Readiness::NONE,
            undelivered: Readiness::NONE,
            short_reads_drain: false,
            in_memory: false,
            raw: false,
            interrupt: None,
            interrupt_order: NEVER,
            closed_order: NEVER,
            subject: None,
            sides: [side(Label::new("read")), side(Label::new("write"))],
            entry: None,
            entry_fires_by: NEVER,
        }
    }

    #[inline]
    pub(crate) fn side(&mut self, direction: Direction) -> &mut Side {
        &mut self.sides[direction.side()]
    }

    /// Wants to be told at `at_ns` for `direction`. Returns whether the wheel had to be touched.
    #[inline]
    pub(crate) fn want(
        &mut self,
        direction: Direction,
        at_ns: u64,
        index: u32,
        now_ns: u64,
        timers: &mut Timers,
    ) -> bool {
        let side = &mut self.sides[direction.side()];
        side.wanted = at_ns;
        // No leeway makes it fire later than the entry does: nothing to compute, nothing to move.
        if at_ns >= self.entry_fires_by {
            return false;
        }
        let leeway = side.leeway.for_timeout(at_ns.saturating_sub(now_ns)).as_nanos();
        if at_ns.saturating_add(leeway) >= self.entry_fires_by {
            return false;
        }
        self.file(index, now_ns, timers);
        true
    }

    /// Files the wheel entry for the earlier wish of the two sides, if there is one.
    pub(crate) fn file(&mut self, index: u32, now_ns: u64, timers: &mut Timers) {
        self.unfile(timers);
        let at = self.sides.iter().map(|side| side.wanted).min().unwrap_or(NEVER);
        if at == NEVER {
            return;
        }
        let fires_by = self.sides.iter().filter(|side| side.wanted != NEVER).map(|side| {
            let timeout = side.wanted.saturating_sub(now_ns);
            side.wanted.saturating_add(side.leeway.for_timeout(timeout).as_nanos())
        });
        let leeway = Leeway::at_most_nanos(fires_by.min().unwrap_or(at) - at);
        self.entry = Some(timers.insert(at, leeway, Due::Source(index)));
        self.entry_fires_by = at.saturating_add(leeway.as_nanos());
    }

    /// Takes the wheel entry out.
    pub(crate) fn unfile(&mut self, timers: &mut Timers) {
        if let Some(entry) = self.entry.take() {
            timers.cancel(entry);
            self.entry_fires_by = NEVER;
        }
    }

    pub(crate) fn is_filed(&self) -> bool {
        self.entry.is_some()
    }

    /// The wheel entry has fired and is gone.
    pub(crate) fn entry_fired(&mut self) {
        self.entry = None;
        self.entry_fires_by = NEVER;
    }

    /// Interrupts with `why`, unless something else came first. Returns whom to wake.
    pub(crate) fn interrupt(&mut self, why: Interrupt, order: u64) -> Option<Waiters> {
        if self.interrupt.is_some() {
            return None;
        }
        self.interrupt = Some(why);
        self.interrupt_order = order;
        if !self.raw {
            // For the operations, what fires from now on comes second.
            self.sides.iter_mut().for_each(|side| side.wanted = NEVER);
        }
        Some(self.take_waiters())
    }

    /// How many of its sides have an operation that waits for the kernel.
    pub(crate) fn sides_waiting_for_the_kernel(&self) -> usize {
        if self.in_memory { 0 } else { self.sides.iter().filter(|side| side.waiting > 0).count() }
    }

    /// Takes out who waits for any of `readiness`.
    pub(crate) fn take_waiters_for(&mut self, readiness: Readiness) -> Waiters {
        let mut waiters = Waiters::default();
        for direction in Direction::BOTH.into_iter().filter(|direction| readiness.allows(*direction)) {
            waiters.append(self.side(direction).waiters.take());
        }
        waiters
    }

    /// The same.
    #[inline]
    pub(crate) fn take_woken(&mut self, readiness: Readiness) -> Woken {
        let [read, write] = &mut self.sides;
        let reads = readiness.allows(Direction::Read) && !read.waiters.is_empty();
        let writes = readiness.allows(Direction::Write) && !write.waiters.is_empty();
        match (reads, writes) {
            (false, false) => Woken::Nobody,
            (true, false) => read.waiters.take_woken(),
            (false, true) => write.waiters.take_woken(),
            (true, true) => Woken::All(self.take_waiters()),
        }
    }

    pub(crate) fn take_waiters(&mut self) -> Waiters {
        let [read, write] = &mut self.sides;
        let mut all = read.waiters.take();
        all.append(write.waiters.take());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use punctual_timer_wheel::Tick;

    const S: u64 = 1_000_000_000;

    fn rig() -> (Source, Timers) {
        (Source::new(Leeway::MILLISECOND), Timers::new(S, Tick::default()))
    }

    #[test]
    fn extending_touches_no_wheel_and_shortening_does() {
        let (mut source, mut timers) = rig();
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
        let (mut source, mut timers) = rig();
        source.want(Direction::Read, 5 * S, 0, S, &mut timers);
        // Two milliseconds from now take no leeway, but the entry filed for 5 s may come 1 ms late.
        let now = 5 * S - 1_900_000;
        assert!(source.want(Direction::Read, 5 * S + 100_000, 0, now, &mut timers));
        assert_eq!(timers.alarm().map(|alarm| alarm.at_ns), Some(5 * S + 100_000));
    }

    #[test]
    fn the_leeways_of_both_sides_are_kept() {
        let (mut source, mut timers) = rig();
        source.sides[0].leeway = Leeway::at_most_nanos(100_000_000);
        source.want(Direction::Read, 20 * S, 0, S, &mut timers);
        source.want(Direction::Write, 20 * S + 10_000_000, 0, S, &mut timers);
        let alarm = timers.alarm().expect("an entry").at_ns;
        assert!((20 * S..=20 * S + 11_000_000).contains(&alarm), "{alarm}");
    }

    #[test]
    fn the_first_interrupt_stays() {
        let (mut source, _) = rig();
        assert!(source.interrupt(Interrupt::Cancelled("first".into()), 1).is_some());
        assert!(source.interrupt(Interrupt::Shutdown, 2).is_none());
        assert_eq!(source.interrupt, Some(Interrupt::Cancelled("first".into())));
    }
}
