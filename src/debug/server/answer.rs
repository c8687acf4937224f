//! [`Answer`]: what a route says.

use std::rc::Rc;

use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
pub(super) use hyper::http::StatusCode;

use super::progress::{Content, Progress};

/// Status, type and content; everything else is the same for all answers.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    kind: &'static str,
    content: Bytes,
    more: Option<(HeaderName, HeaderValue)>,
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const HTML: &str = "text/html; charset=utf-8";

/// Nothing from elsewhere, nothing inline, no frames: what stands in a name cannot run even if it were not escaped.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

impl Answer {
    pub(super) fn new(kind: &'static str, content: impl Into<Bytes>) -> Answer {
        Answer { status: StatusCode::OK, kind, content: content.into(), more: None }
    }

    /// A refusal or a failure, in a sentence.
    pub(super) fn sentence(status: StatusCode, sentence: impl Into<String>) -> Answer {
        let mut sentence = sentence.into();
        sentence.push('\n');
        Answer { status, ..Answer::new(TEXT, sentence) }
    }

    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Answer {
        self.more = HeaderValue::try_from(value).ok().map(|value| (name, value));
        self
    }

    pub(super) fn respond(self, progress: &Rc<Progress>) -> Response<Content> {
        let Answer { status, kind, content, more } = self;
        let mut response = Response::new(Content::new(content, progress));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        guard(headers);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.extend(more);
        response
    }
}

/// What a browser is to keep in mind.
fn guard(headers: &mut HeaderMap) {
    let fixed = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    headers.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
}
