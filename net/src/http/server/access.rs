//! [`Access`]: what is told of a request, to whoever subscribes to it.

use std::sync::Arc;

use ::http::{Request, StatusCode};
use punctual_reactor::Instant;
use tracing::Span;

use super::TARGET;
use super::info::Client;

/// The span of a request; disabled, it costs the look at one static. It has no header and no query: they may hold secrets.
pub(super) struct Access {
    pub(super) span: Span,
    began: Option<Instant>,
}

impl Access {
    pub(super) fn of<B>(request: &Request<B>, client: &Arc<Client>) -> Access {
        let span = tracing::debug_span!(
            target: TARGET,
            "http_request",
            method = request.method().as_str(),
            path = request.uri().path(),
            peer = client.peer.map(tracing::field::display),
            status = tracing::field::Empty,
            duration_ms = tracing::field::Empty,
        );
        let began = (!span.is_disabled()).then(Instant::now);
        Access { span, began }
    }

    pub(super) fn answered(&self, status: StatusCode) {
        self.span.record("status", status.as_u16());
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        let Some(began) = self.began else { return };
        let duration_ms = crate::phase::milliseconds(began.elapsed());
        self.span.record("duration_ms", duration_ms);
        self.span.in_scope(|| tracing::debug!(target: TARGET, duration_ms, "http.server.request"));
    }
}
