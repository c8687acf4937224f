//! [`Error`]: what became of an operation on a connection, and whose doing it was.

#[cfg(test)]
mod accounts;
mod convert;
mod deadline;
mod diagnosis;
mod display;
mod dns;
mod phase;
mod retry;
#[cfg(test)]
mod sentences;
mod text;

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;

use punctual_reactor::Cause;

use crate::io::Copied;

pub use deadline::DeadlineInfo;
pub use diagnosis::{Diagnosis, IgnoredAnswers};
pub use dns::DnsFailure;
pub(crate) use dns::Why;
pub use phase::Phase;
pub(crate) use text::Short;

/// Why an operation on the network ended without its result.
///
/// It says [which](Error::kind) of a handful of things ended it, in which [phase](Error::phase), over
/// which [deadline](Error::deadline), and how much had been [moved](Error::transferred) by then. Its
/// `Display` is one line that a person can act on:
///
/// ```text
/// connect to 10.0.0.1:443 timed out in tcp-connect after 500 ms (deadline "checkout", 2 of 2 addresses; no
///     SYN-ACK after 3 SYNs), fired 61 µs late
/// read from 10.0.0.1:443 timed out after 500 ms (idle timeout set at src/main.rs:31:12; peer silent for 500 ms, all
///     of ours acknowledged), fired 61 µs late
/// write to 10.0.0.1:443 was not begun: its deadline had passed 1.5 s before (set at src/main.rs:40:12)
/// connect to 192.0.2.7:80 failed: Connection refused (os error 111)
/// ```
///
/// Whatever names and causes it quotes, control characters in them are escaped.
///
/// One type for all phases, opaque, so that more can be said later without breaking anybody. It
/// travels through the I/O traits inside an [`io::Error`] and comes out whole: [`Error::from_io`].
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    phase: Phase,
    peer: Option<SocketAddr>,
    /// What was to be reached, in the words of whoever asked.
    target: Option<Cow<'static, str>>,
    deadline: Option<DeadlineInfo>,
    diagnosis: Option<Diagnosis>,
    /// Of how many addresses a connect knew.
    addresses: usize,
    cause: Option<Cause>,
    transferred: u64,
    source: Option<io::Error>,
    sources: Vec<Error>,
    copied: Option<Box<Copied>>,
    /// Whether its timeout has been told to who subscribes to such events.
    told: bool,
    /// Whether the peer has done nothing with what it was sent, or it does not matter if it did.
    harmless: bool,
    #[cfg(feature = "http")]
    timeline: Option<Box<crate::http::Timeline>>,
}

/// What ended an operation. Exactly one thing did: the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A deadline or timeout of ours. A kernel that gives up by itself says `Kernel(ETIMEDOUT)`.
    Timeout,
    /// Somebody cancelled it; [`Error::cause`] is why.
    Cancelled,
    /// The stream or listener was closed here, on this side.
    Closed,
    /// The system call failed with this errno (0 if there was none).
    Kernel(i32),
    /// The name did not resolve; [`Error::dns_failure`] is why.
    Dns,
    /// Too many names were being looked up at once; nothing was asked. It is safe to try again later.
    Overloaded,
    /// The peer ended the stream in the middle of what was asked for.
    UnexpectedEof,
    /// More came than was allowed.
    LimitExceeded,
    /// The connection reached its own socket: both ends are one. See [`Connect`](crate::Connect).
    SelfConnect,
    /// The peer broke the protocol spoken.
    Protocol,
    /// TLS failed: a certificate that does not hold, a peer that refused ours or broke the protocol. The error says
    /// which; its [source](std::error::Error::source) is what the TLS library says.
    Tls,
    /// What was asked for makes no sense, as an address that does not parse.
    InvalidInput,
    /// This system has no such option.
    Unsupported,
    /// The runtime is shutting down.
    Shutdown,
}

impl Error {
    /// What ended the operation.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What was being done.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// Whether a deadline or timeout of ours ended it.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.kind == Kind::Timeout
    }

    /// The deadline that ended it, if one did.
    #[must_use]
    pub fn deadline(&self) -> Option<&DeadlineInfo> {
        self.0.deadline.as_ref()
    }

    /// Why it ran out of time, if it did and the kernel, our own loop or a lookup gave a reason. Of several addresses it is
    /// that of the last one that has any.
    #[must_use]
    pub fn diagnosis(&self) -> Option<&Diagnosis> {
        let of_addresses = || self.0.sources.iter().rev().find_map(Error::diagnosis);
        match self.deadline() {
            _ if !self.is_timeout() => None,
            Some(info) if info.before_it_began => Some(&Diagnosis::NotBegun),
            _ => self.0.diagnosis.as_ref().or_else(of_addresses),
        }
    }

    /// Why it was cancelled, if it was.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        self.0.cause.as_ref()
    }

    /// How many bytes this operation had moved before it ended: of a `read_exact` those that are in the
    /// front of the buffer, of a `write_all` those that the kernel has taken. They are not lost, and
    /// must not be sent again.
    #[must_use]
    pub fn transferred(&self) -> u64 {
        self.0.transferred
    }

    /// What a [`copy_bidirectional`](crate::io::copy_bidirectional) had moved in each direction before it ended,
    /// and how each of them ended.
    #[must_use]
    pub fn copied(&self) -> Option<&Copied> {
        self.0.copied.as_deref()
    }

    /// Why the name did not resolve, if that is what went wrong and it is known.
    #[must_use]
    pub fn dns_failure(&self) -> Option<DnsFailure> {
        let source = self.0.source.as_ref().filter(|_| self.0.kind == Kind::Dns)?;
        match source.get_ref().and_then(|source| source.downcast_ref::<Why>()) {
            Some(why) => Some(why.failure()),
            None => dns::in_words_of_the_system(source),
        }
    }

    /// Where the time went, if it was an HTTP request that failed.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn timeline(&self) -> Option<&crate::http::Timeline> {
        self.0.timeline.as_deref()
    }

    /// The other end, if there was one.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.peer
    }

    /// What went wrong with each address that was tried, in that order, if a connect had several.
    #[must_use]
    pub fn sources(&self) -> &[Error] {
        &self.0.sources
    }

    /// The error inside an [`io::Error`], if it is one of ours.
    #[must_use]
    pub fn from_io(error: &io::Error) -> Option<&Error> {
        error.get_ref()?.downcast_ref()
    }

    /// The first error of ours in `error` and its sources, inside of I/O errors too: in those of protocols that run
    /// over our streams, as `hyper::Error`.
    #[must_use]
    pub fn in_chain<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
        std::iter::successors(Some(error), |error| error.source()).find_map(|error| {
            let inside = || Error::from_io(error.downcast_ref()?);
            error.downcast_ref().or_else(inside)
        })
    }

    /// As [`from_io`](Error::from_io), for an error that is not needed any more.
    ///
    /// # Errors
    /// The same error, if it is not one of ours.
    pub fn take_from_io(error: io::Error) -> Result<Error, io::Error> {
        error.downcast()
    }
}
