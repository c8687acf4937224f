//! What no handler is to see: requests that are too large, or that another on the way may read otherwise.

use ::http::{Request, StatusCode, Version, header};
use ::http_body::Body as HttpBody;

use super::progress::Progress;

/// The status with which `request` is answered instead of being handled.
#[inline]
pub(super) fn of<B: HttpBody>(
    request: &Request<B>,
    has_body: bool,
    progress: &Progress,
) -> Option<StatusCode> {
    let site = &progress.site;
    if request.uri().path_and_query().map_or(0, |both| both.as_str().len()) > site.limits.uri_bytes {
        return Some(StatusCode::URI_TOO_LONG);
    }
    let is_http1 = request.version() < Version::HTTP_2;
    if is_http1 && progress.is_in_doubt() {
        return Some(StatusCode::BAD_REQUEST);
    }
    if is_http1 && !names_one_host(request) {
        return Some(StatusCode::BAD_REQUEST);
    }
    if !has_body {
        return None;
    }
    if is_http1 && !is_framed_once(request) {
        return Some(StatusCode::BAD_REQUEST);
    }
    (request.body().size_hint().lower() > site.limits.body).then_some(StatusCode::PAYLOAD_TOO_LARGE)
}

/// So many lines of headers are few.
const FEW: usize = 12;

/// Exactly one `Host`, of which HTTP/1.0 may do without (RFC 9112, section 3.2).
fn names_one_host<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let hosts = if headers.len() > FEW {
        headers.get_all(header::HOST).iter().take(2).count()
    } else {
        // To look at the names of a few costs less than to hash one.
        headers.iter().filter(|(name, _)| *name == header::HOST).count()
    };
    hosts == 1 || hosts == 0 && request.version() < Version::HTTP_11
}

/// A body has one framing: a length, or one `Transfer-Encoding` that is `chunked` and nothing else (RFC 9112, section
/// 6.3). Of both it is told by [`Progress::is_in_doubt`].
fn is_framed_once<B>(request: &Request<B>) -> bool {
    let mut encodings = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    match (encodings.next(), encodings.next()) {
        (None, _) => true,
        (Some(one), None) => one.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}
