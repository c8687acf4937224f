//! K16: a panic stays with whom it belongs to.

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use punctual::reactor::Reactor;
use punctual::{Runtime, sleep, spawn, timeout, yield_now};

use crate::support::{self, MS, poll_once, wire};

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a bomb was dropped");
    }
}

/// A loop that has taken no harm still does all of this.
fn still_works(runtime: &Runtime) {
    let _watchdog = support::watchdog("what a panic left behind", Duration::from_secs(1));
    runtime.block_on(async {
        let (near, far) = wire::pair();
        let echo = wire::spawn_echo(far);
        near.round_trip(1).await.expect("an echo");
        sleep(MS / 4).await;
        assert_eq!(spawn(async { 9 }).await.expect("a result"), 9);
        near.io.close();
        echo.await.expect("no panic").expect("no failure");
    });
    let metrics = runtime.metrics();
    assert_eq!((metrics.live_tasks, metrics.live_timers, metrics.live_sources), (0, 0, 0));
}

#[test]
fn k16_in_a_task() {
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            let bystander = spawn(sleep(2 * MS));
            let text = spawn(async { panic!("in words") });
            let error: punctual::JoinError = text.await.map(|(): ()| ()).expect_err("it panicked");
            assert!(error.is_panic() && !error.is_aborted());
            let said = error.to_string();
            assert!(said.contains("in words") && said.contains("panics.rs"), "{said}");
            let formatted = spawn(async { panic!("with {}", std::hint::black_box(42)) });
            let said = formatted.await.map(|(): ()| ()).expect_err("it panicked").to_string();
            assert!(said.contains("with 42"), "{said}");
            let later = spawn(async {
                sleep(MS).await;
                std::panic::panic_any(17u8);
            });
            let panic = later.await.map(|(): ()| ()).expect_err("it panicked").try_into_panic();
            assert_eq!(panic.expect("a panic").downcast_ref::<u8>(), Some(&17));
            bystander.await.expect("the others go on");
        });
        still_works(runtime);
    });
}

#[test]
fn k16_in_the_main_future() {
    support::for_each_alarm(|runtime| {
        let task = runtime.spawn(async { sleep(MS).await });
        let main = || {
            runtime.block_on(async {
                yield_now().await;
                panic!("in main");
            })
        };
        let panic: Result<(), _> = catch_unwind(AssertUnwindSafe(main));
        assert_eq!(panic.expect_err("it comes out").downcast_ref::<&str>(), Some(&"in main"));
        runtime.block_on(task).expect("tasks are not touched by it");
        still_works(runtime);
    });
}

#[test]
fn k16_in_a_drop() {
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            // At its end, when aborted, and when timed out.
            let ended = spawn(async {
                let _bomb = Bomb;
                1
            });
            assert!(ended.await.expect_err("its end was a panic").is_panic());
            let aborted = spawn(async {
                let _bomb = Bomb;
                std::future::pending::<()>().await
            });
            yield_now().await;
            aborted.abort();
            assert!(aborted.await.expect_err("no result").is_aborted());
            let timed_out = spawn(timeout(MS, async {
                let _bomb = Bomb;
                std::future::pending::<()>().await
            }));
            drop(timed_out.await);
            // The result itself, which nobody has taken.
            drop(spawn(async { Bomb }));
            sleep(MS).await;
        });
        still_works(runtime);
    });
}

/// Panics when it wakes, or when it is dropped.
struct BadWaker {
    on_wake: bool,
}

impl Wake for BadWaker {
    fn wake(self: Arc<Self>) {
        assert!(!self.on_wake, "a waker panics");
    }
}

impl Drop for BadWaker {
    fn drop(&mut self) {
        if !self.on_wake && !std::thread::panicking() {
            panic!("the drop of a waker panics");
        }
    }
}

#[test]
fn k16_in_a_waker() {
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            let mut first = sleep(MS);
            let waker = Waker::from(Arc::new(BadWaker { on_wake: true }));
            assert!(Pin::new(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
            let (near, far) = wire::pair();
            let mut read = Box::pin(near.read_byte());
            assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            far.write(b"x").await.expect("room");
            let bystander = spawn(sleep(MS));
            sleep(2 * MS).await;
            bystander.await.expect("the others go on");
            assert!(poll_once(&mut first).is_ready());
            assert_eq!(read.await.expect("a byte"), b'x');
        });
        still_works(runtime);
    });
}

#[test]
fn k16_in_the_drop_of_a_waker_that_the_loop_lets_go() {
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            let mut fires = sleep(MS);
            let waker = Waker::from(Arc::new(BadWaker { on_wake: false }));
            assert!(Pin::new(&mut fires).poll(&mut Context::from_waker(&waker)).is_pending());
            // The loop's is the last: it goes when it has woken.
            assert!(catch_unwind(AssertUnwindSafe(|| drop(waker))).is_ok());
            let bystander = spawn(sleep(2 * MS));
            bystander.await.expect("the others go on");
            assert!(poll_once(&mut fires).is_ready());
        });
        still_works(runtime);
    });
}

#[test]
fn k16_in_a_remote_call_and_a_remote_task() {
    support::for_each_alarm(|runtime| {
        let handle = runtime.handle();
        let remote = std::thread::spawn(move || {
            handle.call(|| panic!("a call")).expect("room");
            let making: punctual::RemoteJoinHandle<()> = handle
                .spawn(|| -> std::future::Ready<()> { panic!("the making of a future") })
                .expect("room");
            let running: punctual::RemoteJoinHandle<()> =
                handle.spawn(|| async { panic!("a future") }).expect("room");
            for task in [making, running] {
                assert!(task.join().expect_err("it panicked").is_panic());
            }
        });
        runtime.block_on(async {
            while !remote.is_finished() {
                sleep(MS).await;
            }
        });
        remote.join().expect("no panic there");
        still_works(runtime);
    });
}

#[test]
fn k16_in_the_drop_of_a_call_that_is_never_made() {
    for (bombs, bare) in [(1, false), (3, false), (1, true), (3, true)] {
        let runtime = Runtime::new().expect("a runtime");
        let reactor = Reactor::new().expect("a reactor");
        let handle = if bare { reactor.handle() } else { runtime.handle() };
        let mut tasks = Vec::new();
        for _ in 0..bombs {
            let bomb = Bomb;
            handle.call(move || drop(bomb)).expect("room");
            tasks.push(handle.spawn(|| async { 1 }).expect("room"));
        }
        assert!(catch_unwind(AssertUnwindSafe(|| drop((runtime, reactor)))).is_ok());
        for mut task in tasks {
            match poll_once(&mut task) {
                Poll::Ready(Err(error)) => assert!(error.is_aborted()),
                other => panic!("a thread that joins it would hang: {other:?}"),
            }
        }
    }
}

#[test]
fn k16_in_an_operation() {
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            let (near, far) = wire::pair();
            let near = Rc::new(near);
            let reading = near.clone();
            let task = spawn(async move {
                let attempt =
                    |_: &mio::net::UnixStream| -> std::io::Result<punctual::reactor::Done<()>> {
                        panic!("in an attempt")
                    };
                reading.io.operate(punctual::reactor::Direction::Read, attempt).await.map(drop)
            });
            yield_now().await;
            far.write(b"x").await.expect("room");
            assert!(task.await.expect_err("it panicked").is_panic());
            assert_eq!(near.read_byte().await.expect("the source is unharmed"), b'x');
        });
        still_works(runtime);
    });
}

#[test]
fn k16_while_the_runtime_is_dropped() {
    let dropped = Rc::new(Cell::new(0));
    let runtime = Runtime::new().expect("a runtime");
    for _ in 0..3 {
        let count = dropped.clone();
        drop(runtime.spawn(async move {
            let _bomb = Bomb;
            let _count = poll_fn(move |_| {
                count.set(count.get() + 1);
                Poll::<()>::Pending
            })
            .await;
        }));
    }
    runtime.block_on(yield_now());
    assert_eq!(dropped.get(), 3);
    drop(runtime);
    assert_eq!(Rc::strong_count(&dropped), 1, "the others are dropped all the same");
}
