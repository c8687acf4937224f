//! The tasks of a scope, and what became of them.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::arena::Id;
use crate::event::Cause;
use crate::executor::{JoinError, JoinHandle, Origin, TaskId, drop_contained};
use crate::scope::strand::{Opened, Outcome};
use crate::scope::tree::{Kind, Plan};
use crate::scope::{Scope, ScopeEnd};
use crate::source::NEVER;
use crate::text::Text;

type BoxError = Box<dyn StdError + Send + Sync>;

/// What became of the tasks of a scope that did not just finish.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) failures: Vec<ChildFailure>,
    /// Tasks that still waited when the scope had ended, and were dropped.
    pub(crate) cut_short: usize,
}

impl Report {
    pub(crate) fn is_clean(&self) -> bool {
        self.failures.is_empty() && self.cut_short == 0
    }
}

/// A task of a scope that failed or panicked.
pub struct ChildFailure {
    spawned_at: &'static Location<'static>,
    why: Why,
}

enum Why {
    Failed(BoxError),
    Panicked(JoinError),
}

impl ChildFailure {
    /// Where the task was spawned.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.spawned_at
    }

    /// The error that it returned; `None` if it panicked.
    #[must_use]
    pub fn error(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        match &self.why {
            Why::Failed(error) => Some(&**error),
            Why::Panicked(_) => None,
        }
    }

    /// Whether it panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self.why, Why::Panicked(_))
    }

    /// What it panicked with, to be resumed.
    ///
    /// # Errors
    /// Itself, if it was no panic.
    pub fn try_into_panic(self) -> Result<Box<dyn std::any::Any + Send>, ChildFailure> {
        let ChildFailure { spawned_at, why } = self;
        match why {
            Why::Panicked(panic) => panic
                .try_into_panic()
                .map_err(|panic| ChildFailure { spawned_at, why: Why::Panicked(panic) }),
            why => Err(ChildFailure { spawned_at, why }),
        }
    }
}

impl fmt::Display for ChildFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Failed(error) => write!(f, "the task spawned at {} failed: {error}", self.spawned_at),
            Why::Panicked(panic) => panic.fmt(f),
        }
    }
}

impl fmt::Debug for ChildFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChildFailure({self})")
    }
}

impl StdError for ChildFailure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.why {
            Why::Failed(error) => Some(&**error),
            Why::Panicked(_) => None,
        }
    }
}

/// Waits for a task of a scope, or aborts it. Dropped, it leaves the task to its scope, which waits for it.
///
/// Awaited in a scope that ends before the task, it is ready with an error that
/// [is a cancel](JoinError::is_cancelled).
pub struct ScopedJoinHandle<T> {
    join: JoinHandle<T>,
}

impl<T> ScopedJoinHandle<T> {
    /// Ends the task: its future is dropped, on the loop's thread, in the next turn. To its scope that is no
    /// failure.
    pub fn abort(&self) {
        self.join.abort();
    }

    /// The name of the task for the machine; see [`JoinHandle::id`].
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.join.id()
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.join.is_finished()
    }
}

impl<T> Future for ScopedJoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.join).poll(cx)
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").field("finished", &self.is_finished()).finish()
    }
}

impl Scope {
    /// Starts a task of the scope: it is over before the scope is. A panic of it ends the scope, and is
    /// reported by it.
    ///
    /// In a scope that has ended the task runs until it first waits; in one that is over, not at all.
    #[track_caller]
    pub fn spawn<F: Future + 'static>(&self, future: F) -> ScopedJoinHandle<F::Output> {
        self.spawn_child(future, Ok, None, Location::caller())
    }

    /// [`spawn`](Scope::spawn) with a name for the task, by which whatever tells of tasks calls it.
    #[track_caller]
    pub fn spawn_named<F: Future + 'static>(
        &self,
        name: impl Into<Cow<'static, str>>,
        future: F,
    ) -> ScopedJoinHandle<F::Output> {
        let name = Text::from(name);
        self.spawn_child(future, Ok, Some(name), Location::caller())
    }

    /// Starts a task of the scope that may fail. The first failure ends the scope with a cause that names it;
    /// the [error](crate::ScopeError::failures) of the scope has them all.
    #[track_caller]
    pub fn spawn_fallible<T: 'static, E: Into<BoxError>>(
        &self,
        future: impl Future<Output = Result<T, E>> + 'static,
    ) -> ScopedJoinHandle<T> {
        self.spawn_child(future, |result| result.map_err(Into::into), None, Location::caller())
    }

    fn spawn_child<F: Future + 'static, T: 'static>(
        &self,
        future: F,
        into: fn(F::Output) -> Result<T, BoxError>,
        name: Option<Text>,
        spawned_at: &'static Location<'static>,
    ) -> ScopedJoinHandle<T> {
        let driver = self.driver();
        let over = driver.reactor.borrow_mut().scopes.nodes.get_mut(self.node()).is_none();
        let held = if over {
            drop_contained(future);
            driver.refused(JoinError::ended(ScopeEnd::over(&self.of().name), spawned_at))
        } else {
            driver.spawn_with(
                |task| {
                    let (kind, parent) = (Kind::Task(task), Some(self.node()));
                    let deadline = self.of().clone();
                    let plan = Plan { kind, parent, deadline, own_ns: NEVER, unbounded: false };
                    let opened = Opened::new(driver.clone(), plan);
                    let child = Child { opened, scope: self.clone(), task, spawned_at };
                    Running { future: Some(future), into, child }
                },
                Origin::new(name, spawned_at),
            )
        };
        ScopedJoinHandle { join: JoinHandle::new(held) }
    }
}

pin_project! {
    /// The future of a task in a scope: see `executor/stage.rs`.
    #[project = Projected]
    struct Running<F: Future, T> {
        #[pin]
        future: Option<F>,
        into: fn(F::Output) -> Result<T, BoxError>,
        child: Child,
    }
}

impl<F: Future, T> Future for Running<F, T> {
    type Output = Option<Result<T, JoinError>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Projected { future, into, child } = self.project();
        child.opened.poll(cx, future).map(|outcome| child.finish(outcome.map(*into)))
    }
}

/// A task of a scope.
struct Child {
    opened: Opened,
    scope: Scope,
    task: Id,
    spawned_at: &'static Location<'static>,
}

impl Child {
    /// What is told to whoever asks for the outcome. What nobody can ask for is not made.
    fn finish<T>(&self, outcome: Outcome<Result<T, BoxError>>) -> Option<Result<T, JoinError>> {
        let spawned_at = self.spawned_at;
        let result = match outcome {
            Outcome::Finished(Ok(value)) => Ok(value),
            // Its words are anybody's code: one that panics there has failed all the same.
            Outcome::Finished(Err(error)) => {
                match catch_unwind(AssertUnwindSafe(|| error.to_string())) {
                    Ok(message) => {
                        let cause = format!("the task spawned at {spawned_at} failed: {message}");
                        self.fail(Why::Failed(error), cause);
                        Err(JoinError::failed(message, spawned_at))
                    }
                    Err(panic) => Err(self.panicked(panic)),
                }
            }
            Outcome::Panicked(panic) => Err(self.panicked(panic)),
            Outcome::Dropped => {
                self.scope.report().borrow_mut().cut_short += 1;
                if !self.opened.driver.tasks.is_held(self.task) {
                    return None;
                }
                let over = || ScopeEnd::over(&self.scope.of().name);
                Err(JoinError::ended(self.opened.end().unwrap_or_else(over), spawned_at))
            }
        };
        Some(result)
    }

    fn panicked(&self, panic: Box<dyn Any + Send>) -> JoinError {
        let panic = JoinError::panicked(panic, self.spawned_at);
        let (message, cause) = (panic.message().unwrap_or_default(), panic.to_string());
        self.fail(Why::Panicked(panic), cause);
        JoinError::panicked(Box::new(message), self.spawned_at)
    }

    fn fail(&self, why: Why, cause: String) {
        let failure = ChildFailure { spawned_at: self.spawned_at, why };
        self.scope.report().borrow_mut().failures.push(failure);
        self.scope.cancel(Cause::from(cause));
    }
}
