//! The parking protocol: when must a remote thread make a system call to wake the loop?
//!
//! One byte with three states, and only read-modify-write operations on it:
//!
//! ```text
//! remote:  queue.send(x);  if state.swap(NOTIFIED) == PARKED { signal }
//! loop:    sleep = state.compare_exchange(AWAKE, PARKED).is_ok();  poll(if sleep {∞} else {0})
//!          if state.swap(AWAKE) == NOTIFIED { drain }
//! ```
//!
//! Invariants, checked by the models in `models/`:
//! - work that is queued before the swap of `notify` is announced by the next `unpark`, and seen by the drain
//!   that follows;
//! - the loop never sleeps with work queued and nobody signalling;
//! - a storm of wakes signals at most once per sleep.
//!
//! There is no load-only fast path: a load could read a state from before the loop's own swap, and
//! the work would wait for the next wake.

use crate::sync::{AtomicU8, Ordering};

/// The loop runs and has not been notified since its last park.
const AWAKE: u8 = 0;
/// The loop sleeps, or is about to.
const PARKED: u8 = 1;
/// Somebody has queued work since the last park.
const NOTIFIED: u8 = 2;

#[derive(Debug)]
pub(crate) struct Parking {
    state: AtomicU8,
}

impl Parking {
    pub(crate) fn new() -> Parking {
        Parking { state: AtomicU8::new(AWAKE) }
    }

    /// Says that work has been queued. Returns whether the caller must signal the loop's poll.
    #[must_use]
    pub(crate) fn notify(&self) -> bool {
        self.state.swap(NOTIFIED, Ordering::AcqRel) == PARKED
    }

    /// Says that the loop is about to sleep. Returns whether it may; otherwise work waits.
    #[must_use]
    pub(crate) fn park(&self) -> bool {
        let parked = self.state.compare_exchange(AWAKE, PARKED, Ordering::AcqRel, Ordering::Acquire);
        matches!(parked, Ok(_) | Err(PARKED))
    }

    /// Says that the loop runs again. Returns whether work waits.
    #[must_use]
    pub(crate) fn unpark(&self) -> bool {
        self.state.swap(AWAKE, Ordering::AcqRel) == NOTIFIED
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    /// By one thread, state by state; `models/` has every interleaving of several.
    #[test]
    fn w02_a_sleep_is_signalled_once_and_never_begun_with_work_queued() {
        let parking = Parking::new();
        assert!(!parking.notify(), "it is awake, and sees the work before it sleeps");
        assert!(!parking.park(), "work waits");
        assert!(parking.unpark(), "which is told");
        assert!(!parking.unpark(), "once");
        assert!(parking.park() && parking.park(), "it may say twice that it is about to sleep");
        assert!(parking.notify(), "it sleeps");
        assert!(!parking.notify(), "it has been signalled");
        assert!(!parking.park(), "work waits");
        assert!(parking.unpark());
        assert!(parking.park());
        assert!(!parking.unpark(), "woken by something else, it finds no work");
    }
}
