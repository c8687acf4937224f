//! Running a phase within its [`Bounds`]: in time, in a span, recorded, and told if time runs out.

use std::any::Any;
use std::cell::Cell;
use std::future::{Future, IntoFuture, poll_fn};
use std::io;
use std::panic::Location;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use punctual_reactor::{Elapsed, Instant, PhaseEnding, current_scope_id, in_scope_as, timeout_at};
use tracing::{Instrument, Span};

use super::{Bound, Bounds, Limit};
use crate::error::{DeadlineInfo, Error, Phase};
use crate::phase::names::field;
use crate::phase::span::{Running, open};
use crate::phase::{Tells, milliseconds};

impl<'a> Bounds<'a> {
    /// Runs `future` as the phase, and drops it when its time is up. If both are due in the same turn, it wins.
    ///
    /// It ends with the [scope](punctual_reactor::scope) it is in, too; one that begins after its deadline is dropped
    /// without being polled.
    ///
    /// Cancel-safe if `future` is.
    ///
    /// # Errors
    /// What `future` says; or, by way of `From`, an [`Error`] of this phase: `Timeout`, `Cancelled`, `Shutdown`. If an
    /// operation inside says that the deadline of a scope has ended it, that too is the end of this phase, and the error
    /// (an [`Error`], or an [`io::Error`] around one) is said to be of it.
    ///
    /// # Panics
    /// When polled outside of a runtime.
    #[track_caller]
    pub fn run<F, T, E>(self, future: F) -> impl Future<Output = Result<T, E>> + use<'a, F, T, E>
    where
        F: IntoFuture<Output = Result<T, E>>,
        E: From<Error> + 'static,
    {
        let began = Instant::now();
        let set_at = self.set_at.unwrap_or(Location::caller());
        let future = future.into_future();
        async move {
            let deadline = match self.bound {
                Bound::Budget(budget) => began + budget,
                Bound::Deadline(deadline) => deadline,
                Bound::Limit(limit) => limit.deadline,
                #[cfg(feature = "tls")]
                Bound::Within { deadline, .. } => deadline,
            };
            let mut running = Running::new(self.phase, began, deadline, self.budget(), self.open());
            let now = Instant::now();
            if deadline <= now {
                let info = self.info(deadline, now, began, set_at);
                let info = DeadlineInfo { before_it_began: true, ..info };
                let error = self.explain(Error::timeout(self.phase(), info));
                return Err(running.fail(error).into());
            }
            let within = async {
                // That of a scope is told of here, if it can be found in the error.
                let tells = match carries_ours::<E>() {
                    true => Tells::AllButEndsOf(current_scope_id()),
                    false => Tells::All,
                };
                let future = tells.during(future);
                self.in_time(deadline, in_scope_as(self.phase.as_str(), future)).await
            };
            let error = match within.instrument(running.span().clone()).await {
                Ok(Ok(Ok(value))) => {
                    running.end(PhaseEnding::Done);
                    return Ok(value);
                }
                Ok(Ok(Err(error))) => return Err(self.passed_on(&mut running, error)),
                Ok(Err(failure)) => Error::failed(self.phase, failure),
                Err(elapsed) => {
                    let firing = elapsed.firing();
                    let info = self.info(elapsed.deadline(), firing.fired, began, set_at);
                    Error::timeout(self.phase(), info).fired_as(firing)
                }
            };
            Err(running.fail(self.explain(error)).into())
        }
    }

    async fn in_time<F: Future>(&self, deadline: Instant, future: F) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        let Some(moving) = self.moving else { return timeout_at(deadline, future).await };
        loop {
            let armed = moving.get().deadline;
            let mut within = pin!(timeout_at(armed, future.as_mut()));
            let ended = poll_fn(|cx| match within.as_mut().poll(cx) {
                Poll::Pending if moving.get().deadline < armed => Poll::Ready(None),
                ended => ended.map(Some),
            });
            match ended.await {
                Some(Err(elapsed)) if elapsed.deadline() >= moving.get().deadline => {
                    return Err(elapsed);
                }
                Some(Ok(output)) => return Ok(output),
                _ => {}
            }
        }
    }

    /// As the record knows it: what is left of something around it is no budget of its own.
    fn budget(&self) -> Option<Duration> {
        match self.bound {
            Bound::Budget(budget) => Some(budget),
            Bound::Limit(limit) if limit.own => Some(limit.budget),
            Bound::Deadline(_) | Bound::Limit(_) => None,
            #[cfg(feature = "tls")]
            Bound::Within { budget, .. } => budget,
        }
    }

    fn is_cap(&self) -> bool {
        match self.bound {
            #[cfg(feature = "tls")]
            Bound::Within { is_cap, .. } => is_cap,
            _ => false,
        }
    }

    fn latest(&self) -> Option<Limit> {
        match self.bound {
            Bound::Limit(limit) => Some(self.moving.map_or(limit, Cell::get)),
            _ => None,
        }
    }

    /// What has run out of time, if it is this.
    fn phase(&self) -> Phase {
        self.latest().map_or(self.phase, |limit| limit.phase)
    }

    fn info(
        &self,
        deadline: Instant,
        fired: Instant,
        began: Instant,
        set_at: &'static Location<'static>,
    ) -> DeadlineInfo {
        let info = DeadlineInfo {
            began: Some(began),
            budget: self.budget(),
            set_at: Some(set_at),
            name: self.name.clone(),
            of_cap: self.is_cap(),
            ..DeadlineInfo::new(deadline, fired)
        };
        match self.latest() {
            Some(limit) => DeadlineInfo {
                budget: Some(limit.budget),
                set_at: limit.set_at.or(Some(set_at)),
                ..info.described(limit.what)
            },
            None => info,
        }
    }

    /// Says of an error of this phase all that is known.
    fn explain(&self, mut error: Error) -> Error {
        if let Some(stream) = self.stream {
            error = stream.explain(error);
        }
        if let Some(probe) = self.probe {
            error = probe.explain(error);
        }
        if let Some(peer) = self.peer {
            error = error.with_peer(peer);
        }
        match &self.endpoint {
            Some(endpoint) => error.with_target(endpoint.clone()),
            None => error,
        }
    }

    /// An error of what was run. A scope's deadline has ended the phase, whatever of it was under way.
    fn passed_on<E: 'static>(&self, running: &mut Running, mut error: E) -> E {
        match ours(&mut error) {
            Some(ours) => {
                let placeholder = Error::new(ours.kind(), self.phase);
                let mut taken = std::mem::replace(ours, placeholder);
                if taken.deadline().is_some_and(|info| info.of_scope) && !taken.was_told() {
                    taken = taken.in_phase(self.phase);
                }
                *ours = running.fail(taken);
            }
            None => running.end(PhaseEnding::Failed),
        }
        error
    }

    fn open(&self) -> Span {
        if let Some(span) = &self.span {
            return span.clone();
        }
        macro_rules! open_as {
            ($name:literal) => {
                open!(
                    $name,
                    self.phase,
                    field::ENDPOINT = self.endpoint.as_deref(),
                    field::PEER = self.peer.map(display),
                    field::BUDGET_MS = self.budget().map(milliseconds),
                    field::DEADLINE_NAME = self.name.as_deref(),
                )
            };
        }
        match self.phase {
            Phase::Resolve => open_as!("resolve"),
            Phase::Connect => open_as!("connect"),
            Phase::Tls => open_as!("tls"),
            Phase::Request => open_as!("request"),
            Phase::FirstByte | Phase::GrpcHeader => open_as!("first_byte"),
            Phase::Body => open_as!("body"),
            Phase::RequestFirstByte => open_as!("request_first_byte"),
            Phase::RequestHeader => open_as!("request_header"),
            Phase::RequestBody => open_as!("request_body"),
            Phase::RequestTotal => open_as!("request_total"),
            Phase::ResponseWrite => open_as!("response_write"),
            Phase::KeepAlive => open_as!("keep_alive"),
            Phase::Accept => open_as!("accept"),
            Phase::Read => open_as!("read"),
            Phase::Write => open_as!("write"),
            Phase::Shutdown => open_as!("shutdown"),
            Phase::Copy => open_as!("copy"),
            Phase::Bind => open_as!("bind"),
            Phase::Configure => open_as!("configure"),
        }
    }
}

/// Whether [`ours`] can find one in such an error.
fn carries_ours<E: 'static>() -> bool {
    use std::any::TypeId;
    [TypeId::of::<Error>(), TypeId::of::<io::Error>()].contains(&TypeId::of::<E>())
}

/// The error of ours that `error` is, or has inside.
fn ours<E: 'static>(error: &mut E) -> Option<&mut Error> {
    let error: &mut dyn Any = error;
    if error.is::<Error>() {
        return error.downcast_mut();
    }
    error.downcast_mut::<io::Error>()?.get_mut()?.downcast_mut()
}
