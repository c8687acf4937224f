use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use super::*;
use crate::{JoinHandle, Runtime, spawn, yield_now};

/// The waker of a task that ends at once.
async fn waker_of_one_that_ended() -> Waker {
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone()));
    spawn(waker).await.expect("it does not panic")
}

#[test]
fn a_waker_that_somebody_has_is_never_another_tasks() {
    let runtime = Runtime::new().expect("a runtime");
    let polls = Rc::new(Cell::new(0));
    runtime.block_on(async {
        let old = waker_of_one_that_ended().await;
        let counted = polls.clone();
        let _next = spawn(poll_fn(move |_| {
            counted.set(counted.get() + 1);
            Poll::<()>::Pending
        }));
        yield_now().await;
        let elsewhere = old.clone();
        std::thread::spawn(move || elsewhere.wake()).join().expect("it does not panic");
        old.wake();
        crate::next_turn().await;
        yield_now().await;
    });
    assert_eq!(polls.get(), 1);
}

#[test]
fn a_waker_that_nobody_has_goes_on_and_wakes_the_next_task() {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        for _ in 0..3 {
            spawn(yield_now()).await.expect("it was woken");
            assert_eq!(runtime.driver().spare_wakers.len(), 1);
        }
    });
}

#[test]
fn no_more_wakers_are_kept_than_are_worth_it() {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let wakers = Rc::new(RefCell::new(Vec::new()));
        let keeping = |kept: Rc<RefCell<Vec<Waker>>>| {
            poll_fn(move |cx| {
                kept.borrow_mut().push(cx.waker().clone());
                Poll::<()>::Pending
            })
        };
        let tasks: Vec<_> = (0..2 * SPARE_WAKERS).map(|_| spawn(keeping(wakers.clone()))).collect();
        yield_now().await;
        crate::next_turn().await;
        while wakers.borrow().len() < tasks.len() {
            crate::next_turn().await;
        }
        assert_eq!(runtime.driver().spare_wakers.len(), 0, "each has one of its own");
        wakers.take();
        tasks.iter().for_each(JoinHandle::abort);
        for task in tasks {
            assert!(task.await.expect_err("it was aborted").is_aborted());
        }
        assert_eq!(runtime.driver().spare_wakers.len(), SPARE_WAKERS + 1);
    });
}

#[test]
fn a_task_that_keeps_no_waker_has_none() {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let tasks: Vec<_> = (0..10).map(|_| spawn(pending::<()>())).collect();
        yield_now().await;
        assert_eq!(runtime.driver().spare_wakers.len(), 1, "one does for all");
        let without = |task: &Task| task.waker.is_none() && task.is_waiting();
        let driver = runtime.driver();
        assert!(driver.tasks.borrow_mut().iter_mut().all(|(_, task)| without(task)));
        drop(tasks);
    });
}

#[test]
fn one_that_is_woken_while_it_is_polled_is_polled_once_more() {
    let runtime = Runtime::new().expect("a runtime");
    for (by_name, by_waker, keeps) in [
        (true, false, false),
        (false, true, false),
        (true, true, false),
        (true, true, true),
        (true, false, true),
    ] {
        let polls = Rc::new(Cell::new(0));
        let (counted, kept) = (polls.clone(), RefCell::new(None));
        runtime.block_on(async {
            let task = spawn(poll_fn(move |cx| {
                counted.set(counted.get() + 1);
                if counted.get() == 1 {
                    kept.replace(keeps.then(|| cx.waker().clone()));
                    context::with(|driver| {
                        let driver = driver.expect("it is within a runtime");
                        let name = driver.wakeup(cx.waker());
                        if by_name {
                            driver.wake_up(name);
                        }
                    });
                    if by_waker {
                        cx.waker().wake_by_ref();
                    }
                }
                Poll::<()>::Pending
            }));
            for _ in 0..3 {
                crate::next_turn().await;
            }
            assert_eq!(polls.get(), 2, "{by_name} {by_waker} {keeps}");
            task.abort();
        });
    }
}
