//! Systems other than Linux: the standard library's waits and punctual are compared, and time is `Instant`'s.

use std::{sync::OnceLock, time::Instant};

use rustix::time::{ClockId, clock_gettime};

use super::Kind;

/// None of epoll's strategies exists here.
pub(super) fn kinds() -> Vec<Kind> {
    Vec::new()
}

/// The clock that `std::time::Instant` reads, since the first call.
pub(crate) fn now_ns() -> u64 {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    EPOCH.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu_ns() -> u64 {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Not told.
pub(crate) fn tick_hz() -> Option<u64> {
    None
}
