//! [`Room`]: how many commands may wait for the loop, and whether it takes any.

use crate::sync::{AtomicBool, AtomicUsize, Ordering};

/// The bound of the inbox, beside a queue that has none.
///
/// ```text
/// remote:  take()?;  queue.send(x)          loop:  queue.recv();  leave()
///                                                  close();  drop what is in the queue, and the queue
/// ```
///
/// Invariants, checked by the models in `models/`:
/// - never are more in the queue than there is room for, but for those that [`take_beyond`](Room::take_beyond);
/// - who comes after `close` is told that it is closed, also if it is full: nobody leaves any more;
/// - what was sent is taken, dropped by whoever closes, or handed back: it is never nowhere.
#[derive(Debug)]
pub(crate) struct Room {
    queued: AtomicUsize,
    capacity: usize,
    closed: AtomicBool,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Full,
    Closed,
}

impl Room {
    pub(crate) fn new(capacity: usize) -> Room {
        Room { queued: AtomicUsize::new(0), capacity, closed: AtomicBool::new(false) }
    }

    /// Takes the place of one command, which is then to be queued.
    pub(crate) fn take(&self) -> Result<(), NoRoom> {
        let room = |queued| (queued < self.capacity).then_some(queued + 1);
        match self.queued.fetch_update(Ordering::AcqRel, Ordering::Acquire, room) {
            Ok(_) => Ok(()),
            Err(_) if self.closed.load(Ordering::Acquire) => Err(NoRoom::Closed),
            Err(_) => Err(NoRoom::Full),
        }
    }

    /// Takes a place also where there is none.
    pub(crate) fn take_beyond(&self) {
        self.queued.fetch_add(1, Ordering::AcqRel);
    }

    /// One command was taken out. Returns how many there were.
    pub(crate) fn leave(&self) -> usize {
        self.queued.fetch_sub(1, Ordering::AcqRel)
    }

    /// Says that nobody takes commands any more: before the queue goes, so that a sender who finds it full knows that
    /// it will stay so.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn depth(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }
}
