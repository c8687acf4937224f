//! In which order timers fire.

use punctual_timer_wheel::{Budget, Key, Wheel};

use crate::twin::{Pair, TICK};

/// A fixed shuffle of `0..count`.
fn shuffled(count: u64) -> impl Iterator<Item = u64> {
    assert!(count.is_power_of_two());
    (0..count).map(move |i| (i * 0x9E37_79B1 + 7) % count)
}

/// Few enough to be made due at once, and more than are sorted beforehand.
#[test]
fn each_timer_of_a_slot_that_is_due_as_a_whole_fires() {
    for count in [1, 16, 17, 64] {
        let mut pair = Pair::new(0);
        for n in 0..count {
            pair.insert((10 * 64 + n * 37 % 64) * TICK + n);
        }
        assert_eq!(pair.drain(12 * 64 * TICK).len() as u64, count);
    }
}

/// Of an earlier advance some are due still; what is armed for before them is due at the next.
#[test]
fn what_comes_due_later_and_was_due_before_fires_first() {
    let mut pair = Pair::new(0);
    for deadline in [10, 20, 30] {
        pair.insert(deadline);
    }
    pair.advance(40, Budget::UNLIMITED);
    for deadline in [15, 5, 25, 35] {
        pair.insert(deadline);
        pair.advance(40, Budget::UNLIMITED);
    }
    let fired: Vec<u64> = std::iter::from_fn(|| pair.pop()).map(|expired| expired.deadline).collect();
    assert_eq!(fired, [5, 10, 15, 20, 25, 30, 35]);
}

#[test]
fn by_deadline_whatever_the_level() {
    let mut pair = Pair::new(5);
    for i in shuffled(512) {
        pair.insert(5 + i * i * i * 37);
    }
    pair.advance(u64::MAX, Budget::UNLIMITED);
    let mut last = 0;
    while let Some(expired) = pair.pop() {
        assert!(expired.deadline >= last);
        last = expired.deadline;
    }
}

/// On a wheel from which nothing was removed, the order of the index is the order of insertion.
#[test]
fn equal_deadlines_in_the_order_of_insertion() {
    for at in [0, 1, 5 * TICK, 1 << 30, 1 << 50] {
        let mut pair = Pair::new(0);
        (0..300).for_each(|_| {
            pair.insert(at);
        });
        assert_eq!(pair.drain(at), (0..300).collect::<Vec<_>>());
    }
}

/// A place that was freed is taken by the next timer, and its turn with it.
#[test]
fn equal_deadlines_after_a_removal() {
    let mut pair = Pair::new(0);
    let keys: Vec<Key> = (0..5).map(|_| pair.insert(9_000_000)).collect();
    pair.cancel(keys[1]);
    pair.insert(9_000_000);
    assert_eq!(pair.drain(9_000_000), [0, 5, 2, 3, 4]);
}

/// The same calls, the same order.
#[test]
fn the_same_program_twice() {
    let run = || {
        let mut wheel = Wheel::new(0);
        let keys: Vec<Key> = shuffled(1024).map(|i| wheel.insert(i / 7 * 4000, i)).collect();
        keys.iter().step_by(3).for_each(|&key| assert!(wheel.reset(key, 90_000)));
        keys.iter().step_by(5).for_each(|&key| assert!(wheel.cancel(key).is_some()));
        wheel.advance(1 << 40, Budget::UNLIMITED);
        std::iter::from_fn(move || wheel.pop())
            .map(|expired| (expired.key, expired.value))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

/// Armed early for later, it is filed coarsely; armed late for still later, finely. The coarse one comes first.
#[test]
fn a_fine_timer_does_not_hide_an_earlier_coarse_one() {
    let mut pair = Pair::new(0);
    pair.insert(65 * TICK + 10);
    pair.drain(60 * TICK);
    pair.insert(65 * TICK + 20);
    pair.insert(70 * TICK);
    assert_eq!(pair.next_deadline(), Some(65 * TICK + 10));
    assert_eq!(pair.drain(65 * TICK + 9), []);
    assert_eq!(pair.drain(71 * TICK), [0, 1, 2]);
}

#[test]
fn the_slot_of_the_cursor_comes_first() {
    let mut pair = Pair::new(100 * TICK + 500);
    pair.insert(101 * TICK);
    pair.insert(100 * TICK + 600);
    pair.insert(228 * TICK + 5);
    assert_eq!(pair.next_deadline(), Some(100 * TICK + 600));
    assert_eq!(pair.drain(100 * TICK + 700), [1]);
    assert_eq!(pair.drain(300 * TICK), [0, 2]);
}

/// A deadline inside the tick at which its coarse slot starts.
#[test]
fn a_fraction_at_a_cascade_boundary() {
    for level in 1..8 {
        let start = TICK << (6 * level);
        let mut pair = Pair::new(0);
        [start + 3, start, start + TICK, start - 1, start + 1].iter().for_each(|&at| {
            pair.insert(at);
        });
        assert_eq!(pair.drain(start - 2), []);
        assert_eq!(pair.drain(start - 1), [3]);
        assert_eq!(pair.drain(start), [1]);
        assert_eq!(pair.drain(start + 2), [4]);
        assert_eq!(pair.drain(start + TICK), [0, 2]);
    }
}

#[test]
fn by_deadline_in_the_past_too() {
    let mut pair = Pair::new(1_000_000);
    [900_000, 5, 1_000_000, 0, 999_999].iter().for_each(|&at| {
        pair.insert(at);
    });
    assert_eq!(pair.drain(1_000_000), [3, 1, 0, 4, 2]);
}

/// However the budget cuts the drain, the order across it holds.
#[test]
fn across_the_cuts_of_a_budget() {
    for budget in [(1, 1), (3, 2), (7, 64), (64, 256)] {
        let mut pair = Pair::new(0);
        shuffled(256).for_each(|i| {
            pair.insert(i * i * 1500 + i);
        });
        let budget = Budget { fires: budget.0, moves: budget.1 };
        let mut last = 0;
        let mut fired = 0;
        loop {
            let complete = pair.advance(1 << 40, budget).complete;
            while let Some(expired) = pair.pop() {
                assert!(expired.deadline >= last);
                (last, fired) = (expired.deadline, fired + 1);
            }
            if complete {
                break;
            }
        }
        assert_eq!(fired, 256);
    }
}
