//! [`Runtime`]: a reactor with tasks.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::Location;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::builder::{BlockingLimits, Builder};
use crate::drift::Drift;
use crate::executor::context;
use crate::executor::driver::{Driver, count};
use crate::executor::join::JoinHandle;
use crate::executor::task::{MAIN, TaskWaker};
use crate::executor::task_info::Origin;
use crate::instant::Instant;
use crate::reactor::Reactor;
use crate::remote::Handle;
use crate::sys;
use crate::waiters::WakerName;

/// A single-threaded runtime: one [`Reactor`] and the tasks that run on its turns.
///
/// ```
/// use std::time::Duration;
/// use punctual_reactor::{Instant, Runtime, sleep, spawn};
///
/// let runtime = Runtime::new()?;
/// let late = runtime.block_on(async {
///     let deadline = Instant::now() + Duration::from_millis(2);
///     let task = spawn(async move { sleep(Duration::from_millis(2)).await });
///     task.await.expect("it neither panicked nor was aborted");
///     Instant::now() - deadline
/// });
/// assert!(late > Duration::ZERO, "never early");
/// # std::io::Result::Ok(())
/// ```
///
/// Dropping it drops its tasks, here on this thread; their handles resolve as aborted.
pub struct Runtime {
    driver: Rc<Driver>,
}

impl Runtime {
    /// A runtime with the defaults of [`Runtime::builder`].
    ///
    /// # Errors
    /// What the kernel says of the descriptors it needs.
    pub fn new() -> io::Result<Runtime> {
        Runtime::builder().build()
    }

    /// Sets clock, alarm, precision, budgets and wheel tick before it is built.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn driver(&self) -> &Driver {
        &self.driver
    }

    pub(crate) fn over(reactor: Reactor, blocking: BlockingLimits) -> io::Result<Runtime> {
        Ok(Runtime { driver: Driver::new(reactor, blocking)? })
    }

    /// Runs `future` and the runtime's tasks until `future` is done. Other tasks stay, and go on in the
    /// next call.
    ///
    /// # Panics
    /// If a runtime runs on this thread already, or if the kernel refuses to wait (the epoll descriptor
    /// was closed behind our back).
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let _entered = self.enter("block_on");
        let flag = TaskWaker::queued(MAIN, self.driver.remote.clone());
        let waker = flag.waker();
        let mut future = pin!(future);
        let mut output = None;
        let _main = self.driver.main_is(flag.clone(), Origin::new(None, Location::caller()));
        self.driver.queue(MAIN);
        let mut main = || {
            flag.about_to_poll();
            self.driver.polled_by.set(WakerName::of(&waker));
            count(&self.driver.counts.polls);
            future.as_mut().poll(&mut Context::from_waker(&waker)).map(|value| output = Some(value))
        };
        loop {
            match self.driver.turn(None, &mut main) {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(())) => break,
                Err(error) => panic!("the loop cannot wait: {error}"),
            }
        }
        self.driver.account_leave();
        match output {
            Some(output) => output,
            None => unreachable!("the future was ready and left its output"),
        }
    }

    /// Takes one turn of the loop and runs tasks within the budget: for embedding in another loop, with
    /// [`prepare`](Runtime::prepare) and the descriptor. See [`Reactor::turn`].
    ///
    /// # Errors
    /// What the kernel says of the poll or the alarm.
    ///
    /// # Panics
    /// Within a runtime, as from one of its own tasks.
    #[track_caller]
    pub fn turn(&self, max_wait: Option<Duration>) -> io::Result<()> {
        let _entered = self.enter("turn");
        let turned = self.driver.turn(max_wait, &mut || Poll::Pending).map(|_| ());
        self.driver.account_leave();
        turned
    }

    /// Readies a sleep in somebody else's poll; see [`Reactor::prepare`]. Call it again after anything that
    /// was spawned, aborted or armed since.
    ///
    /// # Errors
    /// What the kernel says of the alarm.
    pub fn prepare(&self) -> io::Result<Option<Duration>> {
        self.driver.prepare()
    }

    /// Starts a task; it runs when the runtime does.
    #[track_caller]
    pub fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.driver.spawn(future, Origin::new(None, Location::caller()))
    }

    /// Starts a task with a name, by which the [list of tasks](Runtime::tasks) and whatever else tells of tasks calls
    /// it. Names need not be unique, and say no more than where it was spawned if all from there have the same.
    #[track_caller]
    pub fn spawn_named<F: Future + 'static>(
        &self,
        name: impl Into<Cow<'static, str>>,
        future: F,
    ) -> JoinHandle<F::Output> {
        self.driver.spawn(future, Origin::new(Some(name.into().into()), Location::caller()))
    }

    #[track_caller]
    fn enter(&self, what: &str) -> context::Entered {
        assert!(
            context::try_current().is_none(),
            "{what} within a runtime would stop the loop that it runs on: spawn or await instead"
        );
        // If the last one panicked, nobody has said that it was left.
        self.driver.reactor.borrow_mut().abandon_turn();
        context::enter(&self.driver)
    }

    /// Whether [`Handle::shutdown`] has been called; see [`shutdown_requested`].
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.driver.is_shut_down()
    }

    /// The one way in from other threads.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { shared: self.driver.remote.clone() }
    }

    /// Reads the runtime's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.driver.clock.now()
    }

    /// How late everything fired so far, and through whom.
    #[must_use]
    pub fn drift(&self) -> Drift {
        self.driver.reactor.borrow().drift().clone()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let _entered = context::enter(&self.driver);
        self.driver.close();
    }
}

impl AsRawFd for Runtime {
    fn as_raw_fd(&self) -> RawFd {
        self.driver.registry.as_raw_fd()
    }
}

impl AsFd for Runtime {
    /// Readable when a turn would find something, once [`prepare`](Runtime::prepare) has been called.
    fn as_fd(&self) -> BorrowedFd<'_> {
        sys::borrow_fd(&self.driver.registry)
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("metrics", &self.metrics())
            .field("tasks", &self.driver.spawn_locations())
            .finish()
    }
}

/// Starts a task on the runtime of this thread.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn spawn<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    context::current("spawn").spawn(future, Origin::new(None, Location::caller()))
}

/// Starts a task with a name on the runtime of this thread: see [`Runtime::spawn_named`].
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn spawn_named<F: Future + 'static>(
    name: impl Into<Cow<'static, str>>,
    future: F,
) -> JoinHandle<F::Output> {
    let origin = Origin::new(Some(name.into().into()), Location::caller());
    context::current("spawn_named").spawn(future, origin)
}

/// Waits until [`Handle::shutdown`] is called. From then on every operation on a source ends with
/// `Shutdown`; tasks that wait for something else learn of it here.
///
/// # Panics
/// When polled outside of a runtime.
pub async fn shutdown_requested() {
    ShutdownRequested { waits: None, listed: true }.await
}

pub(crate) struct ShutdownRequested {
    /// With which runtime, and under which key.
    waits: Option<(Rc<Driver>, usize)>,
    /// Whether the audit is to list it.
    listed: bool,
}

impl ShutdownRequested {
    /// Of what waits for something else, and is listed as such.
    pub(crate) fn unlisted() -> ShutdownRequested {
        ShutdownRequested { waits: None, listed: false }
    }
}

impl Future for ShutdownRequested {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (driver, key) = match self.waits.take() {
            Some((driver, key)) => (driver, Some(key)),
            None => (context::current("shutdown_requested"), None),
        };
        if driver.is_shut_down() {
            return Poll::Ready(());
        }
        let note = self.listed.then(|| driver.note());
        let key = driver.wait_for_shutdown(key, cx.waker().clone(), note);
        self.waits = Some((driver, key));
        Poll::Pending
    }
}

impl Drop for ShutdownRequested {
    fn drop(&mut self) {
        if let Some((driver, key)) = self.waits.take() {
            driver.forget_shutdown_waiter(key);
        }
    }
}

/// Lets everything else that is runnable run first.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Waits for the next turn of the loop: what has become due meanwhile is fired first. [`yield_now`] comes back within
/// the same turn, as long as that has time left.
///
/// # Panics
/// When polled outside of a runtime.
pub async fn next_turn() {
    let mut waited = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context::current("next_turn").wake_next_turn(cx.waker().clone());
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics;

    #[test]
    fn the_next_turn_is_another_one() {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            for _ in 0..5 {
                let before = metrics().turns;
                next_turn().await;
                assert_eq!(metrics().turns, before + 1);
            }
        });
    }
}
