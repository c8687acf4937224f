//! What lives now, against what the test has made and what the kernel's files list; and where the time went.

use std::collections::HashSet;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use punctual::net::UnixStream;
use punctual::{Runtime, Unbounded, blocking, scope, sleep, spawn, yield_now};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::support::{MS, for_each_alarm, now_ns, virtual_runtime};

/// How many descriptors the kernel watches for the epoll of `runtime` (proc(5), `/proc/pid/fdinfo`).
#[cfg(target_os = "linux")]
fn watched(runtime: &Runtime) -> usize {
    let path = format!("/proc/self/fdinfo/{}", runtime.as_raw_fd());
    let listed = std::fs::read_to_string(path).expect("procfs");
    listed.lines().filter(|line| line.starts_with("tfd:")).count()
}

#[test]
#[cfg(target_os = "linux")]
fn m11_sources_are_the_descriptors_that_the_kernel_watches_for_the_loop() {
    for_each_alarm(|runtime| {
        // The loop's own: the waker, and the timerfd if there is one.
        let own = watched(runtime);
        runtime.block_on(async {
            let mut pairs = Vec::new();
            for number in 1..=10 {
                pairs.push(UnixStream::pair().expect("a pair"));
                assert_eq!(runtime.metrics().live_sources, 2 * number);
                assert_eq!(watched(runtime) - own, runtime.metrics().live_sources);
            }
            pairs.truncate(3);
            assert_eq!(runtime.metrics().live_sources, 6);
            assert_eq!(watched(runtime) - own, 6);
        });
        assert_eq!((runtime.metrics().live_sources, watched(runtime)), (0, own));
    });
}

#[test]
fn m12_timers_tasks_scopes_and_wheel_entries_are_those_that_were_made() {
    let (runtime, clock) = virtual_runtime();
    let live = |runtime: &Runtime| {
        let m = runtime.metrics();
        (m.live_tasks, m.live_timers, m.live_scopes, m.live_wheel_entries)
    };
    runtime.block_on(async {
        let (near, _far) = UnixStream::pair().expect("a pair");
        near.set_read_timeout(Some(10 * MS)).expect("open");
        let sleeping: Vec<_> = (1..=5).map(|n| spawn(sleep(n * 100 * MS))).collect();
        let reading = spawn(async move { near.read(&mut [0; 1]).await.map(drop) });
        let scoped = spawn(async {
            let never = scope("outer", Unbounded, async |_| {
                scope("inner", 1000 * MS, async |_| std::future::pending::<()>().await).await
            });
            never.await.map(drop)
        });
        yield_now().await;
        // The wheel holds the sleeps, the timeout of the read, and the deadline of the inner scope.
        assert_eq!(live(&runtime), (7, 5, 2, 7));
        // It waits on a real socket, so time does not jump.
        clock.advance(10 * MS);
        reading.await.expect("no panic").expect_err("nobody writes");
        assert_eq!(live(&runtime), (6, 5, 2, 6));
        sleeping[0].abort();
        scoped.abort();
        yield_now().await;
        assert_eq!(live(&runtime), (4, 4, 0, 4));
        for task in sleeping {
            drop(task.await);
        }
    });
    assert_eq!(live(&runtime), (0, 0, 0, 0));
}

#[test]
fn m26_waits_are_those_that_were_begun_and_a_stall_is_a_turn_that_was_held_up() {
    let threshold = 20 * MS;
    let runtime = Runtime::builder().stall_threshold(threshold).build().expect("a runtime");
    let held = runtime.block_on(async {
        let (near, far) = UnixStream::pair().expect("a pair");
        far.set_read_timeout(Some(10_000 * MS)).expect("open");
        let reads = [near, far].map(|end| spawn(async move { end.read(&mut [0; 1]).await.map(drop) }));
        let sleeps: Vec<_> = (0..3).map(|_| spawn(sleep(10_000 * MS))).collect();
        yield_now().await;
        let waits = runtime.metrics().waits;
        assert_eq!((waits.total, waits.without_deadline), (5, 1), "{waits:?}");
        drop((reads, sleeps));
        let mut held = Vec::new();
        for _ in 0..3 {
            // Sleeps, so that each has a turn of its own.
            sleep(MS).await;
            let began = now_ns();
            std::thread::sleep(threshold);
            held.push(now_ns() - began);
            sleep(MS).await;
        }
        held
    });
    let stalls = runtime.metrics().stalls;
    let surely = held.iter().filter(|held| Duration::from_nanos(**held) >= threshold).count() as u64;
    // A machine that takes the processor away may make more of them.
    assert!(surely == 3 && stalls >= surely, "{stalls} of {held:?}");
    assert!(stalls <= runtime.metrics().turns, "no turn is two");
}

#[test]
fn m13_threads_that_block_are_those_that_the_work_sees_itself_on() {
    let runtime = Runtime::builder().blocking_threads(3).build().expect("a runtime");
    let load = || (runtime.metrics().blocking_threads, runtime.metrics().blocking_queued);
    assert_eq!(load(), (0, 0), "to look starts none");
    runtime.block_on(async {
        let (seen, gate) = (Arc::new(Mutex::new(HashSet::new())), Arc::new(Barrier::new(4)));
        let calls: Vec<_> = (0..5)
            .map(|_| {
                let (seen, gate) = (seen.clone(), gate.clone());
                spawn(blocking(move || {
                    let first = seen.lock().expect("no panic").insert(std::thread::current().id());
                    if first {
                        gate.wait();
                        gate.wait();
                    }
                }))
            })
            .collect();
        yield_now().await;
        gate.wait();
        assert_eq!(seen.lock().expect("no panic").len(), 3);
        assert_eq!(load(), (3, 2), "three run, two wait");
        gate.wait();
        for call in calls {
            call.await.expect("no panic").expect("room");
        }
        assert_eq!(load(), (3, 0));
    });
}

#[test]
fn m14_on_a_virtual_clock_time_is_parked_or_spent_to_the_nanosecond() {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(async {
        sleep(10 * MS).await;
        clock.advance(3 * MS);
        yield_now().await;
        sleep(7 * MS).await;
    });
    let metrics = runtime.metrics();
    let ns = |ms: u64| ms * 1_000_000;
    assert_eq!((metrics.uptime_ns, metrics.parked_ns, metrics.spun_ns), (ns(20), ns(17), 0));
}

#[test]
fn m15_parked_time_lies_within_what_the_outer_poll_was_seen_to_take() {
    for_each_alarm(|runtime| {
        let build = now_ns();
        let before = runtime.metrics();
        let task = runtime.spawn(async {
            for _ in 0..5 {
                sleep(4 * MS).await;
                // Held, and not parked.
                let until_ns = now_ns() + 2_000_000;
                while now_ns() < until_ns {}
            }
        });
        let (mut least, mut most) = (0, 0);
        while !task.is_finished() {
            let began = now_ns();
            let wait = runtime.prepare().expect("prepared");
            let prepared = now_ns();
            let timeout = wait.map(|wait| Timespec::try_from(wait).expect("a sane wait"));
            let mut fds = [PollFd::new(runtime, PollFlags::IN)];
            // An interrupted poll is taken for one that has ended.
            let _ = poll(&mut fds, timeout.as_ref());
            let woke = now_ns();
            runtime.turn(Some(Duration::ZERO)).expect("a turn");
            // With work at hand there is no sleep to prepare, and none is counted.
            if wait != Some(Duration::ZERO) {
                least += woke - prepared;
                most += now_ns() - began;
            }
        }
        let after = runtime.metrics();
        let parked = after.parked_ns - before.parked_ns;
        assert!(parked >= least && parked <= most, "{least} <= {parked} <= {most}");
        let uptime = after.uptime_ns - before.uptime_ns;
        assert!(uptime <= now_ns() - build && uptime >= parked + 5 * 2_000_000, "{uptime}, {parked}");
    });
}
