//! [`Body`]: what comes along with a response, part by part, under its deadlines.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use punctual_reactor::{Failure, Instant, PhaseEnding, SendSleep, check_scope};

use crate::error::{DeadlineInfo, Error, Kind, Phase};
use crate::http::timeline::{PhaseTime, Timeline};
use crate::io::throughput::Meter;
use crate::phase::{Explains, Limit, Running, field, milliseconds, open};

use super::connection::{Connection, Ticket};
use super::failure;
use super::timeouts::Deadlines;

/// How much room is made for a body because it is announced, in bytes.
const BELIEVED: u64 = 64 * 1024;

/// The body of a response: an [`http_body::Body`] that may be sent, but is polled on the loop it belongs to.
///
/// Whoever waits for a part of it is bounded by [`body_idle`](super::Timeouts::body_idle),
/// [`min_rate`](super::Timeouts::min_rate) and what is left of [`total`](super::Timeouts::total), and by the scope it is
/// polled in. What does not wait is not bounded, but after the end of `total` nothing is given out any more.
/// A body that ends before its end (a `Content-Length` that is not reached, a chunk or a stream that is cut off) is an
/// error of kind `UnexpectedEof`, `Kernel` or `Protocol`, and never a short one.
///
/// # Dropped before its end
///
/// It takes an HTTP/1.1 connection along, unless the rest has arrived already; of HTTP/2 its stream alone is reset. An
/// error closes the connection in any case: what was not read of one response is never taken for the next.
///
/// Cancel-safe: a part that was not given out is given out next time.
#[must_use = "a response whose body is not read takes its connection along"]
pub struct Body {
    incoming: Option<Incoming>,
    progress: Box<Progress>,
}

struct Progress {
    deadlines: Deadlines,
    timeline: Timeline,
    running: Running,
    endpoint: String,
    ticket: Ticket,
    /// Of the request on its connection.
    number: u64,
    /// Counts as a request in the connection as long as it is there.
    user: Option<Arc<()>>,
    /// Since when the next part is waited for.
    waiting: Option<Limit>,
    meter: Option<Meter>,
    sleep: Option<SendSleep>,
    over: bool,
}

impl Body {
    pub(super) fn new(
        incoming: Incoming,
        deadlines: Deadlines,
        mut timeline: Timeline,
        (endpoint, ticket, number): (String, Ticket, u64),
        user: Option<Arc<()>>,
    ) -> Body {
        let began = Instant::now();
        let left = deadlines.total - began;
        let span = open!(
            "body",
            Phase::Body,
            field::ENDPOINT = endpoint.as_str(),
            field::BUDGET_MS = milliseconds(left),
        );
        let running = Running::new(Phase::Body, began, deadlines.total, None, span);
        if let Some(hop) = timeline.hops.last_mut() {
            hop.phases.push(PhaseTime::new(Phase::Body, began, left));
        }
        let progress = Progress {
            deadlines,
            timeline,
            running,
            endpoint,
            ticket,
            number,
            user,
            waiting: None,
            meter: deadlines.timeouts.rate().map(Meter::new),
            sleep: None,
            over: false,
        };
        let mut body = Body { incoming: Some(incoming), progress: Box::new(progress) };
        if http_body::Body::is_end_stream(&body) {
            body.finish(PhaseEnding::Done);
        }
        body
    }

    /// Where the time has gone so far.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        let mut timeline = self.progress.timeline.clone();
        if let Some(phase) = timeline.hops.last_mut().and_then(|hop| hop.phases.last_mut())
            && phase.ending.is_none()
        {
            phase.took = Instant::now() - phase.began;
        }
        timeline
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`poll_frame`](http_body::Body::poll_frame); `LimitExceeded` if it is longer than `limit` bytes, of which no
    /// more are kept.
    pub async fn bytes(mut self, limit: usize) -> Result<Bytes, Error> {
        use http_body_util::BodyExt;
        let announced = http_body::Body::size_hint(&self).lower();
        if announced > limit as u64 {
            return Err(self.too_long(limit));
        }
        // More than this has to come before there is room for it: the announcement is the peer's word alone.
        let mut all = Vec::with_capacity(announced.min(BELIEVED) as usize);
        while let Some(frame) = self.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if data.len() > limit - all.len() {
                return Err(self.too_long(limit));
            }
            all.extend_from_slice(&data);
        }
        Ok(all.into())
    }

    fn too_long(&mut self, limit: usize) -> Error {
        let why = std::io::Error::other(format!("it is longer than {limit} bytes"));
        self.fail(Error::new(Kind::LimitExceeded, Phase::Body).because(why))
    }

    /// It has ended; nothing of it is armed any more.
    fn finish(&mut self, ending: PhaseEnding) {
        let progress = &mut *self.progress;
        if std::mem::replace(&mut progress.over, true) {
            return;
        }
        progress.sleep = None;
        if progress.user.take().is_some()
            && let Some(connection) = progress.ticket.find()
        {
            connection.answered(progress.number);
            connection.released();
            if ending == PhaseEnding::Done {
                connection.rest();
            }
        }
        progress.running.end(ending);
        if let Some(phase) = progress.timeline.hops.last_mut().and_then(|hop| hop.phases.last_mut()) {
            *phase = phase.ended(Instant::now(), ending);
        }
    }

    /// It has failed. The connection of an HTTP/1 body goes with it; a stream of HTTP/2 is reset by being dropped.
    fn fail(&mut self, error: Error) -> Error {
        let progress = &mut *self.progress;
        let connection = progress.ticket.find();
        let mut error = error.with_target(progress.endpoint.clone());
        if let Some(connection) = &connection {
            error = connection.explain(error).with_peer(connection.peer);
        }
        if let Some(hop) = progress.timeline.hops.last() {
            error = error.with_transferred(usize::try_from(hop.body_bytes).unwrap_or(usize::MAX));
        }
        let error = progress.running.fail(error);
        let ending = error.ending();
        // All of it may have come, though nobody read it, and the connection have been given to another request since.
        let own = |connection: &Rc<Connection>| {
            !connection.http2 && connection.next_number() == progress.number
        };
        if let Some(connection) = connection.filter(own) {
            // It may lie idle already, if nobody came to read what had arrived.
            if let Some(place) = connection.place() {
                place.left_by(&connection);
            }
            connection.close();
        }
        self.incoming = None;
        self.finish(ending);
        error.with_timeline(self.progress.timeline.clone())
    }

    /// A part has come, or the end.
    fn received(
        &mut self,
        frame: Option<hyper::Result<Frame<Bytes>>>,
    ) -> Option<Result<Frame<Bytes>, Error>> {
        let progress = &mut *self.progress;
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(why)) => {
                let error = match progress.ticket.find() {
                    Some(connection) => failure::explained(Phase::Body, why, &connection),
                    None => failure::of_hyper(Phase::Body, &why),
                };
                return Some(Err(self.fail(error)));
            }
            None => {
                self.finish(PhaseEnding::Done);
                return None;
            }
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        if bytes > 0 || frame.is_trailers() {
            progress.waiting = None;
            progress.sleep = None;
        }
        if let Some(meter) = &mut progress.meter {
            meter.moved(bytes as u64);
            meter.pause(Instant::now());
        }
        if let Some(hop) = progress.timeline.hops.last_mut() {
            hop.body_bytes += bytes as u64;
        }
        if http_body::Body::is_end_stream(self) {
            self.finish(PhaseEnding::Done);
        }
        Some(Ok(frame))
    }

    /// Ready when time is up.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let progress = &mut *self.progress;
        let deadlines = progress.deadlines;
        let idle = *progress.waiting.get_or_insert_with(|| deadlines.body_idle());
        if let Some(meter) = &mut progress.meter {
            meter.run(Instant::now());
        }
        loop {
            let rate = progress.meter.as_ref().map_or(Instant::FAR_FUTURE, Meter::due);
            let due = idle.deadline.min(rate).min(deadlines.total);
            let sleep = progress.sleep.get_or_insert_with(|| SendSleep::until(due));
            if sleep.deadline() != due {
                sleep.reset(due);
            }
            ready!(Pin::new(sleep).poll(cx));
            progress.sleep = None;
            let now = Instant::now();
            let slow = progress.meter.as_mut().and_then(|meter| meter.judge(now));
            let idle = (idle.deadline <= now).then(|| idle.info(now));
            let total = deadlines.total(Phase::Body);
            let total = (total.deadline <= now).then(|| total.info(now));
            let first = [total, idle, slow].into_iter().flatten().min_by_key(DeadlineInfo::deadline);
            if let Some(mut info) = first {
                info.began.get_or_insert(info.deadline - info.budget.unwrap_or(Duration::ZERO));
                return Poll::Ready(Error::timeout(Phase::Body, info));
            }
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.progress.over {
            return Poll::Ready(None);
        }
        if let Err(failure) = check_scope() {
            return Poll::Ready(Some(Err(self.ended_by_scope(failure))));
        }
        let total = self.progress.deadlines.total(Phase::Body);
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        if total.deadline > Instant::now()
            && let Poll::Ready(frame) = Pin::new(incoming).poll_frame(cx)
        {
            return Poll::Ready(self.received(frame));
        }
        let error = ready!(self.poll_over(cx));
        Poll::Ready(Some(Err(self.fail(error))))
    }

    fn is_end_stream(&self) -> bool {
        self.progress.over || self.incoming.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.incoming {
            Some(incoming) if !self.progress.over => incoming.size_hint(),
            _ => SizeHint::with_exact(0),
        }
    }
}

impl Body {
    fn ended_by_scope(&mut self, failure: Failure) -> Error {
        self.fail(Error::failed(Phase::Body, failure))
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Body>();
};

impl Drop for Body {
    fn drop(&mut self) {
        self.finish(PhaseEnding::Dropped);
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("endpoint", &self.progress.endpoint)
            .field("over", &self.progress.over)
            .finish_non_exhaustive()
    }
}
