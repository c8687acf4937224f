//! [`phase()`] and [`Bounds`]: a phase of a protocol of one's own.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::time::Duration;

use punctual_reactor::{Instant, PhaseEnding, current_scope_id, in_scope_as, timeout_at};
use tracing::{Instrument, Span};

use super::names::field;
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
    span: Option<Span>,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    Budget(Duration),
    Deadline(Instant),
}

/// A socket that can say more of an error that it had no part in.
trait Explains {
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
            span: None,
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
            };
            let mut running = Running::new(self.phase, began, deadline, self.budget(), self.open());
            let now = Instant::now();
            if deadline <= now {
                let info = self.info(deadline, now, began, set_at);
                let info = DeadlineInfo { before_it_began: true, ..info };
                let error = self.explain(Error::timeout(self.phase, info));
                return Err(running.fail(error).into());
            }
            let within = async {
                // That of a scope is told of here, if it can be found in the error.
                let tells = match carries_ours::<E>() {
                    true => Tells::AllButEndsOf(current_scope_id()),
                    false => Tells::All,
                };
                let future = tells.during(future);
                timeout_at(deadline, in_scope_as(self.phase.as_str(), future)).await
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
                    let info = self.info(deadline, firing.fired, began, set_at);
                    Error::timeout(self.phase, info).fired_as(firing)
                }
            };
            Err(running.fail(self.explain(error)).into())
        }
    }

    fn budget(&self) -> Option<Duration> {
        match self.bound {
            Bound::Budget(budget) => Some(budget),
            Bound::Deadline(_) => None,
        }
    }

    fn info(
        &self,
        deadline: Instant,
        fired: Instant,
        began: Instant,
        set_at: &'static Location<'static>,
    ) -> DeadlineInfo {
        DeadlineInfo {
            began: Some(began),
            budget: self.budget(),
            set_at: Some(set_at),
            name: self.name.clone(),
            ..DeadlineInfo::new(deadline, fired)
        }
    }

    /// Says of an error of this phase all that is known.
    fn explain(&self, mut error: Error) -> Error {
        if let Some(stream) = self.stream {
            error = stream.explain(error);
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
