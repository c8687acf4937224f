//! [`Sockets`]: how many sockets a resolver may hold at a time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// At most this many queries of one resolver are under way, each with a socket of its own; the others wait for
/// their turn.
pub(super) const SOCKETS_MAX: usize = 32;

/// Leave to hold one socket, given out in the order of asking.
#[derive(Default)]
pub(super) struct Sockets {
    held: Cell<usize>,
    queue: RefCell<VecDeque<Rc<Turn>>>,
}

#[derive(Default)]
struct Turn {
    granted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Gives its leave back when it is dropped.
pub(super) struct Leave {
    sockets: Rc<Sockets>,
    turn: Rc<Turn>,
}

impl Sockets {
    /// Waits for leave. Dropped before it is given, it makes room in the queue.
    pub(super) async fn leave(self: &Rc<Sockets>) -> Leave {
        let leave = Leave { sockets: self.clone(), turn: Rc::default() };
        self.queue.borrow_mut().push_back(leave.turn.clone());
        self.grant();
        poll_fn(|cx| {
            if leave.turn.granted.get() {
                return Poll::Ready(());
            }
            let before = leave.turn.waker.replace(Some(cx.waker().clone()));
            drop(before);
            Poll::Pending
        })
        .await;
        leave
    }

    fn grant(&self) {
        while self.held.get() < SOCKETS_MAX {
            let Some(turn) = self.queue.borrow_mut().pop_front() else { return };
            self.held.set(self.held.get() + 1);
            turn.granted.set(true);
            let waker = turn.waker.take();
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if self.turn.granted.get() {
            self.sockets.held.set(self.sockets.held.get() - 1);
            self.sockets.grant();
        } else {
            self.sockets.queue.borrow_mut().retain(|turn| !Rc::ptr_eq(turn, &self.turn));
        }
    }
}
