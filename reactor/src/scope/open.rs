//! [`scope`] and the [`Scope`] that its body is given.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{Location, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use crate::arena::Id;
use crate::event::Cause;
use crate::executor::{Driver, context};
use crate::instant::Instant;
use crate::remote::Handle;
use crate::scope::children::Report;
use crate::scope::strand::{Opened, Outcome};
use crate::scope::tree::{Kind, Plan};
use crate::scope::{Canceller, ScopeDeadline, ScopeEnd, ScopeError, ScopeId, ScopeInfo};
use crate::source::NEVER;
use crate::text::Text;

/// How long a scope may take: a [`Duration`] from when it is made, an [`Instant`], or [`Unbounded`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// So long from when the scope is made.
    Within(Duration),
    /// Until then.
    By(Instant),
    /// As long as the scopes around it; for ever, if there are none with a deadline.
    Unbounded,
}

/// No deadline of its own: see [`Limit::Unbounded`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbounded;

impl From<Duration> for Limit {
    fn from(within: Duration) -> Limit {
        Limit::Within(within)
    }
}

impl From<Instant> for Limit {
    fn from(by: Instant) -> Limit {
        Limit::By(by)
    }
}

impl From<Unbounded> for Limit {
    fn from(Unbounded: Unbounded) -> Limit {
        Limit::Unbounded
    }
}

impl Limit {
    /// The deadline of one that begins now, and the time it gives.
    pub(crate) fn begin(self, driver: &Driver) -> (u64, Option<Duration>) {
        match self {
            Limit::Within(budget) => ((driver.clock.now() + budget).as_nanos(), Some(budget)),
            Limit::By(deadline) => (deadline.as_nanos(), None),
            Limit::Unbounded => (NEVER, None),
        }
    }
}

/// A scope: everything that is awaited in it, and every task it spawns, ends with it. Given to the body of
/// [`scope`]; a clone may go along with a task, to spawn more or to cancel.
#[derive(Clone)]
pub struct Scope {
    inner: Rc<Inner>,
}

struct Inner {
    driver: Rc<Driver>,
    id: Id,
    deadline: Rc<ScopeDeadline>,
    report: RefCell<Report>,
}

/// Runs `body` in a scope called `name`, for as long as `limit` says, counted from this call.
///
/// # What ends it
/// It ends early when its deadline passes or that of a scope around it, when it or one around it is
/// [cancelled](Scope::cancel), when a task of it fails or panics, or when the runtime shuts down. What comes first
/// is its [end](ScopeEnd) for good. From then on every operation of this runtime in it fails, those
/// that wait and those that are begun later, with [`Failure::Elapsed`](crate::Failure::Elapsed) or
/// [`Failure::Cancelled`](crate::Failure::Cancelled): these do not touch the socket any more. So its body and its tasks can see why, and clean up
/// what needs no waiting. One that then waits, for whatever it may be, is dropped; only what is in a
/// [`shield`](crate::shield) is waited for. When this is ready, nothing of the scope is left.
///
/// Leave at the first such error: a body that tries again and again what now fails at once never waits, and so holds
/// up the whole loop.
///
/// A deadline and data that both come in one turn: the data wins. A cancelled operation has moved nothing.
///
/// # What it returns
/// `Ok` with what `body` returned, if it did return (also when it did so after the end) and every task of the scope ran
/// to its own end without failing. Otherwise a [`ScopeError`] that says what ended the scope, which tasks
/// failed, and holds what `body` returned nevertheless. After a `body` that returned, its tasks are awaited; a `body` that
/// panics ends the scope, and the panic goes on when its tasks are gone.
///
/// # What is in it
/// What is awaited in `body` and in the tasks of [`Scope::spawn`]; scopes opened there are within this one. A
/// task of the free [`spawn`](crate::spawn) is detached: it is in no scope. Dropping the future that this
/// returns ends the scope and drops `body` and all tasks, here and now.
///
/// A [`timeout`](crate::timeout) just drops what takes too long; a scope first lets it see the error, and names its
/// deadline in it.
///
/// ```
/// use std::time::Duration;
/// use punctual_reactor::{Runtime, scope, sleep};
///
/// let runtime = Runtime::new()?;
/// let ended = runtime.block_on(async {
///     scope("checkout", Duration::from_millis(5), async |scope| {
///         scope.spawn(async { sleep(Duration::from_millis(1)).await });
///         sleep(Duration::from_secs(60)).await;
///     })
///     .await
/// });
/// let error = ended.expect_err("it was too long");
/// assert!(error.is_timeout());
/// assert!(error.to_string().starts_with("scope \"checkout\" timed out after 5ms"));
/// # std::io::Result::Ok(())
/// ```
///
/// # Panics
/// Outside of a runtime: `block_on(async { scope(..).await })`, not `block_on(scope(..))`.
#[track_caller]
pub fn scope<T>(
    name: impl Into<Cow<'static, str>>,
    limit: impl Into<Limit>,
    body: impl AsyncFnOnce(&Scope) -> T,
) -> impl Future<Output = Result<T, ScopeError<T>>> {
    let driver = context::current("scope");
    let set_at = Location::caller();
    let name = Text::from(name);
    let limit = limit.into();
    let unbounded = limit == Limit::Unbounded;
    let (own_ns, budget) = limit.begin(&driver);
    let deadline = ScopeDeadline { name, budget, set_at };
    async move {
        let (parent, deadline) = (driver.scope(), Rc::new(deadline));
        let plan = Plan { kind: Kind::Scope, parent, deadline: deadline.clone(), own_ns, unbounded };
        let opened = Opened::new(driver, plan);
        let (driver, id) = (opened.driver.clone(), opened.id);
        let inner = Inner { driver, id, deadline, report: RefCell::default() };
        run(opened, Scope { inner: Rc::new(inner) }, body).await
    }
}

async fn run<T>(
    opened: Opened,
    scope: Scope,
    body: impl AsyncFnOnce(&Scope) -> T,
) -> Result<T, ScopeError<T>> {
    // The closure itself is called in the first poll, in the scope.
    let mut body = pin!(Some(async { body(&scope).await }));
    let mut given_up = GivenUp { scope: Some(&opened) };
    let outcome = poll_fn(|cx| opened.poll(cx, body.as_mut())).await;
    if matches!(outcome, Outcome::Panicked(_)) {
        scope.cancel("its body panicked");
    }
    poll_fn(|cx| opened.poll_tasks(cx)).await;
    given_up.scope = None;
    let report = scope.inner.report.take();
    let value = match outcome {
        Outcome::Panicked(panic) => resume_unwind(panic),
        Outcome::Finished(value) if report.is_clean() => return Ok(value),
        Outcome::Finished(value) => Some(value),
        Outcome::Dropped => None,
    };
    let deadline = ScopeDeadline::clone(&scope.inner.deadline);
    Err(ScopeError::new(deadline, opened.end(), report, value))
}

/// Ends a scope whose future is dropped, before anything else of it is.
struct GivenUp<'a> {
    scope: Option<&'a Opened>,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        if let Some(opened) = self.scope {
            let mut reactor = opened.driver.reactor.borrow_mut();
            reactor.cancel_scope(opened.id, Cause::from("the scope was dropped"));
            drop(reactor);
            opened.driver.wake_ended();
        }
    }
}

impl Scope {
    /// Ends it with `cause`, unless it has ended: the first cause stays. What waits in it ends in the next
    /// turn of the loop at the latest. After it is over this does nothing.
    pub fn cancel(&self, cause: impl Into<Cause>) {
        let cause = cause.into();
        self.driver().reactor.borrow_mut().cancel_scope(self.node(), cause);
        self.driver().wake_ended();
    }

    /// What cancels it from any thread.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller { handle: Handle { shared: self.driver().remote.clone() }, scope: self.id() }
    }

    /// Names it for ever.
    #[must_use]
    pub fn id(&self) -> ScopeId {
        ScopeId { id: self.node(), reactor: self.driver().remote.id }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.deadline.name()
    }

    /// The earliest of its own deadline and of those around it.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        ScopeInfo::of(self.driver(), self.node()).deadline()
    }

    /// What ended it, if it has ended.
    #[must_use]
    pub fn end(&self) -> Option<ScopeEnd> {
        self.driver().reactor.borrow_mut().scopes.end_of(self.node()).map(|(_, end)| end)
    }

    pub(crate) fn driver(&self) -> &Rc<Driver> {
        &self.inner.driver
    }

    pub(crate) fn node(&self) -> Id {
        self.inner.id
    }

    pub(crate) fn of(&self) -> &Rc<ScopeDeadline> {
        &self.inner.deadline
    }

    pub(crate) fn report(&self) -> &RefCell<Report> {
        &self.inner.report
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("name", &self.name()).field("end", &self.end()).finish()
    }
}
