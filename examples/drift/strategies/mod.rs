//! The ways to wait that are compared, and the two questions asked of each: how late, and at what price.
//!
//! A raw way of waiting is a [`Wait`]; [`Naive`] makes an event loop of it. `punctual` brings its own loop. Both are a
//! [`Strategy`] to the measurement. The only switch between operating systems is [`os`].

use std::{io, time::Duration};

mod naive;
#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other.rs")]
mod os;
mod portable;
mod punctual_side;

pub(crate) use naive::Naive;
pub(crate) use os::{now_ns, thread_cpu_ns, tick_hz};

/// A strategy by name, and how to build it on the thread that will use it.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) build: fn(&Load) -> io::Result<Box<dyn Strategy>>,
}

/// The other timers of the loop: how many, and the seed of their intervals.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) timers: usize,
    pub(crate) seed: u64,
}

/// Something that can run one timer.
pub(crate) trait Strategy {
    /// Arms a timer of `wait` and returns once it has fired.
    fn run(&mut self, wait: Duration) -> io::Result<Firing>;
}

/// One timer, fired.
pub(crate) struct Firing {
    /// Clock right after the wake minus (clock right before arming + wait); negative is early.
    pub(crate) lateness_ns: i64,
    /// CPU time of this thread from arming to firing, load timers included.
    pub(crate) cpu_ns: u64,
    /// System calls that waited, load timers included.
    pub(crate) waits: u64,
    /// Timers that fired meanwhile: this one and those of the load.
    pub(crate) timers: u64,
    /// The strategy's own account of it, if it keeps one.
    pub(crate) account: Option<Account>,
}

/// What a runtime that measures itself says of the same timer.
#[derive(Clone, Copy)]
pub(crate) struct Account {
    /// How late it chose to be.
    pub(crate) quantisation_ns: u64,
    /// How late the kernel woke it.
    pub(crate) kernel_ns: u64,
    /// How long the loop then took until it fired the timer.
    pub(crate) loop_ns: u64,
    /// Timers, those of the load included, that it caught firing early.
    pub(crate) early: u64,
}

/// One raw way to wait for a moment.
pub(crate) trait Wait {
    /// Waits until the monotonic clock reads `deadline_ns`; it read `now_ns`, which is less, a moment ago. Returns the
    /// number of waiting system calls. Returning early is the strategy's own affair, and will be counted.
    fn wait(&mut self, now_ns: u64, deadline_ns: u64) -> io::Result<u64>;
}

/// Every strategy this system has, in the order of the table.
pub(crate) fn all() -> Vec<Kind> {
    let mut kinds = os::kinds();
    kinds.extend(punctual_side::kinds());
    kinds.extend(portable::kinds());
    kinds
}

/// Intervals between the firings of one load timer: exponential with a mean of one second. N timers then fire N times
/// a second, at moments that know nothing of each other, and a loop that was paused resumes in the same state.
pub(crate) fn load_interval_ns(rng: &mut fastrand::Rng) -> u64 {
    (-(1.0 - rng.f64()).ln() * 1e9) as u64
}

/// `deadline_ns − now_ns`, as the relative waits want it.
fn until(now_ns: u64, deadline_ns: u64) -> Duration {
    Duration::from_nanos(deadline_ns.saturating_sub(now_ns))
}
