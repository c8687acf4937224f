//! Waiting in a scope for what is no operation on a source.

use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use crate::arena::Id;
use crate::executor::{Driver, ShutdownRequested, context};
use crate::failure::Failure;
use crate::instant::Instant;
use crate::scope::strand::Entered;
use crate::scope::{ScopeEnd, ScopeId, Waiting};
use crate::source::NEVER;
use crate::waits::{Frame, Label, Subject, WaitGuard};

/// Awaits `future` in the current [scope](crate::scope) as if it were one of this runtime's own operations: it
/// ends with the scope, and with the runtime.
///
/// For what waits by means of its own, as for an answer of another thread. A scope that has ended already, or
/// whose deadline has passed, lets it not begin: `future` is dropped without being polled. When the deadline
/// comes while it waits, it is polled once more; after a cancel it is not.
///
/// It belongs to the scope in which it is first polled, as an operation on a source does, wherever it is polled later.
///
/// Cancel-safe if `future` is.
///
/// # Errors
/// [`Failure::Elapsed`], [`Failure::Cancelled`] or [`Failure::Shutdown`].
///
/// # Panics
/// When polled outside of a runtime.
pub async fn in_scope<F: IntoFuture>(future: F) -> Result<F::Output, Failure> {
    in_scope_as("wait", future).await
}

/// As [`in_scope`], under a name by which the [audit](crate::waits) calls it, as `lookup`.
///
/// # Errors
/// As [`in_scope`].
///
/// # Panics
/// When polled outside of a runtime.
pub async fn in_scope_as<F: IntoFuture>(what: &'static str, future: F) -> Result<F::Output, Failure> {
    within(what, None, None, future.into_future()).await
}

/// As [`in_scope_as`], and the audit says for what or whom it waits, as `resolve example.com`.
///
/// # Errors
/// As [`in_scope`].
///
/// # Panics
/// When polled outside of a runtime.
pub async fn in_scope_for<F: IntoFuture>(
    what: &'static str,
    subject: impl Into<Subject>,
    future: F,
) -> Result<F::Output, Failure> {
    within(what, Some(subject.into()), None, future.into_future()).await
}

/// As [`in_scope_as`], for what waits for the end of the scope beside an operation of its own that it bounds by `guard`:
/// the [audit](crate::waits) lists it only if nothing that is polled within `guard` is known to wait.
///
/// # Errors
/// As [`in_scope`].
///
/// # Panics
/// When polled outside of a runtime.
pub async fn in_scope_beside<F: IntoFuture>(
    what: &'static str,
    guard: WaitGuard,
    future: F,
) -> Result<F::Output, Failure> {
    within(what, None, Some(guard.0), future.into_future()).await
}

async fn within<F: Future>(
    what: &'static str,
    subject: Option<Subject>,
    frame: Option<Frame>,
    future: F,
) -> Result<F::Output, Failure> {
    let driver = context::current("in_scope");
    let waiting = Waiting::begin(driver.clone(), Label::new(what), subject, frame);
    let mut waiting: Waiting = waiting.map_err(|end| end.failure(None))?;
    let (began_ns, frame) = (waiting.since_ns(), waiting.frame());
    let mut shutdown = ShutdownRequested::unlisted();
    let mut future = pin!(future);
    poll_fn(|cx| {
        waiting.polled_again(&driver);
        let ended = waiting.poll_end(&driver, cx);
        let mut shut_down = || Pin::new(&mut shutdown).poll(cx).is_ready().then_some(ScopeEnd::Shutdown);
        let ended = ended.or_else(&mut shut_down);
        match ended {
            Some(end) if !end.is_timeout() => Poll::Ready(Err(end.failure(Some(began_ns)))),
            ended => match (driver.frame.poll(frame, future.as_mut(), cx), ended) {
                (Poll::Ready(value), _) => Poll::Ready(Ok(value)),
                (Poll::Pending, Some(end)) => Poll::Ready(Err(end.failure(Some(began_ns)))),
                (Poll::Pending, None) => Poll::Pending,
            },
        }
    })
    .await
}

/// Says whether something may begin now: not if the current scope has ended, its deadline has passed, or the
/// runtime is shutting down. Operations on a [`Registration`](crate::Registration) see to it themselves; this is for
/// what comes before one, as the SYN of a connect.
///
/// # Errors
/// As [`in_scope`].
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn check_scope() -> Result<(), Failure> {
    let driver = context::current("check_scope");
    let refused = driver.scope().and_then(|scope| driver.reactor.borrow_mut().refuses(scope));
    match refused {
        Some(end) => {
            driver.wake_ended();
            Err(end.failure(None))
        }
        None if driver.is_shut_down() => Err(Failure::Shutdown),
        None => Ok(()),
    }
}

/// Runs `code` as if it were in no scope: for polling what several wait for, each in a scope of its own. What is begun
/// there ends with none of theirs, and is bounded by no [`timeout`](crate::timeout) of theirs; whoever waits for it does so by [`in_scope`].
pub fn outside_scopes<R>(code: impl FnOnce() -> R) -> R {
    let driver = context::try_current();
    let _left = driver.as_ref().map(|driver| Entered::new(driver, None));
    let _unbounded = driver.as_ref().map(|driver| driver.frame.leave());
    code()
}

/// The scope in which this code runs, if it runs in one.
#[must_use]
pub fn current_scope() -> Option<ScopeInfo> {
    let driver = context::try_current()?;
    let id = driver.scope()?;
    Some(ScopeInfo::of(&driver, id))
}

/// The name of [that scope](current_scope), which costs no memory to ask for.
#[must_use]
pub fn current_scope_id() -> Option<ScopeId> {
    let driver = context::try_current()?;
    let id = driver.scope()?;
    Some(ScopeId { id, reactor: driver.reactor.borrow().id })
}

/// What a scope was like when it was asked: see [`current_scope`].
#[derive(Clone)]
pub struct ScopeInfo {
    id: ScopeId,
    path: String,
    deadline: Option<Instant>,
    end: Option<ScopeEnd>,
}

impl ScopeInfo {
    pub(crate) fn of(driver: &Driver, id: Id) -> ScopeInfo {
        let mut reactor = driver.reactor.borrow_mut();
        let effective_ns = reactor.scopes.effective_ns(id);
        ScopeInfo {
            id: ScopeId { id, reactor: reactor.id },
            path: reactor.scope_path(id),
            deadline: (effective_ns != NEVER).then(|| Instant::from_nanos(effective_ns)),
            end: reactor.scopes.end_of(id).map(|(_, end)| end),
        }
    }

    /// Names it for ever.
    #[must_use]
    pub fn id(&self) -> ScopeId {
        self.id
    }

    /// The names of the scopes from the outermost to this one, as `request/lookup`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The earliest of its own deadline and of those around it.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What ended it, if it had ended.
    #[must_use]
    pub fn end(&self) -> Option<&ScopeEnd> {
        self.end.as_ref()
    }
}

impl fmt::Debug for ScopeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopeInfo")
            .field("path", &self.path)
            .field("deadline", &self.deadline)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
