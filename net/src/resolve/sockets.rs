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
    /// How many in the queue have gone.
    gone: Cell<usize>,
}

#[derive(Default)]
struct Turn {
    granted: Cell<bool>,
    gone: Cell<bool>,
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
            if turn.gone.get() {
                self.gone.set(self.gone.get() - 1);
                continue;
            }
            self.held.set(self.held.get() + 1);
            turn.granted.set(true);
            let waker = turn.waker.take();
            waker.into_iter().for_each(Waker::wake);
        }
    }

    /// Takes it out as soon as half of the queue has gone: each is moved a few times at most, however many there are.
    fn leave_queue(&self, turn: &Turn) {
        turn.gone.set(true);
        let (gone, mut queue) = (self.gone.get() + 1, self.queue.borrow_mut());
        if gone * 2 < queue.len() {
            self.gone.set(gone);
            return;
        }
        queue.retain(|turn| !turn.gone.get());
        self.gone.set(0);
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if self.turn.granted.get() {
            self.sockets.held.set(self.sockets.held.get() - 1);
            self.sockets.grant();
        } else {
            let waker = self.turn.waker.take();
            self.sockets.leave_queue(&self.turn);
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::task::Context;
    use std::time::Duration;

    use crate::resolve::timed;

    type Waiting = Pin<Box<dyn Future<Output = Leave>>>;

    fn queued(sockets: &Rc<Sockets>, count: usize) -> Vec<Waiting> {
        let one = |_| {
            let sockets = sockets.clone();
            let mut leave: Waiting = Box::pin(async move { sockets.leave().await });
            assert!(leave.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            leave
        };
        (0..count).map(one).collect()
    }

    fn all_held(sockets: &Rc<Sockets>) -> Vec<Leave> {
        let mut cx = Context::from_waker(Waker::noop());
        let one = |_| match Box::pin(sockets.leave()).as_mut().poll(&mut cx) {
            Poll::Ready(leave) => leave,
            Poll::Pending => panic!("there is room"),
        };
        (0..SOCKETS_MAX).map(one).collect()
    }

    #[test]
    fn a_queue_that_is_given_up_takes_linear_time() {
        let took = |count: usize| {
            let once = |_| {
                let sockets = Rc::<Sockets>::default();
                let held = all_held(&sockets);
                let waiting = queued(&sockets, count);
                // The one that came last goes first.
                let ((), took) = timed(|| waiting.into_iter().rev().for_each(drop));
                assert!(sockets.queue.borrow().is_empty(), "nothing is left");
                drop(held);
                assert_eq!(sockets.held.get(), 0);
                took
            };
            (0..12).map(once).min().unwrap_or_default()
        };
        let (few, many) = (took(2_000), took(16_000));
        assert!(many < few * 24 + Duration::from_millis(1), "eight times as many: {few:?}, {many:?}");
    }

    #[test]
    fn leave_goes_past_those_who_have_gone_in_the_order_of_asking() {
        let sockets = Rc::<Sockets>::default();
        let mut held = all_held(&sockets);
        let mut waiting: Vec<Option<Waiting>> = queued(&sockets, 9).into_iter().map(Some).collect();
        for gone in [0, 1, 3, 8] {
            drop(waiting[gone].take());
        }
        for next in [2, 4, 5, 6, 7] {
            drop(held.pop());
            let mut cx = Context::from_waker(Waker::noop());
            let ready: Vec<usize> = (0..waiting.len())
                .filter(|at| {
                    let Some(leave) = &mut waiting[*at] else { return false };
                    let Poll::Ready(leave) = leave.as_mut().poll(&mut cx) else { return false };
                    held.push(leave);
                    waiting[*at] = None;
                    true
                })
                .collect();
            assert_eq!(ready, [next]);
        }
        drop(held);
        assert_eq!((sockets.held.get(), sockets.queue.borrow().len()), (0, 0));
    }
}
