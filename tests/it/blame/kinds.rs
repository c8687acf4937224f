//! Everything that can hold the loop and is no task, on the virtual clock.

use std::future::{pending, poll_fn};
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use punctual::reactor::Event;
use punctual::{
    Blame, Culprit, CulpritKind, Leeway, Unbounded, VirtualClock, scope, sleep, spawn, spawn_named,
    yield_now,
};

use crate::support::{MS, virtual_reactor, virtual_runtime};

fn only(blame: &Blame) -> &Culprit {
    assert_eq!(blame.worst.len(), 1, "{blame:?}");
    &blame.worst[0]
}

/// Holds the loop where it is dropped.
struct SlowDrop(VirtualClock, Duration);

impl Drop for SlowDrop {
    fn drop(&mut self) {
        self.0.advance(self.1);
    }
}

/// Holds the loop where it is woken.
struct SlowWake(VirtualClock, Duration);

impl Wake for SlowWake {
    fn wake(self: Arc<Self>) {
        self.0.advance(self.1);
    }
}

#[test]
fn b03_a_call_of_another_thread_is_named_by_where_it_was_made() {
    let (runtime, clock) = virtual_runtime();
    let handle = runtime.handle();
    let line = Location::caller().line() + 3;
    runtime.block_on(async {
        let due = spawn(sleep(MS));
        handle.call(move || clock.advance(30 * MS)).expect("room");
        yield_now().await;
        due.await.expect("no panic");
    });
    let blame = runtime.blame();
    let culprit = only(&blame);
    assert_eq!((culprit.kind(), culprit.held()), (CulpritKind::Call, 30 * MS));
    assert_eq!(culprit.location().map(Location::line), Some(line), "{culprit}");
    assert!(culprit.to_string().starts_with("the call made at tests/it/blame/kinds.rs:"), "{culprit}");
    // It was late in the very turn of the call.
    assert_eq!((blame.stalls, blame.late_firings, culprit.late_firings()), (1, 1, 1));
}

#[test]
fn b03_a_task_of_another_thread_is_named_by_where_that_spawned_it() {
    let (runtime, clock) = virtual_runtime();
    let handle = runtime.handle();
    let line = Location::caller().line() + 1;
    let task = handle.spawn_named("remote", move || async move { clock.advance(30 * MS) });
    runtime.block_on(task.expect("room")).expect("no panic");
    let blame = runtime.blame();
    let culprit = only(&blame);
    assert_eq!((culprit.name(), culprit.held()), (Some("remote"), 30 * MS));
    assert_eq!(culprit.location().map(Location::line), Some(line), "{culprit}");
}

#[test]
fn b03_a_hook_of_a_scope_is_named_by_where_it_was_set() {
    let (runtime, clock) = virtual_runtime();
    let line = Location::caller().line() + 3;
    runtime.block_on(async {
        let ended = scope("work", Unbounded, async |scope| {
            scope.on_end(move |_| clock.advance(30 * MS));
            scope.cancel("enough");
            pending::<()>().await;
        });
        ended.await.expect_err("cancelled");
        yield_now().await;
    });
    let blame = runtime.blame();
    let culprit = only(&blame);
    assert_eq!((culprit.kind(), culprit.held()), (CulpritKind::Hook, 30 * MS));
    assert_eq!(culprit.location().map(Location::line), Some(line), "{culprit}");
}

#[test]
fn b03_the_drop_of_a_task_is_that_tasks_and_not_that_of_who_ended_it() {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(async {
        let ending = spawn_named("ends it", async move {
            let slow = SlowDrop(clock.clone(), 30 * MS);
            let mut work = Box::pin(scope("work", Unbounded, async |scope| {
                drop(scope.spawn_named("slow to go", async move {
                    let _slow = slow;
                    pending::<()>().await;
                }));
                pending::<()>().await;
            }));
            let begun = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_pending())).await;
            assert!(begun, "it waits for its task");
            yield_now().await;
            drop(work);
            clock.advance(2 * MS);
        });
        ending.await.expect("no panic");
    });
    let blame = runtime.blame();
    let culprit = only(&blame);
    assert_eq!((culprit.name(), culprit.held()), (Some("slow to go"), 30 * MS), "{culprit}");
    // Who ended it has taken the rest of its poll, and no more.
    assert_eq!((culprit.others(), culprit.others_held()), (1, 2 * MS), "{culprit}");
}

#[test]
fn b03_a_task_that_is_slow_to_go_when_it_is_done_or_aborted() {
    for abort in [false, true] {
        let (runtime, clock) = virtual_runtime();
        runtime.block_on(async {
            let slow = SlowDrop(clock.clone(), 30 * MS);
            let going = spawn_named("slow to go", async move {
                let _slow = slow;
                sleep(MS).await;
            });
            yield_now().await;
            if abort {
                going.abort();
            }
            assert_eq!(going.await.is_err(), abort);
            yield_now().await;
        });
        let blame = runtime.blame();
        let culprit = only(&blame);
        assert_eq!((culprit.name(), culprit.held()), (Some("slow to go"), 30 * MS), "{culprit}");
    }
}

#[test]
fn b03_a_waker_that_is_not_a_tasks() {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(async {
        let waker = Waker::from(Arc::new(SlowWake(clock, 30 * MS)));
        let mut slow = pin!(sleep(MS));
        assert!(slow.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        sleep(2 * MS).await;
        yield_now().await;
        // Taken from the slow one, which it must not wake again.
        poll_fn(|cx| slow.as_mut().poll(cx)).await;
    });
    let blame = runtime.blame();
    let culprit = only(&blame);
    assert_eq!((culprit.kind(), culprit.held(), blame.stalls), (CulpritKind::Waker, 30 * MS, 1));
    let told = culprit.to_string();
    assert!(told.starts_with("the waker of who waited for Timer("), "{told}");
}

#[test]
fn b03_nobody_drove_the_loop() {
    let (runtime, clock) = virtual_runtime();
    runtime.turn(Some(Duration::ZERO)).expect("a turn");
    drop(runtime.spawn(async { sleep(MS).await }));
    runtime.turn(Some(Duration::ZERO)).expect("a turn");
    clock.advance(100 * MS);
    runtime.turn(Some(Duration::ZERO)).expect("a turn");
    let blame = runtime.blame();
    let culprit = only(&blame);
    // No turn was long: it is no stall of the loop's.
    assert_eq!((blame.stalls, blame.late_firings), (0, 1));
    assert_eq!((culprit.kind(), culprit.held()), (CulpritKind::Outside, 100 * MS));
    assert_eq!(culprit.lateness(), 99 * MS);
    assert!(culprit.to_string().starts_with("whoever drives the loop, between two turns, held"));
}

#[test]
fn b03_the_time_between_two_block_ons_is_no_stall() {
    let (runtime, clock) = virtual_runtime();
    for _ in 0..3 {
        runtime.block_on(yield_now());
        clock.advance(Duration::from_secs(10));
    }
    let blame = runtime.blame();
    assert_eq!((blame.stalls, blame.late_firings, blame.worst.len()), (0, 0, 0), "{blame:?}");
}

#[test]
fn b03_a_panic_out_of_block_on_leaves_no_stall_behind() {
    let (runtime, clock) = virtual_runtime();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(poll_fn(|_| -> Poll<()> { panic!("as it was told to") }))
    }));
    assert!(panicked.is_err());
    clock.advance(Duration::from_secs(10));
    runtime.block_on(yield_now());
    assert_eq!(runtime.blame().stalls, 0);
    assert_eq!(runtime.tasks().len(), 0);
}

#[test]
fn b03_the_handler_of_a_bare_reactor_is_named_by_its_event() {
    let (mut reactor, clock) = virtual_reactor();
    let now = reactor.now();
    let [first, second] = [MS, 2 * MS].map(|after| reactor.insert_timer(now + after, Leeway::NONE));
    let mut fired = Vec::new();
    while fired.len() < 2 {
        reactor.turn(None).expect("a turn");
        while let Some(event) = reactor.next_event() {
            let Event::Timer { timer, firing } = event else { panic!("{event:?}") };
            if timer == first {
                clock.advance(30 * MS);
            }
            fired.push((timer, firing.in_loop));
        }
    }
    assert_eq!(fired, [(first, Duration::ZERO), (second, 29 * MS)]);
    let blame = reactor.blame();
    let culprit = only(&blame);
    assert_eq!((blame.stalls, blame.late_firings), (1, 1));
    assert_eq!((culprit.kind(), culprit.held()), (CulpritKind::Handler, 30 * MS));
    assert!(culprit.to_string().starts_with(&format!("the handler of {first:?} held")), "{culprit}");
}

#[test]
fn b03_a_bare_reactor_that_is_asked_once_a_frame_does_not_stall() {
    let (mut reactor, clock) = virtual_reactor();
    let timer = reactor.insert_timer(reactor.now() + 10 * MS, Leeway::NONE);
    for _ in 0..3 {
        reactor.turn(Some(Duration::ZERO)).expect("a turn");
        while reactor.next_event().is_some() {}
        clock.advance(40 * MS);
    }
    let blame = reactor.blame();
    assert_eq!((blame.stalls, blame.late_firings), (0, 1), "{timer:?} {blame:?}");
    assert_eq!(only(&blame).kind(), CulpritKind::Outside);
}
