//! [`Timeouts`]: how long the parts of a call may take.

use std::panic::Location;
use std::time::Duration;

use punctual_reactor::Instant;

use crate::error::{DeadlineInfo, Error, Phase};
use crate::phase::{BODY_TIMEOUT, GRPC_HEADER_TIMEOUT, Limit};

/// How long a call may take in all unless another time is set.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(300);

/// How long the parts of a call may take. None is infinite by default.
///
/// ```text
///  call ──▶ connect ──▶ headers ────────▶ message ──▶ message ──▶ trailers
///           (channel's)  ├── header ──┤     ├─ idle ─┤  ├─ idle ─┤
///  ├──────────────────────────── total ─────────────────────────────┤
/// ```
///
/// The call ends with the [scope](punctual_reactor::scope) it is in, too, and with its own `grpc-timeout`
/// (`tonic::Request::set_timeout`): the earliest counts. What is left of the earliest of those that bound the whole goes to the
/// server.
///
/// For all calls of a channel by [`ChannelBuilder::timeouts`](super::ChannelBuilder::timeouts); for one call as an extension of its
/// request:
///
/// ```
/// use punctual_net::grpc::Timeouts;
///
/// let mut request = tonic::Request::new(());
/// request.extensions_mut().insert(Timeouts::streaming());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    header: Set,
    idle: Set,
    total: Set,
}

/// A time, and where it was set if it is not the default.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set {
    pub(super) time: Duration,
    pub(super) at: Option<&'static Location<'static>>,
}

const fn unset(time: Duration) -> Set {
    Set { time, at: None }
}

impl Timeouts {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Timeouts {
        Timeouts {
            header: unset(GRPC_HEADER_TIMEOUT),
            idle: unset(BODY_TIMEOUT),
            total: unset(TOTAL_TIMEOUT),
        }
    }

    /// For a stream that may be silent for as long as it likes, and has no end: the headers are to come as by default, and nothing
    /// else is bounded but by the scope that the call is in and by its own `grpc-timeout`.
    #[must_use]
    pub const fn streaming() -> Timeouts {
        let never = unset(Duration::MAX);
        Timeouts { idle: never, total: never, ..Timeouts::new() }
    }

    /// From when the request is handed to the connection until the headers of the response have come: 10 s by default. A server
    /// sends them with the first message, unless it streams; so this is how long it may work on a unary call. In phase
    /// [`GrpcHeader`](crate::Phase::GrpcHeader).
    #[must_use]
    #[track_caller]
    pub fn header(self, time: Duration) -> Timeouts {
        Timeouts { header: Set { time, at: Some(Location::caller()) }, ..self }
    }

    /// Each wait for more of the response, in phase [`Body`](crate::Phase::Body): 30 s by default.
    #[must_use]
    #[track_caller]
    pub fn idle(self, time: Duration) -> Timeouts {
        Timeouts { idle: Set { time, at: Some(Location::caller()) }, ..self }
    }

    /// From the call to the trailers: 5 min by default.
    #[must_use]
    #[track_caller]
    pub fn total(self, time: Duration) -> Timeouts {
        Timeouts { total: Set { time, at: Some(Location::caller()) }, ..self }
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts::new()
    }
}

/// The times of one call that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    timeouts: Timeouts,
    pub(super) began: Instant,
    /// The end of the whole by the call's own word.
    pub(super) whole: Limit,
    /// Where the channel was made: for what was set nowhere.
    made_at: &'static Location<'static>,
}

impl Deadlines {
    /// Of a call that began then and may take `own` by its own `grpc-timeout`.
    pub(super) fn new(
        timeouts: Timeouts,
        began: Instant,
        own: Option<Duration>,
        made_at: &'static Location<'static>,
    ) -> Deadlines {
        let (set, what) = match own {
            Some(own) if own <= timeouts.total.time => (unset(own), "grpc-timeout"),
            _ => (timeouts.total, "total timeout"),
        };
        let whole = Limit {
            phase: Phase::Connect,
            deadline: began + set.time,
            budget: set.time,
            set_at: set.at.or(Some(made_at)),
            what,
            own: false,
        };
        Deadlines { timeouts, began, whole, made_at }
    }

    fn earlier(&self, phase: Phase, set: Set, what: &'static str, since: Instant) -> Limit {
        let deadline = since + set.time;
        if self.whole.deadline <= deadline {
            return Limit { phase, ..self.whole };
        }
        let set_at = set.at.or(Some(self.made_at));
        Limit { phase, deadline, budget: set.time, set_at, what, own: true }
    }

    /// For the headers, as of now.
    pub(super) fn header(&self) -> Limit {
        self.earlier(Phase::GrpcHeader, self.timeouts.header, "header timeout", Instant::now())
    }

    /// For more of the body, waited for since then.
    pub(super) fn idle(&self, since: Instant) -> Limit {
        self.earlier(Phase::Body, self.timeouts.idle, "idle timeout", since)
    }

    /// The error that the whole is over, found out now.
    pub(super) fn over(&self, phase: Phase, before_it_began: bool) -> Error {
        let info =
            DeadlineInfo { began: Some(self.began), before_it_began, ..self.whole.info(Instant::now()) };
        Error::timeout(phase, info)
    }
}
