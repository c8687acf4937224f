//! [`Stop`]: one word to many who wait for it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Said once, heard by all.
#[derive(Default)]
pub(super) struct Stop {
    said: Cell<bool>,
    listeners: RefCell<BTreeMap<u64, Waker>>,
    next: Cell<u64>,
}

impl Stop {
    pub(super) fn say(&self) {
        self.said.set(true);
        // Taken first: a waker is anybody's code.
        let listeners = self.listeners.take();
        listeners.into_values().for_each(Waker::wake);
    }

    pub(super) fn wait(self: &Rc<Self>) -> Waiting {
        let number = self.next.replace(self.next.get() + 1);
        Waiting { stop: self.clone(), number }
    }
}

/// Ready once it has been said.
pub(super) struct Waiting {
    stop: Rc<Stop>,
    number: u64,
}

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.stop.said.get() {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let before = self.stop.listeners.borrow_mut().insert(self.number, waker);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let listener = self.stop.listeners.borrow_mut().remove(&self.number);
        drop(listener);
    }
}
