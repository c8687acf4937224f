//! [`Inner`]: a file as all of its operations share it, and the writes that nobody waits for any more.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use crate::executor::{Driver, context};
use crate::failure::Failure;
use crate::system::blocking::{BlockingPool, Call};
use crate::system::blocking_error::BlockingError;
use crate::system::fs::bounds::Bounds;
use crate::waiters;

pub(super) struct Inner {
    pub(super) file: Arc<std::fs::File>,
    pool: BlockingPool,
    driver: Rc<Driver>,
    pub(super) bounds: Cell<Bounds>,
    /// Operations that a thread is still in the midst of and that may change the file.
    abandoned: RefCell<Vec<Pin<Box<dyn Abandoned>>>>,
    /// Who waits for the end of these.
    settling: RefCell<Slab<Waker>>,
}

/// Whether an operation may change the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    Changes,
}

impl Inner {
    #[track_caller]
    pub(super) fn new(file: std::fs::File) -> Rc<Inner> {
        let driver = context::current("using a file");
        Rc::new(Inner {
            file: Arc::new(file),
            pool: BlockingPool::of(&driver),
            driver,
            bounds: Cell::default(),
            abandoned: RefCell::default(),
            settling: RefCell::default(),
        })
    }

    /// Runs `work` with the file on a thread, within the bounds, once those that were abandoned have ended.
    pub(super) async fn run<T: Send + 'static>(
        self: Rc<Self>,
        effect: Effect,
        work: impl FnOnce(&std::fs::File) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let (bounds, driver) = (self.bounds.get(), self.driver.clone());
        let operation = async {
            Settle { inner: &self, key: None }.await;
            let file = self.file.clone();
            let call = self.pool.call(move || work(&file))?;
            let in_flight = InFlight { inner: &self, call: Some(Box::pin(call)), effect };
            in_flight.await?.map_err(Failure::Io)
        };
        bounds.guard(driver, operation).await
    }
}

/// An operation that is waited for. Dropped too early it is taken out of the queue, or left to itself and remembered.
struct InFlight<'a, T: Send + 'static> {
    inner: &'a Inner,
    call: Option<Pin<Box<Call<T>>>>,
    effect: Effect,
}

impl<T: Send + 'static> Future for InFlight<'_, T> {
    type Output = Result<T, BlockingError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(call) = &mut self.call else { return Poll::Pending };
        let poll = call.as_mut().poll(cx);
        if poll.is_ready() {
            self.call = None;
        }
        poll
    }
}

impl<T: Send + 'static> Drop for InFlight<'_, T> {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        if self.effect == Effect::Changes && !call.withdraw() {
            self.inner.abandoned.borrow_mut().push(call);
        }
    }
}

/// An operation whose result nobody wants, but whose end matters.
trait Abandoned {
    fn poll_end(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
}

impl<T: Send> Abandoned for Call<T> {
    fn poll_end(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll(cx).map(drop)
    }
}

/// Waits until no abandoned operation runs.
struct Settle<'a> {
    inner: &'a Inner,
    key: Option<usize>,
}

impl Future for Settle<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut abandoned = self.inner.abandoned.take();
        abandoned.retain_mut(|call| call.as_mut().poll_end(cx).is_pending());
        let over = abandoned.is_empty();
        self.inner.abandoned.borrow_mut().append(&mut abandoned);
        if over {
            return Poll::Ready(());
        }
        if self.key.is_none() {
            let key = self.inner.settling.borrow_mut().insert(Waker::noop().clone());
            self.key = Some(key);
        }
        let waker = cx.waker().clone();
        let slot = self.key.and_then(|key| {
            let mut settling = self.inner.settling.borrow_mut();
            settling.get_mut(key).map(|slot| std::mem::replace(slot, waker))
        });
        drop(slot);
        Poll::Pending
    }
}

impl Drop for Settle<'_> {
    /// An abandoned operation wakes whoever has polled it last. That was perhaps this one: the others look for themselves.
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let own = self.inner.settling.borrow_mut().try_remove(key);
        drop(own);
        let others: Vec<Waker> =
            self.inner.settling.borrow().iter().map(|(_, waker)| waker.clone()).collect();
        others.into_iter().for_each(waiters::wake);
    }
}
