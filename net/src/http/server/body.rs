//! [`Body`]: the body of a request, under its deadlines and its limit.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use ::http_body::{Body as HttpBody, Frame, SizeHint};
use ::hyper::body::Incoming;
use bytes::Bytes;
use punctual_reactor::{Instant, SendSleep};

use super::expired::Expired;
use super::info::RequestInfo;
use super::timeouts::ServerTimeouts;
use crate::error::{DeadlineInfo, Error, Kind, Phase};
use crate::io::Meter;

/// The body of a request, as it comes.
///
/// While it is asked for a part, the client has [so long](ServerTimeouts::body_idle) to send one, and must keep up
/// [a rate](ServerTimeouts::body_rate); while it is not, no time counts but that of the request as a whole. Beyond [so
/// many bytes](super::Limits::body) it breaks off. Its error is `Timeout` in phase `request-body`, `LimitExceeded`, or
/// `Protocol`; a response that the handler then gives with a status of failure becomes 408, 413 or 400.
///
/// It is `Send`, but to be polled on its loop.
pub struct Body {
    incoming: Incoming,
    info: RequestInfo,
    watch: Option<Box<Watch>>,
}

/// What is kept of a body that there is.
pub(super) struct Watch {
    left: u64,
    idle: Duration,
    /// When the wait for a part began, and by when it ends.
    waits: Option<(Instant, Instant)>,
    rate: Meter,
    sleep: Option<SendSleep>,
    peer: Option<SocketAddr>,
    pub(super) fate: Arc<Fate>,
}

/// What has become of a body, for those who answer: it may be on its way through any type that is `Send`.
#[derive(Default)]
pub(super) struct Fate {
    outcome: AtomicU8,
    is_whole: AtomicBool,
}

const TOO_SLOW: u8 = 1;
const TOO_LARGE: u8 = 2;
const BROKEN: u8 = 3;

impl Fate {
    /// The status of a response that says so.
    pub(super) fn status(&self) -> Option<::http::StatusCode> {
        match self.outcome.load(Relaxed) {
            TOO_SLOW => Some(::http::StatusCode::REQUEST_TIMEOUT),
            TOO_LARGE => Some(::http::StatusCode::PAYLOAD_TOO_LARGE),
            BROKEN => Some(::http::StatusCode::BAD_REQUEST),
            _ => None,
        }
    }

    /// Whether all of it has come.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole.load(Relaxed)
    }
}

impl Body {
    /// `watch` is there if there is a body.
    #[inline]
    pub(super) fn new(incoming: Incoming, info: RequestInfo, watch: Option<Box<Watch>>) -> Body {
        Body { incoming, info, watch }
    }

    /// What the server knows of the request: from whom it comes, and by when it must be answered.
    #[must_use]
    pub fn info(&self) -> &RequestInfo {
        &self.info
    }
}

impl Watch {
    pub(super) fn new(timeouts: &ServerTimeouts, limit: u64, info: &RequestInfo) -> Box<Watch> {
        Box::new(Watch {
            left: limit,
            idle: timeouts.body_idle,
            waits: None,
            rate: Meter::new(timeouts.body_rate),
            sleep: None,
            peer: info.peer_addr(),
            fate: Arc::default(),
        })
    }

    /// A part has come.
    fn received(&mut self, frame: &Frame<Bytes>) -> Result<(), Error> {
        if self.waits.take().is_some() {
            self.rate.pause(Instant::now());
        }
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.rate.moved(bytes);
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => {
                return Err(self.fails(TOO_LARGE, Error::new(Kind::LimitExceeded, Phase::RequestBody)));
            }
        }
        Ok(())
    }

    /// Nothing has come yet: how long may that be so?
    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let (began, idle) = *self.waits.get_or_insert_with(|| {
            let now = Instant::now();
            self.rate.run(now);
            (now, now + self.idle)
        });
        loop {
            let until = idle.min(self.rate.due());
            let sleep = self.sleep.get_or_insert_with(|| SendSleep::until(until));
            if sleep.deadline() != until {
                sleep.reset(until);
            }
            if Pin::new(sleep).poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            if let Some(info) = self.rate.judge(now) {
                return Poll::Ready(self.ran_out(DeadlineInfo { began: Some(began), ..info }));
            }
            if now >= idle {
                let info = DeadlineInfo {
                    began: Some(began),
                    budget: Some(self.idle),
                    idle: true,
                    ..DeadlineInfo::new(idle, now)
                };
                return Poll::Ready(self.ran_out(info));
            }
            if now >= until {
                // The rate was kept: its next window has begun.
                continue;
            }
        }
    }

    fn ran_out(&self, info: DeadlineInfo) -> Error {
        let error =
            Expired { phase: Phase::RequestBody, info, firing: None }.tell(self.peer, |error| error);
        self.fails(TOO_SLOW, error)
    }

    fn fails(&self, fate: u8, error: Error) -> Error {
        self.fate.outcome.store(fate, Relaxed);
        match self.peer {
            Some(peer) => error.with_peer(peer),
            None => error,
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Body { incoming, watch, .. } = &mut *self;
        let poll = Pin::new(&mut *incoming).poll_frame(cx);
        let Some(watch) = watch else {
            return poll
                .map_err(|error| Error::new(Kind::Protocol, Phase::RequestBody).because(other(error)));
        };
        if watch.fate.status().is_some() {
            return Poll::Ready(None);
        }
        if matches!(poll, Poll::Ready(None)) || poll.is_ready() && incoming.is_end_stream() {
            watch.fate.is_whole.store(true, Relaxed);
        }
        match poll {
            Poll::Pending => watch.poll_too_slow(cx).map(|error| Some(Err(error))),
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(watch.received(&frame).map(|()| frame))),
            Poll::Ready(Some(Err(error))) => {
                let error = Error::new(Kind::Protocol, Phase::RequestBody).because(other(error));
                Poll::Ready(Some(Err(watch.fails(BROKEN, error))))
            }
            Poll::Ready(None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

fn other(error: ::hyper::Error) -> std::io::Error {
    std::io::Error::other(error)
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("size_hint", &self.size_hint()).finish_non_exhaustive()
    }
}
