//! What hyper says of a request that failed, as an [`Error`] of ours.

use std::io;

use crate::error::{Error, Kind, Phase};

use super::connection::Connection;
use super::retry::Ended;

/// What `failure` is, of a request that was in `phase`.
pub(super) fn explained(phase: Phase, failure: hyper::Error, connection: &Connection) -> Error {
    if let Some(passed) = connection.unanswered().filter(|_| connection.http2) {
        let why = "the peer has not answered an HTTP/2 PING, and the connection was closed";
        return Error::timeout(phase, passed).because(io::Error::other(why)).with_peer(connection.peer);
    }
    let kind = kind(&failure);
    let why = connection.why.borrow().clone();
    let why = why.unwrap_or_else(|| in_words(&failure));
    let error = Error::new(kind, phase).because(io::Error::other(why)).with_peer(connection.peer);
    error.ended_as(Error::in_chain(&failure))
}

/// The same, of a connection that is gone.
pub(super) fn of_hyper(phase: Phase, failure: &hyper::Error) -> Error {
    Error::new(kind(failure), phase).because(io::Error::other(in_words(failure)))
}

/// How it failed, for who decides whether it is sent again. `heard`: something was read on the connection since.
pub(super) fn ended(failure: &hyper::Error, connection: &Connection, heard: bool) -> Ended {
    if let Some(of_http2) = in_chain::<h2::Error>(failure) {
        if of_http2.is_reset() && of_http2.reason() == Some(h2::Reason::REFUSED_STREAM) {
            return Ended::Refused;
        }
        let leaves_it_out = of_http2.is_go_away() && of_http2.is_remote();
        if leaves_it_out && of_http2.reason() == Some(h2::Reason::NO_ERROR) {
            return Ended::BeyondGoAway;
        }
    }
    match kind(failure) {
        _ if heard && !connection.http2 => Ended::Answered,
        Kind::Kernel(_) | Kind::UnexpectedEof => Ended::NoAnswer,
        _ => Ended::Other,
    }
}

/// What is wrong with a response of HTTP/1 that hyper takes, and others may read otherwise: where it ends must be beyond
/// doubt (RFC 9112, sections 6.1 and 6.3), and it must be spoken in the protocol that was asked for.
pub(super) fn ambiguous<B>(response: &http::Response<B>) -> Option<&'static str> {
    use http::{StatusCode, Version, header};
    let headers = response.headers();
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        _ if response.version() == Version::HTTP_2 => return None,
        _ if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            return Some("it switches to another protocol, which was not asked for");
        }
        (None, _) => return None,
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {}
        _ => return Some("it has a Transfer-Encoding that was not asked for"),
    }
    let both = headers.contains_key(header::CONTENT_LENGTH);
    both.then_some("it has a Content-Length and a Transfer-Encoding")
}

fn in_chain<E: std::error::Error + 'static>(failure: &hyper::Error) -> Option<&E> {
    let first: &(dyn std::error::Error + 'static) = failure;
    std::iter::successors(Some(first), |error| error.source()).find_map(|error| error.downcast_ref())
}

fn kind(failure: &hyper::Error) -> Kind {
    if let Some(ours) = Error::in_chain(failure) {
        return ours.kind();
    }
    if let Some(error) = in_chain::<io::Error>(failure) {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => return Kind::UnexpectedEof,
            _ => {
                if let Some(errno) = error.raw_os_error() {
                    return Kind::Kernel(errno);
                }
            }
        }
    }
    if failure.is_user() {
        // The body of the request, or its head.
        Kind::InvalidInput
    } else if failure.is_incomplete_message() {
        Kind::UnexpectedEof
    } else if failure.is_parse_too_large() {
        Kind::LimitExceeded
    } else if failure.is_canceled() || failure.is_closed() {
        Kind::Closed
    } else {
        Kind::Protocol
    }
}

/// All that it says, from the outside in.
pub(super) fn in_words(failure: &hyper::Error) -> String {
    let mut words = failure.to_string();
    let mut source = std::error::Error::source(failure);
    while let Some(error) = source {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        source = error.source();
    }
    words
}
