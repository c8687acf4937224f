//! What a call ends with: from errors of ours, of HTTP/2 and of HTTP to gRPC's codes.
//!
//! Sources: gRPC's `doc/PROTOCOL-HTTP2.md` (section Errors), `doc/http-grpc-status-mapping.md`, `doc/statuscodes.md`.

use std::sync::Arc;

use h2::Reason;
use http::StatusCode;
use tonic::{Code, Status};

use crate::error::{Error, Kind};

/// The error of ours that `status` was made of, if one was: whose deadline, in which phase, how late, and why; or the cause of a
/// cancel. A status that the other end has sent has none, whatever its code.
///
/// ```
/// # fn told(status: tonic::Status) {
/// match punctual_net::grpc::error_of(&status) {
///     Some(error) if error.is_timeout() => println!("our own deadline: {error}"),
///     Some(error) => println!("here: {error}"),
///     None => println!("the server says {:?}", status.code()),
/// }
/// # }
/// ```
#[must_use]
pub fn error_of(status: &Status) -> Option<&Error> {
    let source = std::error::Error::source(status)?;
    Error::in_chain(source).or_else(|| source.downcast_ref::<Arc<Error>>().map(|error| &**error))
}

/// The code that says what `error` says.
fn code_of(error: &Error) -> Code {
    match error.kind() {
        Kind::Timeout => Code::DeadlineExceeded,
        // A shutdown ends what is under way as a cancel of everything does.
        Kind::Cancelled | Kind::Shutdown => Code::Cancelled,
        Kind::LimitExceeded | Kind::Overloaded => Code::ResourceExhausted,
        Kind::Protocol | Kind::InvalidInput | Kind::Unsupported => Code::Internal,
        _ => Code::Unavailable,
    }
}

impl From<Error> for Status {
    /// A deadline is `DEADLINE_EXCEEDED`, a cancel or a shutdown `CANCELLED`; a limit `RESOURCE_EXHAUSTED`; what the peer broke or
    /// makes no sense `INTERNAL`; and what became of a connection `UNAVAILABLE`. The error is its source.
    fn from(error: Error) -> Status {
        let code = code_of(&error);
        with_source(code, error)
    }
}

/// A status whose message and source are `error`.
fn with_source(code: Code, error: impl std::error::Error + Send + Sync + 'static) -> Status {
    let mut status = Status::new(code, error.to_string());
    status.set_source(Arc::new(error));
    status
}

/// There was no connection: whatever ended the making of it, it was not a deadline of the call.
pub(super) fn not_connected(error: &Arc<Error>) -> Status {
    let code = match error.kind() {
        Kind::Shutdown => Code::Cancelled,
        _ => Code::Unavailable,
    };
    let mut status = Status::new(code, error.to_string());
    status.set_source(error.clone());
    status
}

/// What hyper says of a stream or its connection.
pub(super) fn of_hyper(error: hyper::Error) -> Status {
    let code = code_of_hyper(&error);
    let what = match code {
        Code::Unavailable => "the connection failed",
        _ => "the stream was reset",
    };
    let mut chain = format!("{what}: {error}");
    let sources = std::iter::successors(std::error::Error::source(&error), |error| error.source());
    for source in sources {
        chain = format!("{chain}: {source}");
    }
    let mut status = Status::new(code, chain);
    status.set_source(Arc::new(error));
    status
}

fn code_of_hyper(error: &hyper::Error) -> Code {
    match reason_of(error) {
        Reset::ByPeer(reason) => code_of_reset(reason),
        Reset::Here => Code::Internal,
        Reset::Not => Code::Unavailable,
    }
}

enum Reset {
    /// The peer has reset the stream.
    ByPeer(Reason),
    /// The peer has broken the protocol on the stream.
    Here,
    /// It is the connection that ended.
    Not,
}

fn reason_of(error: &hyper::Error) -> Reset {
    let sources = std::iter::successors(std::error::Error::source(error), |error| error.source());
    let mut h2 = sources.filter_map(|error| error.downcast_ref::<h2::Error>());
    match h2.next() {
        Some(error) if error.is_go_away() || error.is_io() => Reset::Not,
        Some(error) if error.is_remote() => match error.reason() {
            Some(reason) => Reset::ByPeer(reason),
            None => Reset::Here,
        },
        Some(_) => Reset::Here,
        None => Reset::Not,
    }
}

/// Whether the peer has reset the stream as a call that is called off.
pub(super) fn is_cancel_of_peer(error: &hyper::Error) -> bool {
    matches!(reason_of(error), Reset::ByPeer(Reason::CANCEL))
}

/// The code for a stream that the peer has reset.
///
/// | error of HTTP/2 | code |
/// |---|---|
/// | `NO_ERROR`, `PROTOCOL_ERROR`, `INTERNAL_ERROR`, `FLOW_CONTROL_ERROR`, `SETTINGS_TIMEOUT`, `STREAM_CLOSED`, `FRAME_SIZE_ERROR`, `COMPRESSION_ERROR`, `CONNECT_ERROR`, `HTTP_1_1_REQUIRED` | `INTERNAL` |
/// | `REFUSED_STREAM` | `UNAVAILABLE` |
/// | `CANCEL` | `CANCELLED` |
/// | `ENHANCE_YOUR_CALM` | `RESOURCE_EXHAUSTED` |
/// | `INADEQUATE_SECURITY` | `PERMISSION_DENIED` |
/// | any other | `UNKNOWN` |
fn code_of_reset(reason: Reason) -> Code {
    match reason {
        Reason::REFUSED_STREAM => Code::Unavailable,
        Reason::CANCEL => Code::Cancelled,
        Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
        Reason::NO_ERROR
        | Reason::PROTOCOL_ERROR
        | Reason::INTERNAL_ERROR
        | Reason::FLOW_CONTROL_ERROR
        | Reason::SETTINGS_TIMEOUT
        | Reason::STREAM_CLOSED
        | Reason::FRAME_SIZE_ERROR
        | Reason::COMPRESSION_ERROR
        | Reason::CONNECT_ERROR
        | Reason::HTTP_1_1_REQUIRED => Code::Internal,
        _ => Code::Unknown,
    }
}

/// The status of a response that is not of gRPC, by what HTTP says.
pub(super) fn of_http(status: StatusCode) -> Status {
    let code = match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(code, format!("the response is not of gRPC: HTTP status {status}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Phase;

    #[test]
    fn resets_have_the_codes_of_the_specification() {
        let table = [
            (0, Code::Internal),
            (1, Code::Internal),
            (2, Code::Internal),
            (3, Code::Internal),
            (4, Code::Internal),
            (5, Code::Internal),
            (6, Code::Internal),
            (7, Code::Unavailable),
            (8, Code::Cancelled),
            (9, Code::Internal),
            (10, Code::Internal),
            (11, Code::ResourceExhausted),
            (12, Code::PermissionDenied),
            (13, Code::Internal),
            (14, Code::Unknown),
            (u32::MAX, Code::Unknown),
        ];
        for (reason, code) in table {
            assert_eq!(code_of_reset(Reason::from(reason)), code, "{reason}");
        }
    }

    #[test]
    fn answers_of_http_have_the_codes_of_the_specification() {
        let table = [
            (200, Code::Unknown),
            (204, Code::Unknown),
            (301, Code::Unknown),
            (400, Code::Internal),
            (401, Code::Unauthenticated),
            (403, Code::PermissionDenied),
            (404, Code::Unimplemented),
            (408, Code::Unknown),
            (429, Code::Unavailable),
            (500, Code::Unknown),
            (502, Code::Unavailable),
            (503, Code::Unavailable),
            (504, Code::Unavailable),
        ];
        for (status, code) in table {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(of_http(status).code(), code, "{status}");
        }
    }

    #[test]
    fn every_kind_of_error_has_its_code_and_is_found_again() {
        let table = [
            (Kind::Timeout, Code::DeadlineExceeded),
            (Kind::Cancelled, Code::Cancelled),
            (Kind::Shutdown, Code::Cancelled),
            (Kind::Closed, Code::Unavailable),
            (Kind::Kernel(libc::ETIMEDOUT), Code::Unavailable),
            (Kind::Kernel(libc::ECONNREFUSED), Code::Unavailable),
            (Kind::Dns, Code::Unavailable),
            (Kind::UnexpectedEof, Code::Unavailable),
            (Kind::SelfConnect, Code::Unavailable),
            (Kind::Overloaded, Code::ResourceExhausted),
            (Kind::LimitExceeded, Code::ResourceExhausted),
            (Kind::Protocol, Code::Internal),
            (Kind::InvalidInput, Code::Internal),
        ];
        for (kind, code) in table {
            let status = Status::from(Error::new(kind, Phase::Read));
            assert_eq!(status.code(), code, "{kind:?}");
            assert_eq!(error_of(&status).expect("ours").kind(), kind);
        }
        // The deadline of a connect that several calls wait for is none of theirs.
        let late = Arc::new(Error::new(Kind::Timeout, Phase::Connect));
        let status = not_connected(&late);
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(error_of(&status).expect("ours").kind(), Kind::Timeout);
        assert!(error_of(&Status::deadline_exceeded("theirs")).is_none());
    }
}
