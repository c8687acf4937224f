//! The clock: where it starts, which way it goes, and how far it jumps.

use punctual_timer_wheel::{Budget, NEVER, Tick, Wheel};

use crate::twin::{Pair, TICK};

/// Start times at which arithmetic tends to break.
const STARTS: [u64; 8] = [
    0,
    1,
    (1 << 32) - 5,
    (1 << 36) * 1_000_000 - 1,
    1 << 63,
    u64::MAX - (1 << 60),
    u64::MAX - 10 * TICK,
    u64::MAX - 10,
];

/// Every level's reach, a nanosecond and a tick either side.
fn boundaries() -> impl Iterator<Item = u64> {
    let reaches = (0..9).map(|level| TICK.checked_shl(6 * level).unwrap_or(1 << 63));
    reaches.flat_map(|reach| {
        [
            reach,
            2 * (reach / 2),
            reach.saturating_mul(2),
            reach.saturating_mul(63),
            reach.saturating_mul(64),
        ]
        .into_iter()
        .flat_map(|at| {
            [at.saturating_sub(TICK), at - 1, at, at.saturating_add(1), at.saturating_add(TICK)]
        })
    })
}

/// Neither early nor late by a nanosecond, from any start, over any distance.
#[test]
fn exact_at_every_boundary() {
    for start in STARTS {
        for delta in boundaries() {
            let Some(deadline) = start.checked_add(delta).filter(|&at| at != NEVER && at > start) else {
                continue;
            };
            let mut pair = Pair::new(start);
            pair.insert(deadline);
            assert_eq!(pair.next_deadline(), Some(deadline));
            assert!(pair.drain(deadline - 1).is_empty(), "start {start}, delta {delta}: early");
            assert_eq!(pair.next_deadline(), Some(deadline), "start {start}, delta {delta}");
            assert_eq!(pair.drain(deadline), [0], "start {start}, delta {delta}: late");
        }
    }
}

/// Floor on one side and ceiling on the other are how wheels fire early: walk a tick nanosecond by nanosecond.
#[test]
fn exact_within_a_tick() {
    let start = (1 << 32) - 5;
    for offset in 0..=2 * TICK {
        let mut wheel = Wheel::new(start);
        wheel.insert(start + offset, ());
        assert_eq!(
            wheel.advance(start + offset.max(1) - 1, Budget::UNLIMITED).fired,
            usize::from(offset == 0)
        );
        wheel.advance(start + offset, Budget::UNLIMITED);
        assert_eq!(wheel.pop().map(|expired| expired.deadline), Some(start + offset));
    }
}

#[test]
fn exact_with_any_tick() {
    for tick in [Tick::NANO, Tick::at_most(0), Tick::at_most(3), Tick::MILLI, Tick::at_most(u64::MAX)] {
        let mut pair = Pair::with_tick(1 << 63, tick);
        for delta in [0, 1, 2, 1000, 1 << 20, (1 << 20) + 1, 1 << 30, 1 << 31, 1 << 40] {
            pair.insert((1 << 63) + delta);
        }
        while let Some(next) = pair.next_deadline() {
            assert!(next == pair.now() || pair.drain(next - 1).is_empty());
            assert!(!pair.drain(next).is_empty());
        }
    }
}

#[test]
fn ticks_are_powers_of_two() {
    let nanos = |nanos| Tick::at_most(nanos).as_nanos();
    assert_eq!([0, 1, 2, 3, 1023, 1024, 1025].map(nanos), [1, 1, 2, 2, 512, 1024, 1024]);
    assert_eq!(nanos(u64::MAX), 1 << 30);
    assert_eq!(Tick::default(), Tick::MICRO);
    assert_eq!(Tick::MICRO.as_nanos(), TICK);
}

#[test]
fn a_clock_that_goes_back_saturates() {
    let mut pair = Pair::new(1_000_000_000);
    pair.insert(1_000_000_500);
    assert_eq!(pair.drain(1_000_000_499), []);
    assert_eq!(pair.drain(0), []);
    assert_eq!(pair.drain(1_000_000_499 - 5_000_000), []);
    assert_eq!(pair.now(), 1_000_000_499);
    assert_eq!(pair.drain(1_000_000_500), [0]);
}

/// tokio#5183 and others: the huge next to the tiny.
#[test]
fn huge_deadlines() {
    for start in [0, 1 << 40] {
        let mut pair = Pair::new(start);
        let huge = [i64::MAX as u64, u64::MAX - 1_000_000, u64::MAX / 10, NEVER - 1, NEVER];
        huge.iter().for_each(|&at| {
            pair.insert(at);
        });
        pair.insert(start + 1_000_000);
        assert_eq!(pair.next_deadline(), Some(start + 1_000_000));
        assert_eq!(pair.drain(start + 1_000_000), [5]);
        assert_eq!(pair.next_deadline(), Some(u64::MAX / 10));
        assert_eq!(pair.drain(u64::MAX), [2, 0, 1, 3]);
        assert_eq!(pair.len(), 1, "a disarmed timer never fires");
    }
}

/// Further than the coarsest level reaches: filed again on the way, and never early.
#[test]
fn beyond_the_horizon() {
    let horizon = TICK << 48;
    let mut pair = Pair::new(77);
    let at = 77 + 30 * horizon + 1;
    pair.insert(at);
    for year in 1..30 {
        assert_eq!(pair.drain(77 + year * horizon), []);
        assert_eq!(pair.next_deadline(), Some(at));
    }
    assert_eq!(pair.drain(at - 1), []);
    assert_eq!(pair.drain(at), [0]);
}

/// tokio-util#5536: uptime past 2^36 ms.
#[test]
fn long_uptime() {
    let past = (1u64 << 36) * 1_000_000;
    let mut pair = Pair::new(past - 3 * TICK);
    (0..200).for_each(|i| {
        pair.insert(past - 2 * TICK + i * 40);
    });
    let mut fired = 0;
    while let Some(next) = pair.next_deadline() {
        fired += pair.drain(next).len();
    }
    assert_eq!(fired, 200);
}

/// A delay that is already over must not wait for the ring to come round.
#[test]
fn the_past_is_due_at_once() {
    let now = 1 << 40;
    for back in [0, 1, TICK - 1, TICK, 63 * TICK, 64 * TICK, 128 * TICK, 1 << 39, 1 << 40] {
        let mut pair = Pair::new(now);
        pair.insert(now - back);
        assert_eq!(pair.next_deadline(), Some(now - back));
        assert_eq!(pair.drain(now), [0]);
    }
}

/// A jump costs what is filed, not how far it is.
#[test]
fn a_jump_over_centuries() {
    let mut wheel = Wheel::new(0);
    for i in 0..100u64 {
        wheel.insert(i * (1 << 56), i);
    }
    let progress = wheel.advance(u64::MAX, Budget::UNLIMITED);
    assert_eq!((progress.fired, progress.complete), (100, true));
    assert!(progress.moved <= 800, "{} moves for 100 timers", progress.moved);
    wheel.check();
}

/// Whole periods land on slot boundaries; each must come once.
#[test]
fn multiples_of_the_period() {
    for period in [TICK, 64 * TICK, 128 * TICK, 4096 * TICK, 1_000_000] {
        let mut pair = Pair::new(0);
        for k in 1..=300 {
            pair.insert(k * period);
        }
        for k in 1..=300 {
            assert_eq!(pair.drain(k * period - 1), []);
            assert_eq!(pair.drain(k * period), [k - 1]);
        }
    }
}

#[test]
fn a_wheel_says_what_time_it_has_and_how_wide_its_tick_is() {
    let mut wheel = Wheel::with_tick(5, Tick::MICRO);
    wheel.insert(7, ());
    wheel.advance(9, Budget::UNLIMITED);
    assert_eq!(format!("{wheel:?}"), "Wheel { len: 1, due: 1, now: 9, tick_ns: 1024, .. }");
}
