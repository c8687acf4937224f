//! [`Counters`]: the numbers of [`Metrics`], as a document has them.

use punctual_reactor::Metrics;
use serde::{Deserialize, Serialize};

/// Declares the numbers once, for the document and for where they come from.
macro_rules! counters {
    ($($(#[$documentation:meta])* $name:ident,)*) => {
        /// What the loop has done so far, and how much lives in it now: see [`Metrics`].
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$documentation])* pub $name: u64,)*
        }

        impl From<&Metrics> for Counters {
            fn from(metrics: &Metrics) -> Counters {
                Counters { $($name: metrics.$name as u64,)* }
            }
        }
    };
}

counters! {
    /// Turns of the loop.
    turns,
    /// Calls of the kernel's poll.
    polls,
    /// Of these, with a zero timeout.
    zero_polls,
    /// Polls made while spinning in precise mode; not among `polls`.
    spin_polls,
    /// Sleeps that ended with nothing to do.
    spurious_wakes,
    /// `timerfd_settime` calls.
    settimes,
    /// Readiness events delivered.
    events,
    /// Events, timers and remote commands that named an ended registration, and were dropped.
    stale_events,
    /// Plain timers and deadlines fired.
    fired,
    /// Of these, fired in the same turn as an earlier one.
    coalesced,
    /// Firings before the deadline. Anything but zero is a bug of this crate.
    early,
    /// Wheel entries of connections that met an extended deadline and were filed again.
    refiled,
    /// Wheel entries made or moved for a connection because a deadline came nearer.
    filed,
    /// Remote commands taken from the inbox.
    messages,
    /// System calls that remote threads made to wake the loop.
    remote_signals,
    /// Polls of tasks.
    task_polls,
    /// Nanoseconds spun by precise mode.
    spun_ns,
    /// Registrations that live now.
    live_sources,
    /// Timers that live now, whether of sleeps or plain.
    live_timers,
    /// Entries in the timer wheels now, those of connections included.
    live_wheel_entries,
    /// Scopes that live now, tasks of scopes and shields included.
    live_scopes,
    /// Tasks that live now.
    live_tasks,
    /// Time since the loop was built.
    uptime_ns,
    /// Of it, asleep in the kernel's poll.
    parked_ns,
    /// Remote commands that were handed back because the inbox was full.
    messages_refused,
    /// Remote commands that wait in the inbox now.
    inbox_depth,
    /// The most that have ever waited there at once.
    inbox_depth_max,
    /// How many may wait there.
    inbox_capacity,
    /// Tasks started.
    tasks_spawned,
    /// Sources that were cancelled while they lived.
    cancelled_sources,
    /// Scopes that were ended by a cancel of their own.
    cancelled_scopes,
    /// Tasks that were aborted while they lived.
    aborted_tasks,
    /// Scopes that were ended by their own deadline.
    elapsed_scopes,
    /// Pauses that listeners made for want of descriptors or memory.
    accept_backoffs,
    /// Turns that took the threshold of a stall or longer.
    stalls,
    /// Firings of which the loop's part was that or more.
    late_firings,
    /// Threads of the runtime's blocking pool now.
    blocking_threads,
    /// Calls that wait for one of them now.
    blocking_queued,
}
