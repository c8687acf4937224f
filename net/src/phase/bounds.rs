//! [`phase()`] and [`Bounds`]: a phase of a protocol of one's own.

mod run;

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::net::SocketAddr;
use std::panic::Location;
use std::time::Duration;

use punctual_reactor::Instant;
use tracing::Span;

#[cfg(doc)]
use super::names::field;
use super::probe::Probe;
#[cfg(feature = "http")]
use crate::error::DeadlineInfo;
use crate::error::{Error, Phase};
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
