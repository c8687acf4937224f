//! [`Content`]: the body of a response.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use ::http_body::{Body as HttpBody, Frame, SizeHint};
use bytes::Buf;
use pin_project_lite::pin_project;

use super::answering::UnderWay;
use super::piece::Piece;
use super::service::BoxError;

/// `data` as it is handed over: a piece at a time.
fn piece_of<D: Buf>(data: D, rest: &mut Option<D>, under_way: Option<&UnderWay>) -> Frame<Piece<D>> {
    if let Some(under_way) = under_way {
        under_way.writes(true);
    }
    let (piece, left) = Piece::first_of(data);
    *rest = left;
    Frame::data(piece)
}

pin_project! {
    /// The body of a response. hyper drops it when it has all of it.
    pub(super) struct Content<B: HttpBody> {
        #[pin]
        pub(super) body: Option<B>,
        // Of a request for the headers alone, which say how long it would have been.
        pub(super) silent: bool,
        // Of a part that was too large for one piece.
        pub(super) rest: Option<B::Data>,
        pub(super) under_way: Option<UnderWay>,
    }
}

impl<B: HttpBody> Default for Content<B> {
    #[inline]
    fn default() -> Content<B> {
        Content { body: None, silent: false, rest: None, under_way: None }
    }
}

impl<B: HttpBody> Content<B> {
    #[inline]
    pub(super) fn of(body: B) -> Content<B> {
        Content { body: Some(body), ..Content::default() }
    }
}

impl<B> HttpBody for Content<B>
where
    B: HttpBody,
    B::Error: Into<BoxError>,
{
    type Data = Piece<B::Data>;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece<B::Data>>, BoxError>>> {
        let this = self.project();
        if let Some(data) = this.rest.take() {
            return Poll::Ready(Some(Ok(piece_of(data, this.rest, this.under_way.as_ref()))));
        }
        let Some(body) = this.body.as_pin_mut() else { return Poll::Ready(None) };
        let polled = catch_unwind(AssertUnwindSafe(|| body.poll_frame(cx)));
        if let Some(under_way) = &this.under_way {
            under_way.writes(polled.as_ref().is_ok_and(Poll::is_ready));
            if polled.is_err() {
                under_way.panicked();
            }
        }
        match polled {
            Ok(poll) => poll.map_err(Into::into).map_ok(|frame| match frame.into_data() {
                Ok(data) => piece_of(data, this.rest, this.under_way.as_ref()),
                // Trailers.
                Err(frame) => frame.map_data(Piece::Whole),
            }),
            Err(_) => Poll::Ready(Some(Err("the body of a response has panicked".into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None if self.silent => SizeHint::default(),
            None => SizeHint::with_exact(0),
        }
    }
}
