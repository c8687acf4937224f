//! Until when a wait lasts at the latest, and by whose word.

use super::*;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;

use punctual::net::duplex;
use punctual::{Instant, Unbounded, current_scope_id, interval, scope, shield, waits};

#[test]
fn what_is_polled_in_a_timeout_is_bounded_by_it_and_the_timeout_is_no_second_wait() {
    let (runtime, clock) = virtual_runtime();
    let began = clock.now();
    let line = line!() + 2;
    let guarded = |near: punctual::net::Duplex| async move {
        timeout(50 * MS, async { near.read(&mut [0; 8]).await.map_err(|e| e.to_string()) }).await
    };
    let (near, _far) = runtime.block_on(async { duplex(8) });
    let task = runtime.spawn(guarded(near));
    run(&runtime);
    let found = runtime.waits();
    assert_eq!(found.len(), 1, "{found}");
    let read = only(&found, "read");
    assert_eq!((read.deadline(), read.class()), (Some(began + 50 * MS), WaitClass::Bounded));
    let Some(WaitBound::Guard(Some(set_at))) = read.bound() else { panic!("{read:?}") };
    assert_eq!((set_at.file(), set_at.line()), (file!(), line));
    let said = read.to_string();
    assert!(said.contains(&format!("until 50ms from now by the timeout set at {set_at}")), "{said}");
    assert_eq!(runtime.wait_counts(), found.counts());
    assert_eq!(runtime.wait_counts().without_deadline, 0);
    clock.advance(50 * MS);
    run(&runtime);
    assert!(runtime.block_on(task).expect("no panic").is_err(), "the deadline that was told is the one");
    drop(_far);
    assert_baseline(&runtime);
}

#[test]
fn of_nested_timeouts_and_a_side_s_own_the_earliest_counts_wherever_it_is() {
    for (outer, inner, side) in [(10, 20, 30), (20, 10, 30), (30, 20, 10), (30, 10, 20)] {
        let (runtime, clock) = virtual_runtime();
        let began = clock.now();
        let (near, _far) = runtime.block_on(async { duplex(8) });
        near.set_read_timeout(Some(side * MS)).expect("open");
        let task = runtime.spawn(async move {
            let read = async { near.read(&mut [0; 8]).await.map_err(drop) };
            timeout(outer * MS, timeout_at(began + inner * MS, read)).await
        });
        run(&runtime);
        let found = runtime.waits();
        assert_eq!(found.len(), 1, "{found}");
        let read = &found[0];
        assert_eq!(read.deadline(), Some(began + outer.min(inner).min(side) * MS), "{read}");
        assert_eq!(matches!(read.bound(), Some(WaitBound::Timeout(Some(_)))), side == 10, "{read}");
        drop(task);
    }
}

#[test]
fn a_timeout_that_guards_what_the_runtime_does_not_know_is_listed_itself() {
    let (runtime, clock) = virtual_runtime();
    let began = clock.now();
    let task = runtime
        .spawn(async { timeout(20 * MS, async { timeout(10 * MS, pending::<()>()).await }).await });
    run(&runtime);
    let found = runtime.waits();
    assert_eq!(found.len(), 1, "{found}");
    assert_eq!((found[0].what(), found[0].deadline()), ("timeout", Some(began + 10 * MS)));
    task.abort();
    assert_baseline(&runtime);
}

#[test]
fn what_was_kept_when_its_timeout_was_dropped_is_bounded_by_it_no_longer() {
    let (runtime, _clock) = virtual_runtime();
    runtime.block_on(async {
        let (near, _far) = duplex(8);
        let mut buffer = [0; 8];
        let mut read = pin!(near.read(&mut buffer));
        timeout(MS, read.as_mut()).await.expect_err("nothing comes");
        let kept = only(&waits(), "read");
        assert_eq!((kept.deadline(), kept.class()), (None, WaitClass::Unbounded), "{kept}");
        assert!(
            kept.to_string().contains(", WITHOUT A DEADLINE, by the future of block_on at"),
            "{kept}"
        );
        // In another, it is that one's.
        let now = Instant::now();
        let mut guarded = pin!(timeout(LONG, read.as_mut()));
        assert!(poll_once(guarded.as_mut()).is_pending());
        assert_eq!(only(&waits(), "read").deadline(), Some(now + LONG));
    });
    assert_baseline(&runtime);
}

#[test]
fn a_named_wait_that_is_taken_up_elsewhere_is_of_who_polls_it_then() {
    let (runtime, _clock) = virtual_runtime();
    runtime.block_on(async {
        let mut kept = Box::pin(punctual::in_scope_as("queue", pending::<()>()));
        let mut join = spawn(pending::<()>());
        timeout(MS, kept.as_mut()).await.expect_err("nothing comes");
        timeout(MS, &mut join).await.expect_err("it does not end");
        assert_eq!(only(&waits(), "queue").class(), WaitClass::Unbounded);
        assert_eq!(only(&waits(), "join").class(), WaitClass::Idle);
        let now = Instant::now();
        let other = spawn(async move {
            let mut both = (kept, join);
            let polled = poll_fn(|cx| {
                assert!(both.0.as_mut().poll(cx).is_pending());
                Pin::new(&mut both.1).poll(cx).map(drop)
            });
            timeout(LONG, polled).await.is_ok()
        });
        yield_now().await;
        for what in ["queue", "join"] {
            let wait = only(&waits(), what);
            assert_eq!(wait.deadline(), Some(now + LONG), "{wait}");
            assert_eq!(wait.task().map(|task| task.id.is_main()), Some(false), "{wait}");
        }
        other.abort();
    });
}

#[test]
fn what_another_task_polls_later_is_not_bounded_by_the_timeout_it_was_in() {
    let (runtime, _clock) = virtual_runtime();
    runtime.block_on(async {
        let (near, _far) = duplex(8);
        let near = Rc::new(near);
        let reading = near.clone();
        let read: Pin<Box<dyn Future<Output = bool>>> =
            Box::pin(async move { reading.read(&mut [0; 8]).await.is_ok() });
        let shared = Rc::new(RefCell::new(read));
        let polls = |shared: Rc<RefCell<Pin<Box<dyn Future<Output = bool>>>>>| {
            poll_fn(move |cx| shared.borrow_mut().as_mut().poll(cx))
        };
        // The guard goes on to stand, with the future in it that it does not poll any more.
        let mut guarded = pin!(timeout(LONG, polls(shared.clone())));
        assert!(poll_once(guarded.as_mut()).is_pending());
        assert_eq!(only(&waits(), "read").class(), WaitClass::Bounded);
        let other = spawn(polls(shared.clone()));
        yield_now().await;
        let moved = only(&waits(), "read");
        assert_eq!(moved.class(), WaitClass::Unbounded, "{moved}");
        assert_eq!(moved.task().map(|task| task.id.is_main()), Some(false), "{moved}");
        other.abort();
    });
    assert_baseline(&runtime);
}

#[test]
fn a_timeout_around_a_scope_bounds_its_tasks_and_theirs_too() {
    let (runtime, clock) = virtual_runtime();
    let began = clock.now();
    let guarded = async {
        scope("outer", Unbounded, async |outer| {
            outer.spawn(async {
                let (near, _far) = duplex(8);
                scope("inner", Unbounded, async |inner| {
                    inner.spawn(async move { near.read(&mut [0; 8]).await.map(drop) });
                })
                .await
                .map_err(drop)
            });
        })
        .await
        .map_err(drop)
    };
    let task = runtime.spawn(async { timeout(30 * MS, guarded).await });
    run(&runtime);
    let found = runtime.waits();
    assert!(found.iter().all(|wait| wait.deadline() == Some(began + 30 * MS)), "{found}");
    let read = only(&found, "read");
    assert_eq!(read.scope(), Some("outer/inner"));
    // Both scopes wait for their tasks, their bodies having returned.
    assert_eq!(
        (found.len(), found.iter().filter(|wait| wait.what() == "join").count()),
        (3, 2),
        "{found}"
    );
    task.abort();
    assert_baseline(&runtime);
}

#[test]
fn a_scope_in_a_timeout_that_was_dropped_with_the_scope_kept_is_bounded_by_it_no_longer() {
    let (runtime, _clock) = virtual_runtime();
    runtime.block_on(async {
        let mut kept = pin!(scope("kept", Unbounded, async |scope| {
            scope.spawn(punctual::in_scope_as("queue", pending::<()>()));
        }));
        timeout(MS, kept.as_mut()).await.expect_err("it does not end");
        assert_eq!(only(&waits(), "queue").class(), WaitClass::Unbounded, "{}", waits());
    });
    assert_baseline(&runtime);
}

#[test]
fn the_clock_of_a_shield_and_the_end_of_a_scope_count_as_they_do_at_the_end() {
    let (runtime, clock) = virtual_runtime();
    let began = clock.now();
    let task = runtime.spawn(async {
        scope("request", 20 * MS, async |_| {
            let inside = async { punctual::in_scope_as("flush", pending::<()>()).await.map_err(drop) };
            shield(60 * MS, inside).await.map_err(drop)
        })
        .await
        .map_err(drop)
    });
    run(&runtime);
    let flush = only(&runtime.waits(), "flush");
    assert_eq!(flush.deadline(), Some(began + 60 * MS), "a shield keeps off the end around it: {flush}");
    let Some(WaitBound::Scope(of)) = flush.bound() else { panic!("{flush}") };
    assert_eq!(of.name(), "shield");
    task.abort();
    assert_baseline(&runtime);
}

#[test]
fn a_panic_in_a_timeout_leaves_nothing_that_bounds_what_comes_after() {
    let (runtime, _clock) = virtual_runtime();
    let panics = runtime.spawn(async { timeout(LONG, async { panic!("expected") }).await });
    let after = runtime.spawn(punctual::in_scope_as("after", pending::<()>()));
    run(&runtime);
    let found = runtime.waits();
    assert_eq!(only(&found, "after").class(), WaitClass::Unbounded, "{found}");
    assert!(runtime.block_on(panics).is_err());
    after.abort();
    assert_baseline(&runtime);
}

#[test]
fn timers_are_bounded_by_themselves_and_by_what_is_around_them() {
    let (runtime, clock) = virtual_runtime();
    let began = clock.now();
    let tasks = [
        runtime.spawn(async { timeout(10 * MS, sleep(20 * MS)).await.map_err(drop).unwrap_or(()) }),
        runtime.spawn(async { sleep(30 * MS).await }),
        runtime.spawn(async {
            let mut every = interval(40 * MS);
            every.tick().await;
            every.tick().await;
        }),
    ];
    run(&runtime);
    let found = runtime.waits();
    let mut told: Vec<_> = found.iter().map(|wait| (wait.deadline(), wait.what())).collect();
    told.sort();
    let at = |ms: u32| Some(began + ms * MS);
    assert_eq!(told, [(at(10), "sleep"), (at(30), "sleep"), (at(40), "interval")]);
    assert_eq!(found.iter().filter(|wait| wait.bound() == Some(&WaitBound::Itself)).count(), 2);
    tasks.iter().for_each(|task| task.abort());
    assert_baseline(&runtime);
}

#[test]
fn on_sockets_of_the_kernel_it_is_the_same() {
    crate::support::net::on_alarms("timeouts on sockets", async |_| {
        let (near, _far) = tcp_pair().await;
        let before = Instant::now();
        let mut buffer = [0; 8];
        let mut guarded = pin!(timeout(LONG, near.read(&mut buffer)));
        assert!(poll_once(guarded.as_mut()).is_pending());
        let after = Instant::now();
        let read = only(&waits(), "read");
        let deadline = read.deadline().expect("bounded");
        assert!(before + LONG <= deadline && deadline <= after + LONG, "{read}");
        assert_eq!(read.token(), Some(near.token()));
        // Its own, set while it waits, comes first from then on; cleared, the guard counts again.
        near.set_read_deadline(Some(before + LONG / 2)).expect("open");
        let read = only(&waits(), "read");
        assert_eq!(read.deadline(), Some(before + LONG / 2));
        assert!(matches!(read.bound(), Some(WaitBound::Deadline(Some(_)))), "{read}");
        near.set_read_deadline(None).expect("open");
        assert_eq!(only(&waits(), "read").deadline(), Some(deadline));
        assert_eq!(near.read_deadline(), None);
    });
}

#[test]
fn the_id_of_the_current_scope_costs_no_path() {
    let (runtime, _clock) = virtual_runtime();
    runtime.block_on(async {
        assert_eq!(current_scope_id(), None);
        let inside = scope("request", Unbounded, async |scope| current_scope_id() == Some(scope.id()));
        assert!(inside.await.expect("nothing ended it"));
    });
}
