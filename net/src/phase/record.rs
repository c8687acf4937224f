//! What the record of phases calls the ends of phases.

use punctual_reactor::{PhaseEnding, TimeoutBy};

use crate::error::{DeadlineInfo, Error, Kind};

impl Error {
    /// What the record of phases calls it.
    pub(crate) fn ending(&self) -> PhaseEnding {
        match self.kind() {
            Kind::Timeout => {
                PhaseEnding::Timeout(self.deadline().map_or(TimeoutBy::Own, DeadlineInfo::by))
            }
            Kind::Cancelled => PhaseEnding::Cancelled,
            Kind::Closed => PhaseEnding::Closed,
            Kind::Shutdown => PhaseEnding::Shutdown,
            Kind::Kernel(libc::ETIMEDOUT) => PhaseEnding::Timeout(TimeoutBy::Kernel),
            Kind::Kernel(_) => PhaseEnding::Kernel,
            _ => PhaseEnding::Failed,
        }
    }
}

impl DeadlineInfo {
    /// What kind of bound it was.
    pub(crate) fn by(&self) -> TimeoutBy {
        match self {
            _ if self.of_scope => TimeoutBy::Scope,
            _ if self.of_cap => TimeoutBy::Cap,
            _ if self.of_guard => TimeoutBy::Guard,
            // A read may also have an absolute deadline.
            _ if self.idle && self.budget.is_some() => TimeoutBy::Idle,
            _ => TimeoutBy::Own,
        }
    }

    /// The same in a word.
    pub(crate) fn kind(&self) -> &'static str {
        match self.by() {
            TimeoutBy::Idle => "idle",
            TimeoutBy::Scope => "scope",
            TimeoutBy::Cap => "cap",
            TimeoutBy::Guard => "guard",
            _ => "own",
        }
    }
}
