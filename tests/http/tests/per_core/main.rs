//! One runtime a core: who serves what, and how the cores end together.

mod ends;
mod ports;
mod restarts;
mod starts;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use punctual_tests_http::rig::{Watchdog, watchdog};

const MS: Duration = Duration::from_millis(1);

/// What no test takes; ten times as long, and it is ended.
const LONG: Duration = Duration::from_secs(10);

/// Threads and descriptors are the process's: one test at a time, and none for ever.
fn alone(what: &'static str) -> (MutexGuard<'static, ()>, Watchdog) {
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    (one, watchdog(what, LONG))
}
