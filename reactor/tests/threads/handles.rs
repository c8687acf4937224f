//! The handle: tasks started and joined, calls, deadlines and cancels, while the loop runs and while it goes.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use punctual_reactor::{
    Runtime, SendError, Unbounded, blocking, current_scope_id, scope, send_future, shutdown_requested,
    sleep, spawn, timeout,
};

const THREADS: u64 = 4;
const ROUNDS: u64 = 100;

#[test]
fn k14_tasks_that_threads_start_are_joined_and_calls_are_made_once() {
    let _watchdog = super::watchdog("remote tasks");
    let runtime = Runtime::builder().inbox_capacity(8).build().expect("a runtime");
    let calls = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (handle, calls) = (runtime.handle(), calls.clone());
            std::thread::spawn(move || {
                let mut made = 0;
                for round in 0..ROUNDS {
                    let counted = calls.clone();
                    let call = handle.call(move || {
                        counted.fetch_add(1, Ordering::Relaxed);
                    });
                    made += u64::from(call.is_ok());
                    match handle.spawn(move || async move {
                        timeout(Duration::from_secs(9), sleep(Duration::from_micros(round)))
                            .await
                            .is_ok()
                    }) {
                        Ok(task) => assert!(task.join().expect("it ran")),
                        Err(SendError::Full(())) => std::thread::yield_now(),
                        Err(error) => panic!("{error}"),
                    }
                }
                made
            })
        })
        .collect();
    let made = runtime.block_on(async {
        let ended = || threads.iter().all(std::thread::JoinHandle::is_finished);
        while !ended() {
            sleep(Duration::from_micros(500)).await;
        }
        sleep(Duration::ZERO).await;
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum::<u64>()
    });
    assert_eq!(calls.load(Ordering::Relaxed), made);
}

#[test]
fn k07_scopes_are_cancelled_by_threads_while_they_open_and_end() {
    let _watchdog = super::watchdog("remote cancels");
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (name, named) = std::sync::mpsc::channel();
        let handle = runtime.handle();
        let canceller = std::thread::spawn(move || {
            for scope in named {
                while let Err(SendError::Full(())) = handle.cancel_scope(scope, "a test") {
                    std::thread::yield_now();
                }
            }
        });
        for _ in 0..ROUNDS {
            let ended = scope("to be cancelled", Unbounded, async |_| {
                name.send(current_scope_id().expect("a scope")).expect("it is taken");
                pending::<()>().await;
            });
            assert!(ended.await.expect_err("it is cancelled").is_cancelled());
        }
        drop(name);
        canceller.join().expect("no panic");
    });
}

/// Threads go on while the loop goes: each command is carried out, dropped or handed back, and every join ends.
#[test]
fn k14_a_runtime_that_goes_leaves_nobody_waiting() {
    let _watchdog = super::watchdog("a runtime that goes");
    for round in 0..ROUNDS / 4 {
        let runtime = Runtime::builder().inbox_capacity(4).build().expect("a runtime");
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let handle = runtime.handle();
                std::thread::spawn(move || {
                    loop {
                        match handle.spawn(|| async { sleep(Duration::from_micros(50)).await }) {
                            Ok(task) => drop(task.join()),
                            Err(SendError::Full(())) => std::thread::yield_now(),
                            Err(_) => return,
                        }
                    }
                })
            })
            .collect();
        runtime.block_on(async {
            drop(spawn(pending::<()>()));
            let held = send_future(pending::<()>());
            let elsewhere = std::thread::spawn(move || drop(held));
            let worked = blocking(move || round + 1).await.expect("there is room");
            assert_eq!(worked, round + 1);
            if round % 2 == 0 {
                runtime.handle().shutdown().ok();
                let _ = timeout(Duration::from_secs(1), pin!(shutdown_requested())).await;
            }
            elsewhere.join().expect("no panic");
        });
        drop(runtime);
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    }
}
