//! [`Mailbox`]: from the tasks of one loop to one of them.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Messages in the order in which they were put, for one reader.
pub(crate) struct Mailbox<T>(Rc<RefCell<Inner<T>>>);

struct Inner<T> {
    messages: Vec<T>,
    reader: Option<Waker>,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Mailbox<T> {
        Mailbox(Rc::new(RefCell::new(Inner { messages: Vec::new(), reader: None })))
    }

    pub(crate) fn put(&self, message: T) {
        let mut inner = self.0.borrow_mut();
        inner.messages.push(message);
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Waits for at least one message, and takes all there are.
    pub(crate) async fn take(&self) -> Vec<T> {
        poll_fn(|cx| {
            let mut inner = self.0.borrow_mut();
            if inner.messages.is_empty() {
                inner.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(std::mem::take(&mut inner.messages))
        })
        .await
    }
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Mailbox<T> {
        Mailbox(self.0.clone())
    }
}
