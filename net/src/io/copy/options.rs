//! [`CopyOptions`]: how long a copy may be silent, slow, half-closed or long.

use std::borrow::Cow;
use std::panic::Location;
use std::time::Duration;

use punctual_reactor::Instant;

use crate::io::Throughput;
use crate::io::scratch::SIZE;

/// The bounds of a [`copy_bidirectional`](crate::io::copy_bidirectional); nothing is unbounded unless asked for.
///
/// | bound | counts from | default |
/// |---|---|---|
/// | [`idle_timeout`](CopyOptions::idle_timeout) | the last byte, either way | 60 s |
/// | [`half_close_linger`](CopyOptions::half_close_linger) | the end of one direction, then the last byte of the other | 30 s |
/// | [`total_timeout`](CopyOptions::total_timeout), [`deadline`](CopyOptions::deadline) | the call | none |
/// | [`throughput`](CopyOptions::throughput) and its kin | the call, window after window | none |
/// | [`close_in_order`](CopyOptions::close_in_order) | the failure | not done |
///
/// [`Duration::MAX`] is no bound.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    pub(super) names: [Cow<'static, str>; 2],
    pub(super) idle: Limit,
    pub(super) linger: Limit,
    pub(super) total: Limit,
    pub(super) deadline: Option<(Instant, &'static Location<'static>)>,
    pub(super) floor: Option<Throughput>,
    pub(super) floors: [Option<Throughput>; 2],
    pub(super) buffer: usize,
    pub(super) close_within: Option<Duration>,
}

/// A length of time, and where it was set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) within: Duration,
    pub(super) set_at: &'static Location<'static>,
}

impl Limit {
    #[track_caller]
    fn here(within: Duration) -> Limit {
        Limit { within, set_at: Location::caller() }
    }
}

const IDLE: Duration = Duration::from_secs(60);
const LINGER: Duration = Duration::from_secs(30);
/// Room for what is read at once.
pub(super) const BUFFER: usize = SIZE;
const BUFFER_MIN: usize = 1;
const BUFFER_MAX: usize = 1 << 20;

impl CopyOptions {
    /// The defaults.
    #[must_use]
    #[track_caller]
    pub fn new() -> CopyOptions {
        CopyOptions {
            names: ["a".into(), "b".into()],
            idle: Limit::here(IDLE),
            linger: Limit::here(LINGER),
            total: Limit::here(Duration::MAX),
            deadline: None,
            floor: None,
            floors: [None; 2],
            buffer: BUFFER,
            close_within: None,
        }
    }

    /// What errors call the two streams, as `"client"` and `"server"`.
    #[must_use]
    pub fn names(
        mut self,
        a: impl Into<Cow<'static, str>>,
        b: impl Into<Cow<'static, str>>,
    ) -> CopyOptions {
        self.names = [a.into(), b.into()];
        self
    }

    /// How long no byte may move in either direction, while both are open. A byte either way is life, read
    /// or written.
    #[must_use]
    #[track_caller]
    pub fn idle_timeout(mut self, within: Duration) -> CopyOptions {
        self.idle = Limit::here(within);
        self
    }

    /// Takes the place of the idle timeout once one direction has ended: how long the other may move no byte,
    /// counted from that end and then from each byte (as HAProxy's `timeout client-fin` and `server-fin`).
    /// So a response of any length arrives whole as long as it moves, and a peer that has vanished
    /// holds its sockets no longer than this.
    #[must_use]
    #[track_caller]
    pub fn half_close_linger(mut self, within: Duration) -> CopyOptions {
        self.linger = Limit::here(within);
        self
    }

    /// How long the whole may take, from the call of the copy, whatever moves.
    #[must_use]
    #[track_caller]
    pub fn total_timeout(mut self, within: Duration) -> CopyOptions {
        self.total = Limit::here(within);
        self
    }

    /// When the whole is to be over, whatever moves.
    #[must_use]
    #[track_caller]
    pub fn deadline(mut self, deadline: impl Into<Instant>) -> CopyOptions {
        self.deadline = Some((deadline.into(), Location::caller()));
        self
    }

    /// The least that must move, both directions taken together.
    #[must_use]
    pub fn throughput(mut self, floor: Throughput) -> CopyOptions {
        self.floor = Some(floor);
        self
    }

    /// The least that must move from the first stream to the second until that direction has ended. Where the
    /// two take turns, as in a request and its response, bound [both together](CopyOptions::throughput).
    #[must_use]
    pub fn throughput_a_to_b(mut self, floor: Throughput) -> CopyOptions {
        self.floors[0] = Some(floor);
        self
    }

    /// The least that must move from the second stream to the first until that direction has ended.
    #[must_use]
    pub fn throughput_b_to_a(mut self, floor: Throughput) -> CopyOptions {
        self.floors[1] = Some(floor);
        self
    }

    /// How many bytes are read at once, 1 to 1 MiB; 64 KiB unless set. At most so many are held for each
    /// direction, and only while its receiver takes no more.
    #[must_use]
    pub fn buffer(mut self, bytes: usize) -> CopyOptions {
        self.buffer = bytes.clamp(BUFFER_MIN, BUFFER_MAX);
        self
    }

    /// If the copy fails, ends both writing sides, then reads and discards what the peers still send, for at most
    /// `within` and not beyond the end of its scope, before it lets go of the streams. A socket that is closed with unread bytes resets its
    /// connection, and the peer may lose what was written last (RFC 9112, section 9.6).
    #[must_use]
    pub fn close_in_order(mut self, within: Duration) -> CopyOptions {
        self.close_within = Some(within);
        self
    }
}

impl Default for CopyOptions {
    #[track_caller]
    fn default() -> CopyOptions {
        CopyOptions::new()
    }
}
