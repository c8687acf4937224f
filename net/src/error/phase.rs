//! [`Phase`]: what was being done.

use std::fmt;

/// What was being done.
///
/// Those of a protocol on top (`Tls`, `Request`, `FirstByte`, `GrpcHeader`, `Body`) are run by
/// [`phase`](crate::phase()).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Finding the addresses of a name.
    Resolve,
    /// Binding and listening.
    Bind,
    /// Connecting to one or several addresses.
    Connect,
    /// Shaking hands over TLS.
    Tls,
    /// Sending a request.
    Request,
    /// Waiting for the first byte of a response.
    FirstByte,
    /// Waiting for the headers of a gRPC response.
    GrpcHeader,
    /// Receiving the body of a response, or of a request.
    Body,
    /// Accepting a connection.
    Accept,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Ending one or both sides of a stream.
    Shutdown,
    /// Reading or changing an option of a socket, or its deadlines.
    Configure,
    /// Copying between two streams; what fails on one of them is of its own phase.
    Copy,
}

impl Phase {
    /// Its name in errors, metrics and logs; it does not change.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Resolve => "resolve",
            Phase::Bind => "bind",
            Phase::Connect => "tcp-connect",
            Phase::Tls => "tls-handshake",
            Phase::Request => "request",
            Phase::FirstByte => "first-byte",
            Phase::GrpcHeader => "grpc-header",
            Phase::Body => "body",
            Phase::Accept => "accept",
            Phase::Read => "read",
            Phase::Write => "write",
            Phase::Shutdown => "shutdown",
            Phase::Configure => "configure",
            Phase::Copy => "copy",
        }
    }

    /// Whether it is one of a protocol on top of a connection.
    pub(crate) const fn is_of_a_protocol(self) -> bool {
        use Phase::{Body, FirstByte, GrpcHeader, Request, Tls};
        matches!(self, Tls | Request | FirstByte | GrpcHeader | Body)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
