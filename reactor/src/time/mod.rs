//! Sleeping, and ending what takes too long.

mod interval;
mod now;
mod send_sleep;
mod sleep;
mod timeout;
mod timing;

pub use interval::{Interval, MissedTicks, interval, interval_at};
pub use send_sleep::SendSleep;
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Elapsed, timeout, timeout_at};
