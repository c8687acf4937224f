//! How much one call may do.

use punctual_timer_wheel::{Budget, Progress, Wheel};

use crate::twin::TICK;

/// Drains by many small calls; returns the values in order and the calls it took.
fn drain(wheel: &mut Wheel<u64>, now: u64, budget: Budget) -> (Vec<u64>, Vec<Progress>) {
    let (mut values, mut calls) = (Vec::new(), Vec::new());
    loop {
        let progress = wheel.expire(now, budget, |_, expired| values.push(expired.value));
        assert!(progress.fired <= budget.fires.max(1));
        assert!(progress.moved <= budget.moves.max(1).saturating_add(8 * progress.fired));
        calls.push(progress);
        if progress.complete {
            wheel.check();
            return (values, calls);
        }
        assert!(calls.len() < 1_000_000, "no progress");
    }
}

/// The deadline of the i-th timer.
type Shape = fn(u64) -> u64;

/// The shapes that stall a wheel: everything in one slot, in one tick, at one nanosecond, or spread out.
fn shapes() -> [(&'static str, Shape); 4] {
    [
        ("one nanosecond", |_| 1 << 36),
        ("one tick", |i| (1 << 36) + i * 7919 % TICK),
        ("one slot", |i| (1 << 36) + i * 7919 % (1 << 26)),
        ("spread", |i| i * 0x9E37_79B9 % (1 << 40)),
    ]
}

fn filled(count: u64, at: Shape) -> Wheel<u64> {
    let mut wheel = Wheel::new(0);
    (0..count).for_each(|i| {
        wheel.insert(at(i), i);
    });
    wheel
}

#[test]
fn a_budget_bounds_every_call() {
    for (shape, at) in shapes() {
        let (all, _) = drain(&mut filled(20_000, at), 1 << 41, Budget::UNLIMITED);
        assert_eq!(all.len(), 20_000);
        for budget in [Budget::default(), Budget { fires: 16, moves: 16 }] {
            let (values, calls) = drain(&mut filled(20_000, at), 1 << 41, budget);
            assert_eq!(values, all, "{shape}: budgeted is unbounded in the end");
            let moved: usize = calls.iter().map(|call| call.moved).sum();
            assert!(moved <= 8 * 20_000, "{shape}: {moved} moves");
        }
    }
}

/// A zero counts as one: slow, but it ends.
#[test]
fn a_zero_budget_makes_progress() {
    let (values, _) = drain(&mut filled(200, |i| i * 100_000), 1 << 41, Budget { fires: 0, moves: 0 });
    assert_eq!(values.len(), 200);
}

/// A crowded slot is poured before its time, so that its timers are not late for having to come down.
#[test]
fn crowds_come_down_ahead_of_time() {
    let start = 1 << 36;
    let mut wheel = filled(50_000, |i| (1 << 36) + i * 7919 % (1 << 26));
    let (mut now, mut calls) = (0, 0);
    while wheel.next_deadline().unwrap() < start {
        now = wheel.next_deadline().unwrap().max(now);
        assert_eq!(wheel.expire(now, Budget::default(), |_, _| panic!("early")).fired, 0);
        calls += 1;
    }
    assert!(calls >= 50_000 / 256, "in chunks: {calls} calls");
    let first = wheel.next_deadline().unwrap();
    let progress = wheel.expire(first, Budget::default(), |_, _| ());
    assert!(progress.fired > 0, "the first to be due waits for nothing");
}

/// Sixty-four are looked through where they are; one more, and they come down as soon as the ring below has room.
#[test]
fn a_few_stay_until_their_slot_begins() {
    const SLOT: u64 = 64 * TICK;
    for (count, moved) in [(64, 0), (65, 65)] {
        let mut wheel = filled(count, |i| 10 * SLOT + i % 64 * TICK);
        // So that what is next has to be looked for.
        let first = wheel.insert(5, 0);
        wheel.cancel(first);
        let early = wheel.advance(9 * SLOT - 1, Budget::UNLIMITED);
        assert_eq!(early, Progress { fired: 0, moved: 0, complete: true });
        let first = wheel.insert(9 * SLOT + 1, 0);
        wheel.cancel(first);
        let progress = wheel.advance(9 * SLOT, Budget::UNLIMITED);
        assert_eq!(progress, Progress { fired: 0, moved, complete: true }, "{count} timers");
        wheel.check();
    }
}

/// Down to where it belongs, and not level by level.
#[test]
fn a_timer_comes_down_in_one_move() {
    const START: u64 = 2 << 18;
    // With it in its slot is one that is due as the slot begins.
    let mut wheel = filled(2, |i| (START + 5 * i) * TICK);
    for (ticks, moved) in [(0, 2), (5, 1)] {
        let progress = wheel.advance((START + ticks) * TICK, Budget::UNLIMITED);
        assert_eq!(progress, Progress { fired: 1, moved, complete: true });
        wheel.check();
    }
}

/// Few enough to be sorted at once, they do not come down through the levels first; nor does a slot of which not all is due.
#[test]
fn a_few_that_are_due_are_moved_once() {
    const START: u64 = 10 * 4096;
    for not_due in [0, 1] {
        let mut wheel = filled(64, |i| (START + i * 64 + 1) * TICK);
        let now = (START + (63 - not_due) * 64 + 1) * TICK;
        let progress = wheel.advance(now, Budget::UNLIMITED);
        let not_due = not_due as usize;
        assert_eq!(progress, Progress { fired: 64 - not_due, moved: 64, complete: true });
        wheel.check();
        assert_eq!(drain(&mut wheel, now + 64 * TICK, Budget::UNLIMITED).0.len(), 64);
    }
}

/// Nor do a few before which others may come: they wait for those where they are put in order.
#[test]
fn a_few_that_are_due_beside_others_are_moved_once() {
    let mut wheel = filled(4, |i| if i == 0 { 250 * TICK } else { (300 + i) * TICK });
    assert_eq!(wheel.advance(250 * TICK, Budget::UNLIMITED).fired, 1);
    // It is near by now, and so in a finer slot.
    wheel.insert(258 * TICK, 4);
    let progress = wheel.advance(310 * TICK, Budget::UNLIMITED);
    assert_eq!(progress, Progress { fired: 4, moved: 4, complete: true });
    wheel.check();
    let order: Vec<u64> = std::iter::from_fn(|| wheel.pop()).map(|expired| expired.value).collect();
    assert_eq!(order, [0, 4, 1, 2, 3]);
}

/// Insertions and resets between the calls of a drain do not upset it.
#[test]
fn a_drain_that_is_interrupted() {
    let mut wheel = filled(5_000, |i| (1 << 36) + i * 7919 % (1 << 26));
    let now = 1 << 37;
    let (mut fired, mut last, mut added) = (0, 0, 0);
    loop {
        let progress = wheel.advance(now, Budget { fires: 32, moves: 64 });
        while let Some(expired) = wheel.pop() {
            if expired.value < 5_000 {
                assert!(expired.deadline >= last, "in order");
                last = expired.deadline;
            }
            fired += 1;
        }
        if progress.complete {
            break;
        }
        if added < 100 {
            added += 1;
            wheel.insert(if added % 2 == 0 { 3 } else { (1 << 36) + added * 500_000 }, 5_000 + added);
            let moved = wheel.insert(now + 5, 6_000);
            assert!(wheel.reset(moved, now + added));
        }
        wheel.check();
    }
    assert_eq!(fired, 5_000 + added);
    assert_eq!(wheel.len() as u64, added);
}

/// A slot that is poured in part keeps its last tick, and a timer armed meanwhile has a slot of its own for that tick: whatever of the
/// one is due, some of the other may come before it.
#[test]
fn a_budget_that_ends_within_a_tick_leaves_the_order_as_it_is() {
    const LAST: u64 = 127 * TICK;
    for (moves, fires) in (1..5).flat_map(|moves| (1..8).map(move |fires| (moves, fires))) {
        let mut wheel = Wheel::new(0);
        for deadline in [LAST + 50, LAST + 60, 64 * TICK, 64 * TICK + 1, LAST + 70, LAST + 80] {
            wheel.insert(deadline, deadline);
        }
        let mut fired = Vec::new();
        let mut expire = |wheel: &mut Wheel<u64>, now, budget| {
            wheel.expire(now, budget, |_, expired| fired.push(expired.value)).complete
        };
        expire(&mut wheel, 64 * TICK + 1, Budget { fires: 1, moves });
        wheel.insert(LAST + 10, LAST + 10);
        while !expire(&mut wheel, LAST + 2 * TICK, Budget { fires, moves: 64 }) {}
        assert_eq!(fired.len(), 7);
        assert!(fired.is_sorted(), "{moves} moves, {fires} fires: {fired:?}");
    }
}
