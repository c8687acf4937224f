//! Tasks: their results, their ends, and their wakers after them.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use punctual::{
    Instant, JoinHandle, Runtime, SendError, shutdown_requested, sleep, spawn, timeout, yield_now,
};

use crate::support::{self, MS, child, poll_once, wire};

#[test]
fn a_handle_gives_the_result_however_late_it_is_asked() {
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            let mut quick = spawn(async { 1 });
            yield_now().await;
            assert!(quick.is_finished());
            assert_eq!((&mut quick).await.expect("a result"), 1);
            let slow = spawn(async {
                sleep(MS).await;
                "slow"
            });
            assert!(!slow.is_finished());
            assert_eq!(slow.await.expect("a result"), "slow");
            let of_a_task = spawn(async { spawn(async { 2 }).await.expect("a result") });
            assert_eq!(of_a_task.await.expect("a result"), 2);
        });
    });
}

#[test]
fn a_task_whose_handle_is_dropped_runs_on() {
    let runtime = Runtime::new().expect("a runtime");
    let done = Rc::new(Cell::new(false));
    let task = done.clone();
    drop(runtime.spawn(async move {
        sleep(MS).await;
        task.set(true);
    }));
    runtime.block_on(async { sleep(2 * MS).await });
    assert!(done.get());
    assert_eq!(runtime.metrics().live_tasks, 0);
}

#[test]
fn tasks_outlast_the_block_on_they_were_spawned_in() {
    let runtime = Runtime::new().expect("a runtime");
    let mut kept = Vec::new();
    runtime.block_on(async {
        kept.push(spawn(async {
            sleep(MS).await;
            3
        }));
    });
    assert_eq!(runtime.metrics().live_tasks, 1);
    assert_eq!(runtime.block_on(kept.remove(0)).expect("a result"), 3);
}

/// Says when it is dropped.
struct Witness(Rc<Cell<u32>>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn an_abort_drops_the_future_on_the_loop_and_says_so() {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let drops = Rc::new(Cell::new(0));
        let witness = Witness(drops.clone());
        let task = spawn(async move {
            let _witness = witness;
            std::future::pending::<()>().await
        });
        yield_now().await;
        task.abort();
        task.abort();
        assert_eq!(drops.get(), 0, "not within the call");
        let aborted = task.await.expect_err("no result");
        assert!(aborted.is_aborted() && !aborted.is_panic());
        assert!(aborted.to_string().contains("tasks.rs"), "it names the task: {aborted}");
        assert!(aborted.try_into_panic().is_err());
        assert_eq!(drops.get(), 1);
        // Before its first poll.
        let never_ran = spawn(async { unreachable!("it was aborted") });
        never_ran.abort();
        assert!(never_ran.await.expect_err("no result").is_aborted());
        // After its end, and ready at the same moment.
        let ended = spawn(async { 5 });
        yield_now().await;
        ended.abort();
        assert_eq!(ended.await.expect("it had ended"), 5);
    });
    assert_eq!(runtime.metrics().live_tasks, 0);
}

#[test]
fn a_task_can_abort_itself() {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let own = Rc::new(RefCell::new(None::<JoinHandle<()>>));
        let seen = own.clone();
        let task = spawn(async move {
            seen.borrow().as_ref().expect("it was put there").abort();
            yield_now().await;
            unreachable!("it was aborted");
        });
        *own.borrow_mut() = Some(task);
        let task = poll_fn(|cx| {
            let mut own = own.borrow_mut();
            std::pin::Pin::new(own.as_mut().expect("it is there")).poll(cx)
        });
        // The loop may not borrow what the task borrows; it runs first.
        sleep(MS).await;
        assert!(task.await.expect_err("no result").is_aborted());
    });
}

#[test]
fn k15_a_waker_kept_past_the_end_is_harmless() {
    let runtime = Runtime::new().expect("a runtime");
    let kept = Rc::new(RefCell::new(Vec::<Waker>::new()));
    let keep = |ends: bool| {
        let kept = kept.clone();
        poll_fn(move |cx| {
            kept.borrow_mut().push(cx.waker().clone());
            if ends { Poll::Ready(()) } else { Poll::Pending }
        })
    };
    runtime.block_on(async {
        spawn(keep(true)).await.expect("a result");
        let _pending = spawn(keep(false));
        keep(true).await;
        yield_now().await;
        // Of a task that has ended, while the runtime lives: nobody else is woken by it.
        let polls = runtime.metrics().task_polls;
        kept.borrow()[0].wake_by_ref();
        sleep(MS).await;
        assert!(runtime.metrics().task_polls <= polls + 3);
    });
    drop(runtime);
    let wakers = kept.take();
    assert_eq!(wakers.len(), 3);
    for waker in wakers {
        waker.wake_by_ref();
        std::thread::spawn(move || {
            waker.wake_by_ref();
            waker.wake();
        })
        .join()
        .expect("harmless on any thread");
    }
}

/// A waker that wakes nobody, and says how many of it are kept.
struct Counted {
    _kept: Arc<()>,
}

impl Wake for Counted {
    fn wake(self: Arc<Self>) {}
}

/// Polls `future` on behalf of somebody new.
fn poll_anew<F: Future>(future: Pin<&mut F>, kept: &Arc<()>) -> Poll<F::Output> {
    let waker = Waker::from(Arc::new(Counted { _kept: kept.clone() }));
    future.poll(&mut Context::from_waker(&waker))
}

#[test]
fn one_waker_is_kept_of_each_operation_that_waits() {
    let runtime = Runtime::new().expect("a runtime");
    let kept = Arc::new(());
    let wakers = || Arc::strong_count(&kept) - 1;
    runtime.block_on(async {
        let (near, _far) = wire::pair();
        let mut read = pin!(near.read_byte());
        for _ in 0..10_000 {
            assert!(poll_anew(read.as_mut(), &kept).is_pending());
        }
        assert_eq!(wakers(), 1, "the last of ten thousand");
        for _ in 0..10_000 {
            assert!(poll_anew(pin!(near.read_byte()), &kept).is_pending());
        }
        assert_eq!(wakers(), 1, "of those that are gone none");
        let mut sleep = pin!(sleep(MS));
        let mut forever = spawn(std::future::pending::<()>());
        for _ in 0..100 {
            assert!(poll_anew(sleep.as_mut(), &kept).is_pending());
            assert!(poll_anew(Pin::new(&mut forever), &kept).is_pending());
        }
        assert_eq!(wakers(), 3);
        forever.abort();
    });
    drop(runtime);
    assert_eq!(wakers(), 0);
}

#[test]
fn one_waker_is_kept_of_each_that_waits_for_a_shutdown() {
    let runtime = Runtime::new().expect("a runtime");
    let kept = Arc::new(());
    let wakers = || Arc::strong_count(&kept) - 1;
    runtime.block_on(async {
        let mut requested = pin!(shutdown_requested());
        for _ in 0..1_000 {
            assert!(poll_anew(requested.as_mut(), &kept).is_pending());
        }
        assert_eq!(wakers(), 1, "the last of a thousand");
        for _ in 0..1_000 {
            assert!(poll_anew(pin!(shutdown_requested()), &kept).is_pending());
        }
        assert_eq!(wakers(), 1, "of those that are gone none");
    });
    assert_eq!(wakers(), 0);
}

thread_local! {
    static OF_THIS_THREAD: Runtime = Runtime::new().expect("a runtime");
}

/// In a child, which a panic at the end of a thread would abort.
#[test]
fn a_runtime_in_a_thread_local_ends_with_its_thread() {
    let role = "a runtime in a thread-local";
    if !child::plays(role) {
        let test = "wakers::tasks::a_runtime_in_a_thread_local_ends_with_its_thread";
        return child::succeed(child::command(test, role));
    }
    // What is used first is dropped last, or first: that is the system's choice.
    for context_first in [false, true] {
        let thread = std::thread::spawn(move || {
            if context_first {
                assert!(Instant::now() > Instant::from_nanos(0));
            }
            OF_THIS_THREAD.with(|runtime| {
                let dropped = Arc::new(());
                let held = dropped.clone();
                let _detached = runtime.spawn(async move {
                    let (near, _far) = wire::pair();
                    let read = near.read_byte();
                    let _ = timeout(Duration::from_secs(3_600), read).await;
                    drop(held);
                });
                runtime.block_on(yield_now());
                assert_eq!((Arc::strong_count(&dropped), runtime.metrics().live_sources), (2, 2));
                (runtime.handle(), Arc::downgrade(&dropped))
            })
        });
        let (handle, dropped) = thread.join().expect("no panic");
        assert_eq!(handle.call(|| {}), Err(SendError::Closed(())));
        assert_eq!(dropped.strong_count(), 0, "its task was dropped with it");
    }
}

#[test]
fn a_waker_of_one_runtime_wakes_its_task_from_within_another() {
    let _watchdog = support::watchdog("two runtimes", Duration::from_secs(1));
    let (first, second) = (Runtime::new().expect("a runtime"), Runtime::new().expect("a runtime"));
    let slot = Rc::new(RefCell::new(None::<Waker>));
    let woken = slot.clone();
    let task = first.spawn(async move {
        let mut polled = false;
        poll_fn(|cx| {
            *woken.borrow_mut() = Some(cx.waker().clone());
            if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    });
    first.block_on(yield_now());
    second.block_on(async { slot.borrow().as_ref().expect("it was polled").wake_by_ref() });
    first.block_on(task).expect("a result");
}

#[test]
fn a_runtime_with_very_many_tasks_is_dropped_in_time() {
    const TASKS: u32 = 60_000;
    let runtime = Runtime::new().expect("a runtime");
    let drops = Rc::new(Cell::new(0));
    for _ in 0..TASKS {
        let witness = Witness(drops.clone());
        drop(runtime.spawn(async move {
            let _witness = witness;
            std::future::pending::<()>().await
        }));
    }
    // Quadratic in the number of tasks, it would take minutes.
    let _watchdog = support::watchdog("the drop of a runtime", Duration::from_secs(1));
    drop(runtime);
    assert_eq!(drops.get(), TASKS);
}

#[test]
fn what_is_spawned_while_the_runtime_is_dropped_is_dropped_too() {
    struct SpawnsWhenDropped(Rc<Cell<u32>>);

    impl Drop for SpawnsWhenDropped {
        fn drop(&mut self) {
            let witness = Witness(self.0.clone());
            let task = spawn(async move {
                let _witness = witness;
                unreachable!("the runtime is going");
            });
            assert!(matches!(poll_once(task), Poll::Ready(Err(aborted)) if aborted.is_aborted()));
        }
    }

    let runtime = Runtime::new().expect("a runtime");
    let drops = Rc::new(Cell::new(0));
    for _ in 0..10 {
        let spawns = SpawnsWhenDropped(drops.clone());
        drop(runtime.spawn(async move {
            let _spawns = spawns;
            sleep(Duration::from_secs(60)).await;
        }));
    }
    runtime.block_on(async { sleep(MS).await });
    drop(runtime);
    assert_eq!(drops.get(), 10);
}
