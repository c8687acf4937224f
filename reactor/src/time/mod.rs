//! Sleeping, and ending what takes too long.

mod interval;
mod now;
mod sleep;
mod timeout;

pub use interval::{Interval, MissedTicks, interval, interval_at};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Elapsed, timeout, timeout_at};
