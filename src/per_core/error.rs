//! [`CoreError`]: what failed, and on which core.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What went wrong first, and on which core.
///
/// One line, as `core 1: main panicked: index out of bounds`.
#[derive(Debug)]
pub struct CoreError<E> {
    core: usize,
    failure: CoreFailure<E>,
}

/// What can go wrong on a core.
#[derive(Debug)]
#[non_exhaustive]
pub enum CoreFailure<E> {
    /// Its thread or its runtime could not be had; nothing was run on any core.
    Start(io::Error),
    /// `main` returned this.
    Failed(E),
    /// `main` panicked.
    Panicked(CorePanic),
    /// The cores were asked to end, and this `main` had not returned when its time was up: it was dropped.
    Overran {
        /// How long it had been given for draining.
        within: Duration,
    },
    /// Something on it holds its thread, and has not let go of it 5 s after its time was up. The thread was left to itself.
    Stuck,
}

/// What `main` panicked with.
pub struct CorePanic {
    /// In a mutex, though nobody shares it, because an error ought to be `Sync`.
    payload: Mutex<Box<dyn Any + Send>>,
    message: Option<String>,
}

impl<E> CoreError<E> {
    pub(super) fn new(core: usize, failure: CoreFailure<E>) -> CoreError<E> {
        CoreError { core, failure }
    }

    /// The number of the core, from zero.
    #[must_use]
    pub fn core(&self) -> usize {
        self.core
    }

    /// What went wrong there.
    #[must_use]
    pub fn failure(&self) -> &CoreFailure<E> {
        &self.failure
    }

    /// What went wrong there, to keep.
    #[must_use]
    pub fn into_failure(self) -> CoreFailure<E> {
        self.failure
    }
}

impl CorePanic {
    pub(super) fn new(payload: Box<dyn Any + Send>) -> CorePanic {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = text.or_else(|| payload.downcast_ref::<String>().cloned());
        CorePanic { payload: Mutex::new(payload), message }
    }

    /// What it said, if it was text.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// For [`std::panic::resume_unwind`].
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: fmt::Display> fmt::Display for CoreError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "core {}: ", self.core)?;
        match &self.failure {
            CoreFailure::Start(error) => write!(f, "cannot be started: {error}"),
            CoreFailure::Failed(error) => error.fmt(f),
            CoreFailure::Panicked(panic) => match panic.message() {
                Some(message) => write!(f, "main panicked: {message}"),
                None => f.write_str("main panicked"),
            },
            CoreFailure::Overran { within } => {
                write!(f, "main had not returned when the {within:?} it had for draining were over")
            }
            CoreFailure::Stuck => {
                f.write_str("something holds the thread, which was to end: it was left to itself")
            }
        }
    }
}

impl<E: Error + 'static> Error for CoreError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.failure {
            CoreFailure::Start(error) => Some(error),
            // What it says has been said: its own sources are next.
            CoreFailure::Failed(error) => error.source(),
            _ => None,
        }
    }
}

impl fmt::Debug for CorePanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CorePanic").field("message", &self.message).finish_non_exhaustive()
    }
}
