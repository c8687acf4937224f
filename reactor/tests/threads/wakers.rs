//! Wakers of tasks, in the hands of many.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use punctual_reactor::{Runtime, sleep, spawn};

const THREADS: u64 = 4;
const WAKES: u64 = 500;

/// A number that other threads raise, and who is to be told.
#[derive(Default)]
struct Counter {
    count: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Counter {
    fn raise(&self) {
        self.count.fetch_add(1, Ordering::Release);
        let waker = self.waker.lock().unwrap().clone();
        waker.inspect(Waker::wake_by_ref);
    }

    async fn reach(&self, goal: u64) {
        poll_fn(|cx| {
            *self.waker.lock().unwrap() = Some(cx.waker().clone());
            if self.count.load(Ordering::Acquire) >= goal { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

#[test]
fn w01_a_task_that_many_threads_wake_sees_all_they_did() {
    let _watchdog = super::watchdog("wakes");
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let counters: Vec<Arc<Counter>> = (0..4).map(|_| Arc::default()).collect();
        let tasks: Vec<_> = counters
            .iter()
            .map(|counter| {
                let counter = counter.clone();
                spawn(async move { counter.reach(THREADS * WAKES).await })
            })
            .collect();
        let wakers: Vec<_> = (0..THREADS)
            .map(|_| {
                let counters = counters.clone();
                std::thread::spawn(move || {
                    for _ in 0..WAKES {
                        counters.iter().for_each(|counter| counter.raise());
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        wakers.into_iter().for_each(|waker| waker.join().expect("no panic"));
    });
}

/// A waker is kept beyond its task, by a thread that wakes and drops it while its place is given to other tasks.
#[test]
fn k15_wakers_of_tasks_that_are_over_wake_nobody_and_are_freed() {
    let _watchdog = super::watchdog("old wakers");
    let runtime = Runtime::new().expect("a runtime");
    let (give, taken) = std::sync::mpsc::channel::<Waker>();
    let keeper = std::thread::spawn(move || {
        for waker in taken {
            waker.wake_by_ref();
            std::thread::yield_now();
            waker.wake();
        }
    });
    runtime.block_on(async {
        for round in 0..WAKES {
            let give = give.clone();
            let task = spawn(async move {
                let mut given = false;
                poll_fn(|cx| {
                    if !given {
                        given = true;
                        give.send(cx.waker().clone()).expect("it is taken");
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Poll::Ready(())
                })
                .await;
            });
            task.await.expect("no panic");
            if round % 50 == 0 {
                sleep(Duration::from_micros(200)).await;
            }
        }
    });
    drop(runtime);
    drop(give);
    keeper.join().expect("no panic");
}
