//! Bodies of answers: a text, or parts that are made one at a time, when the client has taken the one before.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;
pub(crate) type Content = Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>;
pub(crate) type Answer = Response<Content>;

pub(crate) fn answer(status: StatusCode, content: Content) -> Answer {
    let mut answer = Response::new(content);
    *answer.status_mut() = status;
    answer
}

pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    typed(status, "text/plain; charset=utf-8", boxed(Full::new(text.into())))
}

pub(crate) fn typed(status: StatusCode, kind: &'static str, content: Content) -> Answer {
    let mut answer = answer(status, content);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

pub(crate) fn empty() -> Content {
    boxed(Empty::new())
}

pub(crate) fn boxed<B>(body: B) -> Content
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + 'static,
{
    Box::pin(body.map_err(Into::into))
}

/// A body whose first part has come already.
pub(crate) struct Begun<B: Body> {
    pub(crate) first: Option<Frame<B::Data>>,
    pub(crate) rest: B,
}

impl<B: Body<Data: Unpin> + Unpin> Body for Begun<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }
}

/// A body of `length` bytes, whose parts `step` makes from a state, one after another.
pub(crate) fn unfold<S, R>(length: u64, state: S, step: impl FnMut(S) -> R + Unpin + 'static) -> Content
where
    S: Unpin + 'static,
    R: Future<Output = Result<Option<(Bytes, S)>, BoxError>> + 'static,
{
    Box::pin(Unfold { state: Some(state), step, making: None, left: length })
}

struct Unfold<S, F, R> {
    state: Option<S>,
    step: F,
    making: Option<Pin<Box<R>>>,
    left: u64,
}

impl<S, F, R> Body for Unfold<S, F, R>
where
    S: Unpin,
    F: FnMut(S) -> R + Unpin,
    R: Future<Output = Result<Option<(Bytes, S)>, BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(state) = this.state.take() {
            this.making = Some(Box::pin((this.step)(state)));
        }
        let Some(making) = &mut this.making else { return Poll::Ready(None) };
        let Poll::Ready(made) = making.as_mut().poll(cx) else { return Poll::Pending };
        this.making = None;
        Poll::Ready(match made {
            Ok(Some((part, state))) => {
                this.left = this.left.saturating_sub(part.len() as u64);
                this.state = Some(state);
                Some(Ok(Frame::data(part)))
            }
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}
