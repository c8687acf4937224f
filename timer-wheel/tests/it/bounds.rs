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
