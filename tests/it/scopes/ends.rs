//! What ends an operation in a scope, and what its error says.

use super::*;

#[test]
fn k03_precancelled_nothing_touches_the_socket() {
    on_alarms("k03", async |_| {
        let (left, right) = tcp_pair().await;
        let (listener, address) = listen();
        right.write_all(b"there").await.expect("sent");
        left.peek(&mut [0; 5]).await.expect("it has come");
        let queued = std::net::TcpStream::connect(address).expect("queued");
        let before = kernel_sockets(address.port()).len();
        scope("early", Unbounded, async |scope| {
            scope.cancel("before it began");
            for _ in 0..2 {
                let read = left.read(&mut [0; 8]).await.expect_err("cancelled");
                let write = left.write(b"nothing of this").await.expect_err("cancelled");
                let accept = listener.accept().await.expect_err("cancelled");
                let connect = punctual::net::TcpStream::connect(address).await.expect_err("cancelled");
                for error in [read, write, accept, connect] {
                    assert_eq!(error.kind(), Kind::Cancelled, "{error}");
                    assert_eq!(error.cause(), Some(&"before it began".into()));
                    let said = error.to_string();
                    let words = "was cancelled: before it began (scope \"early\")";
                    assert!(said.ends_with(words), "{said}");
                }
            }
        })
        .await
        .expect("the body has returned");
        assert_eq!(kernel_sockets(address.port()).len(), before, "not even a SYN was sent");
        let mut buffer = [0; 8];
        assert_eq!(left.read(&mut buffer).await.expect("it is still there"), 5);
        listener.accept().await.expect("it is still queued");
        right.set_read_timeout(Some(20 * MS)).expect("open");
        let error = right.read(&mut buffer).await.expect_err("nothing was sent");
        assert_eq!(error.kind(), Kind::Timeout);
        drop(queued);
    });
}

#[test]
fn k03_a_deadline_that_has_passed_lets_nothing_begin() {
    on_alarms("k03 late", async |_| {
        let (left, right) = wire::pair();
        right.write(b"there").await.expect("sent");
        let ended = scope("late", MS, async |scope| {
            let begun = now_ns();
            // The loop does not run meanwhile: the wheel cannot have ended it.
            while now_ns() - begun < 1_000_000 {}
            assert!(scope.end().is_none());
            let failure = left.read(&mut [0; 8]).await.expect_err("too late");
            assert_eq!(elapsed_of_scope(&failure).0, "late");
            assert!(matches!(&failure, Failure::Elapsed(elapsed) if elapsed.before_it_began));
            assert!(scope.end().is_some_and(|end| end.is_timeout()), "and that is its end for good");
            scope.cancel("too late as well");
            let again = left.read(&mut [0; 8]).await.expect_err("too late");
            assert_eq!(elapsed_of_scope(&again).0, "late");
            7
        });
        assert_eq!(ended.await.expect("the body has returned"), 7);
        assert_eq!(left.read(&mut [0; 8]).await.expect("there"), 5, "nothing was consumed");
    });
}

#[test]
fn k04_level_triggered_and_idempotent() {
    on_alarms("k04", async |_| {
        let (left, _right) = wire::pair();
        let hooks = Rc::new(Cell::new(0));
        let counting = hooks.clone();
        scope("level", Unbounded, async |scope| {
            let _hook = scope.on_end(move |end| {
                assert_eq!(end.cause(), Some(&"once".into()));
                counting.set(counting.get() + 1);
            });
            let canceller = scope.clone();
            let cancelling = spawn(async move {
                canceller.cancel("once");
                canceller.cancel("twice");
                canceller.canceller().cancel("thrice").expect("room");
            });
            for _ in 0..5 {
                let failure = left.read_byte().await.expect_err("cancelled");
                assert_eq!(cause_of(&failure), ("once".into(), Some("level".into())));
            }
            drop(cancelling);
        })
        .await
        .expect("the body has returned");
        sleep(MS).await; // hooks run after the tasks of a turn
        assert_eq!(hooks.get(), 1);
        left.write(b"x").await.expect("the wire itself is not cancelled");
    });
}

#[test]
fn k09_the_earlier_deadline_wins_and_says_whose_it_was() {
    for (outer, inner, whose) in [(50, 20, "inner"), (20, 50, "outer"), (30, 30, "outer")] {
        let (runtime, clock, near, _far) = silent();
        let began = clock.now();
        let failed = runtime.spawn(async move {
            scope("outer", outer * MS, async |_| {
                let ended = scope("inner", inner * MS, async |scope| {
                    assert_eq!(scope.deadline(), Some(began + outer.min(inner) * MS));
                    let here = current_scope().expect("in one");
                    assert_eq!((here.path(), here.deadline()), ("outer/inner", scope.deadline()));
                    near.read_byte().await.expect_err("silent")
                });
                ended.await.expect("the body has returned")
            })
            .await
        });
        run(&runtime);
        clock.advance(outer.min(inner) * MS - NS);
        run(&runtime);
        assert!(!failed.is_finished(), "early");
        clock.advance(2 * MS);
        run(&runtime);
        let failure = end_of(&runtime, failed).expect("the body has returned");
        assert_eq!(elapsed_of_scope(&failure), (whose.into(), began + outer.min(inner) * MS));
    }
}

#[test]
fn k09_whose_deadline_also_against_those_of_the_source() {
    for (of_scope, of_side, whose) in [(50, 20, None), (20, 50, Some("scope"))] {
        let (runtime, clock, near, _far) = silent();
        near.io.set_timeout(Direction::Read, Some(of_side * MS)).expect("open");
        let failed = runtime.spawn(async move {
            scope("scope", of_scope * MS, async |_| near.read_byte().await.expect_err("silent")).await
        });
        run(&runtime);
        // Both are due when the loop comes to look.
        clock.advance(100 * MS);
        run(&runtime);
        let failure = end_of(&runtime, failed).expect("the body has returned");
        match whose {
            Some(name) => assert_eq!(elapsed_of_scope(&failure).0, name),
            None => assert!(
                matches!(&failure, Failure::Elapsed(elapsed)
                    if matches!(elapsed.bound, Bound::Timeout(given, _) if given == of_side * MS)),
                "{failure:?}"
            ),
        }
    }
}

#[test]
fn k10_the_first_cause_wins_and_stays() {
    for cancelled_first in [false, true] {
        let (runtime, clock, near, _far) = silent();
        let deadline = clock.now() + 20 * MS;
        let canceller = Rc::new(RefCell::new(None));
        let (scopes, reading) = (canceller.clone(), near.clone());
        let failed = runtime.spawn(async move {
            scope("race", deadline, async |scope| {
                *scopes.borrow_mut() = Some(scope.canceller());
                let first = reading.read_byte().await.expect_err("silent");
                let end = scope.end();
                for _ in 0..3 {
                    let again = reading.read_byte().await.expect_err("ended");
                    assert_eq!(std::mem::discriminant(&first), std::mem::discriminant(&again));
                    scope.cancel("too late");
                    assert_eq!(scope.end(), end);
                }
                (first, end)
            })
            .await
        });
        run(&runtime);
        let canceller = canceller.take().expect("it has begun");
        if cancelled_first {
            // Messages come before deadlines that are due in the same turn.
            canceller.cancel("a microsecond before").expect("room");
        } else {
            let waits = deadline - NS;
            let canceller = canceller.clone();
            drop(runtime.spawn(async move {
                sleep_until(waits).await;
                canceller.cancel("after it has fired").expect("room");
            }));
            run(&runtime);
        }
        clock.advance(25 * MS);
        run(&runtime);
        let (failure, end) = end_of(&runtime, failed).expect("the body has returned");
        if cancelled_first {
            assert_eq!(cause_of(&failure).0, "a microsecond before");
            assert!(end.is_some_and(|end| end.is_cancelled()));
        } else {
            assert_eq!(elapsed_of_scope(&failure), ("race".into(), deadline));
            assert!(end.is_some_and(|end| end.is_timeout()));
        }
    }
}

#[test]
fn pol2_what_comes_in_the_turn_of_the_deadline_is_not_lost() {
    let (runtime, clock, near, far) = silent();
    let reading = near.clone();
    let read =
        runtime.spawn(async move { scope("both", 20 * MS, async |_| reading.read_byte().await).await });
    run(&runtime);
    runtime.block_on(async { far.write(b"!").await }).expect("sent");
    clock.advance(30 * MS);
    run(&runtime);
    let byte = end_of(&runtime, read).expect("the body has returned").expect("the data came first");
    assert_eq!(byte, b'!');
}

#[test]
fn an_error_names_the_scope_whose_deadline_it_was() {
    // A read that a busy machine begins later than that is told as one that was not begun.
    const BUDGET: Duration = Duration::from_millis(50);
    on_alarms("named", async |_| {
        let (stream, _silent) = tcp_pair().await;
        let line = line!() + 1;
        let ended = scope("checkout", BUDGET, async |_| stream.read(&mut [0; 8]).await);
        let error = ended.await.expect("the body has returned").expect_err("nobody writes");
        let info = error.deadline().expect("a deadline");
        assert_eq!((info.name(), info.budget()), (Some("checkout"), Some(BUDGET)));
        let said = error.to_string();
        let origin = format!("timed out after 50 ms (deadline \"checkout\" set at {}:{line}", file!());
        assert!(said.contains(&origin), "{said}");
        assert!(said.contains("fired ") && said.contains(" late"), "{said}");
    });
}

#[test]
fn k12_a_cancelled_send_has_sent_nothing_and_a_cancelled_receive_took_nothing() {
    on_alarms("k12", async |_| {
        let (left, right) = tcp_pair().await;
        let (full, drain) = tcp_pair().await;
        let filled = full.fill().await;
        let ended = scope("k12", Unbounded, async |scope| {
            let canceller = scope.clone();
            let _cancelling = spawn(async move {
                sleep(5 * MS).await;
                canceller.cancel("enough");
            });
            let write = full.write_all(b"one message").await.expect_err("the window is full");
            assert_eq!((write.kind(), write.transferred()), (Kind::Cancelled, 0));
            // What had come just before the cancel is still there, as is what comes after.
            right.write_all(b"whole").await.expect_err("in the same scope");
            let read = left.read(&mut [0; 8]).await.expect_err("cancelled");
            assert_eq!((read.kind(), read.transferred()), (Kind::Cancelled, 0));
        });
        ended.await.expect("the body has returned");
        let mut received = 0;
        let mut buffer = vec![0; 64 * 1024];
        drain.set_read_timeout(Some(30 * MS)).expect("open");
        while let Ok(bytes) = drain.read(&mut buffer).await {
            received += bytes;
        }
        assert_eq!(received, filled, "not a byte of the message was sent");
        right.write_all(b"whole").await.expect("open");
        assert_eq!(left.read(&mut buffer).await.expect("it came"), 5);
    });
}

#[test]
fn k17_a_result_and_a_cancel_in_both_orders() {
    for cancelled_first in [false, true] {
        let (runtime, _clock, near, far) = silent();
        let canceller = Rc::new(RefCell::new(None));
        let (slot, reading) = (canceller.clone(), near.clone());
        let task = runtime.spawn(async move {
            scope("k17", Unbounded, async |scope| {
                *slot.borrow_mut() = Some(scope.canceller());
                reading.read_byte().await
            })
            .await
        });
        run(&runtime);
        let canceller: Canceller = canceller.take().expect("it has begun");
        runtime.block_on(async { far.write(b"!").await }).expect("sent");
        if cancelled_first {
            // The byte is there, but nobody has read it when the cancel comes.
            canceller.cancel("first").expect("room");
            run(&runtime);
        } else {
            run(&runtime);
            canceller.cancel("too late").expect("room");
        }
        run(&runtime);
        let result = end_of(&runtime, task).expect("the body has returned");
        if cancelled_first {
            assert_eq!(cause_of(&result.expect_err("cancelled")).0, "first");
            let left = runtime.block_on(async { near.read_byte().await });
            assert_eq!(left.expect("it is still there"), b'!', "a cancel consumes nothing");
        } else {
            assert_eq!(result.expect("it came"), b'!');
            assert!(poll_in(&runtime, near.read_byte()), "one result, and no second");
            let stale = runtime.metrics().stale_events;
            assert!(stale >= 1, "the late cancel is counted");
        }
    }
}

/// Whether `future` waits.
fn poll_in<F: Future>(runtime: &Runtime, future: F) -> bool {
    runtime.block_on(async { poll_once(future).is_pending() })
}

#[test]
fn k18_a_hook_never_runs_after_a_true_stop_and_else_once() {
    on_alarms("k18", async |_| {
        for (stop_before, stop_between) in [(true, false), (false, true), (false, false)] {
            let runs = Rc::new(Cell::new(0));
            let counting = runs.clone();
            let (scope_is, hook) = scope("k18", Unbounded, async |scope| {
                let hook = scope.on_end(move |_| counting.set(counting.get() + 1));
                if stop_before {
                    assert!(hook.stop());
                    assert!(!hook.stop(), "once");
                }
                scope.cancel("k18");
                if stop_between {
                    assert!(hook.stop(), "it has not run yet");
                }
                sleep_out().await;
                (scope.clone(), hook)
            })
            .await
            .expect("the body has returned");
            let runs_now = usize::from(!stop_before && !stop_between);
            assert_eq!(runs.get(), runs_now);
            assert!(!hook.stop() && scope_is.end().is_some());
            // In a scope that has ended it runs all the same.
            let counting = runs.clone();
            let _late = scope_is.on_end(move |_| counting.set(counting.get() + 1));
            sleep(MS).await;
            assert_eq!(runs.get(), runs_now + 1);
        }
        // Of a scope that is done without an end it never runs, and is dropped.
        let count = Rc::new(Cell::new(0));
        let kept = Dropped::counts(&count);
        let ran = Rc::new(Cell::new(false));
        let running = ran.clone();
        let hook = scope("done", Unbounded, async |scope| {
            scope.on_end(move |_| {
                drop(kept);
                running.set(true);
            })
        });
        let hook = hook.await.expect("the body has returned");
        sleep(MS).await;
        assert!(!ran.get() && count.get() == 1 && !hook.stop());
    });
}

/// Lets a turn of the loop pass, also in a scope that has ended.
async fn sleep_out() {
    shield(Duration::from_secs(5), sleep(MS)).await.expect("it is short");
}

#[test]
fn k18_stops_that_race_with_cancels_of_other_threads() {
    on_alarms("k18 race", async |_| {
        let (mut stopped, mut ran) = (0, 0);
        for round in 0..300_u32 {
            let runs = Rc::new(Cell::new(0));
            let counting = runs.clone();
            let was_stopped = scope("race", Unbounded, async |scope| {
                let hook = scope.on_end(move |_| counting.set(counting.get() + 1));
                let canceller = scope.canceller();
                let thread = std::thread::spawn(move || canceller.cancel("from afar").expect("room"));
                for _ in 0..round % 8 {
                    yield_now().await;
                }
                if round % 3 == 0 {
                    thread.join().expect("no panic");
                    sleep_out().await;
                }
                let was_stopped = hook.stop();
                sleep_out().await;
                was_stopped
            });
            let ended = was_stopped.await;
            let was_stopped = match ended {
                Ok(was_stopped) => was_stopped,
                // It was in a `yield_now` when the cancel came.
                Err(error) => {
                    assert!(error.is_cancelled());
                    sleep(MS).await;
                    false
                }
            };
            sleep(MS).await;
            assert_eq!(runs.get(), u32::from(!was_stopped), "round {round}");
            stopped += u32::from(was_stopped);
            ran += u32::from(!was_stopped);
        }
        assert!(stopped + ran == 300 && ran > 0, "{stopped} stopped, {ran} ran");
    });
}

#[test]
fn k11_a_shield_is_bounded() {
    let (runtime, clock, near, _far) = silent();
    let began = clock.now();
    let log = Rc::new(RefCell::new(Vec::new()));
    let (says, reading) = (log.clone(), near.clone());
    let task = runtime.spawn(async move {
        scope("outer", 10 * MS, async |scope| {
            let failure = reading.read_byte().await.expect_err("silent");
            assert_eq!(elapsed_of_scope(&failure).0, "outer");
            // Long enough for what it does: the scope waits for it.
            let cleaned = shield(50 * MS, async {
                sleep(30 * MS).await;
                assert!(scope.end().is_some());
                let inner = scope_in_a_shield().await;
                says.borrow_mut().push(("cleaned", Instant::now()));
                inner
            });
            assert_eq!(cleaned.await, Ok(1));
            // Too long: its own deadline ends it, and an operation in it sees that.
            let reading = reading.clone();
            let too_long = shield(20 * MS, async {
                let failure = reading.read_byte().await.expect_err("silent");
                assert_eq!(elapsed_of_scope(&failure).0, "shield");
                says.borrow_mut().push(("ended", Instant::now()));
                pending::<()>().await;
            });
            assert!(too_long.await.is_err_and(|end| end.is_timeout()));
            says.borrow_mut().push(("over", Instant::now()));
            pending::<()>().await;
        })
        .await
    });
    run(&runtime);
    for _ in 0..100 {
        clock.advance(MS);
        run(&runtime);
    }
    let error = end_of(&runtime, task).expect_err("its body never returned");
    assert!(error.is_timeout() && error.value().is_none());
    let after = log.take().into_iter().map(|(what, at)| (what, (at - began).as_millis()));
    assert_eq!(after.collect::<Vec<_>>(), [("cleaned", 40), ("ended", 60), ("over", 60)]);
}

/// A scope in a shield is not ended by what the shield keeps off.
async fn scope_in_a_shield() -> u8 {
    scope("cleaning", Unbounded, async |scope| {
        assert!(scope.end().is_none());
        assert_eq!(current_scope().expect("in one").path(), "outer/shield/cleaning");
        yield_now().await;
        1
    })
    .await
    .expect("nothing ended it")
}
