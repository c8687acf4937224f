//! The audit: what waits now, for what, since when, and until when.
//!
//! ```text
//!  whatever waits leaves a Note ── since when, until when, by which task, in which scope and frame
//!    sources (side by side), timers, joins, …                        │
//!                                                                     ▼
//!  waits() ── walks over them, resolves scopes and frames ──▶ Waits ──▶ by phase, the oldest, those without deadline
//! ```
//!
//! What waits pays for a note with a few stores where it leaves its waker. Everything else is paid by who asks.

mod bound;
mod enclosing;
mod frame;
mod guard;
mod kept;
mod label;
mod list;
mod subject;
mod wait;
mod walk;

pub use bound::WaitBound;
pub use enclosing::{Enclosing, enclosing};
pub(crate) use frame::{CurrentFrame, Frame};
pub use guard::WaitGuard;
pub(crate) use kept::KeptSubject;
pub(crate) use label::{Label, OtherWait, TimerLabel};
pub use list::{PhaseWaits, WaitCounts, Waits};
pub use subject::Subject;
pub use wait::{Wait, WaitClass};

use crate::executor::{Runtime, context};
use crate::metrics::Metrics;

/// What waits now on the runtime of this thread: see [`Runtime::waits`]. Nothing outside of a runtime.
#[must_use]
pub fn waits() -> Waits {
    context::try_current().map(|driver| driver.waits()).unwrap_or_default()
}

/// What the runtime of this thread has done so far, and what waits now, of one walk over it.
#[doc(hidden)]
#[must_use]
pub fn metrics_and_waits() -> (Metrics, Waits) {
    let Some(driver) = context::try_current() else { return Default::default() };
    let waits = driver.waits();
    (driver.metrics_with(waits.counts()), waits)
}

/// How much waits now on the runtime of this thread: see [`Runtime::wait_counts`]. Nothing outside of a runtime.
#[must_use]
pub fn wait_counts() -> WaitCounts {
    context::try_current().map(|driver| driver.wait_counts()).unwrap_or_default()
}

impl Runtime {
    /// What waits now: every operation on a source, every sleep, join, and [other wait](crate::in_scope_as) of this
    /// runtime's own. What was woken and has not run since is not among them. A task that waits only by means that the
    /// runtime does not know, as another crate's channel, is listed as `unknown`, since its last poll; await such things
    /// [in a scope and under a name](crate::in_scope_as) to see what they are and by what they are bounded.
    ///
    /// What is polled in a [`timeout`](crate::timeout) or [`timeout_at`](crate::timeout_at) is bounded by it, as what is
    /// in a [`scope`](crate::scope) is by that. Such a guard is listed itself only if nothing in it is: then the
    /// runtime does not know for what it waits. A sleep that happens to be awaited beside something else, as by `select`,
    /// bounds nothing as far as the runtime can know.
    ///
    /// An operation through a poll-based interface, as that of the I/O traits, that was given up by a task which goes on is
    /// listed until the next one on that side: nobody tells of it.
    ///
    /// It costs a walk over all sources and timers, and nothing when it is not called. From another thread
    /// have the loop do it: `handle.call(|| tell(waits()))`.
    #[must_use]
    pub fn waits(&self) -> Waits {
        self.driver().waits()
    }

    /// How much waits now, as [`waits`](Runtime::waits) would list it: the same walk, but nothing is put into words.
    #[must_use]
    pub fn wait_counts(&self) -> WaitCounts {
        self.driver().wait_counts()
    }
}
