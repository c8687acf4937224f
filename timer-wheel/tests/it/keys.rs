//! Keys: stale ones are inert, for ever.

use std::collections::HashSet;
use std::num::NonZeroU32;

use punctual_timer_wheel::{Budget, Full, Key, NEVER, Wheel};

fn send<T: Send>() {}

#[test]
fn keys_are_small_and_wheels_can_move() {
    assert_eq!(size_of::<Key>(), 8);
    assert_eq!(size_of::<Option<Key>>(), 8);
    send::<Wheel<Box<dyn Send>>>();
}

/// The place is used again, the key is not: the old key touches nothing.
#[test]
fn a_stale_key_never_touches_a_newer_timer() {
    let mut wheel = Wheel::new(0);
    let mut seen = HashSet::new();
    for round in 0..1_000u64 {
        let key = wheel.insert(round + 10, round);
        assert!(seen.insert(key));
        if round % 2 == 0 {
            assert_eq!(wheel.cancel(key), Some(round));
        } else {
            wheel.expire(round + 10, Budget::default(), |_, expired| assert_eq!(expired.key, key));
        }
        let newer = wheel.insert(round + 20, NEVER);
        assert_eq!(wheel.cancel(key), None);
        assert!(!wheel.reset(key, 5));
        assert!(!wheel.contains(key));
        assert_eq!((wheel.deadline(key), wheel.get(key)), (None, None));
        assert_eq!(wheel.deadline(newer), Some(round + 20));
        assert_eq!(wheel.get(newer), Some(&NEVER));
        assert_eq!(wheel.cancel(newer), Some(NEVER));
    }
}

/// Whoever names its timers is told their names, and touches no other's with one that is over.
#[test]
fn a_name_takes_the_place_of_the_generation() {
    let mut wheel = Wheel::new(0);
    let [one, other] = [7, 9].map(|name| NonZeroU32::new(name).unwrap());
    let key = wheel.insert_named(10, (), one);
    assert_eq!((key.name(), Key::named(key.index(), one)), (one, key));
    assert!(wheel.contains(key) && wheel.reset(key, 20));
    assert!(!wheel.contains(Key::named(key.index(), other)));
    assert_eq!(wheel.cancel(key), Some(()));
    let next = wheel.insert_named(30, (), other);
    assert_eq!(next.index(), key.index(), "the node is used again");
    assert_eq!(wheel.cancel(key), None);
    assert!(!wheel.reset(key, 5));
    let mut fired = Vec::new();
    wheel.expire(30, Budget::default(), |_, expired| fired.push((expired.key.name(), expired.deadline)));
    assert_eq!(fired, [(other, 30)]);
    wheel.check();
}

/// A place whose generations are used up is retired, so that no key comes round again.
#[test]
fn the_last_generation() {
    let mut wheel = Wheel::new(0);
    let first = wheel.insert(10, 'a');
    let penultimate = NonZeroU32::new(u32::MAX - 1).unwrap();
    let key = wheel.force_generation(first, penultimate).unwrap();
    assert_eq!(wheel.cancel(first), None);
    assert_eq!(wheel.cancel(key), Some('a'));
    let last = wheel.insert(10, 'b');
    assert_eq!(format!("{last:?}"), format!("Key(0v{})", u32::MAX));
    assert_eq!(wheel.cancel(key), None);
    assert_eq!(wheel.cancel(last), Some('b'));
    wheel.check();
    let elsewhere = wheel.insert(10, 'c');
    assert_eq!(format!("{elsewhere:?}"), "Key(1v1)");
    for stale in [first, key, last] {
        assert!(!wheel.contains(stale));
        assert!(!wheel.reset(stale, 1));
        assert_eq!(wheel.cancel(stale), None);
    }
    wheel.expire(10, Budget::default(), |_, expired| assert_eq!(expired.value, 'c'));
    wheel.check();
}

/// A key of a larger wheel names a place that a smaller one does not have.
#[test]
fn a_foreign_key() {
    let mut large = Wheel::new(0);
    let keys: Vec<Key> = (0..5_000).map(|i| large.insert(i, ())).collect();
    let mut small = Wheel::new(0);
    small.insert(1, ());
    for &key in &keys[1..] {
        assert!(!small.contains(key));
        assert_eq!(small.cancel(key), None);
        assert!(!small.reset(key, 3));
    }
    assert_eq!(small.len(), 1);
}

#[test]
fn a_full_wheel_hands_the_value_back() {
    let mut wheel = Wheel::new(0).with_capacity_limit(2);
    let first = wheel.try_insert(1, "one").unwrap();
    wheel.try_insert(2, "two").unwrap();
    let refused = wheel.try_insert(3, "three").unwrap_err();
    assert_eq!(refused, Full("three"));
    assert!(refused.to_string().contains("timer wheel"));
    assert_eq!((wheel.len(), wheel.next_deadline()), (2, Some(1)));
    wheel.cancel(first);
    wheel.try_insert(3, refused.0).unwrap();
    assert_eq!(Wheel::new(0).with_capacity_limit(0).try_insert(1, ()), Err(Full(())));
}

#[test]
#[should_panic(expected = "already holds 1 timers")]
fn insert_into_a_full_wheel_panics() {
    let mut wheel = Wheel::new(0).with_capacity_limit(1);
    wheel.insert(1, ());
    wheel.insert(1, ());
}

#[test]
fn debug_says_what_matters() {
    let mut wheel = Wheel::default();
    wheel.insert(7, ());
    wheel.advance(9, Budget::default());
    let text = format!("{wheel:?}");
    assert!(text.contains("len: 1") && text.contains("due: 1") && text.contains("now: 9"), "{text}");
}
