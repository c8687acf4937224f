//! The body of a response: each wait bounded, all of it one phase.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::hyper::body::Incoming;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use punctual_reactor::{Failure, Instant, PhaseEnding, ScopeWatch, SendSleep};
use tonic::Status;

use super::call::{ended, without_status};
use super::headers::{GRPC_STATUS, without_bad_details};
use super::request::Sending;
use crate::error::{DeadlineInfo, Error, Phase};
use crate::grpc::times::Deadlines;
use crate::phase::{Limit, Probe, Running, field, milliseconds, open};

/// The body of a [`Channel`](super::Channel)'s response. Each wait for more of it is bounded by the call's
/// [`idle`](crate::grpc::Timeouts::idle) time, by its deadline, and by the scope in which it is polled.
///
/// Dropped before its end, it resets the call with `CANCEL`.
#[derive(Default)]
pub struct ResponseBody {
    receiving: Option<Box<Receiving>>,
}

/// A body that has not ended.
pub(super) struct Receiving {
    incoming: Incoming,
    sending: Sending,
    running: Running,
    watch: ScopeWatch,
    sleep: Option<SendSleep>,
    /// When the wait for the next part began, while it waits.
    waits_since: Option<Instant>,
    deadlines: Deadlines,
    probe: Probe,
    endpoint: Cow<'static, str>,
    /// Whether the headers had one, or the trailers.
    has_status: bool,
    bytes: u64,
}

type Part = Option<Result<Frame<Bytes>, Status>>;

impl ResponseBody {
    pub(super) fn of(mut receiving: Receiving, has_status: bool) -> ResponseBody {
        receiving.has_status = has_status;
        if has_status && receiving.incoming.is_end_stream() {
            receiving.running.end(PhaseEnding::Done);
            return ResponseBody::default();
        }
        ResponseBody { receiving: Some(Box::new(receiving)) }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(receiving) = &mut self.receiving else { return Poll::Ready(None) };
        let part = std::task::ready!(receiving.poll(cx));
        let goes_on = matches!(&part, Some(Ok(frame)) if frame.is_data());
        if !goes_on {
            self.receiving = None;
        }
        Poll::Ready(part)
    }

    fn is_end_stream(&self) -> bool {
        self.receiving.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.receiving {
            Some(receiving) => receiving.incoming.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl Receiving {
    pub(super) fn new(
        incoming: Incoming,
        sending: Sending,
        probe: Probe,
        endpoint: Cow<'static, str>,
        deadlines: Deadlines,
    ) -> Receiving {
        let (began, until) = (Instant::now(), deadlines.whole.deadline);
        let left = (until != Instant::FAR_FUTURE).then(|| until - began);
        let span = open!(
            "body",
            Phase::Body,
            field::ENDPOINT = &*endpoint,
            field::PEER = probe.peer().map(display),
            field::BUDGET_MS = left.map(milliseconds),
        );
        Receiving {
            incoming,
            sending,
            running: Running::new(Phase::Body, began, until, None, span),
            watch: ScopeWatch::new("grpc-message").of_peer(probe.peer()),
            sleep: None,
            waits_since: None,
            deadlines,
            probe,
            endpoint,
            has_status: false,
            bytes: 0,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Part> {
        let since = *self.waits_since.get_or_insert_with(Instant::now);
        let limit = self.deadlines.idle(since);
        let deadline = limit.deadline;
        // What has come by a deadline is taken; after a cancel nothing is.
        let end = self.watch.poll(cx, deadline).err();
        if let Some(failure) = &end
            && !matches!(failure, Failure::Elapsed(_))
        {
            return Poll::Ready(Some(Err(self.fail_as(end))));
        }
        if let Poll::Ready(part) = Pin::new(&mut self.incoming).poll_frame(cx) {
            self.waits_since = None;
            self.watch.leave();
            return Poll::Ready(self.came(part));
        }
        if end.is_some() {
            return Poll::Ready(Some(Err(self.fail_as(end))));
        }
        if deadline == Instant::FAR_FUTURE {
            return Poll::Pending;
        }
        let sleep = self.sleep.get_or_insert_with(|| SendSleep::until(deadline));
        if sleep.deadline() != deadline {
            sleep.reset(deadline);
        }
        std::task::ready!(Pin::new(sleep).poll(cx));
        Poll::Ready(Some(Err(self.late(since, limit))))
    }

    fn came(&mut self, part: Option<Result<Frame<Bytes>, hyper::Error>>) -> Part {
        match part {
            Some(Ok(frame)) => {
                let frame = match frame.into_trailers() {
                    Ok(mut trailers) => {
                        without_bad_details(&mut trailers);
                        self.has_status |= trailers.contains_key(GRPC_STATUS);
                        if !self.has_status {
                            return Some(Err(self.broken(without_status(false))));
                        }
                        self.running.end(PhaseEnding::Done);
                        return Some(Ok(Frame::trailers(trailers)));
                    }
                    Err(frame) => frame,
                };
                self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                let status = ended(error, &self.deadlines, Phase::Body, &self.sending);
                Some(Err(self.broken(status)))
            }
            None if self.has_status => {
                self.running.end(PhaseEnding::Done);
                None
            }
            // hyper takes a reset with NO_ERROR for an end; the stream does not.
            None => {
                let was_reset = !self.incoming.is_end_stream();
                Some(Err(self.broken(without_status(was_reset))))
            }
        }
    }

    fn broken(&mut self, status: Status) -> Status {
        self.running.end(PhaseEnding::Failed);
        status
    }

    fn late(&mut self, since: Instant, limit: Limit) -> Status {
        let firing = self.sleep.as_ref().and_then(SendSleep::firing);
        let fired = firing.map_or_else(Instant::now, |firing| firing.fired);
        let info = DeadlineInfo { began: Some(since), idle: limit.own, ..limit.info(fired) };
        let error = Error::timeout(Phase::Body, info);
        self.fail(match firing {
            Some(firing) => error.fired_as(firing),
            None => error,
        })
    }

    /// Its scope has ended.
    fn fail_as(&mut self, end: Option<Failure>) -> Status {
        let failure = end.unwrap_or(Failure::Shutdown);
        self.fail(Error::failed(Phase::Body, failure))
    }

    fn fail(&mut self, error: Error) -> Status {
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        let error = error.with_target(self.endpoint.clone()).with_transferred(bytes);
        self.running.fail(self.probe.explain(error)).into()
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("ended", &self.receiving.is_none()).finish_non_exhaustive()
    }
}
