//! [`Lone`]: the operation that waits alone on its side, for a task, in no scope, as nearly all do.
//!
//! What is to be known of it is written once, where the reactor and the audit can see it. The operation itself only knows that
//! it is here, and looks it up if it does not simply come to its result.

use std::cell::Cell;

use crate::arena::Id;
use crate::operation::Times;
use crate::source::NEVER;
use crate::waiters::{Note, Poller};
use crate::waits::Frame;

/// What is kept of the operation that waits alone. It stays until that leaves, also while others wait beside it.
#[derive(Debug, Default)]
pub(crate) struct Lone {
    /// Who is to be woken; nobody as soon as that was done.
    task: Cell<Option<Id>>,
    frame: Cell<Frame>,
    pub(crate) times: Cell<Times>,
}

impl Lone {
    /// `poller` is to be woken from now on.
    #[inline]
    pub(crate) fn wakes(&self, poller: Poller) {
        self.task.set(Some(poller.task));
        self.frame.set(poller.frame);
    }

    /// Takes out whom to wake.
    #[inline]
    pub(crate) fn take(&self) -> Option<Id> {
        self.task.take()
    }

    /// Nobody is to be woken any more.
    #[inline]
    pub(crate) fn forget(&self) {
        self.task.set(None);
    }

    #[inline]
    pub(crate) fn is_to_be_woken(&self) -> bool {
        self.task.get().is_some()
    }

    /// What the audit says of it, while it is to be woken.
    pub(crate) fn note(&self) -> Option<Note> {
        let poller = Poller { task: self.task.get()?, frame: self.frame.get() };
        let Times { begun_at_ns: since_ns, own_ns: until_ns, .. } = self.times.get();
        Some(Note { since_ns, until_ns, poller, scope: None })
    }

    /// No operation waits here any longer, by whose own deadline its side would have to be told.
    #[inline]
    pub(crate) fn has_no_end(&self) {
        self.times.set(Times { own_ns: NEVER, ..self.times.get() });
    }
}
