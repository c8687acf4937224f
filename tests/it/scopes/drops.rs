//! Scopes that are dropped at any point, and what is kept beyond their runtime.

use super::*;

/// Several kinds of waiting, one after the other, with tasks beside them; 20 polls or so to its end.
async fn busy(near: Rc<Wire>, far: Rc<Wire>, count: Rc<Cell<usize>>) -> u8 {
    let kept = Dropped::counts(&count);
    let ended = scope("busy", Duration::from_secs(60), async |outer| {
        let _kept = kept;
        let its = Dropped::counts(&count);
        let echo = far.clone();
        outer.spawn(async move {
            let _its = its;
            for _ in 0..3 {
                let byte = echo.read_byte().await?;
                sleep(MS).await;
                echo.write(&[byte]).await?;
            }
            Ok::<_, Failure>(())
        });
        sleep(MS).await;
        let inner = scope("inner", Unbounded, async |inner| {
            let its = Dropped::counts(&count);
            let waits = inner.spawn(async move {
                let _its = its;
                yield_now().await;
                sleep(2 * MS).await;
            });
            near.round_trip(1).await.expect("an echo");
            waits.await.expect("no panic");
            near.round_trip(2).await.expect("an echo");
        });
        inner.await.expect("nothing ended it");
        let third = shield(Duration::from_secs(1), timeout(Duration::from_secs(1), near.round_trip(3)));
        third.await.expect("in time").expect("in time").expect("an echo");
        in_scope(sleep(MS)).await.expect("nothing ended it");
        9
    });
    ended.await.expect("all went well")
}

/// Polls `future` up to `polls` times on the loop, which turns in between; returns what came of it.
fn poll_times<T>(
    runtime: &Runtime,
    clock: &VirtualClock,
    future: &mut Boxed<T>,
    polls: usize,
) -> Option<T> {
    for _ in 0..polls {
        let polled =
            runtime.block_on(async { poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await });
        if let Poll::Ready(value) = polled {
            return Some(value);
        }
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
        clock.advance(MS / 2);
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
    }
    None
}

#[test]
fn k06_a_scope_dropped_after_any_number_of_polls_leaves_nothing() {
    let mut finished = None;
    for polls in 0..60 {
        let (runtime, clock, near, far) = silent();
        let count = Rc::new(Cell::new(0));
        let mut scope: Boxed<u8> = {
            let (near, far, count) = (near.clone(), Rc::new(far), count.clone());
            Box::pin(busy(near, far, count))
        };
        if poll_times(&runtime, &clock, &mut scope, polls) == Some(9) {
            finished.get_or_insert(polls);
        }
        let live = runtime.metrics();
        drop(scope);
        let metrics = runtime.metrics();
        assert_eq!((metrics.live_scopes, metrics.live_tasks), (0, 0), "after {polls} polls of {live:?}");
        // The body's own is made with the future, the others as it goes.
        let made = count.get();
        assert!(
            if polls == 0 { made == 0 } else { (1..=3).contains(&made) },
            "{made} after {polls} polls"
        );
        drop(near);
        assert_baseline(&runtime);
    }
    assert!(finished.is_some_and(|polls| (8..60).contains(&polls)), "{finished:?}");
}

#[test]
fn k06_a_scope_cancelled_after_any_number_of_polls_leaves_nothing() {
    let mut cancelled = 0;
    for polls in 1..40 {
        let (runtime, clock, near, far) = silent();
        let count = Rc::new(Cell::new(0));
        let slot = Rc::new(RefCell::new(None));
        let (counting, scopes) = (count.clone(), slot.clone());
        let reading = near.clone();
        let mut whole: Boxed<bool> = Box::pin(async move {
            let ended = scope("whole", Unbounded, async |scope| {
                *scopes.borrow_mut() = Some(scope.canceller());
                // Its own `expect`s would be a panic in the body.
                let far = Rc::new(far);
                let _echo = scope.spawn(busy_echo(far, Dropped::counts(&counting)));
                for byte in 0..3 {
                    reading.round_trip(byte).await?;
                    sleep(MS).await;
                }
                Ok::<_, Failure>(())
            });
            match ended.await {
                Ok(result) => result.is_ok(),
                Err(error) => {
                    assert!(error.is_cancelled(), "{error}");
                    false
                }
            }
        });
        let mut ended = poll_times(&runtime, &clock, &mut whole, polls);
        if ended.is_none() {
            let canceller: Canceller = slot.take().expect("it has begun");
            canceller.cancel("now").expect("room");
            ended = poll_times(&runtime, &clock, &mut whole, 3);
            // It may have been about to finish.
            assert!(ended.is_some(), "it ends soon after {polls} polls");
            cancelled += u32::from(ended == Some(false));
        }
        drop(whole);
        assert_eq!(count.get(), 1);
        drop(near);
        assert_baseline(&runtime);
    }
    assert!(cancelled >= 5, "{cancelled}");
}

async fn busy_echo(wire: Rc<Wire>, _kept: Dropped) {
    while let Ok(byte) = wire.read_byte().await {
        if wire.write(&[byte]).await.is_err() {
            return;
        }
    }
}

#[test]
fn k15_what_is_kept_beyond_the_runtime_is_harmless() {
    let (runtime, _clock) = virtual_runtime();
    let count = Rc::new(Cell::new(0));
    let counting = count.clone();
    let (kept, canceller, hook, join, by_hand) = runtime.block_on(async {
        let slot = Rc::new(RefCell::new(None));
        let slots = slot.clone();
        let mut by_hand = Box::pin(scope("kept", Unbounded, async move |scope| {
            let hook = scope.on_end(|_| {});
            let _kept = Dropped::counts(&counting);
            let join = scope.spawn(pending::<()>());
            *slots.borrow_mut() = Some((scope.clone(), scope.canceller(), hook, join));
            pending::<()>().await;
        }));
        assert!(poll_once(by_hand.as_mut()).is_pending());
        let (scope, canceller, hook, join) = slot.take().expect("it has begun");
        (scope, canceller, hook, join, by_hand)
    });
    drop(runtime);
    kept.cancel("nobody listens");
    assert!(kept.end().is_some() && kept.name() == "kept");
    assert!(canceller.cancel("nobody listens").is_err());
    assert!(!hook.stop());
    assert!(matches!(poll_once(join), Poll::Ready(Err(error)) if error.is_aborted()));
    assert!(matches!(poll_once(kept.spawn(async {})), Poll::Ready(Err(_))));
    drop(kept.on_end(|_| {}));
    assert_eq!(count.get(), 0);
    drop(by_hand);
    assert_eq!(count.get(), 1);
    drop(kept);
}

#[test]
fn what_leaves_its_scope_is_ended_with_it() {
    let (runtime, _clock, near, far) = silent();
    let reading = near.clone();
    let failure = runtime.block_on(async {
        let escaped = scope("short", Unbounded, async |_| {
            let mut read: Boxed<_> = Box::pin(async move { reading.read_byte().await });
            assert!(poll_once(read.as_mut()).is_pending(), "it has begun in the scope");
            let mut inner: Boxed<_> =
                Box::pin(scope("inner", Unbounded, async |_| pending::<()>().await));
            assert!(poll_once(inner.as_mut()).is_pending());
            (read, inner)
        });
        let (read, inner) = escaped.await.expect("the body has returned");
        let error = inner.await.expect_err("its scope is over");
        assert!(error.to_string().contains("the scope is over (scope \"short\")"), "{error}");
        read.await.expect_err("its scope is over")
    });
    assert_eq!(cause_of(&failure).0, "the scope is over");
    drop((near, far));
    assert_baseline(&runtime);
}

#[test]
fn what_nobody_awaits_does_not_hold_a_scope_that_has_ended() {
    let (runtime, clock, near, far) = silent();
    let task = runtime.spawn(async move {
        scope("outer", 10 * MS, async |_| {
            // Begun, and then left alone: a scope, and a shield with more time than the outer has.
            let mut inner = Box::pin(scope("inner", Unbounded, async |_| pending::<()>().await));
            assert!(poll_once(inner.as_mut()).is_pending());
            let mut shielded = Box::pin(shield(30 * MS, pending::<()>()));
            assert!(poll_once(shielded.as_mut()).is_pending());
            sleep(PATIENCE).await;
            drop((inner, shielded));
        })
        .await
    });
    run(&runtime);
    clock.advance(20 * MS);
    run(&runtime);
    assert!(!task.is_finished(), "the shield holds as long as it may");
    clock.advance(11 * MS);
    run(&runtime);
    assert!(end_of(&runtime, task).is_err_and(|error| error.is_timeout()));
    drop((near, far));
    assert_baseline(&runtime);
}

#[test]
fn a_free_task_is_in_no_scope_and_a_timeout_takes_its_scopes_along() {
    let (runtime, clock, near, _far) = silent();
    let free = Rc::new(RefCell::new(None));
    let (slot, reading) = (free.clone(), near.clone());
    let task = runtime.spawn(async move {
        timeout(10 * MS, async {
            scope("in time", 20 * MS, async |scope| {
                *slot.borrow_mut() = Some(spawn(async move {
                    assert!(current_scope().is_none());
                    reading.read_byte().await
                }));
                assert_eq!(current_scope().expect("in one").id(), scope.id());
                scope.spawn(pending::<()>());
                pending::<()>().await;
            })
            .await
            .is_ok()
        })
        .await
    });
    run(&runtime);
    clock.advance(11 * MS);
    run(&runtime);
    assert!(end_of(&runtime, task).is_err(), "dropped by the timeout");
    let metrics = runtime.metrics();
    assert_eq!((metrics.live_scopes, metrics.live_tasks), (0, 1));
    let free: JoinHandle<_> = free.take().expect("spawned");
    assert!(!free.is_finished(), "the free task runs on");
    near.io.close();
    run(&runtime);
    end_of(&runtime, free).expect_err("closed");
}

#[test]
fn a_shutdown_ends_scopes_and_those_opened_later() {
    let (runtime, _clock, near, _far) = silent();
    let reading = near.clone();
    let task = runtime.spawn(async move {
        scope("open", Unbounded, async |_| {
            let failure = reading.read_byte().await.expect_err("shut down");
            assert!(matches!(failure, Failure::Shutdown), "{failure}");
            sleep(PATIENCE).await;
        })
        .await
    });
    run(&runtime);
    runtime.handle().shutdown().expect("room");
    run(&runtime);
    let error = end_of(&runtime, task).expect_err("shut down");
    assert_eq!(error.end(), Some(&ScopeEnd::Shutdown));
    let later = runtime.spawn(scope_later());
    run(&runtime);
    assert_eq!(end_of(&runtime, later), Some(ScopeEnd::Shutdown));
}

async fn scope_later() -> Option<ScopeEnd> {
    let later = scope("later", Unbounded, async |_| pending::<()>().await);
    later.await.expect_err("shut down").end().cloned()
}
