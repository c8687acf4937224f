//! `tokio_util::time::DelayQueue`, in a runtime whose clock is paused and moved by hand.

use std::future::poll_fn;
use std::task::Poll;

use tokio::runtime::{EnterGuard, Runtime};
use tokio::time::{Duration, Instant};
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

use super::Queue;

/// The queue first: it is dropped inside its runtime.
pub struct TokioQueue {
    queue: DelayQueue<u64>,
    start: Instant,
    now: u64,
    _entered: EnterGuard<'static>,
    runtime: &'static Runtime,
}

impl Queue for TokioQueue {
    const NAME: &'static str = "DelayQueue";
    type Key = Key;

    fn new(expected: usize) -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        // One small runtime is leaked for each queue: its guard must outlive the queue's operations.
        let runtime: &'static Runtime = Box::leak(Box::new(runtime.expect("a runtime")));
        let entered = runtime.enter();
        TokioQueue {
            queue: DelayQueue::with_capacity(expected),
            start: Instant::now(),
            now: 0,
            _entered: entered,
            runtime,
        }
    }

    fn insert(&mut self, at: u64, value: u64) -> Key {
        self.queue.insert_at(value, self.start + Duration::from_nanos(at))
    }

    fn cancel(&mut self, key: Key) -> bool {
        self.queue.try_remove(&key).is_some()
    }

    fn rearm(&mut self, key: Key, at: u64) -> Key {
        self.queue.reset_at(&key, self.start + Duration::from_nanos(at));
        key
    }

    fn next(&mut self) -> u64 {
        self.queue
            .peek()
            .map_or(u64::MAX, |key| (self.queue.deadline(&key) - self.start).as_nanos() as u64)
    }

    fn expire(&mut self, now: u64, fired: &mut usize, sum: &mut u64) -> bool {
        let step = Duration::from_nanos(now - self.now);
        self.now = now;
        self.runtime.block_on(async {
            tokio::time::advance(step).await;
            poll_fn(|context| {
                while let Poll::Ready(Some(expired)) = self.queue.poll_expired(context) {
                    *fired += 1;
                    *sum += expired.into_inner();
                }
                Poll::Ready(())
            })
            .await;
        });
        true
    }
}
