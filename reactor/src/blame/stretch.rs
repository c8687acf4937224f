//! [`Stretch`]: a length of time for which the loop's thread was somebody's.

use std::fmt;
use std::panic::Location;

use crate::blame::meter::Ran;
use crate::event::Event;
use crate::executor::{Origin, TaskId};
use crate::readiness::Direction;
use crate::token::{Timer, Token};

/// A length of time for which the loop's thread was somebody's.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) holder: Holder,
    pub(crate) began_ns: u64,
    pub(crate) ended_ns: u64,
    /// Without what was noted of others that ran within it.
    pub(crate) own_ns: u64,
    /// How many polls, calls, … these were.
    pub(crate) polls: u64,
    pub(crate) turn: u64,
    /// How much of the time the thread ran at all, if that was asked.
    pub(crate) ran: Option<Ran>,
}

impl Stretch {
    /// How much of it lies between two moments.
    pub(crate) fn overlap(&self, from_ns: u64, to_ns: u64) -> u64 {
        let (began_ns, ended_ns) = (self.began_ns.max(from_ns), self.ended_ns.min(to_ns));
        ended_ns.saturating_sub(began_ns).min(self.own_ns)
    }
}

/// Whose time it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// It was polled; or dropped, because it was done or its scope had ended.
    Task { id: TaskId, origin: Origin },
    /// Polls that were short, of many tasks. Never a culprit.
    ShortPolls,
    /// A call from another thread, and where that made it.
    Call(&'static Location<'static>),
    /// What was to be run at the end of a scope, and where that was said.
    Hook(&'static Location<'static>),
    /// On a bare reactor: whoever was given this.
    Handler(Given),
    /// A waker that is not a task's: anybody's code.
    Waker(Option<Given>),
    /// The loop itself.
    Loop,
    /// Nobody drove the loop.
    Outside,
    /// Nothing is accounted.
    Unknown,
}

impl Holder {
    /// Whether it is the same one that holds the loop again.
    pub(crate) fn is(&self, other: &Holder) -> bool {
        match (self, other) {
            (Holder::Task { id, .. }, Holder::Task { id: other, .. }) => id == other,
            _ => self == other,
        }
    }
}

/// What a bare reactor gave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    Ready(Token),
    Deadline(Token, Direction),
    Timer(Timer),
    Cancelled(Token),
    Message,
    Call(Option<&'static Location<'static>>),
    Shutdown,
}

impl Given {
    pub(crate) fn of(event: &Event, called_from: Option<&'static Location<'static>>) -> Given {
        match event {
            Event::Ready { token, .. } => Given::Ready(*token),
            Event::Deadline { token, direction, .. } => Given::Deadline(*token, *direction),
            Event::Timer { timer, .. } => Given::Timer(*timer),
            Event::Cancelled { token, .. } => Given::Cancelled(*token),
            Event::Message(_) => Given::Message,
            Event::Call(_) => Given::Call(called_from),
            Event::Shutdown => Given::Shutdown,
        }
    }

    pub(crate) fn token(self) -> Option<Token> {
        match self {
            Given::Ready(token) | Given::Deadline(token, _) | Given::Cancelled(token) => Some(token),
            _ => None,
        }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Given::Ready(token) => write!(f, "the readiness of {token:?}"),
            Given::Deadline(token, Direction::Read) => write!(f, "the read deadline of {token:?}"),
            Given::Deadline(token, Direction::Write) => write!(f, "the write deadline of {token:?}"),
            Given::Timer(timer) => write!(f, "{timer:?}"),
            Given::Cancelled(token) => write!(f, "the cancel of {token:?}"),
            Given::Message => f.write_str("a message"),
            Given::Call(Some(from)) => write!(f, "the call made at {from}"),
            Given::Call(None) => f.write_str("a call"),
            Given::Shutdown => f.write_str("the shutdown"),
        }
    }
}
