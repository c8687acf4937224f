//! Beginning and ending, and what the loop notices of it.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::task::Poll;
use std::time::Duration;

use punctual::profile::{self, Profiler};
use punctual::{Instant, Runtime, blocking, sleep, spawn, spawn_named, timeout, yield_now};
use punctual_reactor::profile::signals;
use rustix::thread::name;
use rustix::time::ClockId;

use super::{alone, burn, clock, is_named, profiler, samples};
use crate::support::{MS, US, cpu_time, never_early_sleep};

/// What the process would do with a `SIGPROF`, by the kernel's account: whether it has a handler, and whether it
/// ignores it.
fn disposition() -> (bool, bool) {
    let status = std::fs::read_to_string("/proc/self/status").expect("the process' own");
    let bit = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a mask of signals");
        let mask = u64::from_str_radix(line.trim(), 16).expect("in hexadecimal");
        mask >> (libc::SIGPROF - 1) & 1 == 1
    };
    (bit("SigCgt:"), bit("SigIgn:"))
}

/// Uses CPU time until the condition holds.
fn burn_until(what: &str, holds: impl Fn() -> bool) {
    let used = Cell::new(Duration::ZERO);
    while !holds() {
        burn(MS, &used);
        assert!(used.get() < Duration::from_secs(20), "{what}: not after {:?}", used.get());
    }
}

#[test]
fn there_is_one_at_a_time_and_the_next_after_it() {
    alone("sampling::there_is_one_at_a_time_and_the_next_after_it", || {
        Runtime::new().expect("a runtime").block_on(async {
            for _ in 0..2 {
                let first = profiler().start().await.expect("the only one");
                let refused = Profiler::new().start().await.expect_err("the second");
                assert_eq!(refused.kind(), ErrorKind::ResourceBusy);
                assert!(refused.to_string().contains("one at a time"), "{refused}");
                assert_eq!(
                    profile::cpu(MS).await.expect_err("the third").kind(),
                    ErrorKind::ResourceBusy
                );
                // Nor did the attempt take the place of the first, or end it.
                let signals = punctual_reactor::profile::signals;
                let before = signals();
                burn_until("the first goes on", || signals() > before + 3);
                let profile = first.finish().await.expect("the first");
                assert!(profile.samples() > 0, "{profile:?}");
            }
            for frequency in [0, 1001, u32::MAX] {
                let refused =
                    Profiler::new().frequency(frequency).start().await.expect_err("no frequency");
                assert_eq!(refused.kind(), ErrorKind::InvalidInput);
            }
        });
    });
}

/// A loop that is held up as it finishes a profile does not take what another runtime notes of its own.
#[test]
fn the_next_profile_keeps_its_labels_while_the_last_is_being_finished() {
    alone("sampling::the_next_profile_keeps_its_labels_while_the_last_is_being_finished", || {
        let (begin, begun) = channel::<()>();
        let (tell, told) = channel::<bool>();
        let other = std::thread::spawn(move || {
            begun.recv().expect("the first is being finished");
            Runtime::new().expect("a runtime").block_on(async {
                let mut attempts = 0;
                let recording = loop {
                    attempts += 1;
                    match profiler().start().await {
                        Ok(recording) => break recording,
                        Err(busy) => assert_eq!(busy.kind(), ErrorKind::ResourceBusy),
                    }
                    if attempts == 300 {
                        tell.send(false).expect("the first waits for it");
                    }
                    sleep(MS).await;
                };
                if attempts < 300 {
                    tell.send(true).expect("the first waits for it");
                }
                let goal = signals() + 60;
                let task = spawn_named("of the next", async move {
                    let used = Cell::new(Duration::ZERO);
                    while signals() < goal {
                        burn(300 * US, &used);
                        yield_now().await;
                    }
                });
                task.await.expect("it ends");
                let shares = recording.finish().await.expect("a profile").by_label();
                assert!(samples(&shares, |share| is_named(share, "of the next")) > 0, "{shares:#?}");
            });
        });
        Runtime::new().expect("a runtime").block_on(async {
            let recording = profiler().start().await.expect("the only one");
            let mut finishing = pin!(recording.finish());
            let waits = poll_fn(|cx| Poll::Ready(finishing.as_mut().poll(cx).is_pending())).await;
            assert!(waits, "it is finished on another thread");
            begin.send(()).expect("the other thread waits");
            // Meanwhile this loop does not turn.
            let has_begun = told.recv().expect("the other thread tells");
            println!("the next had begun by then: {has_begun}");
            finishing.await.expect("a profile");
        });
        other.join().expect("no panic");
    });
}

#[test]
fn one_that_is_dropped_leaves_nothing_behind() {
    alone("sampling::one_that_is_dropped_leaves_nothing_behind", || {
        let signals = punctual_reactor::profile::signals;
        assert_eq!(disposition(), (false, false), "before the first");
        Runtime::new().expect("a runtime").block_on(async {
            let before = signals();
            let recording = profiler().start().await.expect("the only one");
            burn_until("it samples", || signals() > before + 3);
            drop(recording);
            // The timer is off from here on. One signal may have been raised before, and not have been taken yet.
            let dropped = signals();
            let used = Cell::new(Duration::ZERO);
            burn(100 * MS, &used);
            assert!(signals() <= dropped + 1, "{} signals after the drop", signals() - dropped);
            // A future that is dropped as it waits, at whatever it waits.
            for wait in [Duration::ZERO, US, 100 * US, MS, 20 * MS] {
                let taken = timeout(wait, profile::cpu(Duration::from_secs(60))).await;
                assert!(!matches!(taken, Ok(Ok(_))), "sixty seconds in {wait:?}");
            }
            // Its place is free as soon as the profiler has cleared its tables, on a thread of its own.
            let patience = Instant::now() + Duration::from_secs(60);
            let next = loop {
                match profiler().start().await {
                    Ok(next) => break next,
                    Err(busy) => assert_eq!(busy.kind(), ErrorKind::ResourceBusy),
                }
                assert!(Instant::now() < patience, "the place never became free");
                sleep(MS).await;
            };
            burn_until("the next samples", || signals() > dropped + 4);
            let profile = next.finish().await.expect("a profile");
            assert!(profile.samples() > 0, "{profile:?}");
            let ended = signals();
            burn(100 * MS, &used);
            assert_eq!(signals(), ended, "signals after the end");
            assert_eq!(disposition(), (false, true), "a late signal is to do no harm");
        });
    });
}

#[test]
fn nothing_is_early_or_lost_while_it_samples() {
    alone("sampling::nothing_is_early_or_lost_while_it_samples", || {
        let runtime = Runtime::new().expect("a runtime");
        let before = name().expect("this thread has a name");
        let profile = runtime.block_on(async {
            let recording = profiler().start().await.expect("the only one");
            let signals = punctual_reactor::profile::signals();
            let sleeper = spawn(async {
                for round in 0..200 {
                    never_early_sleep((round % 7) * 500 * US).await;
                }
            });
            // The signals come as long as somebody uses the CPU, and wake-ups from another thread beside them.
            let burner = spawn(async move {
                let used = Cell::new(Duration::ZERO);
                while punctual_reactor::profile::signals() < signals + 60 {
                    burn(300 * US, &used);
                    yield_now().await;
                }
            });
            for round in 0..200_u32 {
                let echo = blocking(move || round).await.expect("neither refused nor panicked");
                assert_eq!(echo, round);
            }
            sleeper.await.expect("it ends");
            burner.await.expect("it ends");
            assert_eq!(name().expect("it still has one"), before, "the thread's name is not touched");
            recording.finish().await.expect("a profile")
        });
        assert!(profile.samples() + profile.lost() >= 60, "{profile:?}");
        assert_eq!(runtime.drift().early, 0);
        assert_eq!(name().expect("it still has one"), before);
    });
}

/// Takes note of the most CPU time that the loop's thread used between two polls of a task that always yields.
#[derive(Clone, Default)]
struct Ticker {
    most: Rc<Cell<Duration>>,
}

impl Ticker {
    async fn tick(self) {
        let mut last = cpu_time();
        loop {
            yield_now().await;
            let now = cpu_time();
            self.most.set(self.most.get().max(now - last));
            last = now;
        }
    }

    /// Holds that what `work` costs is not spent on the loop: by the clocks of the thread and of the process, which
    /// stand still while others have the processor.
    async fn watch<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        let before = clock(ClockId::ProcessCPUTime);
        self.most.set(Duration::ZERO);
        let result = work.await;
        yield_now().await;
        let (most, all) = (self.most.get(), clock(ClockId::ProcessCPUTime) - before);
        println!("{what}: {all:.1?} of CPU time, of the loop's at most {most:.1?} in a row");
        assert!(most < all / 4, "{what}: {most:?} of {all:?} were spent on the loop in a row");
        result
    }
}

#[test]
fn the_loop_goes_on_while_the_profile_is_made() {
    alone("sampling::the_loop_goes_on_while_the_profile_is_made", || {
        Runtime::new().expect("a runtime").block_on(async {
            let ticker = Ticker::default();
            let ticking = spawn(ticker.clone().tick());
            let start = async { profiler().start().await.expect("the only one") };
            let recording = ticker.watch("start", start).await;
            sleep(100 * MS).await;
            let profile = ticker.watch("finish", recording.finish()).await.expect("a profile");
            println!("{profile:?}");
            let recording = profiler().start().await.expect("the next");
            let dropped = async {
                drop(recording);
                // Until its tables are cleared.
                while profiler().start().await.is_err() {
                    yield_now().await;
                }
            };
            ticker.watch("drop", dropped).await;
            ticking.abort();
        });
    });
}
