//! What is done to every queue: deadlines uniform over a minute, and two ways of letting that minute pass.

use std::time::{Duration, Instant};

use super::Queue;

/// A minute, in nanoseconds.
pub const MINUTE: u64 = 60_000_000_000;
const STEP: u64 = 1_000_000;

/// xorshift64*, so that every peer sees the same times.
pub struct Random(pub u64);

impl Random {
    /// Uniform in `0..limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((u128::from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)) * u128::from(limit)) >> 64) as u64
    }

    /// Uniform over the minute.
    pub fn deadline(&mut self) -> u64 {
        STEP + self.below(MINUTE - STEP)
    }
}

/// A queue of `size` timers that nobody will cancel; the same ones every time.
pub fn filled<Q: Queue>(size: usize) -> Q {
    let mut random = Random(0x0DDB_1A5E_5BAD_5EED);
    let mut queue = Q::new(size);
    (0..size).for_each(|value| queue.insert_forget(random.deadline(), value as u64));
    queue
}

/// Lets the minute pass in steps of a millisecond; tells the time each call took, in nanoseconds.
pub fn drain<Q: Queue>(queue: &mut Q, size: usize, mut took: impl FnMut(u32)) {
    let (mut fired, mut sum) = (0, 0);
    for step in 1..=MINUTE / STEP + 2 {
        loop {
            let start = Instant::now();
            let complete = queue.expire(step * STEP, &mut fired, &mut sum);
            took(start.elapsed().as_nanos() as u32);
            if complete {
                break;
            }
        }
    }
    assert_eq!(fired, size, "{} lost timers", Q::NAME);
}

/// Goes from next deadline to next deadline, as a loop does: nanoseconds of processor time per firing, of the first
/// 20 000 or of those that fired within two seconds; `None` if none did.
pub fn sleep_and_wake<Q: Queue>(queue: &mut Q, size: usize) -> Option<f64> {
    let (mut fired, mut sum, mut now) = (0, 0, 0);
    let start = cpu_time();
    while fired < size.min(20_000) && cpu_time() - start < Duration::from_secs(2) {
        for _ in 0..100 {
            let before = fired;
            now = queue.next().max(now);
            queue.expire(now.min(2 * MINUTE), &mut fired, &mut sum);
            if fired == before {
                now += Q::TICK;
            }
        }
    }
    (fired > 0).then(|| (cpu_time() - start).as_nanos() as f64 / fired as f64)
}

/// Processor time of this thread.
pub fn cpu_time() -> Duration {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(usage.tv_sec as u64, usage.tv_nsec as u32)
}
