//! Many threads at once, and the moments in which a wake could be lost.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use mio::net::UnixStream;
use punctual::reactor::{Event, Interest, Reactor};
use punctual::{Handle, Leeway, Runtime, SendError, sleep};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::support::{self, MS, child, drain, now_ns, wire};

const THREADS: u32 = 8;

/// Ends a flood, also when the test that it plagues has failed.
struct EndOfFlood<'a>(&'a AtomicBool);

impl Drop for EndOfFlood<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends until there is room.
fn send_patiently<T: Send + 'static>(handle: &Handle, message: T) {
    let mut message = message;
    loop {
        match handle.send(message) {
            Ok(()) => return,
            Err(SendError::Full(back)) => message = back,
            Err(other) => panic!("{other:?}"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn w01_w04_a_storm_of_messages_arrives_whole_and_in_the_order_of_each_sender() {
    const EACH: u32 = 10_000;
    let _watchdog = support::watchdog("w01", Duration::from_secs(5));
    support::for_each_reactor(|mut reactor| {
        let handle = reactor.handle();
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let handle = handle.clone();
                scope.spawn(move || (0..EACH).for_each(|n| send_patiently(&handle, (thread, n))));
            }
            let mut next = [0; THREADS as usize];
            while next.iter().sum::<u32>() < THREADS * EACH {
                reactor.turn(None).expect("a turn");
                while let Some(event) = reactor.next_event() {
                    let Event::Message(message) = event else { panic!("{event:?}") };
                    let (thread, n) = *message.downcast::<(u32, u32)>().expect("what was sent");
                    assert_eq!(n, next[thread as usize], "of thread {thread}: each once, in order");
                    next[thread as usize] += 1;
                }
            }
        });
        let metrics = reactor.metrics();
        assert_eq!(metrics.messages, u64::from(THREADS * EACH));
        let sleeps = metrics.polls - metrics.zero_polls;
        assert!(metrics.remote_signals <= sleeps + 1, "at most one signal a sleep: {metrics:?}");
        assert!(3 * metrics.remote_signals < metrics.messages, "far fewer signals: {metrics:?}");
    });
}

#[test]
fn w01_the_last_of_a_storm_of_wakes_is_always_seen() {
    const EACH: u32 = 2_000;
    let _watchdog = support::watchdog("w01 rounds", Duration::from_secs(5));
    support::for_each_reactor(|mut reactor| {
        for round in 0..20u32 {
            let handle = reactor.handle();
            let storm = std::thread::spawn(move || {
                std::thread::scope(|scope| {
                    for _ in 0..THREADS {
                        scope.spawn(|| (0..EACH).for_each(|_| handle.wake()));
                    }
                });
                handle.send(round).expect("room for one");
            });
            // It sleeps for ever if the last one is lost.
            while !matches!(drain(&mut reactor)[..], [Event::Message(_)]) {
                reactor.turn(None).expect("a turn");
            }
            storm.join().expect("no panic");
        }
        let metrics = reactor.metrics();
        let wakes = u64::from(20 * THREADS * EACH);
        assert!(metrics.remote_signals <= metrics.polls - metrics.zero_polls + 1, "{metrics:?}");
        assert!(10 * metrics.remote_signals < wakes, "{wakes} wakes: {metrics:?}");
    });
}

#[test]
fn w01_tasks_woken_from_eight_threads_miss_nothing() {
    const ROUNDS: u32 = 300;
    let _watchdog = support::watchdog("w01 tasks", Duration::from_secs(4));
    support::for_each_alarm(|runtime| {
        let tasks: Vec<_> = (0..THREADS)
            .map(|_| {
                let slot = Arc::new((AtomicU32::new(0), Mutex::new(None::<Waker>)));
                let seen = Arc::new(AtomicU32::new(0));
                let (of_thread, seen_by_thread) = (slot.clone(), seen.clone());
                // Each round waits for the task to have seen the one before, so a lost wake is a hang.
                let thread = std::thread::spawn(move || {
                    for round in 1..=ROUNDS {
                        of_thread.0.store(round, Ordering::Release);
                        let waker = of_thread.1.lock().expect("no panic").clone();
                        waker.into_iter().for_each(Waker::wake);
                        while seen_by_thread.load(Ordering::Acquire) < round {
                            std::thread::yield_now();
                        }
                    }
                });
                let task = runtime.spawn(poll_fn(move |cx| {
                    *slot.1.lock().expect("no panic") = Some(cx.waker().clone());
                    let round = slot.0.load(Ordering::Acquire);
                    seen.store(round, Ordering::Release);
                    if round == ROUNDS { Poll::Ready(()) } else { Poll::Pending }
                }));
                (task, thread)
            })
            .collect();
        runtime.block_on(async {
            for (task, thread) in tasks {
                task.await.expect("it sees all rounds");
                thread.join().expect("no panic");
            }
        });
    });
}

/// Waits in an outer poll for as long as it takes.
fn outer_poll(reactor: &impl AsFd) {
    let mut fds = [PollFd::new(reactor, PollFlags::IN)];
    poll(&mut fds, None).expect("no signal comes");
}

#[test]
fn w03_a_wake_before_or_after_parking_ends_the_sleep() {
    let _watchdog = support::watchdog("w03", Duration::from_secs(1));
    support::for_each_reactor(|mut reactor| {
        reactor.insert_timer(reactor.now() + Duration::from_secs(1_000), Leeway::NONE);
        let handle = reactor.handle();
        let from_elsewhere = |act: fn(&Handle)| {
            let handle = handle.clone();
            std::thread::spawn(move || act(&handle)).join().expect("no panic");
        };
        let park = |reactor: &mut Reactor| {
            let wait = reactor.prepare().expect("prepared");
            assert!(wait.is_none_or(|wait| wait > MS), "nothing is left to do: {wait:?}");
        };
        for _ in 0..20 {
            // Parked, not yet polling.
            park(&mut reactor);
            from_elsewhere(|handle| handle.send(1).expect("room"));
            outer_poll(&reactor);
            reactor.turn(Some(Duration::ZERO)).expect("a turn");
            assert_eq!(drain(&mut reactor).len(), 1);
            // The same, and the loop then sleeps by itself.
            park(&mut reactor);
            from_elsewhere(|handle| handle.send(2).expect("room"));
            reactor.turn(None).expect("a turn");
            assert_eq!(drain(&mut reactor).len(), 1);
            // Before parking.
            from_elsewhere(|handle| handle.send(3).expect("room"));
            assert_eq!(reactor.prepare().expect("prepared"), Some(Duration::ZERO));
            reactor.turn(None).expect("a turn");
            assert_eq!(drain(&mut reactor).len(), 1);
            // A bare wake, in both places.
            from_elsewhere(Handle::wake);
            reactor.turn(None).expect("a turn");
            assert!(drain(&mut reactor).is_empty());
            park(&mut reactor);
            from_elsewhere(Handle::wake);
            outer_poll(&reactor);
            reactor.turn(Some(Duration::ZERO)).expect("a turn");
            assert!(drain(&mut reactor).is_empty());
        }
    });
}

#[test]
fn w03_a_nearer_deadline_sent_after_parking_is_armed() {
    let _watchdog = support::watchdog("w03 deadline", Duration::from_secs(1));
    support::for_each_reactor(|mut reactor| {
        reactor.insert_timer(reactor.now() + Duration::from_secs(1_000), Leeway::NONE);
        let (mut near, _far) = UnixStream::pair().expect("a pair");
        let token = reactor.register(&mut near, Interest::READABLE).expect("registered");
        for _ in 0..20 {
            reactor.prepare().expect("prepared");
            let handle = reactor.handle();
            let deadline = std::thread::spawn(move || {
                let deadline = punctual::Instant::now() + 2 * MS;
                handle
                    .set_deadline(token, punctual::reactor::Direction::Read, Some(deadline))
                    .expect("room");
                deadline
            });
            let firing = loop {
                reactor.turn(None).expect("a turn");
                match drain(&mut reactor)[..] {
                    [] => {}
                    [Event::Deadline { token: whose, firing, .. }] if whose == token => break firing,
                    ref other => panic!("{other:?}"),
                }
            };
            assert_eq!(firing.deadline, deadline.join().expect("no panic"));
            assert!(now_ns() >= firing.deadline.as_nanos(), "never early");
        }
    });
}

#[test]
fn w05_a_full_inbox_says_so_and_hands_the_message_back() {
    let mut reactor = Reactor::builder().inbox_capacity(3).build_reactor().expect("a reactor");
    let handle = reactor.handle();
    (0..3).for_each(|n| handle.send(n).expect("room"));
    let refused = handle.send(3).expect_err("no room");
    assert!(matches!(refused, SendError::Full(3)) && refused.into_inner() == 3);
    for refused in [
        handle.call(|| unreachable!("it was refused")),
        handle.shutdown(),
        handle.spawn(|| async {}).map(drop),
    ] {
        let error = refused.expect_err("no room");
        assert_eq!(error, SendError::Full(()));
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::QuotaExceeded);
    }
    reactor.turn(None).expect("a turn");
    let numbers: Vec<i32> = drain(&mut reactor)
        .into_iter()
        .map(|event| match event {
            Event::Message(message) => *message.downcast().expect("what was sent"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(numbers, [0, 1, 2]);
    handle.send(4).expect("room again");
}

#[test]
fn w05_a_flood_of_messages_starves_neither_io_nor_timers() {
    let _watchdog = support::watchdog("w05", Duration::from_secs(3));
    support::for_each_reactor(|mut reactor| {
        let over = AtomicBool::new(false);
        let handle = reactor.handle();
        std::thread::scope(|scope| {
            let _end = EndOfFlood(&over);
            for _ in 0..3 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let _ = handle.send(());
                    }
                });
            }
            let (mut near, mut far) = UnixStream::pair().expect("a pair");
            reactor.register(&mut near, Interest::READABLE).expect("registered");
            let mut arm = |reactor: &mut Reactor| {
                far.write_all(b"x").expect("room");
                reactor.insert_timer(reactor.now(), Leeway::NONE);
            };
            arm(&mut reactor);
            let (mut served, mut flooded) = (0, 0);
            while served < 300 || flooded < 100 {
                reactor.turn(None).expect("a turn");
                let events = drain(&mut reactor);
                let count = |kind: fn(&Event) -> bool| events.iter().filter(|event| kind(event)).count();
                near.read_exact(&mut [0]).expect("what was written");
                let messages = count(|event| matches!(event, Event::Message(_)));
                assert!(messages <= 256, "{messages} in one turn");
                assert_eq!(count(|event| matches!(event, Event::Ready { .. })), 1, "in every turn");
                assert_eq!(count(|event| matches!(event, Event::Timer { .. })), 1, "in every turn");
                arm(&mut reactor);
                served += 1;
                flooded += u32::from(messages > 0);
            }
        });
    });
}

#[test]
fn w05_tasks_that_are_behind_starve_no_cancel_and_no_call() {
    let _watchdog = support::watchdog("w05 behind", Duration::from_secs(3));
    support::for_each_alarm(|runtime| {
        let (handle, called) = (runtime.handle(), Arc::new(AtomicBool::new(false)));
        runtime.block_on(async {
            let (stream, _silent) = punctual::net::duplex(64);
            let token = stream.token();
            let waits = punctual::spawn(async move { stream.read(&mut [0; 8]).await });
            // More than a turn polls, and all of them can always run.
            let busy = |_| {
                let called = called.clone();
                punctual::spawn(poll_fn(move |cx| {
                    cx.waker().wake_by_ref();
                    if called.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
                }))
            };
            let busy: Vec<_> = (0..1_000).map(busy).collect();
            punctual::yield_now().await;
            let elsewhere = std::thread::spawn({
                let called = called.clone();
                move || {
                    handle.cancel(token, "enough").expect("room");
                    handle.call(move || called.store(true, Ordering::Relaxed)).expect("room");
                }
            });
            let ended = waits.await.expect("no panic").expect_err("cancelled");
            assert!(ended.cause().is_some_and(|cause| cause.to_string() == "enough"), "{ended}");
            for task in busy {
                task.await.expect("no panic");
            }
            elsewhere.join().expect("no panic");
        });
    });
}

#[test]
fn w05_a_flood_of_calls_starves_no_task() {
    let _watchdog = support::watchdog("w05 calls", Duration::from_secs(3));
    support::for_each_alarm(|runtime| {
        let over = AtomicBool::new(false);
        let handle = runtime.handle();
        std::thread::scope(|scope| {
            let _end = EndOfFlood(&over);
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let _ = handle.call(|| {});
                }
            });
            runtime.block_on(async {
                let (near, far) = wire::pair();
                let echo = wire::spawn_echo(far);
                for round in 0..100 {
                    near.round_trip(round).await.expect("an echo");
                    support::never_early_sleep(MS / 2).await;
                }
                drop(echo);
            });
        });
    });
}

#[test]
fn w05_slow_calls_hold_up_a_timer_for_a_few_of_them_only() {
    let _watchdog = support::watchdog("w05 slow calls", Duration::from_secs(2));
    support::for_each_alarm(|runtime| {
        let made = Arc::new(AtomicU32::new(0));
        let handle = runtime.handle();
        runtime.block_on(async {
            let mut timer = sleep(MS);
            assert!(support::poll_once(&mut timer).is_pending(), "armed before all of them");
            for n in 0..256 {
                let made = made.clone();
                let call = move || {
                    assert_eq!(made.fetch_add(1, Ordering::Relaxed), n, "in the order they were sent");
                    std::thread::sleep(MS);
                };
                handle.call(call).expect("room");
            }
            timer.await;
            let by_then = made.load(Ordering::Relaxed);
            assert!(by_then < 16, "a sleep of 1 ms waited for {by_then} calls of 1 ms");
            while made.load(Ordering::Relaxed) < 256 {
                support::never_early_sleep(MS).await;
            }
        });
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
        assert_eq!(made.load(Ordering::Relaxed), 256, "none is lost, none made twice");
    });
}

/// Our own descriptor `number`, once more.
fn duplicate(number: i32) -> std::io::Result<std::os::fd::OwnedFd> {
    let this: Pid = getpid();
    let process = pidfd_open(this, PidfdFlags::empty())?;
    Ok(pidfd_getfd(&process, number, PidfdGetfdFlags::empty())?)
}

#[test]
fn w06_a_saturated_counter_loses_no_wake_and_blocks_nobody() {
    if !child::plays("saturated") {
        let test = "wakers::storm::w06_a_saturated_counter_loses_no_wake_and_blocks_nobody";
        return child::succeed(child::command(test, "saturated"));
    }
    let _watchdog = support::watchdog("w06", Duration::from_secs(1));
    let runtime = Runtime::new().expect("a runtime");
    let counters = std::fs::read_dir("/proc/self/fd").expect("procfs").filter_map(|entry| {
        let entry = entry.ok()?;
        let target = std::fs::read_link(entry.path()).ok()?;
        let number = entry.file_name().to_str()?.parse::<i32>().ok()?;
        target.to_str()?.contains("eventfd").then_some(number)
    });
    let counters: Vec<_> = counters.filter(|number| *number != runtime.as_raw_fd()).collect();
    assert!(!counters.is_empty(), "the loop's eventfd is among the descriptors");
    for number in counters {
        let counter = match duplicate(number) {
            Ok(counter) => counter,
            Err(error) => return support::skip(&format!("pidfd_getfd(2): {error}; Linux 5.6 has it")),
        };
        rustix::io::write(&counter, &(u64::MAX - 1).to_ne_bytes()).expect("it was empty");
    }
    for _ in 0..20 {
        let handle = runtime.handle();
        let remote = std::thread::spawn(move || handle.spawn(|| async { 1 }).expect("room").join());
        runtime.block_on(async {
            while !remote.is_finished() {
                sleep(MS).await;
            }
        });
        assert!(matches!(remote.join(), Ok(Ok(1))));
    }
    // And with nothing else to wake it.
    let handle = runtime.handle();
    let remote = runtime.block_on(poll_fn(move |cx| {
        let waker = cx.waker().clone();
        let done = Arc::new(AtomicBool::new(false));
        let (told, handle) = (done.clone(), handle.clone());
        std::thread::spawn(move || {
            told.store(true, Ordering::Release);
            waker.wake();
            handle.wake();
        })
        .join()
        .expect("no panic");
        Poll::Ready(done.load(Ordering::Acquire))
    }));
    assert!(remote);
}
