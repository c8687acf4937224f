//! The body of a request: what ends it when its call has ended.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

/// What a client streams, until its call has ended.
pub(super) struct RequestBody {
    inner: tonic::body::Body,
    link: Arc<Mutex<Link>>,
}

/// The call's end of it: dropped, it ends the request.
pub(super) struct Sending {
    link: Arc<Mutex<Link>>,
}

#[derive(Default)]
struct Link {
    /// The call has ended.
    over: bool,
    /// What the client's own stream has failed with.
    failed: Option<Status>,
    waker: Option<Waker>,
}

/// A call is called off: HTTP/2 is to say so.
#[derive(Debug)]
struct CalledOff(h2::Error);

pub(super) fn linked(inner: tonic::body::Body) -> (RequestBody, Sending) {
    let link = Arc::new(Mutex::default());
    (RequestBody { inner, link: link.clone() }, Sending { link })
}

/// What a lock guards is whole after a panic too: it is never held while others' code runs.
fn lock(link: &Mutex<Link>) -> MutexGuard<'_, Link> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sending {
    /// What the client's own stream has failed with, if it has.
    pub(super) fn failed(&self) -> Option<Status> {
        lock(&self.link).failed.take()
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let waker = {
            let mut link = lock(&self.link);
            link.over = true;
            link.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let waker = cx.waker().clone();
        let mut link = lock(&self.link);
        let (over, before) = (link.over, link.waker.replace(waker));
        drop(link);
        drop(before);
        if over {
            // hyper takes the reason of the reset from the error's sources.
            return Poll::Ready(Some(Err(Box::new(CalledOff(h2::Reason::CANCEL.into())))));
        }
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Err(status))) => {
                lock(&self.link).failed = Some(status);
                Poll::Ready(Some(Err(Box::new(CalledOff(h2::Reason::CANCEL.into())))))
            }
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl fmt::Display for CalledOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the call has ended")
    }
}

impl std::error::Error for CalledOff {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
