//! [`Metrics`]: what the loop has done so far, as one plain struct.

use crate::drift::Drift;
use crate::executor::{Driver, Runtime, context};
use crate::phases::PhaseRecord;
use crate::reactor::Reactor;
use crate::system::BlockingPool;
use crate::waits::WaitCounts;

/// What one loop has done since it was built, and how much lives in it now.
///
/// A snapshot: it does not change with the loop. Numbers that only grow are `u64`, what lives now is `usize`, and
/// times are nanoseconds of the loop's clock, with `_ns` last in the name.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// Time since the loop was built.
    pub uptime_ns: u64,
    /// Of it, asleep in the kernel's poll: the loop had nothing to do. The rest is polls, tasks and spinning. For a
    /// loop within another, from [`prepare`](Reactor::prepare) to the turn after it. On a virtual clock, the jumps.
    pub parked_ns: u64,
    /// Nanoseconds spun by precise mode.
    pub spun_ns: u64,
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
    /// How late everything fired, and through whom.
    pub drift: Drift,
    /// Wheel entries of connections that met an extended deadline and were filed again.
    pub refiled: u64,
    /// Wheel entries made or moved for a connection because a deadline came nearer.
    pub filed: u64,
    /// Remote commands taken from the inbox.
    pub messages: u64,
    /// Remote commands that were handed back because the inbox was [full](crate::SendError::Full).
    pub messages_refused: u64,
    /// System calls that remote threads made to wake the loop.
    pub remote_signals: u64,
    /// Remote commands that wait in the inbox now.
    pub inbox_depth: usize,
    /// The most that have ever waited there at once.
    pub inbox_depth_max: usize,
    /// How many may wait there; what the runtime tells itself comes on top.
    pub inbox_capacity: usize,
    /// Tasks started.
    pub tasks_spawned: u64,
    /// Polls of tasks, and of the future of `block_on`.
    pub task_polls: u64,
    /// Sources that were cancelled while they lived, from this thread or another.
    pub cancelled_sources: u64,
    /// Scopes that were ended by a cancel of their own; those inside them are not counted.
    pub cancelled_scopes: u64,
    /// Tasks that were aborted while they lived.
    pub aborted_tasks: u64,
    /// Scopes that were ended by their own deadline; those inside them are not counted.
    pub elapsed_scopes: u64,
    /// Pauses that listeners made for want of descriptors or memory.
    pub accept_backoffs: u64,
    /// How each phase has fared that has ended at least once, ordered by name: how long it took, how it ended, what
    /// time it was given. See [`Runtime::phases`].
    pub phases: Vec<PhaseRecord>,
    /// Turns that took the [threshold of a stall](crate::Builder::stall_threshold) or longer.
    pub stalls: u64,
    /// Firings of which the loop's part was that or more.
    pub late_firings: u64,
    /// What waits now, and how much of it without a deadline. On a bare reactor nothing is known of it.
    pub waits: WaitCounts,
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
    /// Threads of the runtime's [blocking](crate::blocking) pool now.
    pub blocking_threads: usize,
    /// Calls that wait for one of them now.
    pub blocking_queued: usize,
}

/// What the runtime of this thread has done so far: see [`Runtime::metrics`]. From another thread have the loop
/// tell: `handle.call(|| tell(metrics()))`. All zero outside of a runtime.
#[must_use]
pub fn metrics() -> Metrics {
    context::try_current().map(|driver| driver.metrics()).unwrap_or_default()
}

/// How late everything fired so far on the runtime of this thread, and through whom: see [`Runtime::drift`]. Empty
/// outside of a runtime.
#[must_use]
pub fn drift() -> Drift {
    context::try_current().map(|driver| driver.reactor.borrow().drift().clone()).unwrap_or_default()
}

/// Counts a pause of a listener. Nothing outside of a runtime.
#[doc(hidden)]
pub fn count_accept_backoff() {
    context::with(|driver| {
        if let Some(driver) = driver {
            driver.reactor.borrow_mut().metrics.accept_backoffs += 1;
        }
    });
}

impl Runtime {
    /// What the loop has done so far, as one plain struct. It costs a copy of the histograms (60 KiB, and 30 KiB a
    /// phase) and the walk of [`wait_counts`](Runtime::wait_counts), and nothing when it is not called.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.driver().metrics()
    }
}

impl Reactor {
    /// What the loop has done so far. Of tasks a bare reactor knows nothing.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let (inbox_depth, blame) = (self.remote.depth(), self.blame());
        Metrics {
            uptime_ns: self.clock.now().as_nanos().saturating_sub(self.built_at_ns),
            early: self.metrics.drift.early,
            messages_refused: self.remote.refused(),
            remote_signals: self.remote.signals(),
            inbox_depth,
            inbox_depth_max: self.inbox.depth_max().max(inbox_depth),
            inbox_capacity: self.remote.capacity(),
            phases: self.phases.records(),
            stalls: blame.stalls,
            late_firings: blame.late_firings,
            live_sources: self.sources.len(),
            live_timers: self.plain.len(),
            live_wheel_entries: self.timers.len(),
            live_scopes: self.scopes.nodes.len(),
            ..self.metrics.clone()
        }
    }
}

impl Driver {
    pub(crate) fn metrics(&self) -> Metrics {
        self.metrics_with(self.wait_counts())
    }

    /// For who has counted the waits already.
    pub(crate) fn metrics_with(&self, waits: WaitCounts) -> Metrics {
        let pool = self.locals.get::<BlockingPool>();
        let (blocking_threads, blocking_queued) = pool.map_or((0, 0), |pool| pool.load());
        Metrics {
            tasks_spawned: self.counts.spawned.get(),
            task_polls: self.counts.polls.get(),
            aborted_tasks: self.tasks.aborted.get(),
            live_tasks: self.live_tasks(),
            waits,
            blocking_threads,
            blocking_queued,
            ..self.reactor.borrow().metrics()
        }
    }
}
