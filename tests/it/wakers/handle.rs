//! The handle: what it starts, sets, cancels and ends, and what is left of it when the loop is gone.

use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::Duration;

use punctual::reactor::{Bound, Direction, Event, Failure, Reactor};
use punctual::{
    Clock, Handle, Instant, Runtime, SendError, shutdown_requested, sleep, spawn, yield_now,
};

use crate::support::{self, MS, NS, child, drain, now_ns, poll_once, wire};

/// Runs `act` on a thread of its own while the loop goes on, and returns what it returned, once the loop has
/// taken what it sent.
async fn elsewhere<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(act);
    while !thread.is_finished() {
        sleep(MS / 5).await;
    }
    // Messages come before timers, in this turn as in any.
    sleep(Duration::ZERO).await;
    thread.join().expect("no panic")
}

#[test]
fn a_remote_spawn_runs_on_the_loop_and_its_result_comes_back() {
    let _watchdog = support::watchdog("remote spawn", Duration::from_secs(1));
    support::for_each_alarm(|runtime| {
        let loop_thread = std::thread::current().id();
        runtime.block_on(async {
            let handle = runtime.handle();
            let joined = elsewhere(move || {
                // What it makes need not be `Send`.
                let task = handle.spawn(move || async move {
                    let here = Rc::new(std::thread::current().id());
                    sleep(MS).await;
                    *here
                });
                task.expect("room").join().expect("it ends")
            });
            assert_eq!(joined.await, loop_thread);
            // Awaited by another loop.
            let handle = runtime.handle();
            let awaited = elsewhere(move || {
                let other = Runtime::new().expect("a runtime");
                other.block_on(async { handle.spawn(|| async { 7 }).expect("room").await })
            });
            assert_eq!(awaited.await.expect("it ends"), 7);
            // And by its own.
            let own = runtime.handle().spawn(|| async { 8 }).expect("room");
            assert_eq!(own.await.expect("it ends"), 8);
        });
    });
}

#[test]
fn a_remote_call_is_made_once_on_the_loops_thread() {
    let runtime = Runtime::new().expect("a runtime");
    let (told, heard) = channel();
    runtime.block_on(async {
        let handle = runtime.handle();
        elsewhere(move || {
            for n in 0..10 {
                let told = told.clone();
                let call = move || told.send((n, std::thread::current().id())).expect("heard");
                handle.call(call).expect("room");
            }
        })
        .await;
    });
    // What was sent is in the inbox, if it was not run yet.
    let mut calls = Vec::new();
    while calls.len() < 10 {
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
        calls.extend(heard.try_iter());
    }
    let here = std::thread::current().id();
    assert_eq!(calls, (0..10).map(|n| (n, here)).collect::<Vec<_>>());
}

#[test]
fn a_cancel_ends_what_waits_and_what_comes_after_with_the_first_cause() {
    let _watchdog = support::watchdog("cancel", Duration::from_secs(1));
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            let (near, _far) = wire::pair();
            let near = Rc::new(near);
            let token = near.io.token();
            let tasks = [0, 1].map(|_| {
                let near = near.clone();
                spawn(async move { near.read_byte().await })
            });
            yield_now().await;
            let handle = runtime.handle();
            elsewhere(move || {
                handle.cancel(token, "first").expect("room");
                handle.cancel(token, "second").expect("room");
            })
            .await;
            let because = |failure: Failure| match failure {
                Failure::Cancelled(cause) => cause.to_string(),
                other => panic!("{other:?}"),
            };
            for task in tasks {
                assert_eq!(because(task.await.expect("no panic").expect_err("cancelled")), "first");
            }
            assert_eq!(because(near.write(b"x").await.expect_err("cancelled")), "first");
            near.io.cancel("third");
            assert_eq!(because(near.read_byte().await.expect_err("cancelled")), "first");
        });
    });
}

#[test]
fn a_remote_deadline_is_observed_by_what_waits_however_it_is_moved() {
    let _watchdog = support::watchdog("remote deadline", Duration::from_secs(1));
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            let (near, _far) = wire::pair();
            let token = near.io.token();
            let hour = Instant::now() + Duration::from_secs(3_600);
            near.io.set_deadline(Direction::Read, Some(hour)).expect("open");
            let waiting = spawn(async move { (near.read_byte().await, now_ns()) });
            let handle = runtime.handle();
            let last = elsewhere(move || {
                let set =
                    |deadline| handle.set_deadline(token, Direction::Read, deadline).expect("room");
                set(Some(Instant::now() + Duration::from_secs(100)));
                set(None);
                let last = Instant::now() + 3 * MS;
                set(Some(last));
                last
            });
            let last = last.await;
            let (read, ended_ns) = waiting.await.expect("no panic");
            let Err(Failure::Elapsed(elapsed)) = read else { panic!("{read:?}") };
            assert_eq!(elapsed.deadline, last, "the last one set");
            assert!(ended_ns >= last.as_nanos() && elapsed.fired >= last, "never early");
        });
    });
}

#[test]
fn a_remote_deadline_names_no_place() {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (near, _far) = wire::pair();
        let elapsed = async || match near.read_byte().await {
            Err(Failure::Elapsed(elapsed)) => elapsed.bound,
            other => panic!("{other:?}"),
        };
        near.io.set_deadline(Direction::Read, Some(Instant::now())).expect("open");
        match elapsed().await {
            Bound::Deadline(Some(place)) => assert!(place.file().ends_with("handle.rs"), "{place}"),
            other => panic!("{other:?}"),
        }
        let (handle, token, soon) = (runtime.handle(), near.io.token(), Instant::now() + MS);
        elsewhere(move || handle.set_deadline(token, None, Some(soon)).expect("room")).await;
        assert_eq!(elapsed().await, Bound::Deadline(None), "not the one of the deadline before");
    });
}

/// In a child whose boot-time clock is ten days ahead of its monotonic one.
#[test]
fn a_remote_deadline_counted_from_the_handles_clock_is_not_early() {
    let (test, role) = (
        "wakers::handle::a_remote_deadline_counted_from_the_handles_clock_is_not_early",
        "ten days asleep",
    );
    if !child::plays(role) {
        let unshare = ["unshare", "-T", "--boottime", "864000", "--fork"];
        let possible = std::process::Command::new(unshare[0]).args(&unshare[1..]).arg("true").output();
        if !possible.is_ok_and(|tried| tried.status.success()) {
            return support::skip(
                "no time namespaces here: run as root on Linux 5.6 or later, with util-linux",
            );
        }
        return child::succeed(child::wrapped(&unshare, test, role));
    }
    let _watchdog = support::watchdog("a boot-time deadline", Duration::from_secs(1));
    let on_boottime = |builder: punctual::Builder| builder.clock(Clock::boottime().expect("Linux"));
    support::for_each_alarm_with(on_boottime, |runtime| {
        let ahead = runtime.now() - Clock::monotonic().now();
        assert!(ahead >= Duration::from_secs(863_000), "the child is asleep for {ahead:?} only");
        runtime.block_on(async {
            let (near, _far) = wire::pair();
            let (handle, token) = (runtime.handle(), near.io.token());
            let read = spawn(async move { (near.read_byte().await, now_ns()) });
            yield_now().await;
            let set = move || {
                let before_ns = now_ns();
                let deadline = handle.now() + 20 * MS;
                handle.set_deadline(token, Direction::Read, Some(deadline)).expect("room");
                (before_ns, deadline)
            };
            let (before_ns, deadline) = elsewhere(set).await;
            let (read, ended_ns) = read.await.expect("no panic");
            let Err(Failure::Elapsed(elapsed)) = read else { panic!("{read:?}") };
            assert_eq!(elapsed.deadline, deadline);
            let passed = Duration::from_nanos(ended_ns - before_ns);
            assert!(passed >= 20 * MS && elapsed.fired >= deadline, "early: after {passed:?}");
        });
    });
}

#[test]
fn a_shutdown_is_seen_by_a_task_without_io() {
    let _watchdog = support::watchdog("a shutdown without I/O", Duration::from_secs(1));
    support::for_each_alarm(|runtime| {
        let tasks = [1, 2].map(|n| {
            runtime.spawn(async move {
                shutdown_requested().await;
                n
            })
        });
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
        assert!(!runtime.is_shut_down() && tasks.iter().all(|task| !task.is_finished()));
        let handle = runtime.handle();
        let remote = std::thread::spawn(move || handle.shutdown());
        runtime.block_on(async {
            for (task, n) in tasks.into_iter().zip([1, 2]) {
                assert_eq!(task.await.expect("no panic"), n);
            }
            assert!(poll_once(shutdown_requested()).is_ready(), "from now on at once");
        });
        assert!(runtime.is_shut_down());
        remote.join().expect("no panic").expect("room");
    });
}

#[test]
fn a_shutdown_ends_a_bare_reactor_too() {
    let mut reactor = Reactor::new().expect("a reactor");
    let (mut near, _far) = mio::net::UnixStream::pair().expect("a pair");
    reactor.register(&mut near, punctual::reactor::Interest::READABLE).expect("registered");
    let handle = reactor.handle();
    std::thread::spawn(move || handle.shutdown()).join().expect("no panic").expect("room");
    reactor.turn(None).expect("a turn");
    assert!(matches!(drain(&mut reactor)[..], [Event::Shutdown]));
    assert!(reactor.is_shut_down());
}

#[test]
fn a_runtime_reads_no_messages_and_a_reactor_runs_no_tasks() {
    let runtime = Runtime::new().expect("a runtime");
    assert_eq!(runtime.handle().send(5), Err(SendError::NoReader(5)));
    let mut reactor = Reactor::new().expect("a reactor");
    for run in [true, false] {
        let task = reactor.handle().spawn(|| async { unreachable!("there is no executor") });
        let task: punctual::RemoteJoinHandle<()> = task.expect("room");
        reactor.turn(None).expect("a turn");
        match reactor.next_event() {
            Some(Event::Call(call)) if run => call(),
            Some(Event::Call(_)) => {}
            other => panic!("{other:?}"),
        }
        assert!(task.join().expect_err("nobody ran it").is_aborted());
    }
}

#[track_caller]
fn all_is_closed(handle: &Handle) {
    let token = {
        let mut other = Reactor::new().expect("a reactor");
        let (mut near, _far) = mio::net::UnixStream::pair().expect("a pair");
        other.register(&mut near, punctual::reactor::Interest::READABLE).expect("registered")
    };
    assert_eq!(handle.call(|| {}), Err(SendError::Closed(())));
    assert_eq!(handle.spawn(|| async {}).map(drop), Err(SendError::Closed(())));
    assert_eq!(handle.cancel(token, "too late"), Err(SendError::Foreign(())));
    assert_eq!(handle.set_deadline(token, None, None), Err(SendError::Foreign(())));
    assert_eq!(handle.shutdown(), Ok(()), "what is gone has ended");
    handle.wake();
}

#[test]
fn k14_a_dropped_runtime_leaves_nobody_hanging() {
    let _watchdog = support::watchdog("k14", Duration::from_secs(2));
    support::for_each_alarm(|_| {
        for keep_a_sleep in [false, true] {
            let runtime = Runtime::new().expect("a runtime");
            let handle = runtime.handle();
            let (ready, begin) = channel();
            let remote = std::thread::spawn(move || {
                let running = handle.spawn(std::future::pending::<()>).expect("room");
                let panicking = handle.spawn(|| async { panic!("on purpose") }).expect("room");
                let () =
                    panicking.join().expect_err("it panicked").try_into_panic().map(drop).expect("so");
                // These are in the inbox when the runtime goes.
                let queued = handle.spawn(std::future::pending::<()>).expect("room");
                let calls: Vec<_> = (0..10).map(|_| handle.call(|| {})).collect();
                ready.send(()).expect("the loop's thread waits");
                assert!(running.join().expect_err("its loop is gone").is_aborted());
                assert!(queued.join().expect_err("its loop is gone").is_aborted());
                assert!(calls.iter().all(Result::is_ok));
                all_is_closed(&handle);
            });
            let kept = runtime.block_on(async {
                while begin.try_recv().is_err() {
                    sleep(MS / 5).await;
                }
                keep_a_sleep.then(|| sleep(MS))
            });
            drop(runtime);
            remote.join().expect("nobody hangs");
            drop(kept);
        }
    });
}

#[test]
fn k14_dropped_while_other_threads_go_on_sending() {
    let _watchdog = support::watchdog("k14 storm", Duration::from_secs(3));
    for round in 0..20u32 {
        let runtime = Runtime::new().expect("a runtime");
        let handle = runtime.handle();
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let handle = handle.clone();
                std::thread::spawn(move || {
                    let mut tasks = Vec::new();
                    loop {
                        // Few enough tasks that the loop keeps up with them.
                        (0..20).for_each(|_| _ = handle.call(|| {}));
                        match handle.spawn(|| sleep(Duration::from_secs(60))) {
                            Ok(task) => tasks.push(task),
                            Err(SendError::Full(())) => std::thread::yield_now(),
                            Err(SendError::Closed(())) => break,
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                    for task in tasks {
                        assert!(task.join().expect_err("its loop is gone").is_aborted());
                    }
                })
            })
            .collect();
        runtime.block_on(async { sleep(MS + round * 50_000 * NS).await });
        drop(runtime);
        senders.into_iter().for_each(|sender| sender.join().expect("no hang, no panic"));
    }
}
