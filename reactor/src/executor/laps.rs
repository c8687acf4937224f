//! [`Laps`]: what time it is between two polls, for less than the clock costs.
//!
//! ```text
//!  clock      ?       ?       ?      clock
//!  ──┼────────┼───────┼───────┼────────┼──▶ time      a read of the clock: some 30 ns; of the counter: some 12
//!    │ poll A │poll B │poll A │ poll C │
//!  counter  counter counter counter  (more than 2^19 ticks: the clock is read again)
//! ```
//!
//! Of a short poll the length is reckoned by the CPU's counter; one that is long enough to be noted is measured by the clock, as
//! is the end of the last of a turn. So no deadline is ever compared with what was reckoned here.

use std::cell::Cell;

use crate::clock::Clock;
use crate::sys::ticks;

/// So many ticks after the clock was read it is read again: no more than half a millisecond on the slowest CPU, and 80 µs on the
/// fastest.
const TRUSTED_TICKS: u64 = 1 << 19;

/// From how far apart, and to how far apart, two reads tell how long a tick is.
const APART_NS: std::ops::Range<u64> = 1_000_000..1_000_000_000;

pub(super) struct Laps {
    /// Whether there is a counter to be trusted, beside a clock of the system's.
    counts: bool,
    /// How often the clock was read in this turn.
    reads: Cell<u32>,
    /// The last of them, if there are polls to come to be reckoned from it.
    read: Cell<Option<Read>>,
    /// A read before, from which the length of a tick is told.
    reference: Cell<Read>,
    /// The length of a tick in 2^-32 ns; 0 as long as it is not known.
    tick: Cell<u64>,
    /// What it was found to be the last time. It is believed the second time.
    tick_found: Cell<u64>,
}

/// What the clock said, and where the counter stood then.
#[derive(Clone, Copy, Default)]
struct Read {
    ns: u64,
    ticks: u64,
}

impl Laps {
    pub(super) fn new(clock: &Clock) -> Laps {
        let counts = clock.system_id().is_some() && ticks::are_steady() && !is_simulated();
        Laps {
            counts,
            reads: Cell::default(),
            read: Cell::default(),
            reference: Cell::default(),
            tick: Cell::default(),
            tick_found: Cell::default(),
        }
    }

    /// A turn's polls begin.
    pub(super) fn begin(&self) {
        self.reads.set(0);
        self.read.set(None);
    }

    /// Whether a time was reckoned, and not read.
    pub(super) fn is_reckoned(&self, at_ns: u64) -> bool {
        self.read.get().is_some_and(|read| read.ns != at_ns)
    }

    /// What time it is, if that can be reckoned.
    #[inline]
    pub(super) fn reckon(&self) -> Option<u64> {
        self.read.get().and_then(|read| self.reckon_at(read, ticks::read()))
    }

    #[inline]
    fn reckon_at(&self, read: Read, ticks: u64) -> Option<u64> {
        let passed = ticks.wrapping_sub(read.ticks);
        (passed < TRUSTED_TICKS).then(|| read.ns + (passed.wrapping_mul(self.tick.get()) >> 32))
    }

    /// The clock was read, and so many tasks are left to be polled. With one or two to come the counter is not worth a look.
    pub(super) fn was_read(&self, ns: u64, left: usize) {
        let before = self.reads.replace(self.reads.get() + 1);
        if self.counts && (left > 1 || left == 1 && before > 0) {
            self.was_read_at(Read { ns, ticks: ticks::read() });
        } else {
            self.read.set(None);
        }
    }

    fn was_read_at(&self, read: Read) {
        let reference = self.reference.get();
        let apart_ns = read.ns.saturating_sub(reference.ns);
        if apart_ns >= APART_NS.start {
            self.reference.set(read);
            let ticks = read.ticks.wrapping_sub(reference.ticks);
            if apart_ns < APART_NS.end && ticks > 0 {
                self.found((apart_ns << 32) / ticks);
            }
        }
        // A tick that is longer than 4 ns, or not known, is not reckoned with.
        let known = (1..1 << 34).contains(&self.tick.get());
        self.read.set(known.then_some(read));
    }

    /// The thread may have been off its CPU between the clock's read and the counter's: that happens, but not twice alike.
    fn found(&self, tick: u64) {
        if tick.abs_diff(self.tick_found.replace(tick)) <= tick >> 6 {
            self.tick.set(tick);
        }
    }
}

#[cfg(all(feature = "test", target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
fn is_simulated() -> bool {
    crate::simulation::is_entered()
}

#[cfg(not(all(
    feature = "test",
    target_os = "linux",
    target_env = "gnu",
    target_pointer_width = "64"
)))]
fn is_simulated() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Of a clock that is read every 2 ms, on a CPU with `ghz` ticks a nanosecond.
    fn laps(ghz: u64) -> (Laps, Read) {
        let laps = Laps::new(&Clock::monotonic());
        let mut read = Read::default();
        for n in 1..4 {
            read = Read { ns: 5 * MS + n * 2 * MS, ticks: n * 2 * MS * ghz };
            laps.was_read_at(read);
        }
        (laps, read)
    }

    #[test]
    fn what_is_short_is_reckoned_and_what_is_long_is_not() {
        let (laps, read) = laps(3);
        assert!(laps.read.get().is_some());
        let reckoned = laps.reckon_at(read, read.ticks + 3 * 70_000).expect("it is short");
        assert!(reckoned.abs_diff(read.ns + 70_000) <= 1, "{reckoned} after {}", read.ns);
        for ticks in [TRUSTED_TICKS, 1 << 40, u64::MAX] {
            assert_eq!(laps.reckon_at(read, read.ticks.wrapping_add(ticks)), None);
        }
    }

    #[test]
    fn one_disturbed_look_changes_nothing_and_a_new_pace_is_learned() {
        let (laps, read) = laps(2);
        let known = laps.tick.get();
        let late = Read { ns: read.ns + 2 * MS, ticks: read.ticks + 40 * MS };
        laps.was_read_at(late);
        assert_eq!(laps.tick.get(), known);
        let mut read = late;
        for _ in 0..2 {
            read = Read { ns: read.ns + 2 * MS, ticks: read.ticks + 8 * MS };
            laps.was_read_at(read);
        }
        assert_eq!(laps.tick.get(), 1 << 30, "a quarter of a nanosecond");
    }

    #[test]
    fn a_counter_that_stands_still_is_never_reckoned_with() {
        let laps = Laps::new(&Clock::monotonic());
        (1..10).for_each(|n| laps.was_read_at(Read { ns: n * 2 * MS, ticks: 7 }));
        assert!(laps.read.get().is_none());
    }
}
