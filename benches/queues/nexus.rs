//! `nexus-timer`, in its default layout.

use std::time::{Duration, Instant};

use nexus_timer::{TimerHandle, Wheel};

use super::Queue;

/// A wheel that does not cascade, ticks of a millisecond.
pub struct Nexus {
    wheel: Wheel<u64>,
    start: Instant,
    due: Vec<u64>,
}

impl Queue for Nexus {
    const NAME: &'static str = "nexus-timer";
    type Key = TimerHandle<u64>;

    fn new(expected: usize) -> Self {
        let start = Instant::now();
        Nexus { wheel: Wheel::unbounded(expected.clamp(4096, 1 << 16), start), start, due: Vec::new() }
    }

    fn insert(&mut self, at: u64, value: u64) -> Self::Key {
        self.wheel.schedule(self.start + Duration::from_nanos(at), value)
    }

    fn insert_forget(&mut self, at: u64, value: u64) {
        self.wheel.schedule_forget(self.start + Duration::from_nanos(at), value);
    }

    fn cancel(&mut self, key: Self::Key) -> bool {
        self.wheel.cancel(key).is_some()
    }

    fn rearm(&mut self, key: Self::Key, at: u64) -> Self::Key {
        self.wheel.reschedule(key, self.start + Duration::from_nanos(at))
    }

    fn next(&mut self) -> u64 {
        self.wheel.next_deadline().map_or(u64::MAX, |at| (at - self.start).as_nanos() as u64)
    }

    fn expire(&mut self, now: u64, fired: &mut usize, sum: &mut u64) -> bool {
        *fired += self.wheel.poll(self.start + Duration::from_nanos(now), &mut self.due);
        *sum += self.due.drain(..).sum::<u64>();
        true
    }
}
