//! What happens during a drain.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use punctual_timer_wheel::{Budget, Expired, Wheel};

use crate::twin::{Pair, TICK};

/// A callback that arms a timer for now, every time: each drain fires it once.
#[test]
fn endless_rearming_ends() {
    let mut wheel = Wheel::new(1_000);
    wheel.insert(1_000, ());
    for _ in 0..100 {
        let progress = wheel.expire(1_000, Budget::UNLIMITED, |wheel, expired| {
            wheel.insert(expired.deadline, ());
            wheel.insert(0, ());
        });
        assert_eq!(progress.fired, wheel.len() / 2);
        assert!(progress.complete);
        assert!(wheel.next_deadline().unwrap() <= 1_000, "a caller must not sleep");
        if wheel.len() > 1_000 {
            return;
        }
    }
    panic!("the population doubles each time");
}

/// What an earlier advance has found counts too.
#[test]
fn a_drain_hands_out_no_more_than_it_was_told_to() {
    let mut wheel = Wheel::new(0);
    (0..5).for_each(|n| {
        wheel.insert(n, n);
    });
    assert_eq!(wheel.advance(10, Budget::UNLIMITED).fired, 5);
    let mut fired = Vec::new();
    for (expected, left) in [(2, 3), (2, 1), (1, 0)] {
        let budget = Budget { fires: 2, moves: 0 };
        let progress = wheel.expire(10, budget, |_, expired| fired.push(expired.value));
        assert_eq!((progress.fired, progress.complete, wheel.len()), (expected, left == 0, left));
    }
    assert_eq!(fired, [0, 1, 2, 3, 4]);
}

/// Armed in the drain for the slot that is being drained.
#[test]
fn insertion_into_the_slot_being_drained() {
    let mut wheel = Wheel::new(0);
    wheel.insert(5 * TICK, 0);
    let mut fired = Vec::new();
    wheel.expire(5 * TICK + 100, Budget::default(), |wheel, expired| {
        fired.push(expired.value);
        wheel.insert(5 * TICK + 50, 1);
        wheel.insert(5 * TICK + 200, 2);
    });
    assert_eq!(fired, [0]);
    assert_eq!(wheel.next_deadline(), Some(5 * TICK + 50));
    wheel.expire(5 * TICK + 199, Budget::default(), |_, expired| fired.push(expired.value));
    wheel.expire(5 * TICK + 200, Budget::default(), |_, expired| fired.push(expired.value));
    assert_eq!(fired, [0, 1, 2]);
}

/// A due timer that is reset to the past waits for the next advance; to the future, for its time.
#[test]
fn reset_of_a_due_timer() {
    let mut pair = Pair::new(0);
    let keys: Vec<_> = (0..3).map(|i| pair.insert(10 + i)).collect();
    pair.advance(20, Budget::UNLIMITED);
    pair.reset(keys[0], 0);
    pair.reset(keys[1], 30);
    assert_eq!(pair.pop().map(|expired| expired.value), Some(2));
    assert_eq!(pair.pop(), None);
    assert_eq!(pair.next_deadline(), Some(0));
    assert_eq!(pair.drain(20), [0]);
    assert_eq!(pair.drain(30), [1]);
}

#[test]
fn what_is_left_of_a_drain_comes_first_in_the_next() {
    let mut pair = Pair::new(0);
    (0..10).for_each(|i| {
        pair.insert(i * 10);
    });
    pair.advance(50, Budget::UNLIMITED);
    assert_eq!(pair.pop().map(|expired| expired.deadline), Some(0));
    assert_eq!(pair.next_deadline(), Some(10));
    pair.insert(3);
    pair.advance(60, Budget::UNLIMITED);
    let deadlines: Vec<u64> =
        std::iter::from_fn(|| pair.pop()).map(|expired| expired.deadline).collect();
    assert_eq!(deadlines, [3, 10, 20, 30, 40, 50, 60]);
}

/// The sink may advance the wheel itself, or pop: nothing is lost, nothing comes twice.
#[test]
fn a_sink_that_drives_the_wheel() {
    let mut wheel = Wheel::new(0);
    (0..100u64).for_each(|i| {
        wheel.insert(i, i);
    });
    let mut seen = Vec::new();
    wheel.expire(49, Budget { fires: 10, moves: 10 }, |wheel, expired| {
        seen.push(expired.value);
        seen.extend(wheel.pop().map(|expired| expired.value));
        wheel.advance(60, Budget::UNLIMITED);
    });
    let mut sink = |_: &mut Wheel<u64>, expired: Expired<u64>| seen.push(expired.value);
    while !wheel.expire(99, Budget { fires: 7, moves: 1 }, &mut sink).complete {}
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
}

#[test]
fn expire_stops_at_its_budget() {
    let mut wheel = Wheel::new(0);
    (0..1000u64).for_each(|i| {
        wheel.insert(i, i);
    });
    let mut calls = 0;
    let mut next = 0;
    loop {
        let progress = wheel.expire(5000, Budget { fires: 64, moves: 64 }, |_, expired| {
            assert_eq!(expired.value, next);
            next += 1;
        });
        calls += 1;
        assert!(progress.fired <= 64);
        if progress.complete {
            break;
        }
        assert!(wheel.next_deadline().unwrap() <= 5000);
    }
    assert_eq!(next, 1000);
    assert!(calls >= 1000 / 64, "{calls} calls");
}

/// A sink that panics loses its own timer and no other.
#[test]
fn a_sink_that_panics() {
    let mut wheel = Wheel::new(0);
    (0..10u64).for_each(|i| {
        wheel.insert(i, i);
    });
    let result = catch_unwind(AssertUnwindSafe(|| {
        wheel.expire(20, Budget::default(), |_, expired| assert_ne!(expired.value, 3));
    }));
    assert!(result.is_err());
    wheel.check();
    assert_eq!(wheel.len(), 6);
    let left: Vec<u64> = std::iter::from_fn(|| wheel.pop()).map(|expired| expired.value).collect();
    assert_eq!(left, [4, 5, 6, 7, 8, 9]);
}

/// Fired, cancelled, left in the wheel, refused: a payload is dropped once.
#[test]
fn payloads_are_dropped_once() {
    let payload = Rc::new(());
    let mut wheel = Wheel::new(0).with_capacity_limit(300);
    let keys: Vec<_> = (0..300u64).map(|i| wheel.insert(i * 5_000, Rc::clone(&payload))).collect();
    assert_eq!(Rc::strong_count(&payload), 301);
    assert!(wheel.try_insert(5, Rc::clone(&payload)).is_err());
    assert_eq!(Rc::strong_count(&payload), 301);
    keys.iter().take(50).for_each(|&key| {
        wheel.cancel(key);
    });
    assert_eq!(Rc::strong_count(&payload), 251);
    wheel.expire(99 * 5_000, Budget::UNLIMITED, |_, expired| drop(expired.value));
    assert_eq!(Rc::strong_count(&payload), 201);
    wheel.advance(149 * 5_000, Budget::UNLIMITED);
    assert_eq!(Rc::strong_count(&payload), 201);
    drop(wheel);
    assert_eq!(Rc::strong_count(&payload), 1);
}
