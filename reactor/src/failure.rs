//! [`Failure`]: how an operation can end other than with its result.

use std::fmt;
use std::io;
use std::panic::Location;
use std::time::Duration;

use crate::drift::{Firing, Wait};
use crate::event::Cause;
use crate::instant::Instant;
use crate::scope::ScopeDeadline;
use crate::source::Interrupt;

/// Why an operation on a [`Registration`](crate::Registration) ended without its result. Exactly one of
/// these, and the first that came.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The system call failed.
    Io(io::Error),
    /// A deadline of ours passed. Nothing was consumed and nothing sent.
    Elapsed(OperationElapsed),
    /// Somebody cancelled the source, or a [scope](crate::scope) that the operation is in.
    Cancelled(Cause),
    /// The source was closed while the operation waited, or before.
    Closed,
    /// The runtime is shutting down.
    Shutdown,
}

/// Which deadline ended an operation, and how late.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationElapsed {
    /// When it began; if its deadline was set only while it waited, the start of the turn in which it began.
    pub began: Instant,
    /// When it was to be over.
    pub deadline: Instant,
    /// When it was ended; never before the deadline.
    pub fired: Instant,
    /// Whose deadline it was.
    pub bound: Bound,
    /// Whether the deadline had passed before the operation began: then nothing was late but its caller.
    pub before_it_began: bool,
    /// The wait of the loop before it was ended, against which its lateness is explained.
    pub(crate) wait: Wait,
    pub(crate) held_up_ns: u64,
}

/// The ways of bounding an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bound {
    /// The side's absolute deadline, and where it was set if that was on this thread.
    Deadline(Option<&'static Location<'static>>),
    /// The timeout that every operation on the side gets, and where it was set.
    Timeout(Duration, Option<&'static Location<'static>>),
    /// The deadline of a [scope](crate::scope) that the operation is in.
    Scope(ScopeDeadline),
}

impl OperationElapsed {
    /// How late it was ended; nothing if it began after its deadline.
    #[must_use]
    pub fn lateness(&self) -> Duration {
        if self.before_it_began { Duration::ZERO } else { self.fired - self.deadline }
    }

    /// How its lateness came about: how much of it was chosen, the kernel's and the loop's. `None` if it
    /// [began after its deadline](OperationElapsed::before_it_began), when nothing was late here.
    #[must_use]
    pub fn firing(&self) -> Option<Firing> {
        let explain = || self.wait.explain(self.deadline.as_nanos(), self.fired.as_nanos());
        (!self.before_it_began).then(explain)
    }

    /// For how long the loop was held up while the operation waited: by turns of 20 ms and more, of which
    /// one may have ended after the deadline.
    #[must_use]
    pub fn held_up(&self) -> Duration {
        Duration::from_nanos(self.held_up_ns)
    }
}

impl From<&Interrupt> for Failure {
    fn from(interrupt: &Interrupt) -> Failure {
        match interrupt {
            Interrupt::Cancelled(cause) => Failure::Cancelled(cause.clone()),
            Interrupt::Shutdown => Failure::Shutdown,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Io(error) => error.fmt(f),
            Failure::Elapsed(elapsed) => {
                f.write_str("deadline elapsed")?;
                if let Bound::Scope(deadline) = &elapsed.bound {
                    write!(f, " ({deadline})")?;
                }
                write!(f, ", fired {:?} late", elapsed.lateness())
            }
            Failure::Cancelled(cause) => write!(f, "cancelled: {cause}"),
            Failure::Closed => f.write_str("closed"),
            Failure::Shutdown => f.write_str("the runtime is shutting down"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for io::Error {
    /// The kernel's error stays as it is; the others go inside. A cancel is never `Interrupted`, after which the
    /// standard library would try again.
    fn from(failure: Failure) -> io::Error {
        let kind = match &failure {
            Failure::Io(_) | Failure::Cancelled(_) | Failure::Shutdown => io::ErrorKind::Other,
            Failure::Elapsed(_) => io::ErrorKind::TimedOut,

            Failure::Closed => io::ErrorKind::NotConnected,
        };
        match failure {
            Failure::Io(error) => error,
            other => io::Error::new(kind, other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_breaks_no_line() {
        let failure = Failure::Cancelled(Cause::from("the user\nhas \u{1b}[31mleft"));
        assert_eq!(failure.to_string(), "cancelled: the user\\nhas \\u{1b}[31mleft");
    }
}
