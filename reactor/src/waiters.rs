//! [`Waiters`]: who waits for one side of a source.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{RawWakerVTable, Waker};

use crate::arena::Id;
use crate::waits::Frame;

/// Whom to wake.
#[derive(Debug)]
pub(crate) enum Wakeup {
    /// A task of the runtime in whose keeping this is, by its name: to wake it is to queue it. There is nothing to be
    /// cloned, called or dropped.
    Task(Id),
    /// Anybody's code.
    Waker(Waker),
}

/// Whoever queues the tasks that a turn wakes by their names.
pub(crate) trait WakeTasks {
    fn wake(&mut self, task: Id);

    /// It is about to be woken: what is kept of it may be fetched.
    fn expect(&self, _task: Id) {}
}

impl<F: FnMut(Id)> WakeTasks for F {
    #[inline]
    fn wake(&mut self, task: Id) {
        self(task);
    }
}

/// Tells wakers apart, for as long as they live: what it wakes, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WakerName(*const (), *const RawWakerVTable);

impl Default for WakerName {
    /// That of no waker.
    fn default() -> WakerName {
        WakerName(std::ptr::null(), std::ptr::null())
    }
}

impl WakerName {
    #[inline]
    pub(crate) fn of(waker: &Waker) -> WakerName {
        WakerName(waker.data(), waker.vtable())
    }
}

/// Those who wait for one thing, one of each operation. Nearly always there is one; a second task that waits on the same
/// side must not put the first to sleep for ever.
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
    wakeup: Wakeup,
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

/// What was taken out of those who wait.
#[derive(Debug)]
pub(crate) enum Woken {
    Nobody,
    /// Nearly always: cheaper to hand on than all of them.
    One(Wakeup),
    All(Waiters),
}

/// Who polls: which task, and in which frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Poller {
    pub(crate) task: Id,
    pub(crate) frame: Frame,
}

impl Waiters {
    /// Has `operation` woken through `wakeup`; returns through what it was before.
    #[must_use]
    pub(crate) fn set(&mut self, operation: u32, wakeup: Wakeup, note: Note) -> Option<Wakeup> {
        let waiter = Waiter { operation, wakeup, note };
        let mut all = self.first.iter_mut().chain(&mut self.more);
        if let Some(known) = all.find(|known| known.operation == waiter.operation) {
            return Some(std::mem::replace(known, waiter).wakeup);
        }
        match &mut self.first {
            first @ None => *first = Some(waiter),
            Some(_) => self.more.push(waiter),
        }
        None
    }

    /// The same where nobody waits yet.
    #[inline]
    pub(crate) fn set_only(&mut self, operation: u32, wakeup: Wakeup, note: Note) {
        debug_assert!(self.is_empty(), "somebody waits already");
        self.first = Some(Waiter { operation, wakeup, note });
    }

    /// One that waits, alone.
    #[inline]
    pub(crate) fn one(operation: u32, wakeup: Wakeup, note: Note) -> Waiters {
        Waiters { first: Some(Waiter { operation, wakeup, note }), more: Vec::new() }
    }

    /// Forgets `operation`; returns through what it was to be woken.
    #[must_use]
    pub(crate) fn remove(&mut self, operation: u32) -> Option<Wakeup> {
        if self.first.as_ref().is_some_and(|first| first.operation == operation) {
            return std::mem::replace(&mut self.first, self.more.pop()).map(|waiter| waiter.wakeup);
        }
        let at = self.more.iter().position(|waiter| waiter.operation == operation)?;
        Some(self.more.swap_remove(at).wakeup)
    }

    pub(crate) fn notes(&self) -> impl Iterator<Item = Note> {
        self.first.iter().chain(&self.more).map(|waiter| waiter.note)
    }

    /// Takes out the only one, if that is a task. Returns whether nobody is left.
    #[inline]
    pub(crate) fn wake_lone_task(&mut self, wake: &mut impl FnMut(Id)) -> bool {
        match &self.first {
            Some(Waiter { wakeup: Wakeup::Task(task), .. }) if self.more.is_empty() => {
                wake(*task);
                self.first = None;
                true
            }
            _ => self.is_empty(),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_empty()
    }

    #[inline]
    pub(crate) fn append(&mut self, other: Waiters) {
        match (&self.first, other.first) {
            (None, first) => self.first = first,
            (Some(_), first) => self.more.extend(first),
        }
        self.more.extend(other.more);
    }

    pub(crate) fn wakeups(&self) -> impl Iterator<Item = &Wakeup> {
        self.first.iter().chain(&self.more).map(|waiter| &waiter.wakeup)
    }

    pub(crate) fn into_wakeups(self) -> impl Iterator<Item = Wakeup> {
        self.first.into_iter().chain(self.more).map(|waiter| waiter.wakeup)
    }
}

/// Wakes, and keeps the loop alive if the waker (which may be anybody's code) panics.
pub(crate) fn wake(waker: Waker) {
    if catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
        tracing::error!("a waker panicked");
    }
}
