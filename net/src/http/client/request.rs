//! [`RequestBuilder`]: a request as it is put together.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use url::Url;

use crate::error::{Error, Phase};

use super::origin::refused;
use super::response::Response;
use super::timeouts::{Deadlines, Timeouts};
use super::upload::RequestBody;
use super::{Client, hops};

/// A request that is put together; [`send`](RequestBuilder::send) sends it.
///
/// What makes no sense in it (a URL, a header) is told by `send`.
#[must_use = "it is sent by `send`"]
pub struct RequestBuilder {
    client: Client,
    parts: Result<Parts, Error>,
    timeouts: Timeouts,
    made_at: &'static Location<'static>,
    head: Phase,
}

/// What one is made of.
pub(super) struct Parts {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: RequestBody,
}

impl RequestBuilder {
    #[track_caller]
    pub(super) fn new(client: &Client, method: Method, url: Result<Url, Error>) -> RequestBuilder {
        let headers = HeaderMap::new();
        let parts = url.map(|url| Parts { method, url, headers, body: RequestBody::empty() });
        RequestBuilder {
            client: client.clone(),
            parts,
            timeouts: *client.timeouts(),
            made_at: Location::caller(),
            head: Phase::FirstByte,
        }
    }

    #[track_caller]
    pub(super) fn of<B>(client: &Client, request: http::Request<B>) -> RequestBuilder
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
            + 'static,
    {
        let (head, body) = request.into_parts();
        let url = super::origin::parse(&head.uri.to_string());
        let mut builder = RequestBuilder::new(client, head.method, url);
        if let Ok(parts) = &mut builder.parts {
            parts.headers = head.headers;
            parts.body = RequestBody::stream(body);
        }
        builder
    }

    fn edit(mut self, edit: impl FnOnce(&mut Parts) -> Result<(), Error>) -> RequestBuilder {
        if let Ok(parts) = &mut self.parts
            && let Err(error) = edit(parts)
        {
            self.parts = Err(error);
        }
        self
    }

    /// With this header; one of the same name is replaced.
    pub fn header<N, V>(self, name: N, value: V) -> RequestBuilder
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        self.edit(|parts| {
            let name = name.try_into().map_err(|_| refused("a header has a name that is none"))?;
            let value = value
                .try_into()
                .map_err(|_| refused(format!("the header {name} has a value that is none")))?;
            parts.headers.insert(name, value);
            Ok(())
        })
    }

    /// With these headers; those of the same names are replaced.
    pub fn headers(self, headers: HeaderMap) -> RequestBuilder {
        self.edit(|parts| {
            for name in headers.keys() {
                parts.headers.remove(name);
            }
            for (name, value) in &headers {
                parts.headers.append(name, value.clone());
            }
            Ok(())
        })
    }

    /// With this body.
    pub fn body(self, body: impl Into<RequestBody>) -> RequestBuilder {
        self.edit(|parts| {
            parts.body = body.into();
            Ok(())
        })
    }

    /// With `user` and `password` (RFC 7617), which errors and logs do not show.
    pub fn basic_auth(self, user: &str, password: &str) -> RequestBuilder {
        let value = super::origin::basic(user.as_bytes(), password.as_bytes());
        self.edit(|parts| {
            let value = value.ok_or_else(|| refused("the credentials make no header"))?;
            parts.headers.insert(http::header::AUTHORIZATION, value);
            Ok(())
        })
    }

    /// Within this time in all: [`Timeouts::total`].
    #[track_caller]
    pub fn timeout(mut self, total: Duration) -> RequestBuilder {
        self.timeouts = self.timeouts.total(total);
        self
    }

    /// With these times instead of the client's.
    pub fn timeouts(mut self, timeouts: Timeouts) -> RequestBuilder {
        self.timeouts = timeouts;
        self
    }

    /// What the head of the response is waited for as.
    #[cfg(feature = "grpc")]
    #[allow(dead_code, reason = "gRPC has a phase of its own")]
    pub(crate) fn head_is(mut self, phase: Phase) -> RequestBuilder {
        self.head = phase;
        self
    }

    /// Sends it and waits for the head of the response, redirects followed. All deadlines count from here.
    ///
    /// Cancel-safe in that nothing is left behind: dropped before it is ready, an HTTP/1.1 connection is closed, and of
    /// HTTP/2 the stream is reset. Whether the server has acted on it is not known then.
    ///
    /// # Errors
    /// `Timeout` of the [phase](Error::phase) that ran out of time, `InvalidInput`, `Protocol`, `LimitExceeded`,
    /// `UnexpectedEof`, `Cancelled`, `Shutdown`, all that a [`Connect`](crate::Connect) says, or what the kernel says of the
    /// connection; with its [timeline](Error::timeline). A status of failure is no error.
    ///
    /// # Panics
    /// When polled outside of a runtime.
    pub fn send(self) -> impl Future<Output = Result<Response, Error>> {
        let RequestBuilder { client, parts, timeouts, made_at, head } = self;
        let deadlines = Deadlines::new(timeouts, made_at, head);
        async move {
            // Callers nest futures; this one is deep enough by itself.
            let run: Pin<Box<dyn Future<Output = _>>> = Box::pin(hops::run(&client, parts?, deadlines));
            run.await
        }
    }
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RequestBuilder");
        match &self.parts {
            Ok(parts) => {
                let url = super::origin::shown(&parts.url);
                shown.field("method", &parts.method).field("url", &url).field("body", &parts.body)
            }
            Err(error) => shown.field("error", error),
        };
        shown.finish_non_exhaustive()
    }
}
