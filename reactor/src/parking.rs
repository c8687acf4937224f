//! The parking protocol: when must a remote thread make a system call to wake the loop?
//!
//! One byte with three states, and only read-modify-write operations on it:
//!
//! ```text
//! remote:  queue.send(x);  if state.swap(NOTIFIED) == PARKED { signal }
//! loop:    sleep = state.compare_exchange(AWAKE, PARKED).is_ok();  poll(if sleep {∞} else {0})
//!          if state.swap(AWAKE) == NOTIFIED { drain }
//! ```
//!
//! Invariants, checked by the loom models below:
//! - work that is queued before the swap of `notify` is announced by the next `unpark`, and seen by the drain
//!   that follows;
//! - the loop never sleeps with work queued and nobody signalling;
//! - a storm of wakes signals at most once per sleep.
//!
//! There is no load-only fast path: a load could read a state from before the loop's own swap, and
//! the work would wait for the next wake.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU8, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU8, Ordering};

/// The loop runs and has not been notified since its last park.
const AWAKE: u8 = 0;
/// The loop sleeps, or is about to.
const PARKED: u8 = 1;
/// Somebody has queued work since the last park.
const NOTIFIED: u8 = 2;

#[derive(Debug)]
pub(crate) struct Parking {
    state: AtomicU8,
}

impl Parking {
    pub(crate) fn new() -> Parking {
        Parking { state: AtomicU8::new(AWAKE) }
    }

    /// Says that work has been queued. Returns whether the caller must signal the loop's poll.
    #[must_use]
    pub(crate) fn notify(&self) -> bool {
        self.state.swap(NOTIFIED, Ordering::AcqRel) == PARKED
    }

    /// Says that the loop is about to sleep. Returns whether it may; otherwise work waits.
    #[must_use]
    pub(crate) fn park(&self) -> bool {
        let parked = self.state.compare_exchange(AWAKE, PARKED, Ordering::AcqRel, Ordering::Acquire);
        matches!(parked, Ok(_) | Err(PARKED))
    }

    /// Says that the loop runs again. Returns whether work waits.
    #[must_use]
    pub(crate) fn unpark(&self) -> bool {
        self.state.swap(AWAKE, Ordering::AcqRel) == NOTIFIED
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::atomic::{AtomicBool, AtomicUsize};
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    /// The loop's side of the world: a queue, and a poll that sleeps until it is signalled.
    struct Loop {
        parking: Parking,
        queued: AtomicUsize,
        signal: (Mutex<bool>, Condvar),
        signals: AtomicUsize,
    }

    impl Loop {
        fn new() -> Arc<Loop> {
            Arc::new(Loop {
                parking: Parking::new(),
                queued: AtomicUsize::new(0),
                signal: (Mutex::new(false), Condvar::new()),
                signals: AtomicUsize::new(0),
            })
        }

        fn send(&self) {
            self.queued.fetch_add(1, Ordering::Relaxed);
            if self.parking.notify() {
                self.signals.fetch_add(1, Ordering::Relaxed);
                *self.signal.0.lock().unwrap() = true;
                self.signal.1.notify_one();
            }
        }

        /// One turn; sleeps for ever (a loom deadlock) if the protocol loses a wake.
        fn turn(&self) -> usize {
            if self.parking.park() {
                let mut signalled = self.signal.0.lock().unwrap();
                while !*signalled {
                    signalled = self.signal.1.wait(signalled).unwrap();
                }
            }
            *self.signal.0.lock().unwrap() = false;
            if self.parking.unpark() { self.queued.swap(0, Ordering::Relaxed) } else { 0 }
        }
    }

    #[test]
    fn w02_no_wake_is_lost_with_two_senders() {
        loom::model(|| {
            let the_loop = Loop::new();
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let the_loop = the_loop.clone();
                    thread::spawn(move || the_loop.send())
                })
                .collect();
            let mut received = 0;
            while received < 2 {
                received += the_loop.turn();
            }
            senders.into_iter().for_each(|sender| sender.join().unwrap());
        });
    }

    /// A task's waker on top of it: its flag keeps it from being queued twice, and is taken back before the
    /// task is polled.
    struct WokenTask {
        the_loop: Arc<Loop>,
        queued: AtomicBool,
        data: AtomicUsize,
    }

    impl WokenTask {
        fn wake(&self) {
            self.data.fetch_add(1, Ordering::Relaxed);
            if !self.queued.swap(true, Ordering::AcqRel) {
                self.the_loop.send();
            }
        }

        fn poll(&self) -> usize {
            self.queued.swap(false, Ordering::AcqRel);
            self.data.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn w02_a_task_woken_by_two_threads_sees_what_both_have_left() {
        let mut bounded = loom::model::Builder::new();
        bounded.preemption_bound = Some(3);
        bounded.check(|| {
            let (queued, data) = (AtomicBool::new(false), AtomicUsize::new(0));
            let task = Arc::new(WokenTask { the_loop: Loop::new(), queued, data });
            let wakers: Vec<_> = (0..2)
                .map(|_| {
                    let task = task.clone();
                    thread::spawn(move || task.wake())
                })
                .collect();
            let mut seen = 0;
            while seen < 2 {
                if task.the_loop.turn() > 0 {
                    seen = task.poll();
                }
            }
            wakers.into_iter().for_each(|waker| waker.join().unwrap());
        });
    }

    #[test]
    fn w02_one_sender_twice_is_seen_and_signals_at_most_once_per_sleep() {
        loom::model(|| {
            let the_loop = Loop::new();
            let remote = the_loop.clone();
            let sender = thread::spawn(move || {
                remote.send();
                remote.send();
            });
            let (mut received, mut turns) = (0, 0);
            while received < 2 {
                received += the_loop.turn();
                turns += 1;
            }
            sender.join().unwrap();
            assert!(the_loop.signals.load(Ordering::Relaxed) <= turns);
        });
    }
}
