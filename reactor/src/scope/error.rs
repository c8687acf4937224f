//! [`ScopeError`]: how a scope ended that did not just return.

use std::error::Error as StdError;
use std::fmt;

use crate::event::Cause;
use crate::one_line::OneLine;
use crate::scope::children::{ChildFailure, Report};
use crate::scope::{ScopeDeadline, ScopeEnd};

/// A [`scope`](crate::scope) was ended before its body returned or its tasks were done, or a task of it failed.
///
/// `T` is what the body returns; if it did return, it is [here](ScopeError::into_value).
pub struct ScopeError<T> {
    value: Option<T>,
    what: Box<What>,
}

struct What {
    scope: ScopeDeadline,
    end: Option<ScopeEnd>,
    report: Report,
}

impl<T> ScopeError<T> {
    pub(crate) fn new(
        scope: ScopeDeadline,
        end: Option<ScopeEnd>,
        report: Report,
        value: Option<T>,
    ) -> ScopeError<T> {
        ScopeError { value, what: Box::new(What { scope, end, report }) }
    }

    /// What ended it.
    #[must_use]
    pub fn end(&self) -> Option<&ScopeEnd> {
        self.what.end.as_ref()
    }

    /// Whether a deadline ended it, its own or one around it.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.end().is_some_and(ScopeEnd::is_timeout)
    }

    /// Whether somebody cancelled it, or a task of it failed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.end().is_some_and(ScopeEnd::is_cancelled)
    }

    /// Why it was cancelled, if it was.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        self.end().and_then(ScopeEnd::cause)
    }

    /// The tasks of it that failed or panicked, in that order. The first ended the scope, if nothing else had
    /// before; others may have failed over that end.
    #[must_use]
    pub fn failures(&self) -> &[ChildFailure] {
        &self.what.report.failures
    }

    /// As [`failures`](ScopeError::failures), to keep.
    #[must_use]
    pub fn into_failures(self) -> Vec<ChildFailure> {
        self.what.report.failures
    }

    /// How many tasks still waited after the end, and were dropped.
    #[must_use]
    pub fn cut_short(&self) -> usize {
        self.what.report.cut_short
    }

    /// What the body returned, if it did.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// As [`value`](ScopeError::value), to keep.
    #[must_use]
    pub fn into_value(self) -> Option<T> {
        self.value
    }

    /// The same error without what the body returned.
    #[must_use]
    pub fn without_value(self) -> ScopeError<()> {
        ScopeError { value: None, what: self.what }
    }
}

impl<T> fmt::Display for ScopeError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let What { scope, end, report } = &*self.what;
        write!(f, "scope {:?} ", scope.name())?;
        match (report.failures.as_slice(), end) {
            ([first, others @ ..], _) => {
                // The cause of the end is just that, unless something else came first.
                if let Some(end) = end.as_ref().filter(|end| end.is_timeout() || self.is_foreign(first))
                {
                    write!(f, "{end}; ")?;
                } else {
                    f.write_str("failed: ")?;
                }
                write!(f, "{}", OneLine(&first.to_string()))?;
                if !others.is_empty() {
                    write!(f, "; and {} more", others.len())?;
                }
            }
            ([], Some(end)) => end.fmt(f)?,
            ([], None) => f.write_str("ended")?,
        }
        match report.cut_short {
            0 => Ok(()),
            1 => f.write_str("; a task of it was dropped"),
            tasks => write!(f, "; {tasks} tasks of it were dropped"),
        }
    }
}

impl<T> ScopeError<T> {
    /// Whether the cause of the end was something else than this failure.
    fn is_foreign(&self, first: &ChildFailure) -> bool {
        self.cause().is_some_and(|cause| cause.as_str() != first.to_string())
    }
}

impl<T> fmt::Debug for ScopeError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopeError({self})")
    }
}

impl<T> StdError for ScopeError<T> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.failures().first().map(|first| first as &dyn StdError)
    }
}
