//! [`ScopeEnd`]: what ended a scope.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::drift::{Fired, Firing, Wait};
use crate::event::Cause;
use crate::failure::{Bound, Failure, OperationElapsed};
use crate::instant::Instant;
use crate::text::Text;

/// What ended a scope before it was done. It is the first thing that did, and never changes.
///
/// A scope within one that has ended has the same end: the names in it say whose it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScopeEnd {
    /// Its deadline passed, or that of a scope around it.
    Elapsed(ScopeElapsed),
    /// It was cancelled, or a scope around it; [`Cause::scope`] says which.
    Cancelled(Cause),
    /// The runtime is shutting down.
    Shutdown,
}

/// Which scope's deadline passed, and how late that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScopeElapsed {
    /// When it was to be over.
    pub deadline: Instant,
    /// When it was ended; never before the deadline.
    pub fired: Instant,
    /// Whose deadline it was.
    pub of: ScopeDeadline,
    /// The wait of the loop before it was ended, against which its lateness is explained.
    pub(crate) wait: Wait,
}

/// The deadline of a scope, as it was set.
#[derive(Clone, PartialEq, Eq)]
pub struct ScopeDeadline {
    pub(crate) name: Text,
    pub(crate) budget: Option<Duration>,
    pub(crate) set_at: &'static Location<'static>,
}

impl ScopeDeadline {
    /// The name of the scope.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How much time the scope was given; `None` if it was given an absolute deadline.
    #[must_use]
    pub fn budget(&self) -> Option<Duration> {
        self.budget
    }

    /// Where the scope was made.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.set_at
    }
}

impl ScopeElapsed {
    /// How much later than the deadline it was ended.
    #[must_use]
    pub fn lateness(&self) -> Duration {
        self.fired - self.deadline
    }

    /// How its lateness came about.
    #[must_use]
    pub fn firing(&self) -> Firing {
        let (deadline_ns, fired) = self.fired();
        fired.firing(deadline_ns)
    }

    /// The same, as it is recorded.
    pub(crate) fn fired(&self) -> (u64, Fired) {
        let deadline_ns = self.deadline.as_nanos();
        (deadline_ns, self.wait.fired(deadline_ns, self.fired.as_nanos()))
    }
}

impl ScopeEnd {
    /// Whether a deadline ended it.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, ScopeEnd::Elapsed(_))
    }

    /// Whether somebody cancelled it.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, ScopeEnd::Cancelled(_))
    }

    /// Why it was cancelled, if it was.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            ScopeEnd::Cancelled(cause) => Some(cause),
            _ => None,
        }
    }

    /// The name of the scope whose deadline passed or that was cancelled.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        match self {
            ScopeEnd::Elapsed(elapsed) => Some(elapsed.of.name()),
            ScopeEnd::Cancelled(cause) => cause.scope(),
            ScopeEnd::Shutdown => None,
        }
    }

    /// What an operation fails with that it has ended; `began_at_ns` is when that began, or `None` if it found it
    /// ended.
    pub(crate) fn failure(&self, began_at_ns: Option<u64>) -> Failure {
        match self {
            ScopeEnd::Elapsed(elapsed) => Failure::Elapsed(OperationElapsed {
                deadline: elapsed.deadline,
                fired: elapsed.fired,
                bound: Bound::Scope(elapsed.of.clone()),
                before_it_began: began_at_ns.is_none(),
                began: began_at_ns.map_or(elapsed.fired, Instant::from_nanos),
                wait: elapsed.wait,
                held_up_ns: 0,
            }),
            ScopeEnd::Cancelled(cause) => Failure::Cancelled(cause.clone()),
            ScopeEnd::Shutdown => Failure::Shutdown,
        }
    }

    /// That of what outlived its scope.
    pub(crate) fn over(name: &Text) -> ScopeEnd {
        ScopeEnd::Cancelled(Cause::from("the scope is over").of_scope(name.clone()))
    }
}

impl fmt::Display for ScopeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScopeEnd::Elapsed(elapsed) => {
                match elapsed.of.budget {
                    Some(budget) => write!(f, "timed out after {budget:?}")?,
                    None => f.write_str("missed its deadline")?,
                }
                write!(f, " ({}), fired {:?} late", elapsed.of, elapsed.lateness())
            }
            ScopeEnd::Cancelled(cause) => {
                write!(f, "was cancelled: {cause}")?;
                match cause.scope() {
                    Some(name) => write!(f, " (scope {name:?})"),
                    None => Ok(()),
                }
            }
            ScopeEnd::Shutdown => f.write_str("ended: the runtime is shutting down"),
        }
    }
}

impl fmt::Display for ScopeDeadline {
    /// `deadline "checkout", set at src/main.rs:31:12`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "deadline {:?}, set at {}", self.name(), self.set_at)
    }
}

impl fmt::Debug for ScopeDeadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopeDeadline({self})")
    }
}
