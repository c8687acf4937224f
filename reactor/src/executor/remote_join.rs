//! [`RemoteJoinHandle`]: waits on one thread for a task that runs on another's loop.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::executor::context;
use crate::executor::join::JoinError;
use crate::executor::task_info::Origin;
use crate::remote::{Handle, SendError, Shared};
use crate::scope::Waiting;
use crate::text::Text;
use crate::waits::{Label, Subject};

/// Waits for a task that [`Handle::spawn`] started, from any thread: as a future, or blocking.
///
/// Awaited in a [scope](crate::scope) that ends before the task, it is ready with an error that
/// [is a cancel](JoinError::is_cancelled); the task runs on. A loop that ends first, its runtime dropped, resolves it with an error. A loop that nobody drives does not.
#[must_use = "dropping a RemoteJoinHandle detaches its task"]
pub struct RemoteJoinHandle<T> {
    shared: Arc<Exchange<T>>,
    /// Known to the scope and to the audit of the loop on which it is awaited, while it is.
    waiting: Option<Waiting<Arc<Shared>>>,
}

const GIVEN: &str = "a RemoteJoinHandle was awaited again after it had given its result";

struct Exchange<T> {
    state: Mutex<State<T>>,
    done: Condvar,
    spawned_at: &'static Location<'static>,
}

struct State<T> {
    result: Option<Result<T, JoinError>>,
    finished: bool,
    joiner: Option<Waker>,
}

impl<T> Exchange<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing can panic while it is held, and a result is valid whatever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop's end of the exchange; dropped without a result it says that the task was aborted.
struct Sender<T> {
    shared: Arc<Exchange<T>>,
    spawned_at: &'static Location<'static>,
}

impl<T> Sender<T> {
    fn complete(&self, result: Result<T, JoinError>) {
        let mut state = self.shared.state();
        if std::mem::replace(&mut state.finished, true) {
            return;
        }
        state.result = Some(result);
        let joiner = state.joiner.take();
        drop(state);
        self.shared.done.notify_all();
        joiner.into_iter().for_each(crate::waiters::wake);
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.complete(Err(JoinError::aborted(self.spawned_at)));
    }
}

impl Handle {
    /// Has the loop call `make` and run the future it returns, which need not be `Send`.
    ///
    /// On a bare [`Reactor`](crate::Reactor), which has no tasks, the handle resolves as aborted.
    ///
    /// # Errors
    /// [`SendError`]; nothing was started.
    #[track_caller]
    pub fn spawn<M, F>(&self, make: M) -> Result<RemoteJoinHandle<F::Output>, SendError>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_at(make, None, Location::caller())
    }

    /// [`spawn`](Handle::spawn) with a name for the task; see [`Runtime::spawn_named`](crate::Runtime::spawn_named).
    ///
    /// # Errors
    /// [`SendError`]; nothing was started.
    #[track_caller]
    pub fn spawn_named<M, F>(
        &self,
        name: impl Into<Cow<'static, str>>,
        make: M,
    ) -> Result<RemoteJoinHandle<F::Output>, SendError>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_at(make, Some(name.into().into()), Location::caller())
    }

    fn spawn_at<M, F>(
        &self,
        make: M,
        name: Option<Text>,
        spawned_at: &'static Location<'static>,
    ) -> Result<RemoteJoinHandle<F::Output>, SendError>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let state = Mutex::new(State { result: None, finished: false, joiner: None });
        let shared = Arc::new(Exchange { state, done: Condvar::new(), spawned_at });
        let sender = Sender { shared: shared.clone(), spawned_at };
        let call = move || {
            let Some(driver) = context::try_current() else { return };
            let task = driver.spawn(async move { make().await }, Origin::new(name, spawned_at));
            let report = async move { sender.complete(task.await) };
            drop(driver.spawn(report, Origin::new(None, spawned_at)));
        };
        self.call_from(call, spawned_at)?;
        Ok(RemoteJoinHandle { shared, waiting: None })
    }
}

impl<T> RemoteJoinHandle<T> {
    /// Blocks this thread until the task has ended. Not for the loop's own thread, which would wait for
    /// itself: await the handle there.
    ///
    /// # Errors
    /// [`JoinError`] if it was aborted, panicked, or its loop ended.
    ///
    /// # Panics
    /// If the handle was awaited and has given its result.
    pub fn join(self) -> Result<T, JoinError> {
        let mut state = self.shared.state();
        loop {
            if let Some(result) = state.result.take() {
                return result;
            }
            assert!(!state.finished, "{GIVEN}");
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Future for RemoteJoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = this.shared.state();
        if let Some(result) = state.result.take() {
            drop(state);
            this.waiting = None;
            return Poll::Ready(result);
        }
        assert!(!state.finished, "{GIVEN}");
        state.joiner = Some(cx.waker().clone());
        drop(state);
        let subject = Subject::Task(this.shared.spawned_at);
        match Waiting::poll(&mut this.waiting, Label::idle("join"), subject, cx) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(Err(JoinError::not_awaited(end, this.shared.spawned_at))),
        }
    }
}

impl<T> fmt::Debug for RemoteJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJoinHandle").finish_non_exhaustive()
    }
}
