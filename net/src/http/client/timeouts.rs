//! [`Timeouts`]: how long each phase of a request may take.

use std::panic::Location;
use std::time::Duration;

use punctual_reactor::Instant;

use crate::error::Phase;
use crate::io::Throughput;
use crate::phase::{
    BODY_TIMEOUT, CONNECT_TIMEOUT, FIRST_BYTE_TIMEOUT, Limit, REQUEST_TIMEOUT, RESOLVE_TIMEOUT,
    TLS_TIMEOUT,
};

/// How long each phase of a request may take. None is infinite unless it is set to [`Duration::MAX`].
///
/// ```text
///  total ────────────────────────────────────────────────────────────────────────────────▶ 5 min
///    connect ───────────────────▶ 30 s   request_write ─▶   first_byte ─▶   body_idle ─▶ 30 s each wait
///      resolve ▶ 5 s      tls ──▶ 10 s              30 s            30 s    min_rate     500 B/s
/// ```
///
/// | | from | until | ends as |
/// |---|---|---|---|
/// | `connect` | a connection is wanted | there is one, ready for requests: waiting for a free one, `resolve` and `tls` are in it | [`Connect`](Phase::Connect), or the phase under way |
/// | `resolve` | the name is looked up | its addresses are known; at most this much of `connect` | [`Resolve`](Phase::Resolve) |
/// | `tls` | the TCP connection stands | the handshake is done; at most this much of `connect` | [`Tls`](Phase::Tls) |
/// | `request_write` | the request is handed over, and anew after each 64 KiB of it | the kernel has taken it | [`Request`](Phase::Request) |
/// | `first_byte` | the request is written; of a body that is yet to tell its next part, what it has told so far | the head of the response is here | [`FirstByte`](Phase::FirstByte) |
/// | `body_idle` | somebody waits for the next part of the body | it is here; an empty one does not count | [`Body`](Phase::Body) |
/// | `min_rate` | somebody waits for the body | its end: bytes a second, judged every 5 s of waiting | [`Body`](Phase::Body) |
/// | `total` | the request is sent off | the end of its response's body, redirects and retries included | whatever is under way |
///
/// Whichever comes first ends it, and the error names it. The deadline of a [scope](punctual_reactor::scope) around it
/// is one of them.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    resolve: Set,
    connect: Set,
    tls: Set,
    request_write: Set,
    first_byte: Set,
    body_idle: Set,
    total: Set,
    min_rate: u64,
    rate: Option<Throughput>,
}

/// A time, and where it was set if it is not the default.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set {
    pub(super) time: Duration,
    pub(super) at: Option<&'static Location<'static>>,
}

/// How long a request may take in all, unless another time is set.
const TOTAL: Duration = Duration::from_secs(5 * 60);
/// How many bytes a second of a body there have to be, unless another number is set.
const MIN_RATE: u64 = 500;

const fn unset(time: Duration) -> Set {
    Set { time, at: None }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            resolve: unset(RESOLVE_TIMEOUT),
            connect: unset(CONNECT_TIMEOUT),
            tls: unset(TLS_TIMEOUT),
            request_write: unset(REQUEST_TIMEOUT),
            first_byte: unset(FIRST_BYTE_TIMEOUT),
            body_idle: unset(BODY_TIMEOUT),
            total: unset(TOTAL),
            min_rate: MIN_RATE,
            rate: Some(Throughput::per_second(MIN_RATE)),
        }
    }
}

macro_rules! times {
    ($($(#[$doc:meta])* $field:ident, $get:ident;)*) => {$(
        $(#[$doc])*
        #[must_use]
        #[track_caller]
        pub fn $field(mut self, time: Duration) -> Timeouts {
            self.$field = Set { time, at: Some(Location::caller()) };
            self
        }

        /// What is set.
        #[must_use]
        pub fn $get(&self) -> Duration {
            self.$field.time
        }
    )*};
}

impl Timeouts {
    /// The defaults.
    #[must_use]
    pub fn new() -> Timeouts {
        Timeouts::default()
    }

    times! {
        /// Of the connect's time, the most that a lookup may take. Default 5 s.
        resolve, get_resolve;
        /// Until there is a connection, ready for requests. Default 30 s.
        connect, get_connect;
        /// Of the connect's time, the most that a TLS handshake may take. Default 10 s.
        tls, get_tls;
        /// For the head and the first 64 KiB of a request to be written, and for each 64 KiB after them. Default 30 s.
        request_write, get_request_write;
        /// From the end of the request to the head of the response. Default 30 s.
        first_byte, get_first_byte;
        /// For each wait for a part of the body. Default 30 s.
        body_idle, get_body_idle;
        /// For everything, from the beginning to the end of the body. Default 5 min.
        total, get_total;
    }

    /// The least that is to come of a body while it is waited for, in bytes a second, judged every 5 s; nothing for 0. Default
    /// 500 B/s. A response that has long silences of its own, as server-sent events, needs none.
    #[must_use]
    #[track_caller]
    pub fn min_rate(mut self, bytes_per_second: u64) -> Timeouts {
        self.min_rate = bytes_per_second;
        // No closure: the place that is told is our caller's.
        self.rate =
            if bytes_per_second > 0 { Some(Throughput::per_second(bytes_per_second)) } else { None };
        self
    }

    /// As [`min_rate`](Timeouts::min_rate), with windows of one's own.
    #[must_use]
    pub fn throughput(mut self, floor: impl Into<Option<Throughput>>) -> Timeouts {
        self.rate = floor.into();
        self
    }

    pub(super) fn rate(&self) -> Option<Throughput> {
        self.rate
    }

    pub(super) fn resolve_cap(&self) -> (Duration, Option<&'static Location<'static>>) {
        (self.resolve.time, self.resolve.at)
    }
}

/// The times of one request that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    pub(super) timeouts: Timeouts,
    pub(super) began: Instant,
    /// The end of the whole.
    pub(super) total: Instant,
    /// Where the request was made: for what was set nowhere.
    pub(super) made_at: &'static Location<'static>,
    /// What the response's head is waited for as.
    pub(super) head: Phase,
}

impl Deadlines {
    pub(super) fn new(
        timeouts: Timeouts,
        made_at: &'static Location<'static>,
        head: Phase,
    ) -> Deadlines {
        let began = Instant::now();
        Deadlines { timeouts, began, total: began + timeouts.total.time, made_at, head }
    }

    fn earlier(&self, phase: Phase, set: Set, what: &'static str) -> Limit {
        let deadline = Instant::now() + set.time;
        if self.total <= deadline {
            return self.total(phase);
        }
        let set_at = set.at.or(Some(self.made_at));
        Limit { phase, deadline, budget: set.time, set_at, what, own: true }
    }

    /// The whole, as what ends `phase`.
    pub(super) fn total(&self, phase: Phase) -> Limit {
        let Set { time, at } = self.timeouts.total;
        let set_at = at.or(Some(self.made_at));
        let (deadline, what) = (self.total, "total timeout");
        Limit { phase, deadline, budget: time, set_at, what, own: false }
    }

    pub(super) fn connect(&self) -> Limit {
        self.earlier(Phase::Connect, self.timeouts.connect, "connect timeout")
    }

    /// Of a handshake that begins now, within what is left of `connect`.
    #[cfg(feature = "tls")]
    pub(super) fn tls(&self, connect: Limit) -> Limit {
        let own = self.earlier(Phase::Tls, self.timeouts.tls, "tls timeout");
        if connect.deadline <= own.deadline { Limit { phase: Phase::Tls, ..connect } } else { own }
    }

    pub(super) fn request_write(&self) -> Limit {
        self.earlier(Phase::Request, self.timeouts.request_write, "request_write timeout")
    }

    pub(super) fn first_byte(&self) -> Limit {
        self.earlier(self.head, self.timeouts.first_byte, "first_byte timeout")
    }

    pub(super) fn body_idle(&self) -> Limit {
        self.earlier(Phase::Body, self.timeouts.body_idle, "body_idle timeout")
    }
}
