//! [`DeadlineInfo`]: which deadline it was.

use std::borrow::Cow;
use std::panic::Location;
use std::time::Duration;

use punctual_reactor::{Bound, Elapsed, Instant, OperationElapsed};

/// The deadline that ended an operation.
#[derive(Clone, Debug)]
pub struct DeadlineInfo {
    pub(crate) deadline: Instant,
    pub(crate) fired: Instant,
    pub(crate) budget: Option<Duration>,
    pub(crate) set_at: Option<&'static Location<'static>>,
    pub(crate) name: Option<Cow<'static, str>>,
}

impl DeadlineInfo {
    /// When it was to be over.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How long the operation had, if it was bounded by a timeout; `None` for an absolute deadline.
    #[must_use]
    pub fn budget(&self) -> Option<Duration> {
        self.budget
    }

    /// When it was ended; never before the deadline.
    #[must_use]
    pub fn fired(&self) -> Instant {
        self.fired
    }

    /// How much later than the deadline it was ended.
    #[must_use]
    pub fn lateness(&self) -> Duration {
        self.fired - self.deadline
    }

    /// Where in the program it was set, if that was on the loop's thread.
    #[must_use]
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.set_at
    }

    /// The name that was given to the operation.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl From<OperationElapsed> for DeadlineInfo {
    fn from(elapsed: OperationElapsed) -> DeadlineInfo {
        let (budget, set_at) = match elapsed.bound {
            Bound::Deadline(set_at) => (None, set_at),
            Bound::Timeout(budget, set_at) => (Some(budget), set_at),
        };
        DeadlineInfo { deadline: elapsed.deadline, fired: elapsed.fired, budget, set_at, name: None }
    }
}

impl From<Elapsed> for DeadlineInfo {
    fn from(elapsed: Elapsed) -> DeadlineInfo {
        DeadlineInfo {
            deadline: elapsed.deadline(),
            fired: elapsed.firing().fired,
            budget: Some(elapsed.budget()),
            set_at: Some(elapsed.location()),
            name: None,
        }
    }
}
