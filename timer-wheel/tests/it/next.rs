//! `next_deadline`: never late, nearly always exact.

use punctual_timer_wheel::{Budget, Wheel};

use crate::twin::{Pair, TICK};

/// xorshift, for populations too large for a property test.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn an_empty_wheel_has_none() {
    assert_eq!(Wheel::<()>::new(5).next_deadline(), None);
}

#[test]
fn follows_every_change() {
    let mut pair = Pair::new(0);
    let far = pair.insert(1 << 40);
    assert_eq!(pair.next_deadline(), Some(1 << 40));
    let near = pair.insert(1 << 20);
    assert_eq!(pair.next_deadline(), Some(1 << 20));
    pair.reset(near, 1 << 41);
    assert_eq!(pair.next_deadline(), Some(1 << 40));
    pair.reset(far, 1 << 42);
    assert_eq!(pair.next_deadline(), Some(1 << 41));
    pair.cancel(near);
    assert_eq!(pair.next_deadline(), Some(1 << 42));
}

/// A crowd comes down one slot early: while the few of the slot before it are waited for. Also where the ring begins anew.
#[test]
fn a_crowd_behind_a_few_is_woken_for_when_the_few_begin() {
    const SLOT: u64 = 64 * TICK;
    for slot in [10, 127, 128] {
        let mut pair = Pair::new(if slot == 10 { 0 } else { 100 * SLOT });
        pair.insert(slot * SLOT + 5 * TICK);
        assert_eq!(pair.next_deadline(), Some(slot * SLOT + 5 * TICK));
        for n in 0..65 {
            pair.insert((slot + 1) * SLOT + n % 64 * TICK);
        }
        assert_eq!(pair.next_deadline(), Some(slot * SLOT));
    }
}

/// What comes first is known no more: it has to be looked for.
fn make_it_look(pair: &mut Pair) {
    let first = pair.insert(1);
    pair.cancel(first);
}

#[test]
fn sixty_four_are_no_crowd_and_one_more_is() {
    let mut pair = Pair::new(0);
    for n in 0..64 {
        pair.insert((1 << 40) + 7 + n);
        make_it_look(&mut pair);
        assert_eq!(pair.next_deadline(), Some((1 << 40) + 7));
    }
    let one_more = pair.insert((1 << 40) + 100);
    assert!(pair.next_deadline() < Some(1 << 40));
    pair.cancel(one_more);
    assert_eq!(pair.next_deadline(), Some((1 << 40) + 7));
}

/// What is of one tick cannot come down any further.
#[test]
fn for_a_crowd_of_the_next_tick_nobody_is_woken_early() {
    let mut pair = Pair::new(0);
    (0..65).for_each(|n| {
        pair.insert(6 * TICK + n);
    });
    pair.insert(5 * TICK + 500);
    make_it_look(&mut pair);
    assert_eq!(pair.next_deadline(), Some(5 * TICK + 500));
}

/// Sleeping until `next_deadline`, as a loop does: nothing early, nothing late, and few wakes for nothing.
fn sleep_and_wake(count: u64, within: u64) {
    let mut state = 0x5DEE_CE66_D1CE_5EED;
    let mut wheel = Wheel::new(0);
    let mut deadlines: Vec<u64> = (0..count).map(|_| random(&mut state) % within).collect();
    deadlines.iter().for_each(|&at| {
        wheel.insert(at, at);
    });
    deadlines.sort_unstable();
    let mut expected = deadlines.into_iter();
    let (mut wakes, mut empty, mut moved) = (0, 0, 0);
    while let Some(at) = wheel.next_deadline() {
        let now = at.max(wheel.now());
        let progress = wheel.expire(now, Budget::default(), |_, expired| {
            assert_eq!(expired.deadline, now, "fired late: the caller was told to sleep too long");
            assert_eq!(Some(expired.value), expected.next());
        });
        wakes += 1;
        moved += progress.moved;
        empty += usize::from(progress.fired == 0);
    }
    assert_eq!(expected.next(), None);
    assert!(empty * 64 <= moved, "{empty} of {wakes} wakes for nothing, {moved} moves");
    assert!(moved as u64 <= 8 * count, "{moved} moves for {count} timers");
}

#[test]
fn few_wakes_for_nothing_sparse() {
    sleep_and_wake(3_000, 1 << 45);
}

#[test]
fn few_wakes_for_nothing_dense() {
    sleep_and_wake(30_000, 1 << 28);
}

#[test]
fn few_wakes_for_nothing_crowded() {
    sleep_and_wake(30_000, 200 * TICK);
}

/// More than 64 in one slot: a bound, and it stops being one when the slot thins.
#[test]
fn a_crowd_that_thins() {
    let mut pair = Pair::new(0);
    let keys: Vec<_> = (0..100).map(|i| pair.insert((1 << 40) + i)).collect();
    let bound = pair.next_deadline().unwrap();
    assert!(bound < 1 << 40);
    keys[..50].iter().for_each(|&key| {
        pair.cancel(key);
    });
    assert_eq!(pair.next_deadline(), Some((1 << 40) + 50));
}

/// Half a drain later it says "now".
#[test]
fn with_timers_left_over() {
    let mut pair = Pair::new(0);
    (0..10).for_each(|i| {
        pair.insert(100 + i);
    });
    assert!(!pair.advance(500, Budget { fires: 4, moves: 100 }).complete);
    assert_eq!(pair.next_deadline(), Some(100));
    (0..4).for_each(|_| assert!(pair.pop().is_some()));
    assert_eq!(pair.next_deadline(), Some(104));
    assert_eq!(pair.drain(500).len(), 6);
}
