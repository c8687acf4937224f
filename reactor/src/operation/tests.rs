//! What is known of an operation, and what it makes of a bound.

use super::*;
use crate::{Leeway, VirtualClock};

const S: u64 = 1_000_000_000;

fn side(deadline_ns: u64, timeout_ns: u64) -> Side {
    let side = Side::new(Leeway::NONE);
    side.deadline.set(deadline_ns);
    side.timeout.set(timeout_ns);
    side
}

/// A reading operation that began at `ns`.
fn begun_at(ns: u64) -> Operation {
    Operation { begun: true, begun_at_ns: ns, ..Operation::new(Direction::Read) }
}

#[test]
fn fewer_than_asked_but_not_none_means_that_there_is_no_more() {
    for (bytes, drained) in [(0, false), (1, true), (3, true), (4, false)] {
        let (step, all) = (Done::<()>::step(bytes, 4), Done::bytes(bytes, 4));
        assert_eq!((step.bytes, step.drained, step.into_value()), (bytes, drained, None));
        assert_eq!((all.bytes, all.drained, all.into_value()), (bytes, drained, Some(bytes)));
    }
    let last = Done::step(3, 4).ends_with("all");
    assert_eq!((last.bytes, last.drained, last.into_value()), (3, true, Some("all")));
}

#[test]
fn of_one_that_waits_alone_no_more_is_known() {
    for direction in Direction::BOTH {
        let operation = Operation::waiting_alone(direction);
        let Operation { begun, waiting, blocked, alone, minds, .. } = operation;
        assert!(begun && waiting && blocked && alone);
        assert!(operation.direction == direction && minds == Unusual::when_waiting(direction));
    }
}

#[test]
fn it_may_begin_until_its_deadline_but_not_at_it() {
    let clock = VirtualClock::new();
    let mut reactor = Reactor::builder().clock(clock.clone()).build_reactor().expect("a reactor");
    let now_ns = clock.now().as_nanos();
    let mut may = |deadline_ns, timeout_ns| {
        Operation::new(Direction::Read).begin(&side(deadline_ns, timeout_ns), &mut reactor)
    };
    assert!(may(NEVER, NEVER) && may(now_ns + 1, NEVER) && may(NEVER, 1) && may(now_ns + 9, 1));
    assert!(!may(now_ns, NEVER) && !may(now_ns - 1, NEVER) && !may(NEVER, 0) && !may(now_ns + 1, 0));
}

#[test]
fn its_time_begins_where_it_began_or_else_where_it_waits() {
    let clock = VirtualClock::new();
    let now_ns = clock.now().as_nanos();
    let clock = Clock::from(clock);
    let times =
        |operation: &Operation, timeout_ns| operation.times_of_wait(&side(NEVER, timeout_ns), &clock);
    let new = Operation::new(Direction::Read);
    assert_eq!(times(&new, NEVER), (0, NEVER), "without a timeout no clock is read");
    assert_eq!(times(&new, S), (now_ns, now_ns + S));
    assert_eq!(times(&begun_at(now_ns - 7), S), (now_ns - 7, now_ns - 7 + S));
    assert_eq!(times(&Operation { waiting: true, ..begun_at(7) }, S), (0, NEVER), "known elsewhere");

    let side = side(NEVER, S);
    let (unknown, begun) = (new.times(&side), begun_at(7).times(&side));
    assert_eq!((unknown.begun_at_ns, unknown.own_ns), (0, NEVER));
    assert_eq!((begun.begun_at_ns, begun.own_ns), (7, 7 + S));
}

#[test]
fn it_says_which_bound_ended_it_and_for_how_long_the_loop_was_held_up() {
    // At the same time it is the deadline, which is the side's.
    for (deadline_ns, of_side) in [(7 + S - 1, true), (7 + S, true), (7 + S + 1, false)] {
        let elapsed = begun_at(7).elapsed(&side(deadline_ns, S), 9 * S);
        assert_eq!(matches!(elapsed.bound, Bound::Deadline(_)), of_side, "{deadline_ns}");
        assert_eq!(elapsed.deadline.as_nanos(), deadline_ns.min(7 + S));
        let timeout = Bound::Timeout(Duration::from_secs(1), None);
        assert!(of_side || elapsed.bound == timeout, "{elapsed:?}");
    }
    let wait = Wait { held_up_ns: 50, ..Wait::default() };
    let times = Times { held_up_before_ns: 20, ..Times::UNKNOWN };
    let mut operation = begun_at(7);
    assert_eq!(operation.held_up(&times, &wait), 0, "it has not waited");
    operation.waiting = true;
    assert_eq!(operation.held_up(&times, &wait), 30);
}
