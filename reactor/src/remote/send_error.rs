//! [`SendError`]: a command that was not taken.

use std::fmt;
use std::io;

/// A command that the inbox did not take, with what was to be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendError<T = ()> {
    /// The inbox is full: the loop is behind by as many messages as it holds.
    Full(T),
    /// The reactor is gone, or is that of the process which this one was forked off from.
    Closed(T),
    /// A runtime runs the loop, and nobody there reads messages.
    NoReader(T),
    /// The token was given out by another reactor.
    Foreign(T),
}

impl<T> SendError<T> {
    /// What was to be sent.
    pub fn into_inner(self) -> T {
        match self {
            SendError::Full(value)
            | SendError::Closed(value)
            | SendError::NoReader(value)
            | SendError::Foreign(value) => value,
        }
    }

    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> SendError<U> {
        match self {
            SendError::Full(value) => SendError::Full(change(value)),
            SendError::Closed(value) => SendError::Closed(change(value)),
            SendError::NoReader(value) => SendError::NoReader(change(value)),
            SendError::Foreign(value) => SendError::Foreign(change(value)),
        }
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full(_) => "Full",
            SendError::Closed(_) => "Closed",
            SendError::NoReader(_) => "NoReader",
            SendError::Foreign(_) => "Foreign",
        })
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full(_) => "the loop's inbox is full: it is behind with its messages",
            SendError::Closed(_) => "the loop is gone",
            SendError::NoReader(_) => "a runtime reads no messages: use `call` or `spawn`",
            SendError::Foreign(_) => "foreign token: another reactor gave it out",
        })
    }
}

impl<T> std::error::Error for SendError<T> {}

impl<T> From<SendError<T>> for io::Error {
    fn from(error: SendError<T>) -> io::Error {
        let kind = match error {
            SendError::Full(_) => io::ErrorKind::QuotaExceeded,
            SendError::Closed(_) => io::ErrorKind::NotConnected,
            SendError::NoReader(_) => io::ErrorKind::Unsupported,
            SendError::Foreign(_) => io::ErrorKind::NotFound,
        };
        io::Error::new(kind, error.to_string())
    }
}
