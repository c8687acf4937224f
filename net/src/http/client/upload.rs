//! [`RequestBody`]: what is sent along with a request.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::exchange::Exchange;
use super::retry::Replay;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Stream = Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>;

/// What is sent along with a request: nothing, bytes, or any [`http_body::Body`].
pub struct RequestBody(Kind);

enum Kind {
    Bytes(Bytes),
    Stream(Stream),
}

impl RequestBody {
    /// Nothing.
    #[must_use]
    pub fn empty() -> RequestBody {
        RequestBody(Kind::Bytes(Bytes::new()))
    }

    /// Whatever `body` tells, part by part. It need not be `Send`; it cannot be sent anew, so that no redirect or retry
    /// repeats it. A body that knows its [size](Body::size_hint) is sent with a `Content-Length`.
    #[must_use]
    pub fn stream<B>(body: B) -> RequestBody
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + 'static,
    {
        if body.is_end_stream() {
            return RequestBody::empty();
        }
        RequestBody(Kind::Stream(Box::pin(http_body_util::BodyExt::map_err(body, Into::into))))
    }

    /// Another of the same, if it can be had.
    #[must_use]
    pub fn try_clone(&self) -> Option<RequestBody> {
        match &self.0 {
            Kind::Bytes(bytes) => Some(RequestBody(Kind::Bytes(bytes.clone()))),
            Kind::Stream(_) => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.0, Kind::Bytes(bytes) if bytes.is_empty())
    }

    /// Whether it can be sent again.
    pub(super) fn replay(&self) -> Replay {
        match &self.0 {
            Kind::Bytes(bytes) if bytes.is_empty() => Replay::Empty,
            Kind::Bytes(_) => Replay::Whole,
            Kind::Stream(_) => Replay::Never,
        }
    }

    /// The length to be announced. An empty one has none.
    pub(super) fn length(&self) -> Option<u64> {
        match &self.0 {
            Kind::Bytes(bytes) => (!bytes.is_empty()).then_some(bytes.len() as u64),
            Kind::Stream(stream) => stream.size_hint().exact(),
        }
    }
}

impl Default for RequestBody {
    fn default() -> RequestBody {
        RequestBody::empty()
    }
}

macro_rules! bytes_of {
    ($($type:ty),*) => {$(
        impl From<$type> for RequestBody {
            fn from(bytes: $type) -> RequestBody {
                RequestBody(Kind::Bytes(Bytes::from(bytes)))
            }
        }
    )*};
}

bytes_of!(Bytes, Vec<u8>, String, &'static str, &'static [u8]);

impl From<()> for RequestBody {
    fn from((): ()) -> RequestBody {
        RequestBody::empty()
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Bytes(bytes) => write!(f, "RequestBody({} bytes)", bytes.len()),
            Kind::Stream(_) => f.write_str("RequestBody(stream)"),
        }
    }
}

/// The body as hyper takes it, which tells the exchange of its progress.
///
/// It is given out in small parts: what hyper has taken, it has to write, and how much that is nobody can see.
pub(super) struct Outgoing {
    body: Kind,
    /// What is left of a part of a stream.
    rest: Bytes,
    part_max: usize,
    exchange: Rc<Exchange>,
}

/// The most that is given to hyper at a time, over HTTP/1.1 and over HTTP/2, where it is the size of a frame.
const PART_MAX: usize = 64 * 1024;
const FRAME_MAX: usize = 16 * 1024;

impl Outgoing {
    pub(super) fn new(body: RequestBody, exchange: Rc<Exchange>, http2: bool) -> Outgoing {
        let part_max = if http2 { FRAME_MAX } else { PART_MAX };
        let outgoing = Outgoing { body: body.0, rest: Bytes::new(), part_max, exchange };
        if outgoing.is_end_stream() {
            outgoing.exchange.told_all();
        }
        outgoing
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let part_max = self.part_max;
        let part = |bytes: &mut Bytes| bytes.split_to(bytes.len().min(part_max));
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(part(&mut self.rest)))));
        }
        let frame = match &mut self.body {
            Kind::Bytes(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Kind::Bytes(bytes) => return Poll::Ready(Some(Ok(Frame::data(part(bytes))))),
            Kind::Stream(stream) => ready!(stream.as_mut().poll_frame(cx)),
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(Ok(match frame.into_data() {
                Ok(data) => {
                    self.rest = data;
                    Frame::data(part(&mut self.rest))
                }
                Err(trailers) => trailers,
            })),
            other => other,
        })
    }
}

impl Outgoing {
    pub(super) fn into_inner(self) -> RequestBody {
        RequestBody(self.body)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.exchange.is_abandoned() {
            return Poll::Ready(Some(Err("the response has ended, the rest is not sent".into())));
        }
        if self.exchange.holds_body_back(cx) {
            return Poll::Pending;
        }
        let polled = self.poll_part(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.exchange.told_more(frame.data_ref().map_or(0, |data| data.len() as u64));
            }
            Poll::Ready(Some(Err(_))) => self.exchange.told_failure(),
            Poll::Ready(None) => {}
            Poll::Pending => self.exchange.told_nothing(cx),
        }
        let whole = matches!(polled, Poll::Ready(None)) || self.size_hint().exact() == Some(0);
        if whole || self.is_end_stream() {
            self.exchange.told_all();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
            && match &self.body {
                Kind::Bytes(bytes) => bytes.is_empty(),
                Kind::Stream(stream) => stream.is_end_stream(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        match &self.body {
            Kind::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(stream) => {
                let hint = stream.size_hint();
                let mut all = SizeHint::new();
                if let Some(upper) = hint.upper() {
                    all.set_upper(upper.saturating_add(rest));
                }
                all.set_lower(hint.lower().saturating_add(rest));
                all
            }
        }
    }
}
