//! [`Pool`]: the queue and the threads of the blocking pool. Nothing here knows of futures.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::builder::BlockingLimits;
use crate::failure::Failure;
use crate::system::blocking_error::BlockingError;

/// How long a thread stays that has nothing to do.
const IDLE: Duration = Duration::from_secs(5);

/// Something for a thread to do.
pub(crate) trait Job: Send {
    fn run(self: Box<Self>);
}

pub(crate) struct Pool {
    state: Mutex<State>,
    work: Condvar,
    limits: BlockingLimits,
}

struct State {
    /// In the order of their names.
    queue: VecDeque<(u64, Box<dyn Job>)>,
    next_job: u64,
    threads: usize,
    running: usize,
    idle: usize,
    closed: bool,
}

impl Pool {
    pub(crate) fn new(limits: BlockingLimits) -> Arc<Pool> {
        let queue = VecDeque::new();
        let state = State { queue, next_job: 0, threads: 0, running: 0, idle: 0, closed: false };
        Arc::new(Pool { state: Mutex::new(state), work: Condvar::new(), limits })
    }

    /// Queues `job`, and has a thread for it if there may be one more. Returns its name.
    pub(crate) fn queue(self: &Arc<Self>, job: Box<dyn Job>) -> Result<u64, BlockingError> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(BlockingError::Ended(Failure::Closed));
        }
        // Counted together, or it would depend on how soon a thread takes what it is about to take.
        if state.running + state.queue.len() >= self.limits.threads.saturating_add(self.limits.queue) {
            return Err(BlockingError::Overloaded);
        }
        let name = state.next_job;
        state.next_job += 1;
        state.queue.push_back((name, job));
        if state.idle >= state.queue.len() {
            self.work.notify_one();
        } else if state.threads < self.limits.threads
            && let Err(error) = self.start_thread(&mut state)
        {
            if state.threads == 0 {
                let refused = state.queue.pop_back();
                drop(state);
                drop(refused);
                return Err(BlockingError::NoThread(error));
            }
            // The threads there are will come to it.
            tracing::warn!(%error, "cannot start another thread to block on");
        }
        Ok(name)
    }

    /// Takes a job back that no thread has begun with.
    pub(crate) fn withdraw(&self, name: u64) -> Option<Box<dyn Job>> {
        let mut state = lock(&self.state);
        let at = state.queue.binary_search_by_key(&name, |(name, _)| *name).ok()?;
        state.queue.remove(at).map(|(_, job)| job)
    }

    /// Throws away what is queued, and lets the threads go once they have nothing left to run.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        self.work.notify_all();
        for job in queue {
            contained(|| drop(job));
        }
    }

    pub(crate) fn load(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.threads, state.queue.len())
    }

    fn start_thread(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let pool = self.clone();
        // Detached: nobody joins it, neither a runtime that is dropped nor the process when it exits.
        std::thread::Builder::new().name("punctual-blocking".into()).spawn(move || pool.serve())?;
        state.threads += 1;
        Ok(())
    }

    fn serve(&self) {
        let mut state = lock(&self.state);
        loop {
            if let Some((_, job)) = state.queue.pop_front() {
                state.running += 1;
                drop(state);
                contained(|| job.run());
                state = lock(&self.state);
                state.running -= 1;
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let (woken, wait) =
                self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if wait.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

/// What is dropped on the way may be anybody's and panic: the thread, and the count of threads, outlive it.
fn contained(run: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(run)).is_err() {
        tracing::error!("the drop of blocking work or of its result panicked");
    }
}

/// What is guarded stays whole, whoever panicked beside it.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
