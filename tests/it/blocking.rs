//! Work that blocks, beside a loop that does not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use punctual::{
    BlockingError, BlockingPool, Instant, Runtime, blocking, interval, sleep, spawn, timeout, yield_now,
};

use crate::support::child::{self, Talking};
use crate::support::net::{assert_baseline, on_alarms, runtime_handle};
use crate::support::{self, MS, now_ns};

/// Work that hangs until what is returned is dropped.
fn hanging() -> (std::sync::mpsc::Sender<()>, impl FnOnce() + Clone + Send + 'static) {
    let (release, stuck) = channel::<()>();
    let stuck = Arc::new(Mutex::new(stuck));
    let hang = move || assert!(stuck.lock().expect("no panic").recv().is_err(), "nothing is sent");
    (release, hang)
}

#[test]
fn results_come_back_and_panics_are_contained() {
    on_alarms("blocking", async |_| {
        let here = std::thread::current().id();
        let there = blocking(|| std::thread::current().id()).await.expect("a result");
        assert_ne!(here, there);
        for _ in 0..20 {
            let error = blocking(|| -> u8 { panic!("a test's panic") }).await.expect_err("it panicked");
            assert!(error.to_string().contains("a test's panic"), "{error}");
            let BlockingError::Panicked(panic) = error else { panic!("{error:?}") };
            assert_eq!(*panic.into_panic().downcast::<&str>().expect("words"), "a test's panic");
        }
        assert_eq!(blocking(|| 7).await.expect("the threads outlive it"), 7);
    });
}

#[test]
fn it_is_bounded_and_what_nobody_waits_for_is_not_run() {
    let _watchdog = support::watchdog("a bounded pool", Duration::from_secs(2));
    let builder = |builder: punctual::Builder| builder.blocking_threads(2).blocking_queue(3);
    support::for_each_alarm_with(builder, |runtime| {
        runtime.block_on(async {
            let (release, hang) = hanging();
            let busy: Vec<_> = (0..2).map(|_| spawn(blocking(hang.clone()))).collect();
            yield_now().await;
            let ran = Arc::new(AtomicUsize::new(0));
            let count = || {
                let ran = ran.clone();
                move || ran.fetch_add(1, Ordering::Relaxed)
            };
            let given_up: Vec<_> = (0..3).map(|_| spawn(blocking(count()))).collect();
            yield_now().await;
            let refused = blocking(count()).await.expect_err("two run, three wait");
            assert!(matches!(refused, BlockingError::Overloaded), "{refused:?}");
            // Given up, it makes room.
            for given_up in &given_up {
                given_up.abort();
            }
            yield_now().await;
            let kept: Vec<_> = (0..3).map(|_| spawn(blocking(count()))).collect();
            yield_now().await;
            assert!(matches!(blocking(count()).await, Err(BlockingError::Overloaded)));
            drop(release);
            for kept in kept {
                kept.await.expect("no panic").expect("a result");
            }
            for busy in busy {
                busy.await.expect("no panic").expect("released");
            }
            assert_eq!(ran.load(Ordering::Relaxed), 3, "what was given up was not run");
        });
        assert_baseline(runtime);
    });
}

#[test]
fn captures_of_work_given_up_are_dropped_at_once() {
    on_alarms("captures", async |_| {
        let pool = BlockingPool::new(1, 8).expect("a pool");
        let (release, hang) = hanging();
        let own = pool.clone();
        let busy = spawn(async move { own.run(hang).await });
        yield_now().await;
        while pool.load().1 > 0 {
            sleep(MS).await; // until the thread has begun
        }
        let captured = Arc::new(());
        let capture = captured.clone();
        let late = timeout(2 * MS, pool.run(move || drop(capture))).await;
        assert!(late.is_err());
        assert_eq!(Arc::strong_count(&captured), 1, "no thread was needed for that");
        assert_eq!(pool.load().1, 0);
        drop(release);
        busy.await.expect("no panic").expect("released");
    });
}

#[test]
fn a_blocking_call_delays_no_timer_and_stops_virtual_time() {
    on_alarms("timers beside it", async |_| {
        let (release, hang) = hanging();
        let busy = spawn(blocking(hang));
        let mut ticks = interval(MS);
        for _ in 0..20 {
            ticks.tick().await;
        }
        assert!(!busy.is_finished());
        drop(release);
        busy.await.expect("no panic").expect("released");
    });
    let (runtime, clock) = support::virtual_runtime();
    runtime.block_on(async {
        let far = spawn(sleep(Duration::from_secs(3_600)));
        let before = clock.now();
        blocking(|| std::thread::sleep(20 * MS)).await.expect("a result");
        assert_eq!(clock.now(), before, "it takes real time");
        far.await.expect("then time goes on");
        assert!(clock.now() >= before + Duration::from_secs(3_600));
    });
}

#[test]
fn a_shutdown_ends_the_wait_and_a_dropped_runtime_lets_the_threads_go() {
    on_alarms("shutdown", async |_| {
        let (release, hang) = hanging();
        let waiting = spawn(blocking(hang));
        yield_now().await;
        runtime_handle().shutdown().expect("room");
        let ended = waiting.await.expect("no panic").expect_err("the runtime shuts down");
        assert!(matches!(ended, BlockingError::Ended(_)), "{ended:?}");
        drop(release);
    });
    // Queued work whose runtime is dropped is dropped unrun, on this thread.
    let runtime = Runtime::builder().blocking_threads(1).build().expect("a runtime");
    let (release, hang) = hanging();
    let (begins, begun) = channel();
    let captured = Arc::new(());
    runtime.block_on(async {
        let capture = captured.clone();
        drop(spawn(blocking(move || {
            begins.send(()).expect("somebody waits for it");
            hang();
        })));
        drop(spawn(blocking(move || drop(capture))));
        yield_now().await;
        yield_now().await;
    });
    // Otherwise the end of the first could leave the thread to the second before that is dropped too.
    begun.recv().expect("the only thread hangs");
    assert_eq!(Arc::strong_count(&captured), 2);
    let began = Instant::now();
    drop(runtime);
    assert!(began.elapsed() < Duration::from_secs(1), "it does not wait for the thread that hangs");
    assert_eq!(Arc::strong_count(&captured), 1);
    drop(release);
}

#[test]
fn a_pool_of_nothing_is_refused() {
    for (threads, queue) in [(0, 1), (1, 0)] {
        let error = BlockingPool::new(threads, queue).expect_err("it could never run anything");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        let error = Runtime::builder().blocking_threads(threads).blocking_queue(queue).build();
        assert_eq!(error.expect_err("nor this").kind(), std::io::ErrorKind::InvalidInput);
    }
}

/// As many as the pool has threads hang, or none.
fn leave(hanging: usize) {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        for _ in 0..hanging {
            drop(spawn(blocking(|| {
                loop {
                    std::thread::park();
                }
            })));
        }
        yield_now().await;
        let late = timeout(MS, blocking(|| ())).await;
        assert!(late.is_err() || hanging == 0, "all threads hang");
    });
    drop(runtime);
    std::process::exit(0);
}

#[test]
fn n15_the_process_exits_at_once_while_a_blocking_call_hangs() {
    if child::plays("hanging") {
        leave(4);
    }
    if child::plays("free") {
        leave(0);
    }
    let _watchdog = support::watchdog("exit", Duration::from_secs(2));
    let life = |role: &str| {
        let test = "blocking::n15_the_process_exits_at_once_while_a_blocking_call_hangs";
        let before = now_ns();
        Talking::start(child::command(test, role)).succeed();
        Duration::from_nanos(now_ns() - before)
    };
    // Whole lives, by turns, and the least of each: what else the machine does is not the exit's, so on a busy one there
    // are more turns.
    let (mut free, mut hanging) = (Duration::MAX, Duration::MAX);
    for turn in 0..40 {
        free = free.min(life("free"));
        hanging = hanging.min(life("hanging"));
        if turn >= 4 && hanging < 5 * free {
            return;
        }
    }
    panic!("its life took {hanging:?}, and {free:?} with nobody that hangs");
}
