//! The wheel and its peers behind one trait, each used as its own documentation advises, and what is done to them.
//!
//! The trait costs nothing: everything is generic over it. Times are nanoseconds since the queue was made; a peer with
//! a coarser tick rounds as it pleases.

pub mod hashed;
pub mod nexus;
pub mod ours;
pub mod slabbed;
pub mod tokio_queue;
pub mod trees;
pub mod turn;
pub mod workload;

/// A queue of timers.
pub trait Queue {
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

/// One of them, by name.
pub struct Named {
    /// Its name in the table.
    pub name: &'static str,
    /// More timers would take minutes or gigabytes.
    pub most: usize,
    /// Does all there is to do to so many timers.
    pub turn: fn(usize) -> turn::Figures,
}

const fn named<Q: Queue>(most: usize) -> Named {
    Named { name: Q::NAME, most, turn: |size| turn::turn::<Q>(size, usize::MAX) }
}

/// All of them; ours first.
pub const ALL: &[Named] = &[
    named::<ours::Punctual>(usize::MAX),
    // A drain of a million takes it more than a minute.
    Named {
        turn: |size| turn::turn::<nexus::Nexus>(size, 100_000),
        ..named::<nexus::Nexus>(usize::MAX)
    },
    named::<slabbed::SlabWheel>(usize::MAX),
    named::<hashed::HashWheel>(1_000_000),
    named::<tokio_queue::TokioQueue>(1_000_000),
    named::<trees::Tree>(usize::MAX),
    named::<trees::Heap>(usize::MAX),
];
