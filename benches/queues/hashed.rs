//! `hierarchical_hash_wheel_timer`, its cancellable wheel.

use std::time::Duration;

use hierarchical_hash_wheel_timer::IdOnlyTimerEntry;
use hierarchical_hash_wheel_timer::wheels::Skip;
use hierarchical_hash_wheel_timer::wheels::cancellable::QuadWheelWithOverflow;

use super::Queue;

/// Four levels of 256 slots, ticks of a millisecond, a hash map for cancelling.
pub struct HashWheel {
    wheel: QuadWheelWithOverflow<IdOnlyTimerEntry<u64>>,
    now_ms: u64,
    serial: u64,
}

impl Queue for HashWheel {
    const NAME: &'static str = "hierarchical_hash_wheel_timer";
    type Key = u64;

    fn new(_expected: usize) -> Self {
        HashWheel { wheel: QuadWheelWithOverflow::new(), now_ms: 0, serial: 0 }
    }

    fn insert(&mut self, at: u64, _value: u64) -> u64 {
        self.serial += 1;
        let delay = Duration::from_millis(at.div_ceil(1_000_000).saturating_sub(self.now_ms).max(1));
        self.wheel.insert(IdOnlyTimerEntry { id: self.serial, delay }).expect("in the future");
        self.serial
    }

    fn cancel(&mut self, key: u64) -> bool {
        self.wheel.cancel(&key).is_ok()
    }

    fn rearm(&mut self, key: u64, at: u64) -> u64 {
        assert!(self.cancel(key));
        self.insert(at, 0)
    }

    fn next(&mut self) -> u64 {
        match self.wheel.can_skip() {
            Skip::Empty => u64::MAX,
            Skip::Millis(ms) => (self.now_ms + u64::from(ms) + 1) * 1_000_000,
            Skip::None => (self.now_ms + 1) * 1_000_000,
        }
    }

    fn expire(&mut self, now: u64, fired: &mut usize, sum: &mut u64) -> bool {
        let target = now / 1_000_000;
        while self.now_ms < target {
            let left = (target - self.now_ms) as u32;
            match self.wheel.can_skip() {
                Skip::Empty => {
                    self.wheel.skip(left);
                    self.now_ms = target;
                }
                Skip::Millis(ms) => {
                    self.wheel.skip(ms.min(left));
                    self.now_ms += u64::from(ms.min(left));
                }
                Skip::None => {
                    self.now_ms += 1;
                    for entry in self.wheel.tick() {
                        *fired += 1;
                        *sum += entry.id;
                    }
                }
            }
        }
        true
    }
}
