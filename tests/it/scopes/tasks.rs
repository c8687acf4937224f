//! The tasks of a scope: waited for, cancelled, failed, panicked.

use super::*;

use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn k13_a_scope_waits_for_its_tasks() {
    on_alarms("k13 waits", async |runtime| {
        let count = Rc::new(Cell::new(0));
        let finished = Rc::new(Cell::new(0));
        let value = scope("waits", Unbounded, async |scope| {
            for n in 0..20_u32 {
                let (kept, finished) = (Dropped::counts(&count), finished.clone());
                scope.spawn(async move {
                    sleep(n % 4 * MS).await;
                    finished.set(finished.get() + 1);
                    drop(kept);
                });
            }
            let answer = scope.spawn(async { 42 }).await.expect("no panic");
            assert_eq!(answer, 42);
            "done"
        });
        assert_eq!(value.await.expect("all went well"), "done");
        assert_eq!((count.get(), finished.get()), (20, 20));
        assert_eq!(runtime.metrics().live_tasks, 0);
    });
}

#[test]
fn k13_the_first_failure_cancels_the_others_and_all_are_told() {
    on_alarms("k13", async |runtime| {
        let (silent, _far) = wire::pair();
        let silent = Rc::new(silent);
        let (joined, count) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let line = line!() + 2;
        let ended = scope("k13", 60_000 * MS, async |scope| {
            scope.spawn_fallible(async {
                sleep(3 * MS).await;
                Err::<(), _>("the first")
            });
            for _ in 0..3 {
                let (reading, joined, kept) = (silent.clone(), joined.clone(), Dropped::counts(&count));
                scope.spawn_fallible(async move {
                    let failure = reading.read_byte().await.expect_err("cancelled");
                    let (cause, of) = cause_of(&failure);
                    assert!(cause.contains("failed: the first"), "{cause}");
                    assert_eq!(of.as_deref(), Some("k13"));
                    // Cleaning up is waited for.
                    shield(1_000 * MS, sleep(5 * MS)).await.expect("in time");
                    joined.set(joined.get() + 1);
                    drop(kept);
                    Err::<(), _>(failure.to_string())
                });
            }
            let kept = Dropped::counts(&count);
            scope.spawn(async move {
                let _kept = kept;
                sleep(PATIENCE).await;
            });
            silent.read_byte().await.expect_err("cancelled");
            "the body's own"
        });
        let error = ended.await.expect_err("a task of it failed");
        assert_eq!((joined.get(), count.get()), (3, 4), "all were joined");
        assert_eq!((error.failures().len(), error.cut_short()), (4, 1), "{error}");
        let first = &error.failures()[0];
        assert_eq!(first.error().map(ToString::to_string).as_deref(), Some("the first"));
        assert_eq!(first.location().line(), line);
        assert!(error.failures()[1..].iter().all(|other| other.to_string().contains("cancelled: ")));
        assert!(
            error.is_cancelled()
                && error.cause().is_some_and(|cause| cause.as_str() == first.to_string())
        );
        let said = error.to_string();
        let expected = format!(
            "scope \"k13\" failed: the task spawned at {}:{line}:19 failed: the first; and 3 more; \
             a task of it was dropped",
            file!()
        );
        assert_eq!(said, expected);
        assert_eq!(error.into_value(), Some("the body's own"), "it is not lost");
        assert_eq!(runtime.metrics().live_tasks, 0);
    });
}

#[test]
fn k13_what_is_spawned_into_a_scope_that_has_ended_sees_it_and_after_it_is_over_nothing_runs() {
    on_alarms("k13 late", async |_| {
        let (silent, _far) = wire::pair();
        let silent = Rc::new(silent);
        let seen = Rc::new(Cell::new(false));
        let ended = scope("ended", Unbounded, async |scope| {
            scope.cancel("early");
            let (reading, seeing) = (silent.clone(), seen.clone());
            let task = scope.spawn(async move {
                seeing.set(reading.read_byte().await.is_err());
                7
            });
            // Awaited in a scope that has ended a join fails; the task has run all the same.
            let error = task.await.expect_err("cancelled");
            assert!(error.is_cancelled() && !error.is_aborted(), "{error}");
            assert!(error.to_string().contains("was cancelled: early (scope \"ended\")"), "{error}");
            scope.clone()
        });
        let over = ended.await.expect("the task finished");
        assert!(seen.get());
        let count = Rc::new(Cell::new(0));
        let kept = Dropped::counts(&count);
        let never = over.spawn(async move {
            drop(kept);
            panic!("it runs after its scope");
        });
        assert_eq!(count.get(), 1, "dropped at once");
        assert!(never.await.is_err_and(|error| error.is_cancelled()));
    });
}

#[test]
fn k13_an_aborted_task_is_no_failure() {
    on_alarms("k13 abort", async |_| {
        let ended = scope("abort", Unbounded, async |scope| {
            let background = scope.spawn(pending::<()>());
            yield_now().await;
            background.abort();
            assert!(background.await.is_err_and(|error| error.is_aborted()));
        });
        ended.await.expect("aborting is no failure");
    });
}

#[test]
fn k16_a_panic_of_a_task_is_contained_and_reported() {
    on_alarms("k16 task", async |runtime| {
        let ended = scope("k16", Unbounded, async |scope| {
            let sibling = scope.spawn(pending::<()>());
            let panicking = scope.spawn(async {
                sleep(MS).await;
                panic!("on purpose {}", std::hint::black_box(7));
            });
            pending::<()>().await;
            drop((sibling, panicking));
        });
        let error = ended.await.expect_err("a task panicked");
        assert!(error.failures().len() == 1 && error.failures()[0].is_panic());
        assert_eq!(error.cut_short(), 1);
        assert!(error.to_string().contains("panicked: on purpose 7"), "{error}");
        let panic = error.into_failures().remove(0).try_into_panic().expect("a panic");
        assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("on purpose 7"));
        assert_eq!(runtime.metrics().live_tasks, 0);
    });
}

#[test]
fn k16_a_panic_of_the_body_goes_on_when_the_tasks_are_gone() {
    let (runtime, _clock) = virtual_runtime();
    let count = Rc::new(Cell::new(0));
    let counting = count.clone();
    let panicking = || {
        runtime.block_on(async {
            let ended = scope("k16", Unbounded, async |scope| {
                for _ in 0..3 {
                    let kept = Dropped::counts(&counting);
                    scope.spawn(async move {
                        let _kept = kept;
                        pending::<()>().await;
                    });
                }
                yield_now().await;
                panic!("on purpose");
            });
            let ended: Result<(), _> = ended.await;
            drop(ended);
        });
    };
    let panic = catch_unwind(AssertUnwindSafe(panicking)).expect_err("it goes on");
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
    assert_eq!(count.get(), 3, "the tasks went first");
    assert!(runtime.block_on(async { current_scope().is_none() }), "the current scope was restored");
    assert_baseline(&runtime);
}

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in a drop, on purpose");
        }
    }
}

#[test]
fn k16_panics_in_drops_hooks_and_wakers_stop_nobody_else() {
    let (runtime, _clock, near, far) = silent();
    let hooks = Rc::new(Cell::new(0));
    let (counting, reading) = (hooks.clone(), near.clone());
    let good = Rc::new(Cell::new(0));
    let seeing = good.clone();
    let task = runtime.spawn(async move {
        scope("k16", Unbounded, async |scope| {
            let _first = scope.on_end(|_| panic!("in a hook, on purpose"));
            let _second = scope.on_end(move |_| counting.set(counting.get() + 1));
            for _ in 0..3 {
                scope.spawn(async {
                    let _bomb = PanicsInDrop;
                    pending::<()>().await;
                });
                let (reading, seeing) = (reading.clone(), seeing.clone());
                scope.spawn(async move {
                    reading.read_byte().await.expect_err("cancelled");
                    seeing.set(seeing.get() + 1);
                });
            }
            let _bomb = PanicsInDrop;
            let canceller = scope.clone();
            drop(spawn(async move { canceller.cancel("now") }));
            pending::<()>().await;
        })
        .await
    });
    run(&runtime);
    let error = end_of(&runtime, task).expect_err("cancelled");
    assert_eq!((error.cut_short(), error.failures().len()), (3, 0), "{error}");
    assert_eq!((hooks.get(), good.get()), (1, 3));

    // A scope that is polled by hand with a waker that panics: it is told of the end like any other.
    let second = Rc::new(Cell::new(false));
    let telling = second.clone();
    runtime.block_on(async {
        let mut slot = None;
        let mut by_hand = Box::pin(scope("outer", Unbounded, async |outer| {
            slot = Some(outer.clone());
            pending::<()>().await;
        }));
        let panicking = Waker::from(std::sync::Arc::new(PanicsWhenWoken));
        assert!(by_hand.as_mut().poll(&mut Context::from_waker(&panicking)).is_pending());
        let other = spawn(async move {
            sleep(MS).await;
            telling.set(true);
        });
        drop(by_hand);
        let outer = slot.expect("it has begun");
        assert!(outer.end().is_some());
        other.await.expect("no panic");
    });
    assert!(second.get());
    drop((near, far));
    assert_baseline(&runtime);
}

struct PanicsWhenWoken;

impl std::task::Wake for PanicsWhenWoken {
    fn wake(self: std::sync::Arc<Self>) {
        panic!("in a waker, on purpose");
    }
}
