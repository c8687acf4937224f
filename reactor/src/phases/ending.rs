//! [`PhaseEnding`]: how a phase ended, and how often each way.

use std::fmt;
use std::io;

use crate::failure::{Bound, Failure};
use crate::readiness::Direction;
use crate::scope::ScopeEnd;

/// How a phase ended. Exactly one of these, the first that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PhaseEnding {
    /// With its result.
    Done,
    /// Out of time, by this bound.
    Timeout(TimeoutBy),
    /// Cancelled, by its token or its scope.
    Cancelled,
    /// Its future was dropped: in a race with something else, with its task.
    Dropped,
    /// Its source was closed on this side.
    Closed,
    /// By the shutdown of the runtime.
    Shutdown,
    /// With an error of the kernel's other than that it gave up.
    Kernel,
    /// With any other failure, as an end of the stream that came too soon.
    Failed,
}

/// Which bound a phase ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TimeoutBy {
    /// The deadline or budget that was set for it.
    Own,
    /// The timeout that every read of a connection gets anew.
    Idle,
    /// The deadline of a [scope](crate::scope) around it.
    Scope,
    /// A [`timeout`](crate::timeout) around it.
    Guard,
    /// The cap of the phase within a larger budget.
    Cap,
    /// None of ours: the kernel gave up by itself (`ETIMEDOUT`).
    Kernel,
}

impl TimeoutBy {
    /// Its name in metrics; it does not change.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            TimeoutBy::Own => "own",
            TimeoutBy::Idle => "idle",
            TimeoutBy::Scope => "scope",
            TimeoutBy::Guard => "guard",
            TimeoutBy::Cap => "cap",
            TimeoutBy::Kernel => "kernel",
        }
    }
}

impl PhaseEnding {
    /// All there are, in the order in which they are listed.
    pub const ALL: [PhaseEnding; 13] = [
        PhaseEnding::Done,
        PhaseEnding::Timeout(TimeoutBy::Own),
        PhaseEnding::Timeout(TimeoutBy::Idle),
        PhaseEnding::Timeout(TimeoutBy::Scope),
        PhaseEnding::Timeout(TimeoutBy::Guard),
        PhaseEnding::Timeout(TimeoutBy::Cap),
        PhaseEnding::Timeout(TimeoutBy::Kernel),
        PhaseEnding::Cancelled,
        PhaseEnding::Dropped,
        PhaseEnding::Closed,
        PhaseEnding::Shutdown,
        PhaseEnding::Kernel,
        PhaseEnding::Failed,
    ];

    /// Its name in metrics; it does not change.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            PhaseEnding::Done => "done",
            PhaseEnding::Timeout(TimeoutBy::Own) => "timeout-own",
            PhaseEnding::Timeout(TimeoutBy::Idle) => "timeout-idle",
            PhaseEnding::Timeout(TimeoutBy::Scope) => "timeout-scope",
            PhaseEnding::Timeout(TimeoutBy::Guard) => "timeout-guard",
            PhaseEnding::Timeout(TimeoutBy::Cap) => "timeout-cap",
            PhaseEnding::Timeout(TimeoutBy::Kernel) => "timeout-kernel",
            PhaseEnding::Cancelled => "cancelled",
            PhaseEnding::Dropped => "dropped",
            PhaseEnding::Closed => "closed",
            PhaseEnding::Shutdown => "shutdown",
            PhaseEnding::Kernel => "kernel-error",
            PhaseEnding::Failed => "failed",
        }
    }

    /// Whether a bound of ours ended it, and not the kernel's patience.
    #[must_use]
    pub const fn is_timeout_of_ours(self) -> bool {
        match self {
            PhaseEnding::Timeout(by) => !matches!(by, TimeoutBy::Kernel),
            _ => false,
        }
    }

    /// Its place in [`ALL`](PhaseEnding::ALL).
    #[inline]
    const fn index(self) -> usize {
        match self {
            PhaseEnding::Done => 0,
            PhaseEnding::Timeout(by) => 1 + by as usize,
            PhaseEnding::Cancelled => 7,
            PhaseEnding::Dropped => 8,
            PhaseEnding::Closed => 9,
            PhaseEnding::Shutdown => 10,
            PhaseEnding::Kernel => 11,
            PhaseEnding::Failed => 12,
        }
    }

    /// How an operation in `direction` has ended that failed so.
    #[cold]
    pub(crate) fn of(failure: &Failure, direction: Direction) -> PhaseEnding {
        match failure {
            Failure::Io(error) => PhaseEnding::of_io(error),
            Failure::Elapsed(elapsed) => PhaseEnding::Timeout(match (&elapsed.bound, direction) {
                (Bound::Scope(_), _) => TimeoutBy::Scope,
                (Bound::Timeout(..), Direction::Read) => TimeoutBy::Idle,
                (Bound::Timeout(..) | Bound::Deadline(_), _) => TimeoutBy::Own,
            }),
            Failure::Cancelled(_) => PhaseEnding::Cancelled,
            Failure::Closed => PhaseEnding::Closed,
            Failure::Shutdown => PhaseEnding::Shutdown,
        }
    }

    fn of_io(error: &io::Error) -> PhaseEnding {
        match error.raw_os_error() {
            Some(libc::ETIMEDOUT) => PhaseEnding::Timeout(TimeoutBy::Kernel),
            Some(_) => PhaseEnding::Kernel,
            None => PhaseEnding::Failed,
        }
    }

    /// How what a scope held has ended with it.
    #[cold]
    pub(crate) fn of_scope(end: &ScopeEnd) -> PhaseEnding {
        match end {
            ScopeEnd::Elapsed(_) => PhaseEnding::Timeout(TimeoutBy::Scope),
            ScopeEnd::Cancelled(_) => PhaseEnding::Cancelled,
            ScopeEnd::Shutdown => PhaseEnding::Shutdown,
        }
    }
}

impl fmt::Display for PhaseEnding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How often a phase ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseEndings {
    counts: [u64; PhaseEnding::ALL.len()],
}

impl PhaseEndings {
    #[inline]
    pub(crate) fn record(&mut self, ending: PhaseEnding) {
        self.counts[ending.index()] += 1;
    }

    /// How often it ended so.
    #[must_use]
    pub fn count(&self, ending: PhaseEnding) -> u64 {
        self.counts[ending.index()]
    }

    /// How often it ended at all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How often a bound of ours ended it.
    #[must_use]
    pub fn timeouts(&self) -> u64 {
        self.iter().filter(|(ending, _)| ending.is_timeout_of_ours()).map(|(_, count)| count).sum()
    }

    /// Each way, also those that never occurred, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (PhaseEnding, u64)> + '_ {
        PhaseEnding::ALL.into_iter().zip(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_has_a_place_and_a_name_of_its_own() {
        let mut names: Vec<_> = PhaseEnding::ALL.iter().map(|ending| ending.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PhaseEnding::ALL.len());
        for (index, ending) in PhaseEnding::ALL.into_iter().enumerate() {
            assert_eq!(ending.index(), index, "{ending}");
        }
    }

    #[test]
    fn the_kernel_s_patience_is_told_from_ours() {
        let timed_out = Failure::Io(io::Error::from_raw_os_error(libc::ETIMEDOUT));
        let reset = Failure::Io(io::Error::from_raw_os_error(libc::ECONNRESET));
        let short = Failure::Io(io::ErrorKind::UnexpectedEof.into());
        let of = |failure| PhaseEnding::of(failure, Direction::Read);
        assert_eq!(of(&timed_out), PhaseEnding::Timeout(TimeoutBy::Kernel));
        assert!(!of(&timed_out).is_timeout_of_ours());
        assert_eq!(of(&reset), PhaseEnding::Kernel);
        assert_eq!(of(&short), PhaseEnding::Failed);
    }
}
