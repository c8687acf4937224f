//! The system's own lookup, without blocking the loop.
//!
//! `getaddrinfo` blocks, for as long as it likes, and cannot be called off. So it runs on a few helper
//! threads that nobody ever waits for: a deadline of the loop fires beside them, the process exits
//! beside them, and an answer that comes too late finds nobody.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use punctual_reactor::WaitElsewhere;

use super::{Found, Progress};
use crate::error::{DnsFailure, Error, Kind, Phase, Why};

/// Lookups that run at the same time.
const THREADS_MAX: usize = 4;
/// Lookups that wait for a thread.
const QUEUE_MAX: usize = 1024;
/// How long a thread stays that has nothing to do.
const IDLE: Duration = Duration::from_secs(5);
const STACK_BYTES: usize = 256 * 1024;

/// The addresses of `host`, in the order in which to try them.
pub(super) async fn lookup(host: &str, progress: &Progress) -> Result<Found, Error> {
    static POOL: Pool = Pool::new(THREADS_MAX, QUEUE_MAX);
    let host = host.to_owned();
    let _real_time_passes = WaitElsewhere::begin();
    let called = Arc::new(AtomicBool::new(false));
    progress.awaits_library(called.clone());
    let answer = POOL.run(move || {
        called.store(true, Ordering::Relaxed);
        Ok((host.as_str(), 0).to_socket_addrs()?.collect())
    });
    let failed = |error| Error::new(Kind::Dns, Phase::Resolve).because(error);
    match answer?.await {
        Ok(addresses) if addresses.is_empty() => {
            Err(Why::error(DnsFailure::NoAddress, "the name has no address"))
        }
        answer => answer.map(Found::at_once).map_err(failed),
    }
}

type Answer = io::Result<Vec<SocketAddr>>;

struct Pool {
    state: Mutex<State>,
    work: Condvar,
    threads_max: usize,
    queue_max: usize,
}

struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

struct Job {
    run: Box<dyn FnOnce() -> Answer + Send>,
    slot: Arc<Mutex<Slot>>,
}

/// Where an answer is left.
enum Slot {
    Waiting(Option<Waker>),
    Answered(Answer),
    /// Nobody waits any more.
    Forgotten,
}

impl Pool {
    const fn new(threads_max: usize, queue_max: usize) -> Pool {
        let state = State { queue: VecDeque::new(), threads: 0, idle: 0 };
        Pool { state: Mutex::new(state), work: Condvar::new(), threads_max, queue_max }
    }

    /// Queues `run`.
    fn run(&'static self, run: impl FnOnce() -> Answer + Send + 'static) -> Result<Lookup, Error> {
        let slot = Arc::new(Mutex::new(Slot::Waiting(None)));
        let mut state = lock(&self.state);
        if state.queue.len() >= self.queue_max {
            state.queue.retain(|job| !matches!(*lock(&job.slot), Slot::Forgotten));
        }
        if state.queue.len() >= self.queue_max {
            return Err(Error::new(Kind::Overloaded, Phase::Resolve));
        }
        state.queue.push_back(Job { run: Box::new(run), slot: slot.clone() });
        if state.idle >= state.queue.len() {
            self.work.notify_one();
        } else if state.threads < self.threads_max {
            let started = self.start_thread(&mut state);
            started.map_err(|error| Error::kernel(Phase::Resolve, error))?;
        }
        Ok(Lookup { slot })
    }

    fn start_thread(&'static self, state: &mut State) -> io::Result<()> {
        let thread =
            std::thread::Builder::new().name("punctual-resolver".into()).stack_size(STACK_BYTES);
        match thread.spawn(|| self.serve()) {
            Ok(_detached) => state.threads += 1,
            Err(error) if state.threads == 0 => {
                state.queue.pop_back();
                return Err(error);
            }
            // The threads there are will come to it.
            Err(error) => tracing::warn!(%error, "cannot start another resolver thread"),
        }
        Ok(())
    }

    fn serve(&self) {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                job.serve();
                state = lock(&self.state);
                continue;
            }
            state.idle += 1;
            let (woken, wait) =
                self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if wait.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

impl Job {
    fn serve(self) {
        if matches!(*lock(&self.slot), Slot::Forgotten) {
            return;
        }
        let run = std::panic::AssertUnwindSafe(self.run);
        let answer =
            std::panic::catch_unwind(run).unwrap_or_else(|_| Err(io::Error::other("it panicked")));
        let mut slot = lock(&self.slot);
        let Slot::Waiting(waker) = &mut *slot else { return };
        let waker = waker.take();
        *slot = Slot::Answered(answer);
        drop(slot);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// An answer to come. Dropping it forgets the answer.
struct Lookup {
    slot: Arc<Mutex<Slot>>,
}

impl Future for Lookup {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let mut slot = lock(&self.slot);
        if let Slot::Waiting(waker) = &mut *slot {
            *waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        match std::mem::replace(&mut *slot, Slot::Forgotten) {
            Slot::Answered(answer) => Poll::Ready(answer),
            Slot::Waiting(_) | Slot::Forgotten => Poll::Pending,
        }
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        *lock(&self.slot) = Slot::Forgotten;
    }
}

/// What is guarded stays whole, whoever panicked beside it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use punctual_reactor::{Instant, Runtime, timeout};
    use std::sync::mpsc;

    fn pool(threads_max: usize, queue_max: usize) -> &'static Pool {
        Box::leak(Box::new(Pool::new(threads_max, queue_max)))
    }

    fn address(port: u16) -> Answer {
        Ok(vec![([127, 0, 0, 1], port).into()])
    }

    #[test]
    fn n13_stuck_lookups_delay_no_deadline_and_are_bounded() {
        let pool = pool(2, 8);
        let (release, stuck) = mpsc::channel::<()>();
        let stuck = Arc::new(Mutex::new(stuck));
        let budget = Duration::from_millis(20);
        Runtime::new().expect("a runtime").block_on(async {
            for _ in 0..10 {
                let stuck = stuck.clone();
                let began = Instant::now();
                let lookup = pool.run(move || {
                    let _ = lock(&stuck).recv();
                    address(1)
                });
                let late = timeout(budget, lookup.expect("room in the queue")).await;
                assert!(late.is_err() && began.elapsed() >= budget);
            }
            assert!(lock(&pool.state).threads <= 2);
            // What was given up makes room, and does not run.
            let kept: Vec<_> = (0..8).map(|n| pool.run(move || address(n)).expect("room")).collect();
            let refused = pool.run(|| address(9)).err().expect("the queue is bounded");
            assert_eq!((refused.kind(), refused.phase()), (Kind::Overloaded, Phase::Resolve));
            assert!(refused.is_retry_safe());
            drop(release);
            for (n, lookup) in kept.into_iter().enumerate() {
                assert_eq!(lookup.await.expect("an answer")[0].port(), n as u16);
            }
        });
    }

    #[test]
    fn a_lookup_that_panics_takes_no_thread_along() {
        let pool = pool(1, 8);
        Runtime::new().expect("a runtime").block_on(async {
            for _ in 0..3 {
                let lookup = pool.run(|| panic!("a test's panic")).expect("room");
                assert!(lookup.await.is_err());
            }
            let lookup = pool.run(|| address(7)).expect("room");
            assert_eq!(lookup.await.expect("an answer")[0].port(), 7);
            assert_eq!(lock(&pool.state).threads, 1);
        });
    }

    #[test]
    fn names_of_this_host_resolve() {
        Runtime::new().expect("a runtime").block_on(async {
            let found =
                lookup("localhost", &Progress::default()).await.expect("localhost").with_port(80);
            let loopback = |address: &SocketAddr| address.ip().is_loopback() && address.port() == 80;
            assert!(!found.addresses.is_empty() && found.addresses.iter().all(loopback));
            let error = lookup("no-such-name.invalid", &Progress::default())
                .await
                .expect_err("RFC 6761: never resolves");
            assert_eq!((error.kind(), error.phase()), (Kind::Dns, Phase::Resolve));
        });
    }
}
