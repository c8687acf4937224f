//! [`Faults`]: what goes wrong in a simulation, and how often.

use std::ops::Range;
use std::time::Duration;

use super::random::Random;

/// What goes wrong in a [`Simulation`](super::Simulation), and how often: a number from 0 (never) to 1 (whenever it can) for
/// each. Each is something that a real kernel or network does, so a program that is right holds under all of them.
///
/// ```
/// use punctual_reactor::simulation::Faults;
///
/// let faults = Faults { interrupted: 0.1, short_reads: 0.5, ..Faults::NONE };
/// assert_eq!(faults.lost, 0.0);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// A system call that may be interrupted says `EINTR`.
    pub interrupted: f64,
    /// A read, write or accept that could proceed says `EAGAIN`; readiness is told later.
    pub would_block: f64,
    /// A read gives less than has come. What is left counts as coming a little later.
    pub short_reads: f64,
    /// A write takes less than there is room for, as a kernel short of memory does. Room is told of later.
    pub short_writes: f64,
    /// A poll tells of readiness that is not there.
    pub spurious: f64,
    /// A poll tells of a registration that has ended, as one whose descriptor lives on in another does.
    pub stale: f64,
    /// A poll tells of some of what is ready only, and of the rest next time.
    pub partial: f64,
    /// A socket or accept finds no descriptor: `EMFILE` or `ENFILE`, by turns.
    pub descriptors: f64,
    /// A connection is gone before it is accepted: `ECONNABORTED`.
    pub aborted: f64,
    /// A segment is answered with a reset.
    pub resets: f64,
    /// A SYN, a segment or a datagram is lost. TCP sends again, after 1 s a SYN, after 200 ms a segment.
    pub lost: f64,
    /// A datagram comes twice.
    pub duplicated: f64,
    /// What is sent at once comes in pieces.
    pub pieces: f64,
    /// A sleep ends late: up to [`late_by`](Faults::late_by) beyond what any wake-up costs.
    pub late: f64,
    /// How late at most.
    pub late_by: Duration,
    /// After a poll the clock has jumped: forward by up to a minute, as after a suspended machine.
    pub jumps: f64,
    /// How long a segment or datagram is under way. Most take little more than the start of it.
    pub latency: Range<Duration>,
    /// How many bytes of one direction of a connection may be under way or unread.
    pub window: Range<usize>,
}

impl Faults {
    /// Nothing goes wrong: a quick network, large windows, a kernel that wakes within 50 µs.
    pub const NONE: Faults = Faults {
        interrupted: 0.0,
        would_block: 0.0,
        short_reads: 0.0,
        short_writes: 0.0,
        spurious: 0.0,
        stale: 0.0,
        partial: 0.0,
        descriptors: 0.0,
        aborted: 0.0,
        resets: 0.0,
        lost: 0.0,
        duplicated: 0.0,
        pieces: 0.0,
        late: 0.0,
        late_by: Duration::from_millis(20),
        jumps: 0.0,
        latency: Duration::from_micros(20)..Duration::from_micros(60),
        window: 65_536..65_537,
    };

    /// Everything that a program has to take without its user noticing more than the delay: no connection is lost, no
    /// descriptor lacks, and no clock jumps.
    pub const HARMLESS: Faults = Faults {
        interrupted: 0.1,
        would_block: 0.1,
        short_reads: 0.2,
        short_writes: 0.2,
        spurious: 0.1,
        stale: 0.1,
        partial: 0.2,
        pieces: 0.5,
        late: 0.05,
        latency: Duration::from_micros(20)..Duration::from_millis(5),
        window: 512..16_384,
        ..Faults::NONE
    };

    /// [`HARMLESS`](Faults::HARMLESS), and a little of everything else.
    pub const ALL: Faults = Faults {
        descriptors: 0.03,
        aborted: 0.03,
        resets: 0.003,
        lost: 0.02,
        duplicated: 0.05,
        jumps: 0.002,
        ..Faults::HARMLESS
    };

    /// A mixture that follows from `seed`: each of [`ALL`](Faults::ALL) never, seldom, or more often than there.
    #[must_use]
    pub fn mixed(seed: u64) -> Faults {
        let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut faults = Faults::ALL;
        faults.each(|often| {
            *often *= [0.0, 0.0, 0.3, 1.0, 2.0][random.below(5) as usize];
        });
        let slow = [60, 500, 5_000, 40_000][random.below(4) as usize];
        faults.latency = Duration::from_micros(20)..Duration::from_micros(slow);
        let window = [64, 600, 4_096, 32_768][random.below(4) as usize];
        faults.window = window..window * 4;
        faults
    }

    /// The same without what ends connections, lacks descriptors, or lets the clock jump.
    #[must_use]
    pub fn harmless(self) -> Faults {
        Faults { descriptors: 0.0, aborted: 0.0, resets: 0.0, jumps: 0.0, ..self }
    }

    fn each(&mut self, mut change: impl FnMut(&mut f64)) {
        let Faults {
            interrupted, would_block, short_reads, short_writes, spurious, stale, partial, ..
        } = self;
        [interrupted, would_block, short_reads, short_writes, spurious, stale, partial]
            .into_iter()
            .for_each(&mut change);
        let Faults { descriptors, aborted, resets, lost, duplicated, pieces, late, jumps, .. } = self;
        [descriptors, aborted, resets, lost, duplicated, pieces, late, jumps]
            .into_iter()
            .for_each(change);
    }
}

impl Default for Faults {
    fn default() -> Faults {
        Faults::NONE
    }
}
