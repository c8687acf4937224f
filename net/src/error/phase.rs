//! [`Phase`]: what was being done.

use std::fmt;

/// What was being done.
///
/// Those of a protocol on top (`Tls`, `Request`, `FirstByte`, `GrpcHeader`, `Body`) are run by
/// [`phase`](crate::phase()). Those of an HTTP server (`RequestFirstByte`, `RequestHeader`, `RequestBody`, `RequestTotal`,
/// `ResponseWrite`, `KeepAlive`) are run by `http::serve`.
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
    /// Receiving the body of a response.
    Body,
    /// A server waiting for the first byte of a connection.
    RequestFirstByte,
    /// A server receiving the headers of a request.
    RequestHeader,
    /// A server receiving the body of a request.
    RequestBody,
    /// A server handling a request, until the last of its response is written.
    RequestTotal,
    /// A server waiting for the client to take what it has been sent.
    ResponseWrite,
    /// A server waiting for the next request of a connection.
    KeepAlive,
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
            Phase::RequestFirstByte => "request-first-byte",
            Phase::RequestHeader => "request-header",
            Phase::RequestBody => "request-body",
            Phase::RequestTotal => "request-total",
            Phase::ResponseWrite => "response-write",
            Phase::KeepAlive => "keep-alive",
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
        matches!(self, Tls | Request | FirstByte | GrpcHeader | Body) || self.is_of_a_server()
    }

    /// Whether it is one of an HTTP server.
    pub(crate) const fn is_of_a_server(self) -> bool {
        use Phase::{
            KeepAlive, RequestBody, RequestFirstByte, RequestHeader, RequestTotal, ResponseWrite,
        };
        matches!(
            self,
            RequestFirstByte | RequestHeader | RequestBody | RequestTotal | ResponseWrite | KeepAlive
        )
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
