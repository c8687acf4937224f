//! The headers of a response, and its trailers: what is no gRPC is found out, and what would break the reader is taken out.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tonic::{Code, Status};

use crate::grpc::status::of_http;

pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The status of a response whose headers show that it is no gRPC. One that has a `grpc-status` is taken by its word.
pub(super) fn refused(status: StatusCode, headers: &HeaderMap) -> Option<Status> {
    if headers.contains_key(GRPC_STATUS) {
        return None;
    }
    if status != StatusCode::OK {
        return Some(of_http(status));
    }
    if is_of_grpc(headers.get(CONTENT_TYPE)) {
        return None;
    }
    let what = "the response is not of gRPC: its content-type does not begin with application/grpc";
    Some(Status::new(Code::Unknown, what))
}

/// `application/grpc`, alone or with a `+proto`, `+json`, or a parameter after it.
fn is_of_grpc(content_type: Option<&HeaderValue>) -> bool {
    let Some(value) = content_type.map(HeaderValue::as_bytes) else { return false };
    let name = b"application/grpc";
    match value.split_at_checked(name.len()) {
        Some((start, rest)) => {
            start.eq_ignore_ascii_case(name) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
        }
        None => false,
    }
}

/// Takes out details that are not base64: tonic (0.14) panics on them.
pub(super) fn without_bad_details(headers: &mut HeaderMap) {
    let bad = |value: &HeaderValue| !is_base64(value.as_bytes());
    if headers.get_all(GRPC_DETAILS).iter().any(bad) {
        headers.remove(GRPC_DETAILS);
        tracing::debug!("the details of a gRPC status are not base64, and left out");
    }
}

/// Base64 of the standard alphabet, with all of its padding or some or none (RFC 4648).
fn is_base64(text: &[u8]) -> bool {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = &text[..text.len() - padding];
    let value = |byte: &u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    if !digits.iter().all(|byte| value(byte).is_some()) {
        return false;
    }
    // Of the last digit, the bits that are of no byte are 0.
    let unused = match digits.len() % 4 {
        0 => return padding == 0,
        2 if padding <= 2 => 0b1111,
        3 if padding <= 1 => 0b11,
        _ => return false,
    };
    digits.last().and_then(value).is_some_and(|last| last & unused == 0)
}
