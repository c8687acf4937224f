//! The wheel and its peers behind one trait, each used as its own documentation advises.
//!
//! The trait costs nothing: everything is generic over it. Times are nanoseconds since the queue was made; a peer with
//! a coarser tick rounds as it pleases.

pub(crate) mod hashed;
pub(crate) mod nexus;
pub(crate) mod ours;
pub(crate) mod slabbed;
pub(crate) mod tokio_queue;
pub(crate) mod trees;

/// A queue of timers.
pub(crate) trait Queue {
    /// Its name in the table.
    const NAME: &'static str;
    /// Its resolution, if a wake at its own next deadline may find nothing to fire before that much has passed.
    const TICK: u64 = 1_000_000;
    /// Names a timer until it is cancelled or has fired.
    type Key;

    /// An empty queue at time zero, which is to hold about `expected` timers.
    fn new(expected: usize) -> Self;
    /// Arms a timer.
    fn insert(&mut self, at: u64, value: u64) -> Self::Key;
    /// Arms a timer that nobody will cancel.
    fn insert_forget(&mut self, at: u64, value: u64) {
        self.insert(at, value);
    }
    /// Disarms a timer.
    fn cancel(&mut self, key: Self::Key) -> bool;
    /// Moves a timer.
    fn rearm(&mut self, key: Self::Key, at: u64) -> Self::Key;
    /// When to come back.
    fn next(&mut self) -> u64;
    /// Fires what is due, or as much of it as one call may; false if more is due. Adds the values to `sum`.
    fn expire(&mut self, now: u64, fired: &mut usize, sum: &mut u64) -> bool;
}
