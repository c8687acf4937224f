//! [`JoinHandle`]: what became of a task.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::arena::Id;
use crate::executor::Driver;
use crate::waiters;

/// Waits for a task, or aborts it. Dropping it lets the task run on.
///
/// Cancel-safe: a result that was not taken stays.
#[must_use = "dropping a JoinHandle detaches its task"]
pub struct JoinHandle<T> {
    pub(crate) state: Rc<JoinState<T>>,
    pub(crate) driver: Weak<Driver>,
    pub(crate) task: Id,
}

/// Why a task has no result.
pub struct JoinError {
    why: Why,
    spawned_at: &'static Location<'static>,
}

enum Why {
    Aborted,
    /// In a mutex, though nobody shares it, because an error ought to be `Sync`.
    Panicked(Mutex<Box<dyn Any + Send>>),
}

pub(crate) struct JoinState<T> {
    result: RefCell<Option<Result<T, JoinError>>>,
    finished: Cell<bool>,
    joiner: RefCell<Option<Waker>>,
}

impl<T> JoinState<T> {
    pub(crate) fn new() -> Rc<JoinState<T>> {
        let (result, joiner) = (RefCell::new(None), RefCell::new(None));
        Rc::new(JoinState { result, finished: Cell::new(false), joiner })
    }

    fn complete(&self, result: Result<T, JoinError>) {
        *self.result.borrow_mut() = Some(result);
        self.finished.set(true);
        let joiner = self.joiner.borrow_mut().take();
        joiner.into_iter().for_each(waiters::wake);
    }
}

/// Runs `future` to its end and leaves its result, its panic or its abortion in `state`.
pub(crate) fn run<F: Future>(
    future: F,
    state: Rc<JoinState<F::Output>>,
    spawned_at: &'static Location<'static>,
) -> impl Future<Output = ()> {
    let mut outcome = Outcome { state, spawned_at, done: false };
    async move {
        let mut future = pin!(future);
        let result = std::future::poll_fn(|cx| {
            match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
                Ok(poll) => poll.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            }
        });
        let result = result.await;
        outcome.done = true;
        outcome.state.complete(result.map_err(|panic| JoinError::panicked(panic, spawned_at)));
    }
}

/// Reports an abortion if it is dropped before the task has ended.
struct Outcome<T> {
    state: Rc<JoinState<T>>,
    spawned_at: &'static Location<'static>,
    done: bool,
}

impl<T> Drop for Outcome<T> {
    fn drop(&mut self) {
        if !self.done {
            self.state.complete(Err(JoinError::aborted(self.spawned_at)));
        }
    }
}

impl<T> JoinHandle<T> {
    /// Ends the task: its future is dropped, on the loop's thread, in the next turn. One that has
    /// ended keeps its result.
    pub fn abort(&self) {
        if let Some(driver) = self.driver.upgrade() {
            driver.abort(self.task);
        }
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state.finished.get()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.state.result.borrow_mut().take() {
            return Poll::Ready(result);
        }
        assert!(!self.is_finished(), "a JoinHandle was awaited again after it had given its result");
        let before = self.state.joiner.replace(Some(cx.waker().clone()));
        drop(before);
        Poll::Pending
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

impl JoinError {
    pub(crate) fn aborted(spawned_at: &'static Location<'static>) -> JoinError {
        JoinError { why: Why::Aborted, spawned_at }
    }

    pub(crate) fn panicked(panic: Box<dyn Any + Send>, at: &'static Location<'static>) -> JoinError {
        JoinError { why: Why::Panicked(Mutex::new(panic)), spawned_at: at }
    }

    /// Whether the task was aborted, or its runtime dropped.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        matches!(self.why, Why::Aborted)
    }

    /// Whether the task panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self.why, Why::Panicked(_))
    }

    /// What the task panicked with, to be resumed.
    ///
    /// # Errors
    /// The error itself if it was no panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, JoinError> {
        match self.why {
            Why::Panicked(panic) => Ok(panic.into_inner().unwrap_or_else(PoisonError::into_inner)),
            Why::Aborted => Err(self),
        }
    }

    fn message(&self) -> Option<String> {
        let Why::Panicked(panic) = &self.why else { return None };
        let panic = panic.lock().unwrap_or_else(PoisonError::into_inner);
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).or_else(|| Some("no message".into()))
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            None => write!(f, "the task spawned at {} was aborted", self.spawned_at),
            Some(message) => write!(f, "the task spawned at {} panicked: {message}", self.spawned_at),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {}
