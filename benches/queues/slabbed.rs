//! `slab-wheel`, in the layout its documentation recommends for reactors.

use std::time::{Duration, Instant};

use slab_wheel::{Key, Millis, TimingWheel};

use super::Queue;

/// A wheel of slab indices, ticks of a millisecond, rounding up.
pub struct SlabWheel {
    wheel: TimingWheel<u64, Millis>,
    start: Instant,
    due: Vec<(Key, u64)>,
}

impl Queue for SlabWheel {
    const NAME: &'static str = "slab-wheel";
    type Key = Key;

    fn new(_expected: usize) -> Self {
        let start = Instant::now();
        SlabWheel { wheel: TimingWheel::starting_at(start), start, due: Vec::new() }
    }

    fn insert(&mut self, at: u64, value: u64) -> Key {
        self.wheel.insert(self.start + Duration::from_nanos(at), value)
    }

    fn cancel(&mut self, key: Key) -> bool {
        self.wheel.remove(key).is_some()
    }

    fn rearm(&mut self, key: Key, at: u64) -> Key {
        let value = self.wheel.remove(key).expect("armed");
        self.insert(at, value)
    }

    fn next(&mut self) -> u64 {
        self.wheel.next_expiry().map_or(u64::MAX, |at| (at - self.start).as_nanos() as u64)
    }

    fn expire(&mut self, now: u64, fired: &mut usize, sum: &mut u64) -> bool {
        self.wheel.advance_to(self.start + Duration::from_nanos(now));
        self.wheel.drain_expired_into(&mut self.due);
        *fired += self.due.len();
        *sum += self.due.drain(..).map(|(_, value)| value).sum::<u64>();
        true
    }
}
