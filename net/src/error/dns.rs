//! [`DnsFailure`]: why a name did not resolve.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use super::{Error, Kind, Phase};

/// Why a name did not resolve, for an error of [`Kind::Dns`](super::Kind::Dns).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DnsFailure {
    /// There is no such name (NXDOMAIN).
    NoSuchName,
    /// The name exists, and has no address.
    NoAddress,
    /// Servers answered, but none of them with an answer: SERVFAIL, REFUSED, a referral, nonsense. It may pass.
    ServerFailure,
    /// No server answered in time, or none could be reached. It may pass.
    NoAnswer,
    /// A name that is not to be asked for, as one that ends in `.onion` (RFC 7686).
    NotAsked,
}

impl DnsFailure {
    /// Whether the same lookup may succeed a little later.
    #[must_use]
    pub fn may_pass(self) -> bool {
        matches!(self, DnsFailure::ServerFailure | DnsFailure::NoAnswer)
    }
}

impl fmt::Display for DnsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DnsFailure::NoSuchName => "there is no such name",
            DnsFailure::NoAddress => "the name has no address",
            DnsFailure::ServerFailure => "the servers failed",
            DnsFailure::NoAnswer => "no answer",
            DnsFailure::NotAsked => "such names are not asked for",
        })
    }
}

/// What an [`Error`] of kind `Dns` has as its source.
#[derive(Debug)]
pub(crate) struct Why {
    failure: DnsFailure,
    sentence: String,
}

impl Why {
    pub(crate) fn error(failure: DnsFailure, sentence: impl Into<String>) -> Error {
        let why = Why { failure, sentence: sentence.into() };
        Error::new(Kind::Dns, Phase::Resolve).because(io::Error::other(why))
    }

    pub(crate) fn failure(&self) -> DnsFailure {
        self.failure
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl StdError for Why {}

/// Why a lookup of the system's failed. The standard library keeps the words alone: those of glibc and musl.
pub(super) fn in_words_of_the_system(error: &io::Error) -> Option<DnsFailure> {
    const WORDS: [(&str, DnsFailure); 7] = [
        ("Temporary failure in name resolution", DnsFailure::NoAnswer),
        ("Try again", DnsFailure::NoAnswer),
        ("Name or service not known", DnsFailure::NoSuchName),
        ("Name does not resolve", DnsFailure::NoSuchName),
        ("No address associated with hostname", DnsFailure::NoAddress),
        ("Name has no usable address", DnsFailure::NoAddress),
        ("Non-recoverable failure in name resolution", DnsFailure::ServerFailure),
    ];
    let sentence = error.to_string();
    WORDS.iter().find(|(words, _)| sentence.ends_with(words)).map(|(_, failure)| *failure)
}
