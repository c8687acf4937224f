//! What a client draws: bounds, and what it does next.

use std::time::Duration;

use fastrand::Rng;

use super::GENEROUS;

/// How an operation is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// Each read and each write has so much.
    Timeout(Duration),
    /// All of it together has.
    Deadline(Duration),
    /// As a scope of its own.
    Scope(Duration),
    /// As a future that is dropped after so much.
    Dropped(Duration),
}

impl Bound {
    pub(super) fn draw(rng: &mut Rng, tight: bool) -> Bound {
        let time = if tight { tight_time(rng) } else { GENEROUS };
        match rng.u8(..8) {
            0..3 => Bound::Timeout(time),
            3..5 => Bound::Deadline(time),
            5 | 6 => Bound::Scope(time),
            _ => Bound::Dropped(time),
        }
    }

    pub(super) fn time(self) -> Duration {
        match self {
            Bound::Timeout(time) | Bound::Deadline(time) | Bound::Scope(time) | Bound::Dropped(time) => {
                time
            }
        }
    }
}

/// From a microsecond to some fifty milliseconds, short ones as likely as long ones.
pub(super) fn tight_time(rng: &mut Rng) -> Duration {
    let scale = 1 << rng.u32(10..26);
    Duration::from_nanos(rng.u64(scale..2 * scale))
}
