//! [`Event`]: what one turn of the loop found.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;

use crate::drift::Firing;
use crate::one_line::OneLine;
use crate::readiness::{Direction, Readiness};
use crate::text::Text;
use crate::token::{Timer, Token};

/// Why something was cancelled, in the words of whoever cancelled it. Two are equal if the words are.
#[derive(Clone, Debug)]
pub struct Cause {
    words: Text,
    /// The scope that was cancelled, if it was a scope.
    scope: Option<Text>,
}

impl Cause {
    pub(crate) fn of_scope(self, name: Text) -> Cause {
        Cause { words: self.words, scope: Some(name) }
    }

    /// What was said.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.words
    }

    /// The name of the scope that was cancelled, if it was a [scope](crate::scope) and not a source.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }
}

impl<S: Into<Cow<'static, str>>> From<S> for Cause {
    fn from(words: S) -> Cause {
        Cause { words: words.into().into(), scope: None }
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Cause) -> bool {
        self.words == other.words
    }
}

impl Eq for Cause {}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        OneLine(&self.words).fmt(f)
    }
}

/// One thing that happened, given out by [`Reactor::next_event`](crate::Reactor::next_event).
#[non_exhaustive]
pub enum Event {
    /// The kernel says that a source may make progress. It may say so in vain.
    Ready {
        /// Whose.
        token: Token,
        /// What is new.
        readiness: Readiness,
    },
    /// The deadline set on one side of a source has passed; it is cleared.
    Deadline {
        /// Whose.
        token: Token,
        /// Which side's.
        direction: Direction,
        /// When, and how late.
        firing: Firing,
    },
    /// A plain timer has fired, and is gone.
    Timer {
        /// Which.
        timer: Timer,
        /// When, and how late.
        firing: Firing,
    },
    /// A remote thread has cancelled a source.
    Cancelled {
        /// Whose.
        token: Token,
        /// Why.
        cause: Cause,
    },
    /// A remote thread has sent a message.
    Message(Box<dyn Any + Send>),
    /// A remote thread wants this run on the loop's thread.
    Call(Box<dyn FnOnce() + Send>),
    /// A remote thread has asked for an end.
    Shutdown,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Ready { token, readiness } => write!(f, "Ready({token:?}, {readiness:?})"),
            Event::Deadline { token, direction, firing } => {
                write!(f, "Deadline({token:?}, {direction:?}, {:?} late)", firing.lateness())
            }
            Event::Timer { timer, firing } => {
                write!(f, "Timer({timer:?}, {:?} late)", firing.lateness())
            }
            Event::Cancelled { token, cause } => write!(f, "Cancelled({token:?}, {cause})"),
            Event::Message(_) => f.write_str("Message(..)"),
            Event::Call(_) => f.write_str("Call(..)"),
            Event::Shutdown => f.write_str("Shutdown"),
        }
    }
}
