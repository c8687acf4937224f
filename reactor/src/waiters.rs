//! [`Waiters`]: who waits for one side of a source.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// The wakers of the operations that wait for one thing. Nearly always there is one; a second task
/// that waits on the same side must not put the first to sleep for ever.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl Waiters {
    /// Makes `waker` the only one. Returns those that waited before, to be dropped where the drop of
    /// somebody's waker can do no harm.
    #[must_use]
    pub(crate) fn set(&mut self, waker: &Waker) -> Waiters {
        match &self.first {
            Some(first) if self.more.is_empty() && first.will_wake(waker) => Waiters::default(),
            _ => std::mem::replace(self, Waiters { first: Some(waker.clone()), more: Vec::new() }),
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, waker: &Waker) {
        match &self.first {
            None => self.first = Some(waker.clone()),
            Some(first) if first.will_wake(waker) => {}
            Some(_) if self.more.iter().any(|other| other.will_wake(waker)) => {}
            Some(_) => self.more.push(waker.clone()),
        }
    }

    pub(crate) fn take(&mut self) -> Waiters {
        std::mem::take(self)
    }

    #[inline]
    pub(crate) fn append(&mut self, other: Waiters) {
        match (&self.first, other.first) {
            (None, first) => self.first = first,
            (Some(_), first) => self.more.extend(first),
        }
        self.more.extend(other.more);
    }

    #[inline]
    pub(crate) fn wake(self) {
        if let Some(first) = self.first {
            wake(first);
        }
        self.more.into_iter().for_each(wake);
    }
}

/// Wakes, and keeps the loop alive if the waker (which may be anybody's code) panics.
pub(crate) fn wake(waker: Waker) {
    if catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
        tracing::error!("a waker panicked");
    }
}
