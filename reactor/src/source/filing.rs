//! The one wheel entry of a source, and the wishes of its two sides.

use std::cell::Cell;

use super::{NEVER, Source};
use crate::leeway::Leeway;
use crate::readiness::Direction;
use crate::timers::Timers;

/// The wheel entry of a source, if it has one.
#[derive(Debug)]
pub(super) struct Entry {
    node: Cell<u32>,
    class: Cell<Leeway>,
    /// Whether the source was closed. It is a field, not a mark, as it is asked for wherever a deadline is moved.
    closed: Cell<bool>,
    /// By when it fires: its deadline plus its leeway; [`NEVER`] if there is none. Of a source that was closed, which has none
    /// and gets none, when that was in the order of ends.
    fires_by: Cell<u64>,
}

impl Default for Entry {
    fn default() -> Entry {
        let (node, class) = (Cell::new(u32::MAX), Cell::new(Leeway::NONE));
        Entry { node, class, closed: Cell::new(false), fires_by: Cell::new(NEVER) }
    }
}

impl Entry {
    pub(super) fn close(&self, order: u64) {
        self.closed.set(true);
        self.fires_by.set(order);
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(super) fn closed_order(&self) -> u64 {
        if self.is_closed() { self.fires_by.get() } else { NEVER }
    }
}

impl Source {
    /// By when its wheel entry fires.
    #[inline]
    pub(crate) fn entry_fires_by(&self) -> u64 {
        self.entry.fires_by.get()
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
        if at_ns >= self.entry_fires_by() {
            return false;
        }
        let leeway = side.leeway.get().for_timeout(at_ns.saturating_sub(now_ns)).as_nanos();
        if at_ns.saturating_add(leeway) >= self.entry_fires_by() {
            return false;
        }
        self.file(index, now_ns, timers);
        true
    }

    /// Files the wheel entry for the earlier wish of the two sides, if there is one.
    #[inline(never)]
    pub(crate) fn file(&self, index: u32, now_ns: u64, timers: &mut Timers) {
        self.unfile(index, timers);
        let wishes = || self.sides().map(|(_, side)| (side.wanted.get(), side.leeway.get()));
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
        self.entry.node.set(timers.insert_source(at, leeway, index));
        self.entry.class.set(leeway);
        // So late that it makes no difference, and told from none.
        self.entry.fires_by.set(at.saturating_add(leeway.as_nanos()).min(NEVER - 1));
    }

    /// Takes the wheel entry out of the source at `index`.
    pub(crate) fn unfile(&self, index: u32, timers: &mut Timers) {
        if self.is_filed() {
            timers.cancel_source(self.entry.node.get(), self.entry.class.get(), index);
            self.entry.fires_by.set(NEVER);
        }
    }

    pub(crate) fn is_filed(&self) -> bool {
        self.entry_fires_by() != NEVER
    }

    /// The wheel entry has fired and is gone.
    pub(crate) fn entry_fired(&self) {
        self.entry.fires_by.set(NEVER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use punctual_timer_wheel::Tick;

    use crate::readiness::Readiness;

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
        // So that it has the leeway that it was made with.
        source.side(Direction::Write);
        source.read.leeway.set(Leeway::at_most_nanos(100_000_000));
        source.want(Direction::Read, 20 * S, 0, S, &mut timers);
        source.want(Direction::Write, 20 * S + 10_000_000, 0, S, &mut timers);
        let alarm = timers.alarm().expect("an entry").at_ns;
        assert!((20 * S..=20 * S + 11_000_000).contains(&alarm), "{alarm}");
    }
}
