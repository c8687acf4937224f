//! The small types around the wheel.

use std::fmt;
use std::num::NonZeroU32;

/// Names one timer for ever: the place of its node, and the node's generation.
///
/// When the timer is popped or cancelled its key goes stale, and a stale key never touches a newer timer: a node
/// whose 2³² − 1 generations are used up is not used again. Keys of another wheel are not told apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub(crate) index: u32,
    pub(crate) generation: NonZeroU32,
}

impl Key {
    /// That of a timer which was [named](crate::Wheel::insert_named) so, and lives in the node at `index`.
    #[must_use]
    #[inline]
    pub const fn named(index: u32, name: NonZeroU32) -> Key {
        Key { index, generation: name }
    }

    /// The place of its node.
    #[must_use]
    #[inline]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The name that its timer was [given](crate::Wheel::insert_named); of one that was given none, the node's generation.
    #[must_use]
    #[inline]
    pub const fn name(self) -> NonZeroU32 {
        self.generation
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}v{})", self.index, self.generation)
    }
}

/// How much one call of [`advance`](crate::Wheel::advance) or [`expire`](crate::Wheel::expire) may do.
///
/// A zero counts as one, so that every call makes progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The most timers to fire.
    pub fires: usize,
    /// The most timers to move down a level, besides eight for each that fires.
    pub moves: usize,
}

impl Budget {
    /// No bound: one call does everything that is due.
    pub const UNLIMITED: Budget = Budget { fires: usize::MAX, moves: usize::MAX };
}

impl Default for Budget {
    /// 512 fires, 256 moves.
    fn default() -> Budget {
        Budget { fires: 512, moves: 256 }
    }
}

/// What one call of [`advance`](crate::Wheel::advance) or [`expire`](crate::Wheel::expire) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Timers made poppable, or handed to the sink.
    pub fired: usize,
    /// Timers moved from one slot to another.
    pub moved: usize,
    /// False if the budget ended first: more may be due, call again.
    pub complete: bool,
}

/// A timer whose deadline has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired<T> {
    /// The key it had; stale from now on.
    pub key: Key,
    /// The deadline it had, in nanoseconds.
    pub deadline: u64,
    /// What was inserted.
    pub value: T,
}

/// The wheel holds as many timers as it may; the refused value is handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the timer wheel already holds as many timers as its limit allows")
    }
}

impl<T: fmt::Debug> std::error::Error for Full<T> {}

/// The width of the finest slot: a power of two, in nanoseconds.
///
/// It does not round deadlines, which are exact to the nanosecond. A coarser tick means fewer levels to come down
/// through, and more timers to sort when their slot is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tick {
    pub(crate) shift: u32,
}

impl Tick {
    /// One nanosecond.
    pub const NANO: Tick = Tick { shift: 0 };
    /// 1 024 ns, the default.
    pub const MICRO: Tick = Tick { shift: 10 };
    /// 1 048 576 ns.
    pub const MILLI: Tick = Tick { shift: 20 };

    /// The largest power of two that is at most `nanos` and at most 2³⁰; zero counts as one.
    #[must_use]
    pub const fn at_most(nanos: u64) -> Tick {
        let shift = 63 - (nanos | 1).leading_zeros();
        Tick { shift: if shift > 30 { 30 } else { shift } }
    }

    /// The width in nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        1 << self.shift
    }
}

impl Default for Tick {
    fn default() -> Tick {
        Tick::MICRO
    }
}
