//! [`WaitBound`]: by what a wait ends at the latest.

use std::fmt;
use std::panic::Location;

use crate::one_line::OneLine;
use crate::scope::ScopeDeadline;

/// Which of the bounds of a wait comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitBound {
    /// What is waited for: the end of a sleep.
    Itself,
    /// The deadline of its side of the source, and where it was set if that was on this thread.
    Deadline(Option<&'static Location<'static>>),
    /// The timeout that every operation on its side gets, and where it was set.
    Timeout(Option<&'static Location<'static>>),
    /// The deadline of a [scope](crate::scope) it is in.
    Scope(ScopeDeadline),
    /// A [`timeout`](crate::timeout) or another guard in which it is polled, and where that was made.
    Guard(Option<&'static Location<'static>>),
}

impl WaitBound {
    /// Where it was set, if that is known.
    #[must_use]
    pub fn location(&self) -> Option<&'static Location<'static>> {
        match self {
            WaitBound::Itself => None,
            WaitBound::Scope(scope) => Some(scope.location()),
            WaitBound::Deadline(at) | WaitBound::Timeout(at) | WaitBound::Guard(at) => *at,
        }
    }
}

impl fmt::Display for WaitBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            WaitBound::Itself => return f.write_str("as it is meant to"),
            WaitBound::Scope(scope) => return write!(f, "by scope \"{}\"", OneLine(scope.name())),
            WaitBound::Deadline(_) => "its deadline",
            WaitBound::Timeout(_) => "its timeout",
            WaitBound::Guard(_) => "the timeout",
        };
        match self.location() {
            Some(at) => write!(f, "by {what} set at {at}"),
            None => write!(f, "by {what}"),
        }
    }
}
