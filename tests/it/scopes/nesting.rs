//! Trees of scopes: parents and children, storms, depth.

use super::*;

use std::sync::{Arc, Mutex};

#[test]
fn k08_a_child_ends_alone_a_parent_with_all_and_nothing_is_kept() {
    let (runtime, _clock, near, far) = silent();
    let (parent, child) = (Rc::new(RefCell::new(None)), Rc::new(RefCell::new(None)));
    let (parent_slot, child_slot) = (parent.clone(), child.clone());
    let reading = near.clone();
    let task = runtime.spawn(async move {
        scope("parent", Unbounded, async |outer| {
            *parent_slot.borrow_mut() = Some(outer.clone());
            let first = scope("child", Unbounded, async |inner| {
                *child_slot.borrow_mut() = Some(inner.clone());
                reading.read_byte().await.expect_err("cancelled")
            });
            let first = first.await.expect("the body has returned");
            assert_eq!(cause_of(&first), ("only the child".into(), Some("child".into())));
            assert!(outer.end().is_none(), "the parent is alive");
            let second = scope("second", Unbounded, async |inner| {
                let failure = reading.read_byte().await.expect_err("cancelled");
                assert_eq!(inner.end(), outer.end());
                failure
            });
            second.await.expect("the body has returned")
        })
        .await
    });
    run(&runtime);
    let child: Scope = child.take().expect("it has begun");
    runtime.block_on(async { child.cancel("only the child") });
    run(&runtime);
    assert!(!task.is_finished());
    assert_eq!(runtime.metrics().live_scopes, 2, "the child is gone, the second is there");
    child.cancel("it is over"); // does nothing
    let parent: Scope = parent.take().expect("it has begun");
    runtime.block_on(async { parent.cancel("all") });
    run(&runtime);
    let failure = end_of(&runtime, task).expect("the body has returned");
    assert_eq!(cause_of(&failure), ("all".into(), Some("parent".into())));
    drop((near, far));
    assert_baseline(&runtime);
}

/// A tree of `width`-ary nodes, each a task that waits in a scope of its own; counts those that have ended.
fn tree(
    left: Rc<Cell<u32>>,
    wire: Rc<Wire>,
    cancellers: Arc<Mutex<Vec<Canceller>>>,
    ended: Rc<Cell<u32>>,
) -> Boxed<()> {
    Box::pin(async move {
        let result = scope("node", Unbounded, async |scope| {
            cancellers.lock().expect("no panic").push(scope.canceller());
            for _ in 0..4 {
                if left.get() == 0 {
                    break;
                }
                left.set(left.get() - 1);
                scope.spawn(tree(left.clone(), wire.clone(), cancellers.clone(), ended.clone()));
            }
            let failure = wire.read_byte().await.expect_err("nobody writes");
            let (_, of) = cause_of(&failure);
            assert!(of.is_some());
        });
        result.await.expect("every body returns, every task ends by itself");
        ended.set(ended.get() + 1);
    })
}

#[test]
fn k07_a_storm_of_cancels_on_a_tree() {
    for seed in seeds(&[1, 2, 3]) {
        println!("PUNCTUAL_SEED={seed}");
        on_alarms("k07", async |runtime| {
            let (near, _far) = wire::pair();
            let near = Rc::new(near);
            let cancellers = Arc::new(Mutex::new(Vec::new()));
            let ended = Rc::new(Cell::new(0));
            let root =
                spawn(tree(Rc::new(Cell::new(99)), near.clone(), cancellers.clone(), ended.clone()));
            while cancellers.lock().expect("no panic").len() < 100 {
                yield_now().await;
            }
            let threads: Vec<_> = (0..4_u64)
                .map(|thread| {
                    let cancellers = cancellers.clone();
                    std::thread::spawn(move || {
                        let mut random = fastrand::Rng::with_seed(seed * 10 + thread);
                        for n in 0..50 {
                            let canceller = {
                                let all = cancellers.lock().expect("no panic");
                                all[random.usize(..all.len())].clone()
                            };
                            canceller.cancel(format!("{thread}/{n}")).expect("room");
                        }
                    })
                })
                .collect();
            for thread in threads {
                while !thread.is_finished() {
                    sleep(MS).await;
                }
                thread.join().expect("no panic");
            }
            let first = cancellers.lock().expect("no panic")[0].clone();
            first.cancel("all").expect("room");
            root.await.expect("no panic");
            assert_eq!(ended.get(), 100, "each ended once");
            assert_eq!(runtime.metrics().live_scopes, 0);
        });
    }
}

/// `depth` scopes, each in a task of the one before, the innermost at last.
fn deep(depth: usize, innermost: Rc<Cell<bool>>, ends: Rc<Cell<usize>>) -> Boxed<()> {
    Box::pin(async move {
        let counting = ends.clone();
        let ended = scope("deep", Unbounded, async |scope| {
            if depth > 1 {
                scope.spawn(deep(depth - 1, innermost, ends));
            } else {
                innermost.set(true);
            }
            pending::<()>().await;
        });
        if ended.await.is_err() {
            counting.set(counting.get() + 1);
        }
    })
}

/// Nests `depth` scopes, has `end` end them all, and returns how long all of it took.
fn nest(depth: usize, end: impl Fn(&Runtime, Boxed<()>) -> usize) -> Duration {
    let (runtime, _clock) = virtual_runtime();
    let began = cpu_time();
    let (innermost, ends) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    let inner = innermost.clone();
    let counted = ends.clone();
    let outermost: Boxed<()> = Box::pin(async move {
        let ended = scope("outermost", 1_000 * MS, async |scope| {
            scope.spawn(deep(depth, inner, counted));
            pending::<()>().await;
        });
        ended.await.expect_err("ended");
    });
    let seen = end(&runtime, outermost);
    assert_eq!(ends.get(), seen, "each inner scope has reported its end");
    let took = cpu_time() - began;
    assert_baseline(&runtime);
    took
}

fn until_deep(runtime: &Runtime, scopes: usize) {
    // The metrics walk over what waits: not in every turn.
    while runtime.metrics().live_scopes < scopes {
        for _ in 0..64 {
            runtime.turn(Some(Duration::ZERO)).expect("a turn");
        }
    }
}

#[test]
fn k19_ten_thousand_scopes_deep() {
    let _watchdog = watchdog("k19", PATIENCE / 2);
    let by_deadline = |depth: usize| {
        nest(depth, |runtime, outermost| {
            let task = runtime.spawn(outermost);
            until_deep(runtime, 2 * depth + 1);
            // Virtual time jumps to the only deadline there is.
            runtime.block_on(task).expect("no panic");
            depth
        })
    };
    let by_drop = |depth: usize| {
        nest(depth, |runtime, mut outermost| {
            runtime.block_on(async {
                poll_fn(|cx| {
                    let _ = outermost.as_mut().poll(cx);
                    Poll::Ready(())
                })
                .await;
            });
            until_deep(runtime, 2 * depth + 1);
            drop(outermost);
            assert_eq!(runtime.metrics().live_tasks, 0, "dropped with it, here and now");
            0
        })
    };
    let by_abort = |depth: usize| {
        nest(depth, |runtime, outermost| {
            let task = runtime.spawn(outermost);
            until_deep(runtime, 2 * depth + 1);
            task.abort();
            assert!(runtime.block_on(task).is_err_and(|error| error.is_aborted()));
            0
        })
    };
    let ways: [(&str, &dyn Fn(usize) -> Duration); 3] =
        [("deadline", &by_deadline), ("drop", &by_drop), ("abort", &by_abort)];
    for (name, way) in ways {
        let few = (0..3).map(|_| way(1_000)).min().expect("three");
        let many = (0..2).map(|_| way(10_000)).min().expect("two");
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        println!("k19 by {name}: 1 000 in {few:?}, 10 000 in {many:?}, {ratio:.1} times");
        assert!(ratio < 40.0, "by {name} it is not linear: {few:?}, then {many:?}");
    }
}

#[test]
fn k19_many_scopes_side_by_side_end_in_one_pass() {
    let (runtime, clock) = virtual_runtime();
    let ended = Rc::new(Cell::new(0));
    let counting = ended.clone();
    let task = runtime.spawn(async move {
        scope("wide", 10 * MS, async |outer| {
            for n in 0..10_000_u64 {
                let counting = counting.clone();
                outer.spawn(async move {
                    // Some would be due before the others, and each has its own entry in the wheel.
                    let inner = scope("narrow", Duration::from_secs(20 + n % 7), async |_| {
                        in_scope(pending::<()>()).await.expect_err("ended")
                    });
                    let failure = inner.await.expect("the body has returned");
                    assert_eq!(elapsed_of_scope(&failure).0, "wide");
                    counting.set(counting.get() + 1);
                });
            }
        })
        .await
    });
    while runtime.metrics().live_scopes < 20_001 {
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
    }
    clock.advance(10 * MS);
    while !task.is_finished() {
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
    }
    end_of(&runtime, task).expect("each ended by itself");
    assert_eq!(ended.get(), 10_000);
    assert_baseline(&runtime);
}

#[test]
fn a_hundred_thousand_scopes_leave_nothing() {
    on_alarms("cycles", async |runtime| {
        let (near, _far) = wire::pair();
        let before = runtime.metrics();
        for n in 0..50_000_u32 {
            let ended = scope("cycle", 1_000 * MS, async |scope| {
                if n % 4 == 0 {
                    scope.spawn(pending::<()>());
                }
                let canceller = scope.clone();
                let _hook = scope.on_end(|_| {});
                if n % 2 == 0 {
                    scope.spawn(async move { canceller.cancel("again") });
                    near.read_byte().await.expect_err("cancelled");
                }
                n
            });
            match ended.await {
                Ok(value) => assert_eq!(value, n),
                Err(error) => assert_eq!((error.cut_short(), error.into_value()), (1, Some(n))),
            }
        }
        sleep(MS).await;
        let after = runtime.metrics();
        let live = |metrics: punctual::Metrics| {
            (metrics.live_scopes, metrics.live_tasks, metrics.live_timers, metrics.live_wheel_entries)
        };
        assert_eq!(live(after), live(before));
        assert!(waits().iter().all(|wait| wait.scope().is_none()));
    });
}
