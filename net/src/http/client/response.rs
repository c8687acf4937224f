//! [`Response`].

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};
use url::Url;

use crate::error::{Error, Phase};
use crate::http::Timeline;

use super::body::Body;

/// The head of a response, and its body that is yet to come.
pub struct Response {
    pub(super) head: http::response::Parts,
    pub(super) url: Url,
    pub(super) peer: SocketAddr,
    pub(super) body: Body,
}

impl Response {
    /// What it says of the request.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The protocol it was told in.
    #[must_use]
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// What was asked for, after all redirects; without user and password.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The address of the other end.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// How long the body is, if it says so.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        http_body::Body::size_hint(&self.body).exact()
    }

    /// Where the time has gone so far. That of the body has not ended while it is not read.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        self.body.timeline()
    }

    /// The same, or an error of kind `Protocol` if the status is one of failure: 400 and above.
    ///
    /// # Errors
    /// That the server said so.
    pub fn error_for_status(self) -> Result<Response, Error> {
        let status = self.status();
        if status.is_client_error() || status.is_server_error() {
            let why = std::io::Error::other(format!("the server says {status}"));
            let error = Error::new(crate::Kind::Protocol, Phase::FirstByte).because(why);
            return Err(error.with_target(self.url.as_str().to_owned()).with_timeline(self.timeline()));
        }
        Ok(self)
    }

    /// The body, of at most `limit` bytes.
    ///
    /// # Errors
    /// What ends it early: a deadline, the peer, a scope; or that it is longer.
    pub async fn bytes(self, limit: usize) -> Result<Bytes, Error> {
        self.body.bytes(limit).await
    }

    /// The body of at most `limit` bytes as text. What is not UTF-8 in it is replaced (U+FFFD).
    ///
    /// # Errors
    /// As [`bytes`](Response::bytes).
    pub async fn text(self, limit: usize) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.bytes(limit).await?).into_owned())
    }

    /// The body, to be taken part by part.
    pub fn body(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The body alone.
    pub fn into_body(self) -> Body {
        self.body
    }

    /// As the `http` crate has it.
    pub fn into_http(self) -> http::Response<Body> {
        http::Response::from_parts(self.head, self.body)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("url", &self.url.as_str())
            .field("status", &self.head.status)
            .field("version", &self.head.version)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
