//! [`Access`]: what is told of a request, to whoever subscribes to it.

use std::sync::Arc;

use ::http::{Request, StatusCode};
use punctual_reactor::Instant;
use tracing::Span;
use tracing::span::Entered;

use super::TARGET;
use super::info::Client;

/// What is told of a request, if anybody is to be told; else it costs the look at one static. It has no header and no
/// query: they may hold secrets.
pub(super) struct Access(Option<Box<Told>>);

struct Told {
    span: Span,
    began: Instant,
}

impl Access {
    #[inline]
    pub(super) fn of<B>(request: &Request<B>, client: &Arc<Client>) -> Access {
        if tracing::level_filters::LevelFilter::current() < tracing::Level::DEBUG {
            return Access(None);
        }
        Access::told(request, client)
    }

    #[inline(never)]
    fn told<B>(request: &Request<B>, client: &Arc<Client>) -> Access {
        let span = tracing::debug_span!(
            target: TARGET,
            "http_request",
            method = request.method().as_str(),
            path = request.uri().path(),
            peer = client.peer.map(tracing::field::display),
            status = tracing::field::Empty,
            duration_ms = tracing::field::Empty,
        );
        Access((!span.is_disabled()).then(|| Box::new(Told { span, began: Instant::now() })))
    }

    /// Whatever is told until the guard is dropped belongs to the request.
    pub(super) fn enter(&self) -> Option<Entered<'_>> {
        self.0.as_ref().map(|told| told.span.enter())
    }

    pub(super) fn answered(&self, status: StatusCode) {
        if let Some(told) = &self.0 {
            told.span.record("status", status.as_u16());
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let duration_ms = crate::phase::milliseconds(self.began.elapsed());
        self.span.record("duration_ms", duration_ms);
        self.span.in_scope(|| tracing::debug!(target: TARGET, duration_ms, "http.server.request"));
    }
}
