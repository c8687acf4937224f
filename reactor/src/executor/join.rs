//! [`JoinHandle`]: what became of a task.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use crate::executor::TaskId;
use crate::executor::joining::Held;
use crate::executor::stage::{Outcome, TaskFuture};
use crate::one_line::OneLine;
use crate::scope::ScopeEnd;

/// Waits for a task, or aborts it. Dropping it lets the task run on.
///
/// Cancel-safe: a result that was not taken stays. Awaited in a [scope](crate::scope) that ends before the task, it is
/// ready with an error that [is a cancel](JoinError::is_cancelled); the task runs on, and may be awaited again.
#[must_use = "dropping a JoinHandle detaches its task"]
pub struct JoinHandle<T> {
    held: Held,
    /// Takes the outcome out of a task that is over.
    outcome: fn(TaskFuture) -> Outcome<T>,
}

/// Why a task has no result.
// It is one pointer: a task that ends well has room for it too.
pub struct JoinError(Box<Lost>);

struct Lost {
    why: Why,
    spawned_at: &'static Location<'static>,
}

enum Why {
    Aborted,
    /// The scope of the task, or the one in which it was awaited.
    Ended {
        end: ScopeEnd,
        awaited: bool,
    },
    /// A task of a scope returned an error, which the scope has.
    Failed(String),
    /// In a mutex, though nobody shares it, because an error ought to be `Sync`.
    Panicked(Mutex<Box<dyn Any + Send>>),
}

impl<T: 'static> JoinHandle<T> {
    #[inline]
    pub(crate) fn new(held: Held) -> JoinHandle<T> {
        JoinHandle { held, outcome: outcome_of }
    }
}

/// What became of a task whose future was a [`Stage`](crate::executor::stage::Stage) with room for it.
fn outcome_of<T: 'static>(mut over: TaskFuture) -> Outcome<T> {
    let mut outcome: Outcome<T> = None;
    over.as_mut().give(&mut outcome);
    outcome
}

impl<T> JoinHandle<T> {
    /// Ends the task: its future is dropped, on the loop's thread, in the next turn. One that has
    /// ended keeps its result.
    pub fn abort(&self) {
        self.held.abort();
    }

    /// The name of the task for the machine. One that was never started, as its runtime was being dropped, has that of
    /// the future of `block_on`.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.held.task
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.held.is_over()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let JoinHandle { held, outcome } = &mut *self;
        match held.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(over)) => match outcome(over) {
                Some(outcome) => Poll::Ready(outcome),
                None => unreachable!("what somebody can ask for is kept"),
            },
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

impl JoinError {
    #[cold]
    fn new(why: Why, spawned_at: &'static Location<'static>) -> JoinError {
        JoinError(Box::new(Lost { why, spawned_at }))
    }

    pub(crate) fn aborted(spawned_at: &'static Location<'static>) -> JoinError {
        JoinError::new(Why::Aborted, spawned_at)
    }

    pub(crate) fn panicked(panic: Box<dyn Any + Send>, at: &'static Location<'static>) -> JoinError {
        JoinError::new(Why::Panicked(Mutex::new(panic)), at)
    }

    /// That of a task of a scope, dropped because the scope had ended.
    pub(crate) fn ended(end: ScopeEnd, spawned_at: &'static Location<'static>) -> JoinError {
        JoinError::new(Why::Ended { end, awaited: false }, spawned_at)
    }

    /// That of whoever awaited it in a scope that has ended.
    pub(crate) fn not_awaited(end: ScopeEnd, spawned_at: &'static Location<'static>) -> JoinError {
        JoinError::new(Why::Ended { end, awaited: true }, spawned_at)
    }

    pub(crate) fn failed(message: String, spawned_at: &'static Location<'static>) -> JoinError {
        JoinError::new(Why::Failed(message), spawned_at)
    }

    /// Whether a [scope](crate::scope) ended first, be it by a cancel, a deadline or the shutdown: that of the
    /// task, which was then dropped, or that in which it was awaited; then it may still run, and be awaited again.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0.why, Why::Ended { .. })
    }

    /// What ended that scope.
    #[must_use]
    pub fn scope_end(&self) -> Option<&ScopeEnd> {
        match &self.0.why {
            Why::Ended { end, .. } => Some(end),
            _ => None,
        }
    }

    /// Whether the task was aborted, or its runtime dropped.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        matches!(self.0.why, Why::Aborted)
    }

    /// Whether the task panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self.0.why, Why::Panicked(_))
    }

    /// What the task panicked with, to be resumed.
    ///
    /// # Errors
    /// The error itself if it was no panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, JoinError> {
        let Lost { why, spawned_at } = *self.0;
        match why {
            Why::Panicked(panic) => Ok(panic.into_inner().unwrap_or_else(PoisonError::into_inner)),
            why => Err(JoinError::new(why, spawned_at)),
        }
    }

    pub(crate) fn message(&self) -> Option<String> {
        let Why::Panicked(panic) = &self.0.why else { return None };
        let panic = panic.lock().unwrap_or_else(PoisonError::into_inner);
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).or_else(|| Some("no message".into()))
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if matches!(self.0.why, Why::Ended { awaited: true, .. }) {
            f.write_str("the wait for ")?;
        }
        write!(f, "the task spawned at {} ", self.0.spawned_at)?;
        match &self.0.why {
            Why::Aborted => f.write_str("was aborted"),
            Why::Ended { end, .. } => end.fmt(f),
            // What others have said breaks no line.
            Why::Failed(message) => write!(f, "failed: {}", OneLine(message)),
            Why::Panicked(_) => {
                write!(f, "panicked: {}", OneLine(&self.message().unwrap_or_default()))
            }
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {}
