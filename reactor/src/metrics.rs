//! [`Metrics`]: what the loop has done so far, as one plain struct.

/// Counters of one reactor since it was built, and how much lives in it now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Turns of the loop.
    pub turns: u64,
    /// Calls of the kernel's poll.
    pub polls: u64,
    /// Of these, with a zero timeout.
    pub zero_polls: u64,
    /// Polls made while spinning in precise mode; not among [`polls`](Metrics::polls).
    pub spin_polls: u64,
    /// Sleeps that ended with nothing to do, as after an alarm for a deadline since extended.
    pub spurious_wakes: u64,
    /// `timerfd_settime` calls.
    pub settimes: u64,
    /// Readiness events delivered.
    pub events: u64,
    /// Events, timers and remote commands that named an ended registration, and were dropped.
    pub stale_events: u64,
    /// Plain timers and deadlines fired.
    pub fired: u64,
    /// Of these, fired in the same turn as an earlier one.
    pub coalesced: u64,
    /// Firings before the deadline. Anything but zero is a bug of this crate.
    pub early: u64,
    /// Wheel entries of connections that met an extended deadline and were filed again.
    pub refiled: u64,
    /// Wheel entries made or moved for a connection because a deadline came nearer.
    pub filed: u64,
    /// Remote commands taken from the inbox.
    pub messages: u64,
    /// System calls that remote threads made to wake the loop.
    pub remote_signals: u64,
    /// Polls of tasks.
    pub task_polls: u64,
    /// Nanoseconds spun by precise mode.
    pub spun_ns: u64,
    /// Registrations that live now.
    pub live_sources: usize,
    /// Timers that live now, whether of sleeps or plain.
    pub live_timers: usize,
    /// Entries in the timer wheels now, those of connections included.
    pub live_wheel_entries: usize,
    /// Scopes that live now, tasks of scopes and shields included.
    pub live_scopes: usize,
    /// Tasks that live now.
    pub live_tasks: usize,
}
