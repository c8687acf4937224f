//! [`Waiters`]: who waits for one side of a source.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{RawWakerVTable, Waker};

use crate::arena::Id;
use crate::waits::Frame;

/// The wakers of the operations that wait for one thing, one of each. Nearly always there is one; a second
/// task that waits on the same side must not put the first to sleep for ever.
///
/// Wakers go in and out by value: they are cloned and dropped by whoever holds no borrow of the reactor.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    first: Option<Waiter>,
    more: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    /// Which operation waits, among those on its side.
    operation: u32,
    waker: Waker,
    note: Note,
}

/// What the audit says of one that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    /// Since when, by the time that the loop had then.
    pub(crate) since_ns: u64,
    /// By when at the latest, by its own account.
    pub(crate) until_ns: u64,
    /// Who polls it, and in which scope.
    pub(crate) poller: Poller,
    pub(crate) scope: Option<Id>,
}

/// Whom to wake.
#[derive(Debug)]
pub(crate) enum Woken {
    Nobody,
    /// Nearly always: cheaper to hand on than all of them.
    One(Waker),
    All(Waiters),
}

/// Who polls: which task, and in which frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Poller {
    pub(crate) task: Id,
    pub(crate) frame: Frame,
}

impl Waiters {
    /// Has `operation` woken by `waker`; returns what woke it before.
    #[inline]
    #[must_use]
    pub(crate) fn set(&mut self, operation: u32, waker: Waker, note: Note) -> Option<Waker> {
        if let Some(waiter) = self.find(operation) {
            waiter.note = note;
            return Some(std::mem::replace(&mut waiter.waker, waker));
        }
        let waiter = Waiter { operation, waker, note };
        match &mut self.first {
            first @ None => *first = Some(waiter),
            Some(_) => self.more.push(waiter),
        }
        None
    }

    /// Forgets `operation`; returns what woke it.
    #[inline]
    #[must_use]
    pub(crate) fn remove(&mut self, operation: u32) -> Option<Waker> {
        if self.first.as_ref().is_some_and(|first| first.operation == operation) {
            return std::mem::replace(&mut self.first, self.more.pop()).map(|waiter| waiter.waker);
        }
        let at = self.more.iter().position(|waiter| waiter.operation == operation)?;
        Some(self.more.swap_remove(at).waker)
    }

    fn find(&mut self, operation: u32) -> Option<&mut Waiter> {
        self.first.iter_mut().chain(&mut self.more).find(|waiter| waiter.operation == operation)
    }

    pub(crate) fn notes(&self) -> impl Iterator<Item = Note> {
        self.first.iter().chain(&self.more).map(|waiter| waiter.note)
    }

    /// Takes them all out.
    #[inline]
    pub(crate) fn take_woken(&mut self) -> Woken {
        if !self.more.is_empty() {
            return Woken::All(self.take());
        }
        self.first.take().map_or(Woken::Nobody, |first| Woken::One(first.waker))
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
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

    /// Whether all of them are wakers of this kind.
    #[inline]
    pub(crate) fn are_all(&self, kinds: &[&'static RawWakerVTable]) -> bool {
        self.first.iter().chain(&self.more).all(|waiter| is_one_of(&waiter.waker, kinds))
    }

    #[inline]
    pub(crate) fn wake(self) {
        if let Some(first) = self.first {
            wake(first.waker);
        }
        self.more.into_iter().for_each(|waiter| wake(waiter.waker));
    }
}

/// Whether it is a waker of one of these kinds.
#[inline]
pub(crate) fn is_one_of(waker: &Waker, kinds: &[&'static RawWakerVTable]) -> bool {
    kinds.iter().any(|kind| std::ptr::eq(waker.vtable(), *kind))
}

/// Wakes, and keeps the loop alive if the waker (which may be anybody's code) panics.
pub(crate) fn wake(waker: Waker) {
    if catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
        tracing::error!("a waker panicked");
    }
}
