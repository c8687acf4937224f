//! `punctual-timer-wheel`, with the default budget.

use punctual_timer_wheel::{Budget, Key, Wheel};

use super::Queue;

/// This project's wheel.
pub struct Punctual(Wheel<u64>);

impl Queue for Punctual {
    const NAME: &'static str = "punctual";
    const TICK: u64 = 0;
    type Key = Key;

    fn new(_expected: usize) -> Self {
        Punctual(Wheel::new(0))
    }

    fn insert(&mut self, at: u64, value: u64) -> Key {
        self.0.insert(at, value)
    }

    fn cancel(&mut self, key: Key) -> bool {
        self.0.cancel(key).is_some()
    }

    fn rearm(&mut self, key: Key, at: u64) -> Key {
        assert!(self.0.reset(key, at));
        key
    }

    fn next(&mut self) -> u64 {
        self.0.next_deadline().unwrap_or(u64::MAX)
    }

    fn expire(&mut self, now: u64, fired: &mut usize, sum: &mut u64) -> bool {
        let progress = self.0.expire(now, Budget::default(), |_, expired| *sum += expired.value);
        *fired += progress.fired;
        progress.complete
    }
}
