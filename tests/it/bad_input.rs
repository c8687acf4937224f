//! What cannot work is refused at once, in words that say what is wrong.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use punctual::reactor::{Direction, Failure, Reactor, StaleToken};
use punctual::{
    Budget, Instant, Precise, Runtime, SendError, interval, interval_at, sleep, spawn, timeout,
};

use crate::support::{self, MS, poll_once, wire};

#[track_caller]
fn refused(builder: punctual::Builder, naming: &str) {
    for error in [builder.clone().build().err(), builder.build_reactor().err()] {
        let error = error.expect("it cannot work");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(naming), "{error:?} names {naming}");
    }
}

/// What `act` says when it panics.
#[track_caller]
fn panics<T>(act: impl FnOnce() -> T) -> String {
    let panic = match catch_unwind(AssertUnwindSafe(|| drop(act()))) {
        Ok(()) => panic!("it did not panic"),
        Err(panic) => panic,
    };
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).expect("a panic with words")
}

#[test]
fn a_budget_of_nothing() {
    let zero = |change: fn(&mut Budget)| {
        let mut budget = Budget::DEFAULT;
        change(&mut budget);
        Runtime::builder().budget(budget)
    };
    refused(zero(|budget| budget.events = 0), "`events`");
    refused(zero(|budget| budget.messages = 0), "`messages`");
    refused(zero(|budget| budget.fires = 0), "`fires`");
    refused(zero(|budget| budget.tasks = 0), "`tasks`");
    refused(zero(|budget| budget.task_time = Duration::ZERO), "`task_time`");
    refused(zero(|budget| budget.operations = 0), "`operations`");
    refused(zero(|budget| budget.bytes = 0), "`bytes`");
    refused(Runtime::builder().inbox_capacity(0), "inbox_capacity");
}

#[test]
fn a_budget_beyond_all_memory() {
    let mut budget = Budget::DEFAULT;
    budget.events = usize::MAX;
    refused(Runtime::builder().budget(budget), "`events`");
}

#[test]
fn the_smallest_budget_still_works() {
    let mut budget = Budget::DEFAULT;
    (budget.events, budget.messages, budget.fires, budget.tasks) = (1, 1, 1, 1);
    (budget.operations, budget.bytes, budget.task_time) = (1, 1, Duration::from_nanos(1));
    let _watchdog = support::watchdog("the smallest budget", Duration::from_secs(2));
    support::for_each_alarm_with(
        |builder| builder.budget(budget).inbox_capacity(1),
        |runtime| {
            runtime.block_on(async {
                let (near, far) = wire::pair();
                let echo = wire::spawn_echo(far);
                let sleepers: Vec<_> = (0..50).map(|_| spawn(sleep(MS))).collect();
                for round in 0..50 {
                    near.round_trip(round).await.expect("an echo");
                }
                for sleeper in sleepers {
                    sleeper.await.expect("it ends");
                }
                let handle = runtime.handle();
                let remote = std::thread::spawn(move || {
                    let task = handle.spawn(|| sleep(MS)).expect("room for one");
                    task.join().is_ok()
                });
                while !remote.is_finished() {
                    sleep(MS).await;
                }
                assert!(remote.join().expect("no panic"));
                drop(echo);
            });
        },
    );
}

#[test]
fn a_precision_that_cannot_be() {
    let precise = |change: &dyn Fn(&mut Precise)| {
        let mut precise = Precise::DEFAULT;
        change(&mut precise);
        Runtime::builder().precise(precise)
    };
    for share in [0.0, -0.5, 1.001, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        refused(precise(&|precise| precise.share = share), "`share`");
    }
    for lead in [Duration::ZERO, Duration::from_nanos(999), Duration::from_millis(11), Duration::MAX] {
        refused(precise(&|precise| precise.lead_max = lead), "`lead_max`");
    }
}

#[test]
fn an_interval_of_zero() {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let said = panics(|| interval(Duration::ZERO));
        assert!(said.contains("period") && said.contains("zero"), "{said}");
        let said = panics(|| interval_at(Instant::now(), Duration::ZERO));
        assert!(said.contains("period") && said.contains("zero"), "{said}");
    });
}

#[test]
fn outside_of_a_runtime() {
    let (near, _far) = mio::net::UnixStream::pair().expect("a pair");
    for (what, said) in [
        ("sleep", panics(|| sleep(MS))),
        ("spawn", panics(|| spawn(async {}))),
        ("interval", panics(|| interval(MS))),
        ("timeout", panics(|| timeout(MS, async {}))),
        ("register", panics(|| wire::Wire::new(near))),
    ] {
        assert!(said.contains("needs a punctual runtime on this thread"), "{what}: {said}");
        assert!(said.contains("block_on"), "it says what to do: {said}");
    }
    assert!(Instant::now() > Instant::from_nanos(0), "a clock can be read anywhere");
}

#[test]
fn block_on_within_block_on() {
    let (outer, inner) = (Runtime::new().expect("a runtime"), Runtime::new().expect("a runtime"));
    outer.block_on(async {
        for runtime in [&outer, &inner] {
            let said = panics(|| runtime.block_on(async {}));
            assert!(said.contains("block_on within a runtime"), "{said}");
        }
        sleep(MS).await;
    });
    assert_eq!(inner.block_on(async { 3 }), 3, "neither took harm");
}

#[test]
fn a_turn_within_a_runtime() {
    let _watchdog = support::watchdog("a turn within a runtime", 200 * MS);
    support::for_each_alarm(|_| {
        let runtime = Rc::new(Runtime::new().expect("a runtime"));
        let other = Runtime::new().expect("a runtime");
        let turn = |runtime: &Runtime| {
            let said = panics(|| runtime.turn(Some(Duration::ZERO)));
            assert!(said.contains("turn within a runtime"), "{said}");
            assert!(said.contains("await instead"), "it says what to do: {said}");
        };
        runtime.block_on(async {
            turn(&runtime);
            turn(&other);
            let own = runtime.clone();
            spawn(async move { turn(&own) }).await.expect("no other panic");
            // One that nobody catches is its task's own.
            let own = runtime.clone();
            let task = spawn(async move { own.turn(None).map(drop) });
            assert!(task.await.expect_err("it panicked").is_panic());
            sleep(MS).await;
        });
        runtime.turn(Some(Duration::ZERO)).expect("it goes on");
        assert_eq!(runtime.metrics().live_tasks, 0);
    });
}

#[test]
fn a_handle_that_has_given_its_result_is_asked_again() {
    let runtime = Runtime::new().expect("a runtime");
    let mut local = runtime.spawn(async { 1 });
    let mut remote = runtime.handle().spawn(|| async { 2 }).expect("room");
    assert!(!local.is_finished());
    runtime.block_on(async {
        assert_eq!((&mut local).await.expect("a result"), 1);
        assert!(local.is_finished());
        assert_eq!((&mut remote).await.expect("a result"), 2);
    });
    let again = "JoinHandle was awaited again after it had given its result";
    for _ in 0..2 {
        let said = panics(|| poll_once(&mut local));
        assert!(said.contains(again), "{said}");
        assert!(local.is_finished(), "and stays so");
        let said = panics(|| poll_once(&mut remote));
        assert!(said.contains(again), "{said}");
    }
    let said = panics(|| remote.join());
    assert!(said.contains(again), "{said}");
}

#[test]
fn a_sleep_whose_runtime_is_gone() {
    let other = Runtime::new().expect("a runtime");
    for begun in [false, true] {
        let runtime = Runtime::new().expect("a runtime");
        let mut kept = Vec::new();
        runtime.block_on(async { kept.push(sleep(MS)) });
        let mut kept = kept.remove(0);
        assert!(!begun || poll_once(&mut kept).is_pending());
        drop(runtime);
        let said = panics(|| other.block_on(async { poll_once(&mut kept) }));
        assert!(said.contains("the runtime of this sleep has been dropped"), "{said}");
    }
}

#[test]
fn a_deadline_in_the_past_and_a_timeout_of_nothing() {
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            let (near, far) = wire::pair();
            far.write(b"data").await.expect("room");
            near.io.set_deadline(Direction::Read, Some(Instant::from_nanos(0))).expect("open");
            for _ in 0..2 {
                let read = near.read_byte().await;
                assert!(
                    matches!(read, Err(Failure::Elapsed(_))),
                    "sticky, and nothing consumed: {read:?}"
                );
            }
            near.io.set_deadline(Direction::Read, None).expect("open");
            near.io.set_timeout(Direction::Read, Some(Duration::ZERO)).expect("open");
            assert!(matches!(near.read_byte().await, Err(Failure::Elapsed(_))));
            near.io.set_timeout(Direction::Read, None).expect("open");
            let mut bytes = [0; 8];
            assert!(matches!(near.read(&mut bytes).await, Ok(4)), "all of it is still there");
        });
    });
}

#[test]
fn a_closed_socket() {
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            let (near, _far) = wire::pair();
            let token = near.io.token();
            let live = runtime.metrics().live_sources;
            near.io.close();
            near.io.close();
            assert_eq!(runtime.metrics().live_sources, live - 1);
            assert!(matches!(near.read_byte().await, Err(Failure::Closed)));
            assert!(matches!(near.write(b"x").await, Err(Failure::Closed)));
            let set = near.io.set_deadline(Direction::Read, Some(Instant::now()));
            assert!(matches!(set, Err(Failure::Closed)), "and no timer is made: {set:?}");
            assert!(matches!(near.io.set_timeout(Direction::Write, Some(MS)), Err(Failure::Closed)));
            assert!(near.io.get_ref().is_none() && near.io.deadline(Direction::Read).is_none());
            assert_eq!(runtime.metrics().live_wheel_entries, 0);
            let stale = runtime.metrics().stale_events;
            runtime.handle().cancel(token, "too late").expect("the loop listens");
            sleep(MS).await;
            assert_eq!(runtime.metrics().stale_events, stale + 1, "ignored, and counted");
        });
    });
}

#[test]
fn a_foreign_token() {
    let mut ours = Reactor::new().expect("a reactor");
    let mut theirs = Reactor::new().expect("a reactor");
    let (mut near, mut far) = mio::net::UnixStream::pair().expect("a pair");
    let interest = punctual::reactor::Interest::READABLE;
    let foreign = theirs.register(&mut near, interest).expect("registered");
    let own = ours.register(&mut far, interest).expect("registered");
    assert_ne!(foreign, own);
    let stale = ours.set_deadline(foreign, Direction::Read, None);
    assert_eq!(stale, Err(StaleToken::Foreign));
    assert_eq!(ours.readiness(foreign), Err(StaleToken::Foreign));
    assert_eq!(ours.set_leeway(foreign, punctual::Leeway::NONE), Err(StaleToken::Foreign));
    for refused in [ours.reregister(&mut near, foreign, interest), ours.deregister(&mut near, foreign)] {
        let error = refused.expect_err("it is not ours");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("another reactor"), "{error}");
    }
    let timer = theirs.insert_timer(theirs.now() + MS, punctual::Leeway::NONE);
    assert!(!ours.cancel_timer(timer));
    assert_eq!(ours.reset_timer(timer, ours.now()), Err(StaleToken::Foreign));
    // A handle refuses it before it is sent.
    let handle = ours.handle();
    assert_eq!(handle.cancel(foreign, "not yours"), Err(SendError::Foreign(())));
    assert_eq!(handle.set_deadline(foreign, None, Some(handle.now())), Err(SendError::Foreign(())));
    ours.turn(Some(Duration::ZERO)).expect("a turn");
    assert!(support::drain(&mut ours).is_empty());
    assert!(theirs.deregister(&mut near, foreign).is_ok(), "unharmed where it belongs");
}

#[test]
fn a_future_polled_outside_of_its_runtime_waits_and_does_no_harm() {
    let runtime = Runtime::new().expect("a runtime");
    let mut kept = Vec::new();
    runtime.block_on(async { kept.push(sleep(MS)) });
    let mut sleep = kept.remove(0);
    assert!(poll_once(&mut sleep).is_pending());
    runtime.block_on(sleep);
}
