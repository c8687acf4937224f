//! What has happened: polls, cancels, commands, firings, each against the test's own count.

use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use mio::net::UnixStream;
use punctual::net::UnixStream as Stream;
use punctual::reactor::{Direction, Event, Interest};
use punctual::{Leeway, Runtime, SendError, Unbounded, scope, sleep, spawn, yield_now};

use crate::support::{MS, drain, now_ns, virtual_reactor, virtual_runtime};

/// A future that counts how often it is polled.
struct Counted<F> {
    inner: Pin<Box<F>>,
    polls: Rc<Cell<u64>>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.set(self.polls.get() + 1);
        self.inner.as_mut().poll(cx)
    }
}

#[test]
fn m03_tasks_and_their_polls_are_those_that_the_futures_count() {
    let runtime = Runtime::new().expect("a runtime");
    let polls = Rc::new(Cell::new(0));
    let counted = |inner| Counted { inner: Box::pin(inner), polls: polls.clone() };
    let yields = |times: u32| async move {
        for _ in 0..times {
            yield_now().await;
        }
    };
    runtime.block_on(Counted {
        inner: Box::pin(async {
            let tasks: Vec<_> = (0..7).map(|times| spawn(counted(yields(times)))).collect();
            for task in &tasks {
                while !task.is_finished() {
                    yield_now().await;
                }
            }
            tasks[0].abort();
            let idle = Rc::new(Cell::new(0));
            let idle = Counted { inner: Box::pin(pending::<()>()), polls: idle };
            let idle = spawn(idle);
            // Never polled: it is aborted before its turn, twice.
            idle.abort();
            idle.abort();
            idle.await.expect_err("aborted");
        }),
        polls: polls.clone(),
    });
    let metrics = runtime.metrics();
    assert_eq!(metrics.task_polls, polls.get());
    assert_eq!((metrics.tasks_spawned, metrics.aborted_tasks, metrics.live_tasks), (8, 1, 0));
}

#[test]
fn m04_cancels_are_counted_once_where_they_end_something() {
    let (runtime, clock) = virtual_runtime();
    let handle = runtime.handle();
    runtime.block_on(async {
        let pairs: Vec<_> = (0..3).map(|_| Stream::pair().expect("a pair")).collect();
        pairs[0].0.cancel("from here");
        pairs[0].0.cancel("again: the first cause stays");
        handle.cancel(pairs[1].0.token(), "from there").expect("room");
        handle.cancel(pairs[1].0.token(), "again").expect("room");
        let ended = pairs[2].0.token();
        drop(pairs);
        handle.cancel(ended, "too late").expect("room");
        yield_now().await;
        yield_now().await;

        let cancelled = scope("outer", Unbounded, async |outer| {
            let cancel = outer.canceller();
            scope("inner", Unbounded, async |_| {
                cancel.cancel("once").expect("room");
                cancel.cancel("twice").expect("room");
                sleep(MS).await;
            })
            .await
        });
        drop(cancelled.await);
        let elapsed = scope("outer", 2 * MS, async |_| {
            scope("inner", Unbounded, async |_| sleep(3 * MS).await).await
        });
        drop(elapsed.await);
    });
    drop(clock);
    let metrics = runtime.metrics();
    // The cancels of the pair that was dropped: one by the handle, and those of the second, which was dropped too.
    assert_eq!((metrics.cancelled_sources, metrics.stale_events), (1, 3));
    assert_eq!((metrics.cancelled_scopes, metrics.elapsed_scopes), (1, 1));
    assert_eq!(metrics.aborted_tasks, 0);
}

#[test]
fn m05_a_cancel_from_afar_that_meets_its_source_is_counted_as_one_from_here() {
    let runtime = Runtime::new().expect("a runtime");
    let handle = runtime.handle();
    runtime.block_on(async {
        let (near, _far) = Stream::pair().expect("a pair");
        handle.cancel(near.token(), "from there").expect("room");
        handle.cancel(near.token(), "again").expect("room");
        near.read(&mut [0; 1]).await.expect_err("cancelled");
        yield_now().await;
    });
    let metrics = runtime.metrics();
    assert_eq!((metrics.cancelled_sources, metrics.stale_events, metrics.messages), (1, 0, 2));
}

#[test]
fn m06_the_inbox_is_as_deep_as_what_was_sent_and_refuses_the_rest() {
    let runtime = Runtime::builder().inbox_capacity(5).build().expect("a runtime");
    let handle = runtime.handle();
    let sent: Vec<_> = (0..8).map(|_| handle.call(|| {})).collect();
    let refused = sent.iter().filter(|sent| matches!(sent, Err(SendError::Full(())))).count();
    assert_eq!(refused, 3);
    let inbox = || {
        let m = runtime.metrics();
        [m.inbox_depth as u64, m.inbox_depth_max as u64, m.messages, m.messages_refused]
    };
    assert_eq!(inbox(), [5, 5, 0, 3]);
    assert_eq!(runtime.metrics().inbox_capacity, 5);
    runtime.block_on(yield_now());
    assert_eq!(inbox(), [0, 5, 5, 3]);
    handle.call(|| {}).expect("room");
    assert_eq!(inbox(), [1, 5, 5, 3]);

    // From threads that compete with the loop.
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let handle = handle.clone();
            std::thread::spawn(move || {
                let sent: Vec<_> = (0..500).map(|_| handle.call(|| {})).collect();
                sent.iter().filter(|sent| sent.is_err()).count() as u64
            })
        })
        .collect();
    while threads.iter().any(|thread| !thread.is_finished()) {
        runtime.block_on(yield_now());
    }
    let refused: u64 = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
    while runtime.metrics().inbox_depth > 0 {
        runtime.block_on(yield_now());
    }
    assert_eq!(inbox(), [0, 5, 5 + 1 + 1_500 - refused, 3 + refused]);
}

#[test]
fn m07_firings_of_one_turn_are_coalesced_but_for_the_first() {
    let (mut reactor, clock) = virtual_reactor();
    let start = clock.now();
    for n in [1; 10].into_iter().chain(2..7) {
        reactor.insert_timer(start + n * MS, Leeway::NONE);
    }
    let mut fired = Vec::new();
    for _ in 0..6 {
        clock.advance(MS);
        reactor.turn(Some(Duration::ZERO)).expect("a turn");
        fired.push(drain(&mut reactor).len() as u64);
    }
    assert_eq!(fired, [10, 1, 1, 1, 1, 1]);
    let metrics = reactor.metrics();
    let coalesced = fired.iter().map(|fired| fired - 1).sum::<u64>();
    assert_eq!((metrics.fired, metrics.coalesced, metrics.early), (15, coalesced, 0));
    assert_eq!((metrics.turns, metrics.drift.early), (6, 0));
}

#[test]
fn m08_wheel_entries_are_filed_when_a_deadline_comes_nearer_and_filed_again_when_it_has_moved() {
    let (mut reactor, clock) = virtual_reactor();
    let (mut near, _far) = UnixStream::pair().expect("a pair");
    let token = reactor.register(&mut near, Interest::READABLE).expect("registered");
    let start = clock.now();
    let mut set = |at| reactor.set_deadline(token, Direction::Read, Some(at)).expect("it lives");
    set(start + 50 * MS);
    set(start + 20 * MS);
    (21..40).for_each(|n| set(start + n * MS));
    assert_eq!((reactor.metrics().filed, reactor.metrics().refiled), (2, 0));
    clock.advance(20 * MS);
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert_eq!(drain(&mut reactor).len(), 0, "it was extended");
    assert_eq!((reactor.metrics().filed, reactor.metrics().refiled), (2, 1));
    assert_eq!(reactor.metrics().fired, 0);
}

#[test]
fn m09_events_turns_and_what_is_stale_are_those_that_are_given_out_and_those_that_are_not() {
    let (mut reactor, _clock) = virtual_reactor();
    let mut pairs: Vec<_> = (0..6).map(|_| UnixStream::pair().expect("a pair")).collect();
    let tokens: Vec<_> = pairs
        .iter_mut()
        .map(|(near, _)| reactor.register(near, Interest::WRITABLE).expect("registered"))
        .collect();
    let (mut turns, mut ready) = (0, 0);
    while ready == 0 {
        reactor.turn(Some(Duration::ZERO)).expect("a turn");
        turns += 1;
        while let Some(event) = reactor.next_event() {
            assert!(matches!(event, Event::Ready { .. }));
            ready += 1;
            if ready == 2 {
                // Of these the events are taken from the kernel, and not given out.
                for at in 2..5 {
                    reactor.deregister(&mut pairs[at].0, tokens[at]).expect("it lives");
                }
            }
        }
    }
    let metrics = reactor.metrics();
    assert_eq!((metrics.turns, metrics.events, metrics.stale_events), (turns, ready, 3));
    assert_eq!((ready, metrics.live_sources), (3, 3));
}

#[test]
fn m10_a_sleep_that_ends_with_nothing_is_spurious() {
    let mut reactor = punctual::reactor::Reactor::new().expect("a reactor");
    let (mut surely, mut perhaps) = (0, 0);
    for _ in 0..5 {
        let timer = reactor.insert_timer(reactor.now() + 2 * MS, Leeway::NONE);
        let handle = reactor.handle();
        let waking = std::thread::spawn(move || handle.wake());
        reactor.turn(Some(MS)).expect("a turn");
        waking.join().expect("no panic");
        reactor.cancel_timer(timer);
        let limit_ns = now_ns() + 50_000_000;
        while now_ns() < limit_ns {
            let wakes_before = reactor.metrics().spurious_wakes;
            let left = Duration::from_nanos(limit_ns.saturating_sub(now_ns()));
            reactor.turn(Some(left)).expect("a turn");
            let nothing = drain(&mut reactor).is_empty();
            let before_its_end = now_ns() < limit_ns;
            surely += u64::from(nothing && before_its_end);
            perhaps += u64::from(nothing);
            assert!(reactor.metrics().spurious_wakes <= wakes_before + 1);
        }
    }
    let counted = reactor.metrics().spurious_wakes;
    assert!(counted <= perhaps, "{counted} of at most {perhaps}");
    // A wake from the other thread that comes only now is no reason to wait for, and not spurious.
    assert!(counted + 5 >= surely, "{counted} of at least {surely} less five wakes");
}
