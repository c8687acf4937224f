//! Work that blocks, on a bounded pool of threads that nobody ever waits for.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::builder::BlockingLimits;
use crate::executor::{Driver, WaitElsewhere, context};
use crate::failure::Failure;
use crate::scope::in_scope_as;
use crate::system::blocking_error::BlockingError;
use crate::system::pool::{Job, Pool, lock};

/// Runs `run`, which may block, on the runtime's pool of threads, and waits for what it returns.
///
/// - **Bounded**: as many threads and as long a queue as the [`Builder`](crate::Builder) was told; what does not fit
///   is refused with [`BlockingError::Overloaded`], and not run.
/// - **Never in the way**: a deadline fires beside it, and the process ends beside it: the threads are detached and
///   not joined.
/// - **Given up**: a system call cannot be called off. Dropping the wait (by a [`timeout`](crate::timeout), say) keeps
///   work that has not begun from being run; what runs is left to itself, and what it returns is dropped on its
///   thread.
/// - **Contained**: a panic in it is [`BlockingError::Panicked`], and its thread goes on with the next.
///
/// A virtual clock stands still while this waits.
///
/// ```
/// use punctual_reactor::{Runtime, blocking};
/// let sum = Runtime::new()?.block_on(blocking(|| (1..=10).sum::<u32>()));
/// assert_eq!(sum.expect("neither refused nor panicked"), 55);
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
/// [`BlockingError`].
///
/// # Panics
/// When polled outside of a runtime.
pub async fn blocking<T, F>(run: F) -> Result<T, BlockingError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    blocking_as(BLOCKING_WORK, run).await
}

/// What the audit calls work that has no other name.
const BLOCKING_WORK: &str = "blocking-work";

/// As [`blocking`], under a name for the audit.
pub(crate) async fn blocking_as<T, F>(what: &'static str, run: F) -> Result<T, BlockingError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    BlockingPool::of(&context::current("blocking")).run_as(what, run).await
}

/// A pool of threads for work that blocks: one of one's own, where the runtime's, which [`blocking`] uses, is not to
/// be used up, or is to be shared by several.
///
/// Clones are the same pool. When the last is dropped, what is queued is dropped and the threads end as soon as they
/// have nothing left to run.
#[derive(Clone)]
pub struct BlockingPool {
    pool: Arc<Owner>,
}

/// The last to go closes the door.
struct Owner(Arc<Pool>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl BlockingPool {
    /// A pool of at most `threads` threads, started when there is work for them, and a queue of at most `queue` calls
    /// that wait for one.
    ///
    /// # Errors
    /// `InvalidInput` if either is zero.
    pub fn new(threads: usize, queue: usize) -> io::Result<BlockingPool> {
        let limits = BlockingLimits { threads, queue };
        limits.validate()?;
        Ok(BlockingPool { pool: Arc::new(Owner(Pool::new(limits))) })
    }

    /// The one of a runtime.
    pub(crate) fn of(driver: &Driver) -> BlockingPool {
        let make = || BlockingPool { pool: Arc::new(Owner(Pool::new(driver.blocking_limits))) };
        (*driver.locals.get_or_insert(make)).clone()
    }

    /// As [`blocking`], on this pool.
    ///
    /// # Errors
    /// [`BlockingError`].
    ///
    /// # Panics
    /// When polled outside of a runtime.
    pub async fn run<T, F>(&self, run: F) -> Result<T, BlockingError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.run_as(BLOCKING_WORK, run).await
    }

    async fn run_as<T, F>(&self, what: &'static str, run: F) -> Result<T, BlockingError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        // Within the scope, so that one which has ended queues nothing.
        let call = async { self.call(run)?.await };
        in_scope_as(what, call).await?
    }

    /// Queues `run` at once.
    pub(crate) fn call<T, F>(&self, run: F) -> Result<Call<T>, BlockingError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let slot = Arc::new(Mutex::new(Slot::Waiting(None)));
        let real_time_passes = WaitElsewhere::begin();
        let work = Box::new(Work { run: Some(run), slot: slot.clone() });
        let job = self.pool.0.queue(work)?;
        Ok(Call { pool: self.pool.0.clone(), slot, job, _real_time_passes: real_time_passes })
    }

    /// How many threads there are now, and how many calls wait for one.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        self.pool.0.load()
    }
}

impl fmt::Debug for BlockingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (threads, queued) = self.load();
        f.debug_struct("BlockingPool").field("threads", &threads).field("queued", &queued).finish()
    }
}

/// Where a result is left.
pub(crate) enum Slot<T> {
    Waiting(Option<Waker>),
    /// A thread works on it.
    Running(Option<Waker>),
    Done(Result<T, BlockingError>),
    /// Nobody waits any more.
    Forgotten,
}

struct Work<T, F> {
    run: Option<F>,
    slot: Arc<Mutex<Slot<T>>>,
}

impl<T: Send, F: FnOnce() -> T + Send> Job for Work<T, F> {
    fn run(mut self: Box<Self>) {
        {
            let mut slot = lock(&self.slot);
            let Slot::Waiting(waker) = &mut *slot else { return };
            *slot = Slot::Running(waker.take());
        }
        let Some(run) = self.run.take() else { return };
        let result = catch_unwind(AssertUnwindSafe(run));
        leave(&self.slot, result.map_err(BlockingError::panicked));
    }
}

impl<T, F> Drop for Work<T, F> {
    /// Whoever waits for work that is thrown away unrun is told.
    fn drop(&mut self) {
        if self.run.is_some() {
            leave(&self.slot, Err(BlockingError::Ended(Failure::Closed)));
        }
    }
}

fn leave<T>(slot: &Mutex<Slot<T>>, result: Result<T, BlockingError>) {
    let mut slot = lock(slot);
    let waker = match &mut *slot {
        Slot::Waiting(waker) | Slot::Running(waker) => waker.take(),
        // What nobody waits for is dropped when this returns, and the lock before it.
        Slot::Done(_) | Slot::Forgotten => return,
    };
    *slot = Slot::Done(result);
    drop(slot);
    waker.into_iter().for_each(crate::waiters::wake);
}

/// A call that was queued. Dropping it forgets the result, and the work too if it has not begun.
pub(crate) struct Call<T> {
    pool: Arc<Pool>,
    slot: Arc<Mutex<Slot<T>>>,
    job: u64,
    _real_time_passes: WaitElsewhere,
}

impl<T> Call<T> {
    /// Takes it out of the queue; `false` if a thread has begun with it, or is done.
    pub(crate) fn withdraw(&self) -> bool {
        // Dropped here, where no lock is held: it is somebody's closure.
        self.pool.withdraw(self.job).is_some()
    }
}

impl<T> Future for Call<T> {
    type Output = Result<T, BlockingError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = lock(&self.slot);
        if let Slot::Waiting(waker) | Slot::Running(waker) = &mut *slot {
            let before = waker.replace(cx.waker().clone());
            drop(slot);
            drop(before);
            return Poll::Pending;
        }
        match std::mem::replace(&mut *slot, Slot::Forgotten) {
            Slot::Done(result) => Poll::Ready(result),
            Slot::Waiting(_) | Slot::Running(_) | Slot::Forgotten => Poll::Pending,
        }
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        let forgotten = std::mem::replace(&mut *lock(&self.slot), Slot::Forgotten);
        if matches!(forgotten, Slot::Waiting(_)) {
            self.withdraw();
        }
    }
}
