//! [`BlockingError`]: why work that blocks has no result.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

use crate::failure::Failure;

/// Why work that blocks has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum BlockingError {
    /// All threads are busy and the queue is full. The work was not begun; to try again later is safe.
    Overloaded,
    /// No thread could be started, and there is none. The work was not begun.
    NoThread(io::Error),
    /// The work panicked.
    Panicked(BlockingPanic),
    /// The wait was ended: by its scope, by the runtime that shuts down, or by the pool that was closed. Work that has begun
    /// goes on.
    Ended(Failure),
}

/// What work that blocks has panicked with.
pub struct BlockingPanic(Mutex<Box<dyn Any + Send>>);

impl BlockingPanic {
    /// The panic, to be resumed.
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn message(&self) -> String {
        let panic = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        text.unwrap_or_else(|| "no message".into())
    }
}

impl fmt::Debug for BlockingPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockingPanic({:?})", self.message())
    }
}

impl BlockingError {
    pub(super) fn panicked(panic: Box<dyn Any + Send>) -> BlockingError {
        // In a mutex, though nobody shares it, because an error ought to be `Sync`.
        BlockingError::Panicked(BlockingPanic(Mutex::new(panic)))
    }
}

impl fmt::Display for BlockingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockingError::Overloaded => f.write_str(
                "the blocking pool is overloaded: all threads are busy and the queue is full",
            ),
            BlockingError::NoThread(error) => write!(f, "cannot start a thread to block on: {error}"),
            BlockingError::Panicked(panic) => write!(f, "blocking work panicked: {}", panic.message()),
            BlockingError::Ended(failure) => write!(f, "the wait for blocking work ended: {failure}"),
        }
    }
}

impl std::error::Error for BlockingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BlockingError::NoThread(error) => Some(error),
            BlockingError::Ended(failure) => Some(failure),
            BlockingError::Overloaded | BlockingError::Panicked(_) => None,
        }
    }
}

impl From<BlockingError> for io::Error {
    fn from(error: BlockingError) -> io::Error {
        match error {
            BlockingError::Overloaded => io::Error::new(io::ErrorKind::ResourceBusy, error),
            BlockingError::Ended(failure) => failure.into(),
            other => io::Error::other(other),
        }
    }
}

impl From<Failure> for BlockingError {
    fn from(failure: Failure) -> BlockingError {
        BlockingError::Ended(failure)
    }
}

impl From<BlockingError> for Failure {
    fn from(error: BlockingError) -> Failure {
        match error {
            BlockingError::Ended(failure) => failure,
            other => Failure::Io(other.into()),
        }
    }
}
