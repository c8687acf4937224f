//! How the cores end: all together, with the first cause, and leaving nothing.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use punctual::net::{Kind, TcpListener};
use punctual::{Core, CoreFailure, PerCore, Runtime, per_core, shutdown_requested, sleep, spawn};

use crate::{MS, alone};

/// Counts when it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counter() -> (Arc<AtomicUsize>, impl Fn() -> Dropped + Clone + Send + Sync) {
    let count = Arc::new(AtomicUsize::new(0));
    let theirs = count.clone();
    (count, move || Dropped(theirs.clone()))
}

#[test]
fn the_error_of_one_core_ends_the_others_and_is_returned() {
    let _alone = alone("one error");
    let (dropped, guard) = counter();
    let failed = per_core(3, move |core| {
        let (main, task) = (guard(), guard());
        async move {
            let _main = main;
            drop(spawn(async move {
                let _task = task;
                pending::<()>().await
            }));
            match core.index() {
                0 => {
                    // Ends by the shutdown, with another error, which is the later one.
                    let listener = core.listen("127.0.0.1:0").expect("a listener");
                    let error = listener.accept().await.expect_err("nobody connects");
                    assert_eq!(error.kind(), Kind::Shutdown);
                    Err("accept ended".to_owned())
                }
                1 => {
                    shutdown_requested().await;
                    Ok(())
                }
                _ => {
                    sleep(20 * MS).await;
                    Err("the disk is full".to_owned())
                }
            }
        }
    });
    let error = failed.expect_err("one failed");
    assert_eq!((error.core(), error.to_string().as_str()), (2, "core 2: the disk is full"));
    assert_eq!(dropped.load(Ordering::SeqCst), 6, "each main and each task is gone when it returns");
}

#[test]
fn the_panic_of_one_core_ends_the_others_and_is_returned() {
    let _alone = alone("one panic");
    let early = |core: Core| {
        assert_ne!(core.index(), 1, "before the future");
        async {
            shutdown_requested().await;
            Ok::<_, Infallible>(())
        }
    };
    let error = per_core(2, early).expect_err("one panicked");
    assert_eq!(error.core(), 1);
    assert!(error.to_string().contains("before the future"), "{error}");

    let late = |core: Core| async move {
        if core.index() == 0 {
            sleep(10 * MS).await;
            std::panic::panic_any(7_u8);
        }
        shutdown_requested().await;
        Ok::<_, Infallible>(())
    };
    let error = per_core(2, late).expect_err("one panicked");
    assert_eq!((error.core(), error.to_string().as_str()), (0, "core 0: main panicked"));
    let CoreFailure::Panicked(panic) = error.into_failure() else { panic!("not as a panic") };
    assert_eq!(panic.into_payload().downcast_ref(), Some(&7_u8));
}

#[test]
fn a_main_that_does_not_listen_is_dropped_and_told_of() {
    let _alone = alone("a deaf main");
    let (dropped, guard) = counter();
    let (asked, was_asked) = channel();
    let main = move |core: Core| {
        let (guard, asked) = (guard(), asked.clone());
        async move {
            let _guard = guard;
            asked.send(()).expect("the test listens");
            if core.index() == 0 {
                core.drain_requested().await;
                return Ok::<_, Infallible>(());
            }
            pending().await
        }
    };
    let cores = PerCore::new(2).start(main).expect("started");
    (0..2).for_each(|_| was_asked.recv().expect("both run"));
    let before = Instant::now();
    cores.handle().drain(100 * MS);
    let error = cores.join().expect_err("one does not listen");
    assert_eq!(error.core(), 1);
    assert!(
        matches!(error.failure(), CoreFailure::Overran { within } if *within == 100 * MS),
        "{error}"
    );
    // A tenth of a second for draining, and one for what learns of the shutdown.
    assert!(before.elapsed() >= Duration::from_millis(1100), "{:?}", before.elapsed());
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
}

#[test]
fn draining_goes_on_until_its_time_is_over_or_an_earlier_end() {
    let _alone = alone("a drain");
    let main = |core: Core| async move {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        core.drain_requested().await;
        let drained = Instant::now();
        // The runtime still works.
        sleep(30 * MS).await;
        if core.index() == 0 {
            core.cores().drain(Duration::MAX);
        }
        let error = listener.accept().await.expect_err("nobody connects");
        assert_eq!(error.kind(), Kind::Shutdown);
        Ok::<_, Infallible>(drained.elapsed())
    };
    let cores = PerCore::new(2).start(main).expect("started");
    cores.handle().drain(150 * MS);
    cores.handle().drain(Duration::from_secs(3600));
    let drains = cores.join().expect("both saw the shutdown");
    assert!(drains.iter().all(|drain| *drain >= 140 * MS), "{drains:?}");

    let cores = PerCore::new(2).start(main).expect("started");
    cores.handle().drain(Duration::from_secs(3600));
    cores.handle().drain(60 * MS);
    let drains = cores.join().expect("both saw the shutdown");
    assert!(drains.iter().all(|drain| *drain < Duration::from_secs(60)), "{drains:?}");
}

#[test]
fn any_core_ends_all() {
    let _alone = alone("an end from a core");
    let ended = per_core(2, |core| async move {
        if core.index() == 1 {
            core.cores().shutdown();
        }
        shutdown_requested().await;
        Ok::<_, Infallible>(core.index())
    });
    assert_eq!(ended.expect("both return"), [0, 1]);
}

#[test]
fn a_failure_may_let_the_others_drain() {
    let _alone = alone("a drain after a failure");
    let (drained, guard) = counter();
    let choices = PerCore::new(2).drain_on_failure(Duration::from_secs(3600));
    let failed = choices.run(move |core| {
        let guard = guard.clone();
        async move {
            if core.index() == 0 {
                return Err("broken");
            }
            core.drain_requested().await;
            sleep(20 * MS).await;
            drop(guard());
            Ok(())
        }
    });
    assert_eq!(failed.expect_err("one failed").to_string(), "core 0: broken");
    assert_eq!(drained.load(Ordering::SeqCst), 1, "the other was not cut off");
}

#[test]
fn a_thread_that_is_held_is_left_to_itself() {
    let _alone = alone("a held thread");
    let (release, released) = channel::<()>();
    let released = std::sync::Mutex::new(Some(released));
    let failed = per_core(2, move |core| {
        let released = released.lock().expect("not poisoned").take_if(|_| core.index() == 1);
        async move {
            if let Some(released) = released {
                core.cores().shutdown();
                // It blocks its thread: nothing can end that from outside.
                let _ = released.recv();
            }
            shutdown_requested().await;
            Ok::<_, Infallible>(())
        }
    });
    let error = failed.expect_err("one is held");
    assert_eq!(error.core(), 1);
    assert!(matches!(error.failure(), CoreFailure::Stuck), "{error}");
    drop(release);
}

#[test]
fn a_full_inbox_does_not_keep_a_core_from_ending() {
    let _alone = alone("a full inbox");
    let choices = PerCore::new(2).runtime(|_| Runtime::builder().inbox_capacity(1));
    let ended = choices.run(|core| async move {
        let other = core.cores().runtime(1 - core.index()).expect("the other").clone();
        core.cores().shutdown();
        let flood = std::thread::spawn(move || {
            let until = Instant::now() + 50 * MS;
            while Instant::now() < until {
                let _ = other.call(|| {});
            }
        });
        shutdown_requested().await;
        flood.join().expect("it only calls");
        Ok::<_, Infallible>(())
    });
    ended.expect("both are shut down");
}

/// Threads and descriptors of this process.
fn held() -> (usize, usize) {
    let entries = |path: &str| std::fs::read_dir(path).expect("procfs").count();
    (entries("/proc/self/task"), entries("/proc/self/fd"))
}

#[test]
fn nothing_is_left_of_cores_that_ended() {
    let _alone = alone("leaks");
    let round = |round: usize| {
        let ended = per_core(2, move |core| async move {
            let listener = core.listen("127.0.0.1:0").expect("a listener");
            drop(spawn(async move { drop(listener.accept().await) }));
            match (round % 3, core.index()) {
                (0, _) => Ok(()),
                (1, 0) => Err("broken"),
                (2, 1) => panic!("broken"),
                _ => {
                    shutdown_requested().await;
                    Ok(())
                }
            }
        });
        assert_eq!(ended.is_ok(), round.is_multiple_of(3));
    };
    (0..3).for_each(round);
    let before = held();
    (0..30).for_each(round);
    let after = held();
    // A thread that has said its last may be in procfs for a moment: those of a few cores, not of all.
    assert!(after.0 < before.0 + 10 && after.1 < before.1 + 10, "{before:?} then {after:?}");
}
