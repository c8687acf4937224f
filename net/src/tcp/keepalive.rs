//! [`Keepalive`]: probes of a connection on which nothing moves.

use std::io;
use std::time::Duration;

use socket2::SockRef;
#[cfg(not(target_os = "openbsd"))]
use socket2::TcpKeepalive;

/// Probes of a connection on which nothing has moved for a while (`SO_KEEPALIVE`, tcp(7)). A peer that does not
/// answer them is given up by the kernel: what waits ends as `Kernel(ETIMEDOUT)`.
///
/// The kernel counts in whole seconds; what is given is rounded up to one. What is not given stays as the
/// system is set (on Linux 75 s and 9 probes). OpenBSD has one setting for all sockets: there it is `Unsupported`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    idle: Duration,
    interval: Option<Duration>,
    count: Option<u32>,
}

impl Keepalive {
    /// The first probe after `idle` without a sign of life (`TCP_KEEPIDLE`).
    #[must_use]
    pub fn after(idle: Duration) -> Keepalive {
        Keepalive { idle: whole_seconds(idle), interval: None, count: None }
    }

    /// One more every `interval` that is not answered (`TCP_KEEPINTVL`).
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Keepalive {
        self.interval = Some(whole_seconds(interval));
        self
    }

    /// Given up after `probes` of them (`TCP_KEEPCNT`, at most 127 on Linux).
    #[must_use]
    pub fn count(mut self, probes: u32) -> Keepalive {
        self.count = Some(probes);
        self
    }

    #[cfg(not(target_os = "openbsd"))]
    pub(super) fn apply(self, socket: &SockRef<'_>) -> io::Result<()> {
        let keepalive = TcpKeepalive::new().with_time(self.idle);
        let keepalive = match self.interval {
            Some(interval) => keepalive.with_interval(interval),
            None => keepalive,
        };
        socket.set_tcp_keepalive(&match self.count {
            Some(count) => keepalive.with_retries(count),
            None => keepalive,
        })
    }

    /// As the kernel has it, if it is switched on.
    #[cfg(not(target_os = "openbsd"))]
    pub(super) fn read(socket: &SockRef<'_>) -> io::Result<Option<Keepalive>> {
        if !socket.keepalive()? {
            return Ok(None);
        }
        Ok(Some(Keepalive {
            idle: socket.tcp_keepalive_time()?,
            interval: Some(socket.tcp_keepalive_interval()?),
            count: Some(socket.tcp_keepalive_retries()?),
        }))
    }

    #[cfg(target_os = "openbsd")]
    pub(super) fn apply(self, _socket: &SockRef<'_>) -> io::Result<()> {
        Err(unsupported())
    }

    #[cfg(target_os = "openbsd")]
    pub(super) fn read(socket: &SockRef<'_>) -> io::Result<Option<Keepalive>> {
        if socket.keepalive()? { Err(unsupported()) } else { Ok(None) }
    }
}

#[cfg(target_os = "openbsd")]
fn unsupported() -> io::Error {
    let why = "this system has one setting of keepalive for all sockets (net.inet.tcp.keepidle)";
    io::Error::new(io::ErrorKind::Unsupported, why)
}

fn whole_seconds(duration: Duration) -> Duration {
    let up = u64::from(duration.subsec_nanos() > 0);
    Duration::from_secs(duration.as_secs().saturating_add(up).clamp(1, i16::MAX as u64))
}
