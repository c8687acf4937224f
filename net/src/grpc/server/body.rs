//! The body of a response, as far as its call gets.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::BoxError;
use super::call::{Call, status_of};

/// The body of a response of a [`Deadlines`](super::Deadlines) service: the service's own, until the call's scope ends; then trailers
/// that say so. Dropped before its end, it cancels what is in the scope.
#[derive(Default)]
pub struct CallBody {
    call: Option<Call>,
}

impl CallBody {
    pub(super) fn of(call: Call) -> CallBody {
        CallBody { call: Some(call) }
    }
}

impl Body for CallBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(call) = &mut self.call else { return Poll::Ready(None) };
        let part = match ready!(call.poll_part(cx)) {
            Ok(part) => part,
            Err(end) => {
                let mut trailers = HeaderMap::new();
                Some(match status_of(&end).add_header(&mut trailers) {
                    Ok(()) => Ok(Frame::trailers(trailers)),
                    Err(status) => Err(status.into()),
                })
            }
        };
        if !matches!(&part, Some(Ok(frame)) if frame.is_data()) {
            self.call = None;
        }
        Poll::Ready(part)
    }

    fn is_end_stream(&self) -> bool {
        self.call.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.call.is_none() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

impl fmt::Debug for CallBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallBody").field("ended", &self.call.is_none()).finish()
    }
}
