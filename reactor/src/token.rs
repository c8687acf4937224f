//! [`Token`]: the name of one registration, for ever.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::arena::Id;

const _: () = assert!(usize::BITS == 64, "a token needs 64 bits: generation and index");

/// Names one registration with one reactor, for ever.
///
/// File descriptors and slots are reused; a token is not. An event, a timer or a remote command that
/// carries the token of a registration that has ended is dropped and counted
/// ([`Metrics::stale_events`](crate::Metrics::stale_events)), never delivered to whoever came after.
///
/// ```text
/// mio's usize:  generation (32 bits) | index (32 bits)      and beside it the reactor it belongs to
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    pub(crate) id: Id,
    pub(crate) reactor: ReactorId,
}

impl Token {
    pub(crate) fn to_mio(id: Id) -> mio::Token {
        mio::Token(id.to_bits() as usize)
    }

    /// `None` of one that names no registration.
    #[inline]
    pub(crate) fn id_of(token: mio::Token) -> Option<Id> {
        Id::from_bits(token.0 as u64)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}#{} of reactor {})", self.id.index, self.id.generation, self.reactor.0)
    }
}

/// Names one plain timer of one reactor, for ever; a fired or cancelled one names nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timer {
    pub(crate) id: Id,
    pub(crate) reactor: ReactorId,
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timer({}#{} of reactor {})", self.id.index, self.id.generation, self.reactor.0)
    }
}

/// Tells the reactors of a process apart, so that one's token is refused by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ReactorId(pub(crate) u32);

impl ReactorId {
    pub(crate) fn next() -> ReactorId {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        ReactorId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A [`Token`] or [`Timer`] was used whose registration has ended, or which another reactor gave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StaleToken {
    /// What it named has been deregistered, fired or cancelled.
    Ended,
    /// It was given out by another reactor.
    Foreign,
}

impl fmt::Display for StaleToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StaleToken::Ended => "stale token: what it named has ended",
            StaleToken::Foreign => "foreign token: another reactor gave it out",
        })
    }
}

impl std::error::Error for StaleToken {}

impl From<StaleToken> for io::Error {
    fn from(stale: StaleToken) -> io::Error {
        io::Error::new(io::ErrorKind::NotFound, stale)
    }
}
