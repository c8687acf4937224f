//! What ends first, who is told when, and what is left of an operation.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mio::net::UnixStream;

use super::*;
use crate::drift::Wait;
use crate::{
    Done, Interest, JoinHandle, Leeway, Limit, Readiness, Registration, Runtime, Scope, Unbounded,
    VirtualClock, scope, sleep_until,
};

const MS: Duration = Duration::from_millis(1);

type Wire = Rc<Registration<UnixStream>>;

/// A runtime on a clock that stands still, one end of a silent pair, and the other.
fn silent() -> (Runtime, VirtualClock, Wire, UnixStream) {
    let clock = VirtualClock::new();
    let runtime = Runtime::builder().clock(clock.clone()).build().expect("a runtime");
    let (near, far) = UnixStream::pair().expect("a pair");
    let near = runtime.block_on(async {
        Registration::new(near, Interest::READABLE, Readiness::NONE).expect("registered")
    });
    near.set_leeway(Leeway::NONE).expect("open");
    (runtime, clock, Rc::new(near), far)
}

async fn read(near: Wire) -> Result<usize, Failure> {
    near.operate(Direction::Read, |mut io| Ok(Done::bytes(io.read(&mut [0])?, 1))).await
}

fn run(runtime: &Runtime) {
    (0..5).for_each(|_| runtime.turn(Some(Duration::ZERO)).expect("a turn"));
}

/// What a task has ended with; it must have ended.
#[track_caller]
fn end_of<T>(runtime: &Runtime, task: JoinHandle<T>) -> T {
    assert!(task.is_finished(), "it still waits");
    runtime.block_on(task).expect("no panic")
}

fn waiting_sides(runtime: &Runtime) -> usize {
    runtime.driver().reactor.borrow().waiting_sides
}

/// What ends a read, and what its scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// The side's deadline, and then a task cancels the scope.
    DeadlineThenCancelOfScope,
    /// A message cancels the scope, and then comes the side's deadline.
    CancelOfScopeThenDeadline,
    /// A message cancels the source, and then comes the scope's deadline.
    CancelThenDeadlineOfScope,
    /// The scope's deadline, and then a task cancels the source.
    DeadlineOfScopeThenCancel,
}

use Ends::*;

/// What a read in a scope comes to that meets both ends in one turn, and for which there is a byte.
fn read_that_meets(ends: Ends) -> Result<usize, Failure> {
    let (runtime, clock, near, mut far) = silent();
    let deadline = clock.now() + MS;
    let limit = match ends {
        CancelThenDeadlineOfScope | DeadlineOfScopeThenCancel => Limit::By(deadline),
        DeadlineThenCancelOfScope | CancelOfScopeThenDeadline => {
            near.set_deadline(Direction::Read, Some(deadline)).expect("open");
            Limit::Unbounded
        }
    };
    let begun = Rc::new(RefCell::new(None));
    let (slot, reading) = (begun.clone(), near.clone());
    let task = runtime.spawn(async move {
        let body = async |scope: &Scope| {
            *slot.borrow_mut() = Some(scope.clone());
            read(reading).await
        };
        scope("both", limit, body).await.expect("the body has returned")
    });
    run(&runtime);
    let scope: Scope = begun.take().expect("it has begun");
    match ends {
        CancelOfScopeThenDeadline => scope.canceller().cancel("by a message").expect("room"),
        CancelThenDeadlineOfScope => {
            runtime.handle().cancel(near.token(), "by a message").expect("room");
        }
        DeadlineThenCancelOfScope | DeadlineOfScopeThenCancel => {
            // It is queued before the read, and runs after the deadline has fired.
            drop(runtime.spawn(async move {
                sleep_until(deadline - Duration::from_nanos(1)).await;
                if ends == DeadlineThenCancelOfScope {
                    scope.cancel("by a task");
                } else {
                    near.cancel("by a task");
                }
                assert_eq!(far.write(b"x").expect("sent"), 1);
            }));
            run(&runtime);
            clock.advance(2 * MS);
            run(&runtime);
            return end_of(&runtime, task);
        }
    }
    assert_eq!(far.write(b"x").expect("sent"), 1);
    clock.advance(2 * MS);
    run(&runtime);
    end_of(&runtime, task)
}

#[test]
fn a_read_is_tried_once_more_if_a_deadline_came_first_and_not_if_a_cancel_did() {
    for ends in [DeadlineThenCancelOfScope, DeadlineOfScopeThenCancel] {
        let result = read_that_meets(ends);
        assert!(matches!(result, Ok(1)), "{ends:?}: {result:?}");
    }
    for ends in [CancelOfScopeThenDeadline, CancelThenDeadlineOfScope] {
        let result = read_that_meets(ends);
        assert!(
            matches!(&result, Err(Failure::Cancelled(cause)) if cause.to_string().contains("by a message")),
            "{ends:?}: {result:?}"
        );
    }
}

#[test]
fn one_that_waits_alone_ends_at_its_own_time_or_at_an_earlier_deadline() {
    for (timeout, deadline) in [(10, None), (10, Some(20)), (20, Some(10)), (10, Some(10))] {
        let (runtime, clock, near, _far) = silent();
        let ends = clock.now() + 10 * MS;
        near.set_timeout(Direction::Read, Some(timeout * MS)).expect("open");
        near.set_deadline(Direction::Read, deadline.map(|after| clock.now() + after * MS))
            .expect("open");
        let task = runtime.spawn(read(near));
        run(&runtime);
        clock.set(ends - Duration::from_nanos(1));
        run(&runtime);
        assert!(!task.is_finished(), "early");
        clock.set(ends);
        run(&runtime);
        match end_of(&runtime, task) {
            Err(Failure::Elapsed(elapsed)) => assert_eq!(elapsed.deadline, ends, "{deadline:?}"),
            other => panic!("{deadline:?}: {other:?}"),
        }
    }
}

#[test]
fn of_several_that_wait_each_ends_at_its_own_time() {
    let (runtime, clock, near, _far) = silent();
    let began = clock.now();
    let mut tasks = Vec::new();
    for timeout in [20 * MS, 10 * MS, 50 * MS] {
        near.set_timeout(Direction::Read, Some(timeout)).expect("open");
        let reading = near.clone();
        let reads = async move { scope("several", Unbounded, async |_| read(reading).await).await };
        tasks.push((timeout, runtime.spawn(reads)));
        run(&runtime);
    }
    tasks.sort_by_key(|(timeout, _)| *timeout);
    for (timeout, task) in tasks {
        clock.set(began + timeout - Duration::from_nanos(1));
        run(&runtime);
        assert!(!task.is_finished(), "early: {timeout:?}");
        clock.set(began + timeout);
        run(&runtime);
        match end_of(&runtime, task).expect("the body has returned") {
            Err(Failure::Elapsed(elapsed)) => assert_eq!(elapsed.deadline, began + timeout),
            other => panic!("{timeout:?}: {other:?}"),
        }
    }
}

#[test]
fn one_that_began_without_a_deadline_began_in_its_turn() {
    let (runtime, clock, near, _far) = silent();
    let (began, reading) = (clock.now(), near.clone());
    let task =
        runtime.spawn(async move { scope("begun", Unbounded, async |_| read(reading).await).await });
    run(&runtime);
    clock.advance(5 * MS);
    run(&runtime);
    near.set_deadline(Direction::Read, Some(clock.now() + MS)).expect("open");
    clock.advance(MS);
    run(&runtime);
    match end_of(&runtime, task).expect("the body has returned") {
        Err(Failure::Elapsed(elapsed)) => assert_eq!(elapsed.began, began),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_that_was_told_of_its_time_and_not_asked_for_does_not_end_the_next() {
    let (runtime, clock, near, _far) = silent();
    near.set_timeout(Direction::Read, Some(30 * MS)).expect("open");
    let poll = |near: &Wire, cx: &mut Context<'_>| {
        near.poll_operate(cx, Direction::Read, |mut io| Ok(Done::bytes(io.read(&mut [0])?, 1)))
    };
    let nobody = &mut Context::from_waker(Waker::noop());
    assert!(poll(&near, nobody).is_pending());
    clock.advance(200 * MS);
    run(&runtime);
    let began = clock.now();
    assert!(poll(&near, nobody).is_pending(), "a new one has its own time");
    // Whoever polls it in the turn in which it is told is not too late.
    let reading = near.clone();
    let task = runtime.spawn(poll_fn(move |cx| poll(&reading, cx)));
    clock.advance(30 * MS - Duration::from_nanos(1));
    run(&runtime);
    assert!(!task.is_finished(), "early");
    clock.advance(Duration::from_nanos(1));
    run(&runtime);
    match end_of(&runtime, task) {
        Err(Failure::Elapsed(elapsed)) => assert_eq!(elapsed.deadline, began + 30 * MS),
        other => panic!("{other:?}"),
    }
    // One that was closed has its end, whenever it is asked for.
    assert!(poll(&near, nobody).is_pending());
    clock.advance(30 * MS);
    run(&runtime);
    near.close();
    assert!(matches!(poll(&near, nobody), Poll::Ready(Err(_))));
}

#[test]
fn sides_on_which_somebody_waits_are_counted_until_the_last_has_left() {
    let (runtime, _clock, near, mut far) = silent();
    let alone = runtime.spawn(read(near.clone()));
    run(&runtime);
    assert_eq!(waiting_sides(&runtime), 1);
    assert_eq!(far.write(b"x").expect("sent"), 1);
    run(&runtime);
    assert!(matches!(end_of(&runtime, alone), Ok(1)));
    assert_eq!(waiting_sides(&runtime), 0);

    let together: Vec<_> = (0..2)
        .map(|_| {
            let reading = near.clone();
            runtime.spawn(async move { scope("two", Unbounded, async |_| read(reading).await).await })
        })
        .collect();
    for left in [1, 0] {
        run(&runtime);
        assert_eq!(waiting_sides(&runtime), 1, "one side, whoever waits there");
        assert_eq!(far.write(b"x").expect("sent"), 1);
        run(&runtime);
        assert_eq!((together.iter().filter(|task| !task.is_finished()).count(), left), (left, left));
    }
    assert_eq!(waiting_sides(&runtime), 0);
}

#[test]
fn what_held_the_loop_up_before_an_operation_includes_the_turn_it_began_in() {
    let mut reactor = Reactor::new().expect("a reactor");
    reactor.wait = Wait { held_up_ns: 50, woke_ns: 100, ..Wait::default() };
    assert_eq!([90, 100, 107].map(|begun_at_ns| reactor.held_up_before(begun_at_ns)), [50, 50, 57]);
}
