//! Operations on a wheel, held against the twin of its own tests.

use punctual_timer_wheel::{Budget, Key, NEVER, Tick};

use crate::input::Input;
use twin::Pair;

#[allow(dead_code, reason = "the wheel's own tests use the rest")]
#[path = "../../timer-wheel/tests/it/twin.rs"]
mod twin;

/// More timers at once tell nothing new, and each step compares them all.
const LIVE_MAX: usize = 300;

/// Runs the program that `data` is.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let tick = [Tick::MICRO, Tick::NANO, Tick::MILLI][usize::from(input.byte() % 3)];
    let mut pair = Pair::with_tick(input.number(), tick);
    let mut keys: Vec<Key> = Vec::new();
    while !input.is_empty() {
        step(&mut pair, &mut keys, &mut input);
    }
    pair.compare_keys(&keys);
    pair.next_deadline();
    let live = pair.len();
    let disarmed = keys.iter().filter(|&&key| pair.wheel.deadline(key) == Some(NEVER)).count();
    let due = std::iter::from_fn(|| pair.pop()).count();
    let drained = pair.drain(u64::MAX).len();
    assert_eq!(due + drained + disarmed, live, "at the end of time all but the disarmed have fired");
}

fn step(pair: &mut Pair, keys: &mut Vec<Key>, input: &mut Input<'_>) {
    let now = pair.now();
    match input.byte() % 8 {
        0 if pair.len() < LIVE_MAX => keys.push(pair.insert(time(now, input))),
        1 => {
            let first = time(now, input);
            let count = u64::from(input.byte()).min((LIVE_MAX.saturating_sub(pair.len())) as u64);
            keys.extend((0..count).map(|nth| pair.insert(first.saturating_add(nth * nth))));
        }
        2 if !keys.is_empty() => {
            pair.cancel(keys[usize::from(input.byte()) % keys.len()]);
        }
        3 if !keys.is_empty() => {
            let key = keys[usize::from(input.byte()) % keys.len()];
            let of_old = input.byte().is_multiple_of(2);
            let base = pair.wheel.deadline(key).filter(|_| of_old).unwrap_or(now);
            pair.reset(key, time(base, input));
        }
        4 => {
            let to = time(now, input);
            let budget = match input.byte() {
                0..=127 => Budget::UNLIMITED,
                some => Budget { fires: usize::from(some % 8), moves: usize::from(some / 8 % 8) },
            };
            pair.advance(to, budget);
        }
        5 => {
            let next = pair.next_deadline().unwrap_or(now);
            let fired = pair.advance(next.saturating_sub(1), Budget::UNLIMITED).fired;
            assert!(next <= now || fired == 0, "fired before next_deadline");
            pair.advance(next, Budget::UNLIMITED);
        }
        6 => {
            let expired = pair.pop();
            assert!(expired.is_none_or(|expired| expired.deadline <= now));
        }
        _ => assert_ne!(pair.next_deadline(), Some(NEVER)),
    }
}

/// A moment near `base`, far from it, before it, or at one of the ends of time.
fn time(base: u64, input: &mut Input<'_>) -> u64 {
    let how = input.byte();
    match how {
        0..=99 => base.saturating_add(input.number() >> (how % 64)),
        100..=199 => {
            base.saturating_add(1024_u64 << (6 * (how % 10)).min(53)).saturating_sub((how % 3).into())
        }
        200..=239 => base.saturating_sub(input.number() >> (how % 64)),
        240..=247 => NEVER,
        _ => u64::MAX - u64::from(how % 4),
    }
}
