//! Moving a deadline.

use punctual_timer_wheel::{Budget, Key, NEVER, Wheel};

use crate::twin::{Pair, TICK};

const MS: u64 = 1_000_000;

/// An idle timeout that is refreshed by every request: no work, until its old slot comes up.
#[test]
fn later_is_lazy() {
    let mut wheel = Wheel::new(0);
    let key = wheel.insert(30_000 * MS, ());
    let mut moved = 0;
    for now in 1..10_000 {
        assert!(wheel.reset(key, (now + 30_000) * MS));
        moved += wheel.advance(now * MS, Budget::default()).moved;
    }
    assert_eq!(moved, 0);
    assert_eq!(wheel.next_deadline(), Some(39_999 * MS));
    assert_eq!(wheel.expire(39_999 * MS - 1, Budget::default(), |_, _| ()).fired, 0);
    assert_eq!(wheel.expire(39_999 * MS, Budget::default(), |_, _| ()).fired, 1);
}

#[test]
fn later_across_every_level() {
    for first in 0..9 {
        for second in first..9 {
            let (near, far) =
                (TICK.checked_shl(6 * first).unwrap(), (TICK << (6 * second).min(53)) + 17);
            let mut pair = Pair::new(3);
            let key = pair.insert(3 + near);
            pair.reset(key, 3 + far);
            assert_eq!(pair.next_deadline(), Some(3 + far));
            assert_eq!(pair.drain(2 + far), []);
            assert_eq!(pair.drain(3 + far), [0]);
        }
    }
}

#[test]
fn later_then_back() {
    let mut pair = Pair::new(0);
    let key = pair.insert(1_000 * MS);
    pair.reset(key, 5_000 * MS);
    pair.reset(key, 1_001 * MS);
    assert_eq!(pair.next_deadline(), Some(1_001 * MS));
    pair.reset(key, MS);
    assert_eq!(pair.next_deadline(), Some(MS));
    assert_eq!(pair.drain(MS), [0]);
}

/// tokio#849, #2290: due +200, poll, +3 ms, reset to +5: it must not wait for the coarse slot at 192.
#[test]
fn earlier_in_an_upper_level() {
    let mut pair = Pair::new(0);
    let key = pair.insert(200 * MS);
    assert_eq!(pair.drain(0), []);
    assert_eq!(pair.drain(3 * MS), []);
    pair.reset(key, 5 * MS);
    assert_eq!(pair.next_deadline(), Some(5 * MS));
    assert_eq!(pair.drain(5 * MS - 1), []);
    assert_eq!(pair.drain(5 * MS), [0]);
}

/// Reset after its coarse slot has started.
#[test]
fn later_after_the_slot_started() {
    let mut pair = Pair::new(0);
    let key = pair.insert(64 * 64 * TICK + 900 * TICK);
    pair.insert(64 * 64 * TICK + 5);
    assert_eq!(pair.drain(64 * 64 * TICK + 10), [1]);
    pair.reset(key, 64 * 64 * TICK + 7_000 * TICK);
    assert_eq!(pair.drain(64 * 64 * TICK + 950 * TICK), []);
    assert_eq!(pair.drain(64 * 64 * TICK + 7_000 * TICK), [0]);
}

#[test]
fn to_the_past() {
    for at in [20, TICK, 100 * TICK, 1 << 40, NEVER] {
        let mut pair = Pair::new(10);
        let key = pair.insert(at);
        pair.reset(key, 3);
        assert_eq!(pair.next_deadline(), Some(3), "a caller must not sleep");
        assert_eq!(pair.drain(10), [0]);
    }
}

#[test]
fn to_its_own_deadline() {
    for at in [5, 10, 11, TICK, 1 << 40] {
        let mut pair = Pair::new(10);
        let key = pair.insert(at);
        pair.reset(key, at);
        assert_eq!(pair.next_deadline(), Some(at));
        assert_eq!(pair.drain(1 << 41), [0]);
    }
}

#[test]
fn disarm_and_arm_again() {
    let mut pair = Pair::new(0);
    let keys: Vec<Key> = [10, TICK, 1 << 30].iter().map(|&at| pair.insert(at)).collect();
    keys.iter().for_each(|&key| assert!(pair.reset(key, NEVER)));
    assert_eq!(pair.next_deadline(), None);
    assert_eq!(pair.drain(1 << 50), []);
    keys.iter().for_each(|&key| assert!(pair.reset(key, NEVER)));
    assert_eq!(pair.drain(u64::MAX), []);
    pair.reset(keys[1], u64::MAX - 1);
    assert_eq!(pair.drain(u64::MAX), [1]);
    assert!(pair.cancel(keys[0]));
    assert_eq!(pair.len(), 1);
}

/// Each of the timers in the first slot was extended: the next deadline is found behind it.
#[test]
fn all_of_the_head_slot_extended() {
    for count in [1u64, 5, 64, 65, 300] {
        let mut pair = Pair::new(0);
        let keys: Vec<Key> = (0..count).map(|i| pair.insert(50 * MS + i)).collect();
        keys.iter().for_each(|&key| assert!(pair.reset(key, 9_000 * MS)));
        let next = pair.next_deadline().unwrap();
        assert!(if count <= 64 { next == 9_000 * MS } else { next <= 9_000 * MS });
        assert_eq!(pair.drain(9_000 * MS - 1), []);
        assert_eq!(pair.drain(9_000 * MS).len() as u64, count);
    }
}
