//! Random programs against the twin. The seeds are fixed, so that every run is the same; a failure prints the
//! program it shrank to.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use punctual_timer_wheel::{Budget, Key, NEVER, Tick};

use crate::twin::{Pair, TICK};

#[derive(Clone, Debug)]
enum Op {
    Insert(When),
    /// Many timers near each other: more than 64 in a slot are treated otherwise.
    Burst(u64, When),
    Cancel(usize),
    Reset(usize, When),
    Advance(When, Option<(usize, usize)>),
    ToNext(i8),
    Pop(usize),
    Next,
}

#[derive(Clone, Debug)]
enum When {
    After(u64),
    Before(u64),
    At(u64),
}

impl When {
    fn from(&self, now: u64) -> u64 {
        match *self {
            When::After(delta) => now.saturating_add(delta),
            When::Before(delta) => now.saturating_sub(delta),
            When::At(time) => time,
        }
    }
}

/// Distances at which something changes: each level's reach and twice that, a tick or a nanosecond either side.
fn boundary() -> impl Strategy<Value = u64> {
    let power =
        (0u32..=9, 0u64..=3, prop_oneof![Just(0), Just(1), Just(TICK - 1), Just(TICK)], any::<bool>());
    power.prop_map(|(level, times, off, minus)| {
        let reach = (TICK << (6 * level).min(53)).saturating_mul(times);
        if minus { reach.saturating_sub(off) } else { reach.saturating_add(off) }
    })
}

fn delta() -> impl Strategy<Value = u64> {
    let scale = (0u32..64, any::<u64>()).prop_map(|(bits, random)| random >> bits);
    prop_oneof![4 => 0u64..4 * TICK, 4 => 0u64..200 * TICK, 6 => boundary(), 3 => scale]
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        20 => delta().prop_map(When::After),
        2 => delta().prop_map(When::Before),
        1 => prop_oneof![Just(NEVER), Just(NEVER - 1), Just(0)].prop_map(When::At),
    ]
}

fn op(bursts: u32) -> impl Strategy<Value = Op> {
    let budget = prop_oneof![2 => Just(None), 3 => (0usize..6, 0usize..12).prop_map(Some)];
    prop_oneof![
        6 => when().prop_map(Op::Insert),
        bursts => (1u64..200, when()).prop_map(|(count, when)| Op::Burst(count, when)),
        3 => any::<usize>().prop_map(Op::Cancel),
        5 => (any::<usize>(), when()).prop_map(|(key, when)| Op::Reset(key, when)),
        4 => (when(), budget).prop_map(|(when, budget)| Op::Advance(when, budget)),
        4 => (-1i8..=1).prop_map(Op::ToNext),
        3 => (0usize..5).prop_map(Op::Pop),
        2 => Just(Op::Next),
    ]
}

fn start() -> impl Strategy<Value = u64> {
    let fixed =
        [0, 1, (1 << 32) - 5, 1 << 63, u64::MAX / 2 - 3, u64::MAX - (1 << 40), u64::MAX - 10, u64::MAX];
    prop_oneof![8 => prop::sample::select(fixed.to_vec()), 2 => any::<u64>(), 3 => boundary()]
}

fn run(start: u64, tick: Tick, ops: &[Op]) {
    let mut pair = Pair::with_tick(start, tick);
    let mut keys: Vec<Key> = Vec::new();
    for op in ops {
        let now = pair.now();
        match op {
            Op::Insert(when) => keys.push(pair.insert(when.from(now))),
            Op::Burst(count, when) => {
                keys.extend((0..*count).map(|i| pair.insert(when.from(now).saturating_add(i * i))));
            }
            Op::Cancel(at) if !keys.is_empty() => {
                pair.cancel(keys[at % keys.len()]);
            }
            Op::Reset(at, when) if !keys.is_empty() => {
                let key = keys[at % keys.len()];
                // Half the time relative to the old deadline: that is what stays within a slot.
                let base = if (at / keys.len()).is_multiple_of(2) {
                    pair.wheel.deadline(key).unwrap_or(now)
                } else {
                    now
                };
                pair.reset(key, when.from(base));
            }
            Op::Cancel(_) | Op::Reset(..) => {}
            Op::Advance(when, budget) => {
                let budget = budget.map_or(Budget::UNLIMITED, |(fires, moves)| Budget { fires, moves });
                pair.advance(when.from(now), budget);
            }
            Op::ToNext(off) => {
                let next = pair.next_deadline().unwrap_or(now);
                let fired =
                    pair.advance(next.saturating_add_signed(i64::from(*off)), Budget::UNLIMITED).fired;
                assert!(*off >= 0 || next <= now || fired == 0, "fired before next_deadline");
            }
            Op::Pop(times) => (0..*times)
                .for_each(|_| assert!(pair.pop().is_none_or(|expired| expired.deadline <= now))),
            Op::Next => assert_ne!(pair.next_deadline(), Some(NEVER)),
        }
    }
    pair.compare_keys(&keys);
    pair.next_deadline();
    let live = pair.len();
    let disarmed = keys.iter().filter(|&&key| pair.wheel.deadline(key) == Some(NEVER)).count();
    let due_left = std::iter::from_fn(|| pair.pop()).count();
    let drained = pair.drain(u64::MAX).len();
    assert_eq!(
        due_left + drained + disarmed,
        live,
        "at the end of time all but the disarmed have fired"
    );
}

fn check(seed: u8, cases: u32, tick: Tick, len: usize, bursts: u32) {
    // PROPTEST_MAX_SHRINK_ITERS makes it fewer, for who only wants to know whether it fails.
    let Config { max_shrink_iters, .. } = Config::default();
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: max_shrink_iters.min(20_000),
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let program = (start(), prop::collection::vec(op(bursts), 1..len));
    let result = TestRunner::new_with_rng(config, rng).run(&program, |(start, ops)| {
        run(start, tick, &ops);
        Ok(())
    });
    if let Err(error) = result {
        panic!("seed {seed}, tick {tick:?}: {error}");
    }
}

#[test]
fn short_programs() {
    check(1, 1200, Tick::MICRO, 24, 0);
}

#[test]
fn long_programs() {
    check(2, 150, Tick::MICRO, 160, 0);
}

#[test]
fn a_tick_of_one_nanosecond() {
    check(3, 300, Tick::NANO, 60, 0);
}

#[test]
fn a_tick_of_a_millisecond() {
    check(4, 300, Tick::MILLI, 60, 0);
}

#[test]
fn crowds() {
    check(5, 60, Tick::MICRO, 30, 3);
}
