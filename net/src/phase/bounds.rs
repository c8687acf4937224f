//! [`phase()`] and [`Bounds`]: a phase of a protocol of one's own.

use std::any::Any;
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use punctual_reactor::{Elapsed, Instant, PhaseEnding, current_scope_id, in_scope_as, timeout_at};
use tracing::{Instrument, Span};

use super::names::field;
use super::probe::Probe;
use super::span::{Running, open};
use super::{Tells, milliseconds};
use crate::error::{DeadlineInfo, Error, Phase};
use crate::socket::Socket;
use crate::socket::transport::Transport;

/// Runs `future` as `phase` of a connection, within `budget`: in a span, recorded, and with an event if time runs out.
///
/// ```
/// # punctual_reactor::Runtime::new()?.block_on(async {
/// use std::time::Duration;
/// use punctual_net::{Error, Phase, TcpListener, TcpStream, phase};
///
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// let stream = TcpStream::connect(listener.local_addr()?).await?;
/// let mut buffer = [0; 512];
/// let budget = Duration::from_millis(20);
/// let late = phase(Phase::FirstByte, budget, stream.read(&mut buffer)).await.expect_err("nobody answers");
/// assert!(late.is_timeout() && late.phase() == Phase::FirstByte);
/// # Ok::<(), Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It is [`Bounds::of`]`(phase).timeout(budget).run(future)`; there is more to say.
#[track_caller]
pub fn phase<F, T, E>(phase: Phase, budget: Duration, future: F) -> impl Future<Output = Result<T, E>>
where
    F: IntoFuture<Output = Result<T, E>>,
    E: From<Error> + 'static,
{
    Bounds::of(phase).timeout(budget).run(future)
}

/// What bounds one phase of a connection, and what is said of it.
///
/// ```no_run
/// # use std::time::Duration;
/// # use punctual_net::{Error, Phase, TcpStream, phase::Bounds};
/// # async fn headers(stream: &TcpStream) -> Result<usize, Error> {
/// let mut buffer = [0; 512];
/// let bounds = Bounds::of(Phase::FirstByte).timeout(Duration::from_secs(3)).name("checkout").stream(stream);
/// bounds.run(stream.read(&mut buffer)).await
/// # }
/// ```
#[derive(Clone)]
#[must_use = "it bounds nothing unless it runs something"]
pub struct Bounds<'a> {
    phase: Phase,
    bound: Bound,
    set_at: Option<&'static Location<'static>>,
    name: Option<Cow<'static, str>>,
    endpoint: Option<Cow<'static, str>>,
    peer: Option<SocketAddr>,
    stream: Option<&'a dyn Explains>,
    probe: Option<Probe>,
    span: Option<Span>,
    moving: Option<&'a Cell<Limit>>,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    Budget(Duration),
    Deadline(Instant),
    Limit(Limit),
    /// A part of something larger: what is left of its budget, or a cap.
    #[cfg(feature = "tls")]
    Within {
        deadline: Instant,
        budget: Option<Duration>,
        is_cap: bool,
    },
}

/// A deadline that a protocol has worked out of several of its own: the one that comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// What it ends.
    pub(crate) phase: Phase,
    pub(crate) deadline: Instant,
    /// The time that the deadline comes from.
    pub(crate) budget: Duration,
    pub(crate) set_at: Option<&'static Location<'static>>,
    /// What it is called, as `total timeout`.
    pub(crate) what: &'static str,
    /// Whether it is that of the phase itself, and not of something around it.
    pub(crate) own: bool,
}

impl Limit {
    /// It has been reached, which was found out at `fired`.
    #[cfg(feature = "http")]
    pub(crate) fn info(&self, fired: Instant) -> DeadlineInfo {
        DeadlineInfo {
            budget: Some(self.budget),
            set_at: self.set_at,
            ..DeadlineInfo::new(self.deadline, fired).described(self.what)
        }
    }
}

/// A socket that can say more of an error that it had no part in.
pub(crate) trait Explains {
    fn explain(&self, error: Error) -> Error;
}

impl<T: Transport> Explains for Socket<T> {
    fn explain(&self, error: Error) -> Error {
        T::explain(self, error)
    }
}

impl<'a> Bounds<'a> {
    /// Of `phase`, with the time that it has [by default](Phase::default_timeout).
    pub fn of(phase: Phase) -> Bounds<'a> {
        Bounds {
            phase,
            bound: Bound::Budget(phase.default_timeout().unwrap_or(Duration::MAX)),
            set_at: None,
            name: None,
            endpoint: None,
            peer: None,
            stream: None,
            probe: None,
            span: None,
            moving: None,
        }
    }

    /// Within `budget`, counted from when it is run.
    #[track_caller]
    pub fn timeout(mut self, budget: Duration) -> Bounds<'a> {
        self.bound = Bound::Budget(budget);
        self.set_at = Some(Location::caller());
        self
    }

    /// By `deadline`.
    #[track_caller]
    pub fn deadline(mut self, deadline: impl Into<Instant>) -> Bounds<'a> {
        self.bound = Bound::Deadline(deadline.into());
        self.set_at = Some(Location::caller());
        self
    }

    /// By `deadline`, which is that of a larger whole that has `budget`, or the cap that this phase has of it.
    #[cfg(feature = "tls")]
    pub(crate) fn within(
        mut self,
        deadline: Instant,
        budget: Option<Duration>,
        is_cap: bool,
    ) -> Bounds<'a> {
        self.bound = Bound::Within { deadline, budget, is_cap };
        self
    }

    /// Where the bound was set, if not where it is run.
    #[cfg(feature = "tls")]
    pub(crate) fn at(mut self, set_at: &'static Location<'static>) -> Bounds<'a> {
        self.set_at = Some(set_at);
        self
    }

    /// What is to be reached.
    #[cfg(feature = "tls")]
    pub(crate) fn named(&self) -> Option<Cow<'static, str>> {
        self.endpoint.clone()
    }

    /// What its deadline is called.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Bounds<'a> {
        self.name = Some(name.into());
        self
    }

    /// What is to be reached, as a person would call it.
    pub fn endpoint(mut self, endpoint: impl Into<Cow<'static, str>>) -> Bounds<'a> {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// The address of the other end.
    pub fn peer(mut self, peer: SocketAddr) -> Bounds<'a> {
        self.peer = Some(peer);
        self
    }

    /// The connection that it is about: a timeout asks the kernel what it knows of it, and says why.
    pub fn stream<T: Transport>(mut self, stream: &'a Socket<T>) -> Bounds<'a> {
        self.stream = Some(stream);
        self
    }

    /// Within `limit`.
    pub(crate) fn limit(mut self, limit: Limit) -> Bounds<'a> {
        self.bound = Bound::Limit(limit);
        self.set_at = limit.set_at.or(self.set_at);
        self
    }

    /// As [`stream`](Bounds::stream), where something else owns the socket.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "hyper owns the stream of HTTP"))]
    pub(crate) fn explained_by(mut self, stream: &'a dyn Explains) -> Bounds<'a> {
        self.stream = Some(stream);
        self
    }

    /// Within what this says from time to time: what moves is not stalled. Whoever makes it end earlier wakes the task.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "the body of a request moves"))]
    pub(crate) fn moving(mut self, limit: &'a Cell<Limit>) -> Bounds<'a> {
        self.moving = Some(limit);
        self.limit(limit.get())
    }

    /// As [`stream`](Bounds::stream), for a connection that is owned elsewhere, as by hyper: its [probe](Socket::probe).
    pub fn probe(mut self, probe: Probe) -> Bounds<'a> {
        self.probe = Some(probe);
        self
    }

    /// Runs in `span` instead of one of its own, as one with more fields or of another level. What is known at the
    /// end is recorded in it if it has such [fields](field).
    pub fn span(mut self, span: Span) -> Bounds<'a> {
        self.span = Some(span);
        self
    }

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

impl fmt::Debug for Bounds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounds")
            .field("phase", &self.phase)
            .field("bound", &self.bound)
            .field("name", &self.name)
            .field("endpoint", &self.endpoint)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
