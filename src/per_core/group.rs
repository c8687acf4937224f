//! What the cores have in common: the wish that they end, and the ports that they share. Other threads look here, so
//! it is behind a lock, which is held for no longer than it takes to look.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::Handle;

/// How long a `main` whose runtime has been shut down may still take to return.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long after that its thread is waited for.
pub(super) const STUCK: Duration = Duration::from_secs(4);

#[derive(Default)]
pub(super) struct Group {
    state: Mutex<State>,
    /// That a core has ended, or is to end by another time than before.
    changed: Condvar,
    /// The addresses that listeners share, each by how it was asked for, and how often before.
    pub(super) ports: Mutex<HashMap<(String, usize), SocketAddr>>,
}

#[derive(Default)]
struct State {
    end: Option<End>,
    first_failed: Option<usize>,
    /// How many cores have ended.
    ended: usize,
    /// Who waits for the end, or for another time of it.
    waiting: HashMap<u64, Waker>,
    next_key: u64,
}

/// By when the cores are to end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) by: Instant,
    pub(super) within: Duration,
}

impl Group {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks all cores to end; the earliest time of several stays.
    pub(super) fn end(&self, within: Duration) {
        let now = Instant::now();
        // A time too far to be told is a century from now.
        let by = now.checked_add(within).unwrap_or(now + Duration::from_secs(100 * 365 * 86_400));
        let mut state = self.state();
        if state.end.is_some_and(|end| end.by <= by) {
            return;
        }
        state.end = Some(End { by, within });
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.changed.notify_all();
        waiting.into_values().for_each(Waker::wake);
    }

    /// Waits until the cores are asked to end, by another time than `known`.
    pub(super) async fn asked_to_end(&self, known: Option<End>) -> End {
        let mut place = Place { group: self, key: None };
        poll_fn(|cx| {
            // First, as it may be anybody's code.
            let waker = cx.waker().clone();
            let mut state = self.state();
            if let Some(end) = state.end.filter(|end| Some(*end) != known) {
                return Poll::Ready(end);
            }
            let key = *place.key.get_or_insert(state.next_key);
            state.next_key = state.next_key.max(key + 1);
            let before = state.waiting.insert(key, waker);
            drop(state);
            drop(before);
            Poll::Pending
        })
        .await
    }

    pub(super) fn is_to_end(&self) -> bool {
        self.state().end.is_some()
    }

    /// Notes that a core has failed; the first stays.
    pub(super) fn failed(&self, core: usize) {
        self.state().first_failed.get_or_insert(core);
    }

    pub(super) fn first_failed(&self) -> Option<usize> {
        self.state().first_failed
    }

    /// Notes that a core has ended, and nothing of it is left.
    pub(super) fn ended(&self) {
        self.state().ended += 1;
        self.changed.notify_all();
    }

    /// Blocks until `count` cores have ended, or their time has been up for so long that they will not; whether they have.
    pub(super) fn wait_for_ends(&self, count: usize) -> bool {
        let mut state = self.state();
        loop {
            if state.ended >= count {
                return true;
            }
            let Some(end) = state.end else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = (end.by + LAST_WORDS + STUCK).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A place among those who wait, which is given up with them.
struct Place<'a> {
    group: &'a Group,
    key: Option<u64>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.group.state().waiting.remove(&key);
            drop(waker);
        }
    }
}

/// Ends the cores from any of them or from elsewhere, and reaches their runtimes.
#[derive(Clone)]
pub struct CoresHandle {
    pub(super) group: Arc<Group>,
    pub(super) runtimes: Arc<[Handle]>,
}

impl CoresHandle {
    /// How many cores there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.runtimes.len()
    }

    /// The handle of a core's runtime, by its number: to start tasks there, or to call.
    #[must_use]
    pub fn runtime(&self, core: usize) -> Option<&Handle> {
        self.runtimes.get(core)
    }

    /// Asks each `main` to end what it has begun: [`Core::drain_requested`](super::Core::drain_requested) is ready on all
    /// cores at once. Those that have not returned after `within` are [shut down](CoresHandle::shutdown). Called again, the earlier end stands.
    pub fn drain(&self, within: Duration) {
        self.group.end(within);
    }

    /// Ends the cores now: each runtime is shut down ([`Handle::shutdown`]), so that every operation on a source ends, or
    /// refuses to begin, with `Shutdown`, and [`shutdown_requested`](crate::shutdown_requested) is ready. A `main` that has not returned a second later
    /// is dropped: [`CoreFailure::Overran`](super::CoreFailure::Overran).
    pub fn shutdown(&self) {
        self.drain(Duration::ZERO);
    }
}

impl fmt::Debug for CoresHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoresHandle")
            .field("count", &self.count())
            .field("is_to_end", &self.group.is_to_end())
            .finish_non_exhaustive()
    }
}
