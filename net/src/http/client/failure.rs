//! What hyper says of a request that failed, as an [`Error`] of ours.

use std::io;

use crate::error::{Error, Kind, Phase};

use super::connection::Connection;

/// What `failure` is, of a request that was in `phase`.
pub(super) fn explained(phase: Phase, failure: hyper::Error, connection: &Connection) -> Error {
    let kind = kind(&failure);
    let why = connection.why.borrow().clone();
    let why = why.unwrap_or_else(|| in_words(&failure));
    Error::new(kind, phase).because(io::Error::other(why)).with_peer(connection.peer)
}

/// The same, of a connection that is gone.
pub(super) fn of_hyper(phase: Phase, failure: &hyper::Error) -> Error {
    Error::new(kind(failure), phase).because(io::Error::other(in_words(failure)))
}

fn kind(failure: &hyper::Error) -> Kind {
    if let Some(ours) = Error::in_chain(failure) {
        return ours.kind();
    }
    if let Some(error) = io_error(failure) {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => return Kind::UnexpectedEof,
            _ => {
                if let Some(errno) = error.raw_os_error() {
                    return Kind::Kernel(errno);
                }
            }
        }
    }
    if failure.is_incomplete_message() {
        Kind::UnexpectedEof
    } else if failure.is_parse_too_large() {
        Kind::LimitExceeded
    } else if failure.is_canceled() || failure.is_closed() {
        Kind::Closed
    } else {
        Kind::Protocol
    }
}

fn io_error(failure: &hyper::Error) -> Option<&io::Error> {
    let first: &(dyn std::error::Error + 'static) = failure;
    std::iter::successors(Some(first), |error| error.source()).find_map(|error| error.downcast_ref())
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
