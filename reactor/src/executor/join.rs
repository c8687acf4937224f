//! [`JoinHandle`]: what became of a task.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use crate::arena::Id;
use crate::executor::{Driver, TaskId, drop_contained};
use crate::one_line::OneLine;
use crate::scope::{ScopeEnd, Waiting};
use crate::waiters;
use crate::waits::{Label, Subject};

/// Waits for a task, or aborts it. Dropping it lets the task run on.
///
/// Cancel-safe: a result that was not taken stays. Awaited in a [scope](crate::scope) that ends before the task, it is
/// ready with an error that [is a cancel](JoinError::is_cancelled); the task runs on, and may be awaited again.
#[must_use = "dropping a JoinHandle detaches its task"]
pub struct JoinHandle<T> {
    state: Rc<JoinState<T>>,
    driver: Weak<Driver>,
    task: TaskId,
    /// Known to the scope and to the audit, while it is awaited.
    waiting: Option<Waiting>,
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

/// What a task and its handle share.
pub(crate) struct JoinState<T> {
    stage: Cell<Stage<T>>,
    spawned_at: &'static Location<'static>,
}

#[derive(Default)]
enum Stage<T> {
    /// With whoever is to be woken at the end.
    Running(Option<Waker>),
    Finished(Result<T, JoinError>),
    #[default]
    Taken,
}

impl<T> JoinState<T> {
    pub(crate) fn new(spawned_at: &'static Location<'static>) -> Rc<JoinState<T>> {
        Rc::new(JoinState { stage: Cell::new(Stage::Running(None)), spawned_at })
    }

    fn is_finished(&self) -> bool {
        let stage = self.stage.take();
        let finished = !matches!(stage, Stage::Running(_));
        self.stage.set(stage);
        finished
    }

    pub(crate) fn complete(&self, result: Result<T, JoinError>) {
        if let Stage::Running(joiner) = self.stage.replace(Stage::Finished(result)) {
            joiner.into_iter().for_each(waiters::wake);
        }
    }

    /// Whether its handle is gone.
    pub(crate) fn is_of_nobody(self: &Rc<Self>) -> bool {
        Rc::strong_count(self) == 1
    }

    /// The task is no more; if it has left no result, `why` says why. What nobody can ask for any more is not made.
    pub(crate) fn over(self: &Rc<Self>, why: impl FnOnce() -> JoinError) {
        if Rc::strong_count(self) > 1 && !self.is_finished() {
            self.complete(Err(why()));
        }
    }

    /// The result, if it is there; else whether `waker` is the one that is woken.
    fn poll(&self, waker: &Waker) -> Result<Result<T, JoinError>, bool> {
        match self.stage.take() {
            Stage::Finished(result) => Ok(result),
            Stage::Running(joiner) => {
                let kept = joiner.as_ref().is_some_and(|joiner| joiner.will_wake(waker));
                self.stage.set(Stage::Running(joiner));
                Err(kept)
            }
            Stage::Taken => panic!("a JoinHandle was awaited again after it had given its result"),
        }
    }

    /// Has `joiner` woken; returns what is to be dropped for it.
    fn wakes(&self, joiner: Waker) -> Stage<T> {
        match self.stage.take() {
            running @ Stage::Running(_) => {
                self.stage.set(Stage::Running(Some(joiner)));
                running
            }
            // It ended while the waker was cloned, which may be anybody's code.
            ended => {
                self.stage.set(ended);
                waiters::wake(joiner);
                Stage::Taken
            }
        }
    }
}

/// Runs `future` to its end and leaves its result, its panic or its abortion in `state`.
pub(crate) fn run<F: Future>(future: F, state: Rc<JoinState<F::Output>>) -> Joined<F> {
    Joined { future, outcome: Outcome(Some(state)) }
}

pin_project! {
    /// Written by hand, as are others that hold a future of somebody's: an `async` block that pins what it was given
    /// has room for it twice.
    #[project = Projected]
    pub(crate) struct Joined<F: Future> {
        #[pin]
        future: F,
        outcome: Outcome<F::Output>,
    }
}

impl<F: Future> Future for Joined<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Projected { future, outcome: Outcome(state) } = self.project();
        let ended = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => {
                state.take_if(|state| JoinState::is_of_nobody(state));
                return Poll::Pending;
            }
            Ok(Poll::Ready(value)) => Ok(value),
            Err(panic) => Err(panic),
        };
        match state {
            Some(state) => {
                let panicked = |panic| JoinError::panicked(panic, state.spawned_at);
                state.complete(ended.map_err(panicked));
            }
            // Whose drop may panic, as any value's of somebody's.
            None => drop_contained(ended),
        }
        Poll::Ready(())
    }
}

/// Reports an abortion if it is dropped before the task has ended. A task that waits while nobody can ask for its outcome
/// any more gives up the room for it.
struct Outcome<T>(Option<Rc<JoinState<T>>>);

impl<T> Drop for Outcome<T> {
    fn drop(&mut self) {
        if let Outcome(Some(state)) = self {
            state.over(|| JoinError::aborted(state.spawned_at));
        }
    }
}

impl<T> JoinHandle<T> {
    pub(crate) fn new(state: Rc<JoinState<T>>, driver: &Rc<Driver>, task: Id) -> JoinHandle<T> {
        let task = TaskId { id: task, reactor: driver.id };
        JoinHandle { state, driver: Rc::downgrade(driver), task, waiting: None }
    }

    /// Ends the task: its future is dropped, on the loop's thread, in the next turn. One that has
    /// ended keeps its result.
    pub fn abort(&self) {
        if let Some(driver) = self.driver.upgrade() {
            driver.abort(self.task.id);
        }
    }

    /// The name of the task for the machine. One that was never started, as its runtime was being dropped, has that of
    /// the future of `block_on`.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.task
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state.is_finished()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let kept = match self.state.poll(cx.waker()) {
            Ok(result) => {
                self.waiting = None;
                return Poll::Ready(result);
            }
            Err(kept) => kept,
        };
        let spawned_at = self.state.spawned_at;
        let subject = Subject::Task(spawned_at);
        if let Err(end) = Waiting::poll(&mut self.waiting, Label::idle("join"), subject, cx) {
            return Poll::Ready(Err(JoinError::not_awaited(end, spawned_at)));
        }
        if !kept {
            let before = self.state.wakes(cx.waker().clone());
            drop(before);
        }
        Poll::Pending
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
