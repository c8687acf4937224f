//! Cancelling: before, after, twice, from within, and again and again.

use punctual_timer_wheel::{Budget, Key, Wheel};

use crate::twin::{Pair, TICK};

#[test]
fn before_after_and_twice() {
    let mut pair = Pair::new(0);
    let early = pair.insert(10);
    let late = pair.insert(20);
    assert!(pair.cancel(early));
    assert!(!pair.cancel(early));
    assert_eq!(pair.drain(20), [1]);
    assert!(!pair.cancel(late));
    assert!(!pair.reset(late, 30));
    pair.compare_keys(&[early, late]);
}

#[test]
fn from_its_own_expiry() {
    let mut wheel = Wheel::new(0);
    let key = wheel.insert(5, "once");
    let progress = wheel.expire(5, Budget::default(), |wheel, expired| {
        assert_eq!(expired.key, key);
        assert_eq!(wheel.cancel(key), None);
        assert!(!wheel.reset(key, 100));
    });
    assert_eq!((progress.fired, wheel.len()), (1, 0));
}

/// Two timers due together; the first cancels the second.
#[test]
fn a_sibling_of_the_same_tick() {
    let mut wheel = Wheel::new(0);
    wheel.insert(5, 'a');
    let sibling = wheel.insert(5, 'b');
    let mut fired = Vec::new();
    wheel.expire(5, Budget::default(), |wheel, expired| {
        fired.push(expired.value);
        assert_eq!(wheel.cancel(sibling), Some('b'));
    });
    assert_eq!(fired, ['a']);
    assert!(wheel.is_empty());
}

/// The same, and it is armed again: it fires once, in a later drain.
#[test]
fn a_sibling_that_is_added_again() {
    let mut wheel = Wheel::new(0);
    wheel.insert(5, 'a');
    let sibling = wheel.insert(5, 'b');
    let mut fired = Vec::new();
    let mut sink = |wheel: &mut Wheel<char>, expired: punctual_timer_wheel::Expired<char>| {
        fired.push(expired.value);
        if let Some(value) = wheel.cancel(sibling) {
            wheel.insert(5, value);
        }
    };
    assert_eq!(wheel.expire(5, Budget::default(), &mut sink).fired, 1);
    assert_eq!(wheel.next_deadline(), Some(5));
    assert_eq!(wheel.expire(5, Budget::default(), &mut sink).fired, 1);
    assert_eq!(fired, ['a', 'b']);
}

/// Seastar#3013: the cached deadline outlived its timer.
#[test]
fn the_minimum_again_and_again() {
    let mut pair = Pair::new(0);
    let keys: Vec<Key> = (1..200u64).map(|i| pair.insert(i * i * 900)).collect();
    for (key, i) in keys.iter().zip(1u64..).take(198) {
        pair.cancel(*key);
        let next = pair.next_deadline().unwrap();
        assert!(next <= (i + 1) * (i + 1) * 900);
    }
    assert_eq!(pair.next_deadline(), Some(199 * 199 * 900));
}

#[test]
fn the_last_one() {
    let mut pair = Pair::new(0);
    for at in [0, 1, TICK, 1 << 40, u64::MAX - 1, u64::MAX] {
        let key = pair.insert(at);
        assert!(pair.cancel(key));
        assert_eq!(pair.next_deadline(), None);
    }
}

/// Every position in a list of a slot, in every order of leaving.
#[test]
fn from_the_middle_of_a_slot() {
    for step in [1, 3, 7, 11] {
        let mut pair = Pair::new(0);
        let keys: Vec<Key> = (0..40).map(|_| pair.insert(1 << 30)).collect();
        for i in 0..40 {
            assert!(pair.cancel(keys[i * step % 40]));
        }
        assert_eq!(pair.len(), 0);
    }
}

/// tokio-util#2473, #3270: expired, but not yet popped.
#[test]
fn due_but_not_popped() {
    let mut pair = Pair::new(0);
    let keys: Vec<Key> = (0..6).map(|i| pair.insert(i)).collect();
    pair.advance(10, Budget::UNLIMITED);
    assert!(pair.cancel(keys[0]));
    assert!(pair.cancel(keys[3]));
    assert!(pair.reset(keys[4], 1_000_000));
    assert_eq!(pair.pop().map(|expired| expired.value), Some(1));
    assert!(pair.cancel(keys[5]));
    assert_eq!(pair.pop().map(|expired| expired.value), Some(2));
    assert_eq!(pair.pop(), None);
    assert_eq!(pair.next_deadline(), Some(1_000_000));
    assert_eq!(pair.drain(1_000_000), [4]);
}

/// The places of cancelled timers are used again: a million times, one node.
#[test]
fn insert_and_cancel_stay_flat() {
    let mut wheel = Wheel::new(0);
    for i in 0..1_000_000u64 {
        let key = wheel.insert(i % 977 * 1_000_003, i);
        assert!(format!("{key:?}").starts_with("Key(0v") || i % 9973 != 0);
        assert_eq!(wheel.cancel(key), Some(i));
    }
    assert!(wheel.is_empty());
    wheel.check();
}
