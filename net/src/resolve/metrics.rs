//! [`ResolverMetrics`]: what a resolver has done.

use std::cell::Cell;

/// What a [`Resolver`](crate::Resolver) has done so far, and what it holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResolverMetrics {
    /// Questions sent over UDP.
    pub queries: u64,
    /// Questions asked over TCP.
    pub queries_over_tcp: u64,
    /// Packets that were no answer to what was asked, and were ignored.
    pub ignored: u64,
    /// Answers that did not fit and were asked for again over TCP.
    pub truncated: u64,
    /// Questions that left for TCP because of too many packets, or one in the wrong capitals.
    pub suspected: u64,
    /// Questions answered from memory.
    pub cache_hits: u64,
    /// Questions that somebody else was asking already.
    pub shared: u64,
    /// Answers remembered now.
    pub cache_entries: usize,
    /// Questions under way now.
    pub in_flight: usize,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) queries: Cell<u64>,
    pub(super) queries_over_tcp: Cell<u64>,
    pub(super) ignored: Cell<u64>,
    pub(super) truncated: Cell<u64>,
    pub(super) suspected: Cell<u64>,
    pub(super) cache_hits: Cell<u64>,
    pub(super) shared: Cell<u64>,
}

impl Counters {
    pub(super) fn add(counter: &Cell<u64>) {
        counter.set(counter.get() + 1);
    }

    pub(super) fn read(&self, cache_entries: usize, in_flight: usize) -> ResolverMetrics {
        ResolverMetrics {
            queries: self.queries.get(),
            queries_over_tcp: self.queries_over_tcp.get(),
            ignored: self.ignored.get(),
            truncated: self.truncated.get(),
            suspected: self.suspected.get(),
            cache_hits: self.cache_hits.get(),
            shared: self.shared.get(),
            cache_entries,
            in_flight,
        }
    }
}
