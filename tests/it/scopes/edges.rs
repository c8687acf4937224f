//! What users do to scopes that nobody meant them to.

use super::*;

use std::fmt;

use crate::support::child;

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("in a drop, on purpose");
    }
}

#[test]
fn k16_several_hooks_that_panic_when_dropped_do_not_abort_the_process() {
    if !child::plays("panicking hooks") {
        let test = "scopes::edges::k16_several_hooks_that_panic_when_dropped_do_not_abort_the_process";
        return child::succeed(child::command(test, "panicking hooks"));
    }
    on_alarms("k16 hooks", async |_| {
        let count = Rc::new(Cell::new(0));
        let done = scope("done", Unbounded, async |scope| {
            for _ in 0..3 {
                let (bomb, kept) = (PanicsWhenDropped, Dropped::counts(&count));
                let _hook = scope.on_end(move |_| drop((kept, bomb)));
            }
            7
        });
        assert_eq!(done.await.expect("nothing ended it"), 7);
        assert_eq!(count.get(), 3);
    });
}

#[test]
fn k16_a_panic_unwinds_through_scopes_whose_tasks_panic_when_dropped() {
    if !child::plays("panicking twice") {
        let test = "scopes::edges::k16_a_panic_unwinds_through_scopes_whose_tasks_panic_when_dropped";
        return child::succeed(child::command(test, "panicking twice"));
    }
    on_alarms("k16 unwinding", async |runtime| {
        let count = Rc::new(Cell::new(0));
        let counting = count.clone();
        let task = spawn(async move {
            // No scope around catches it before it reaches this one's future.
            let mut by_hand = Box::pin(scope("by hand", Unbounded, async |scope| {
                for _ in 0..3 {
                    let (bomb, kept) = (PanicsWhenDropped, Dropped::counts(&counting));
                    scope.spawn(async move {
                        let _both = (kept, bomb);
                        pending::<()>().await;
                    });
                }
                pending::<()>().await;
            }));
            poll_fn(|cx| Poll::Ready(by_hand.as_mut().poll(cx).is_pending())).await;
            yield_now().await;
            assert!(count_is_zero(), "on purpose");
        });
        assert!(task.await.is_err_and(|error| error.is_panic()));
        assert_eq!(count.get(), 3);
        assert_eq!((runtime.metrics().live_scopes, runtime.metrics().live_tasks), (0, 0));
    });
}

/// Of no count at all.
fn count_is_zero() -> bool {
    std::hint::black_box(false)
}

struct PanicsWhenShown;

impl fmt::Display for PanicsWhenShown {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("in words, on purpose");
    }
}

impl fmt::Debug for PanicsWhenShown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PanicsWhenShown")
    }
}

impl std::error::Error for PanicsWhenShown {}

#[test]
fn k13_a_failure_that_panics_when_it_is_shown_is_a_failure() {
    on_alarms("k13 shown", async |_| {
        let ended = scope("k13", Unbounded, async |scope| {
            scope.spawn_fallible(async { Err::<(), _>(PanicsWhenShown) });
            pending::<()>().await;
        });
        let error = ended.await.expect_err("a task of it failed");
        assert!(error.failures().len() == 1 && error.failures()[0].is_panic(), "{error}");
        assert!(error.to_string().contains("in words, on purpose"), "{error}");
    });
}

#[test]
fn k14_a_hook_set_when_the_runtime_is_gone_is_dropped_and_keeps_nothing() {
    let (runtime, _clock) = virtual_runtime();
    let count = Rc::new(Cell::new(0));
    let slot = Rc::new(RefCell::new(None));
    let keeping = slot.clone();
    let mut by_hand = None;
    runtime.block_on(async {
        let mut begun: Boxed<_> = Box::pin(scope("kept", Unbounded, async move |scope| {
            *keeping.borrow_mut() = Some(scope.clone());
            pending::<()>().await;
        }));
        assert!(poll_once(begun.as_mut()).is_pending());
        by_hand = Some(begun);
    });
    // One that is due sets another in its turn.
    drop(by_hand);
    let kept: Scope = slot.take().expect("it has begun");
    let (again, dropped) = (kept.clone(), Dropped::counts(&count));
    let _hook = kept.on_end(move |_| {
        let holding = again.clone();
        drop(again.on_end(move |_| drop((holding, dropped))));
    });
    drop(runtime);
    assert_eq!(count.get(), 1, "nobody would run it");
    let (again, dropped) = (kept.clone(), Dropped::counts(&count));
    let hook = kept.on_end(move |_| drop((again, dropped)));
    assert!(!hook.stop());
    drop(kept);
    assert_eq!(count.get(), 2, "it would have held the runtime, which held it");
}

#[test]
fn many_slow_hooks_hold_nobody_up() {
    let runtime = Runtime::new().expect("a runtime");
    let _watchdog = watchdog("slow hooks", Duration::from_secs(6));
    let ran = Rc::new(Cell::new(0_u32));
    runtime.block_on(async {
        let counting = ran.clone();
        scope("hooks", Unbounded, async |scope| {
            for _ in 0..100 {
                let counting = counting.clone();
                let _hook = scope.on_end(move |_| {
                    let began = now_ns();
                    while now_ns() - began < 1_000_000 {}
                    counting.set(counting.get() + 1);
                });
            }
            scope.cancel("enough");
        })
        .await
        .expect("the body has returned");
        let mut most = 0;
        while ran.get() < 100 {
            let before = ran.get();
            yield_now().await;
            most = most.max(ran.get() - before);
        }
        assert_eq!(most, 1, "hooks of a millisecond in one turn");
    });
}

#[test]
fn k19_ten_thousand_hooks_and_waits_in_one_scope() {
    let cost = |many: u32| {
        let (runtime, _clock) = virtual_runtime();
        let began = cpu_time();
        let ran = Rc::new(Cell::new(0));
        let counting = ran.clone();
        let task = runtime.spawn(async move {
            scope("wide", Unbounded, async |scope| {
                let mut waits: Vec<Boxed<_>> = Vec::new();
                for _ in 0..many {
                    let counting = counting.clone();
                    let _hook = scope.on_end(move |_| counting.set(counting.get() + 1));
                    waits.push(Box::pin(in_scope(pending::<()>())));
                }
                let canceller = scope.clone();
                drop(spawn(async move { canceller.cancel("all") }));
                let mut ended = 0;
                poll_fn(|cx| {
                    waits.retain_mut(|wait| {
                        let waits = wait.as_mut().poll(cx).is_pending();
                        ended += u32::from(!waits);
                        waits
                    });
                    if ended == many { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            })
            .await
        });
        while ran.get() < many {
            runtime.turn(Some(Duration::ZERO)).expect("a turn");
        }
        end_of(&runtime, task).expect("the body has returned");
        assert_baseline(&runtime);
        cpu_time() - began
    };
    let few = (0..3).map(|_| cost(1_000)).min().expect("three");
    let many = (0..2).map(|_| cost(10_000)).min().expect("two");
    let ratio = many.as_secs_f64() / few.as_secs_f64();
    println!("k19 wide: 1 000 in {few:?}, 10 000 in {many:?}, {ratio:.1} times");
    assert!(ratio < 40.0, "it is not linear: {few:?}, then {many:?}");
}
