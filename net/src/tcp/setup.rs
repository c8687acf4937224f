//! [`TcpOptions`]: what is set on a socket before it connects or listens.

use std::io;
use std::time::Duration;

use punctual_reactor::{Instant, set_syn_count};
use socket2::SockRef;

use super::keepalive::Keepalive;
use crate::error::Error;

/// Options of a TCP socket, set before it connects or listens; what is not given stays as the system has it.
/// Connections that a listener accepts take them over.
///
/// ```no_run
/// # use std::time::Duration;
/// # use punctual_net::{Connect, Keepalive, TcpOptions};
/// # async fn connect() -> Result<(), punctual_net::Error> {
/// let options = TcpOptions::new()
///     .nodelay(true)
///     .keepalive(Keepalive::after(Duration::from_secs(30)).interval(Duration::from_secs(10)).count(3))
///     .user_timeout(Duration::from_secs(20));
/// let stream = Connect::to("example.org:443").options(options).await?;
/// # Ok(()) }
/// ```
///
/// | option | socket option | where |
/// |---|---|---|
/// | [`nodelay`](TcpOptions::nodelay) | `TCP_NODELAY` | everywhere |
/// | [`keepalive`](TcpOptions::keepalive) | `SO_KEEPALIVE`, `TCP_KEEPIDLE`, `_KEEPINTVL`, `_KEEPCNT` | not on OpenBSD |
/// | [`user_timeout`](TcpOptions::user_timeout) | `TCP_USER_TIMEOUT` | Linux, Android |
/// | [`user_timeout_from_deadline`](TcpOptions::user_timeout_from_deadline) | `TCP_USER_TIMEOUT` | Linux, Android |
/// | [`syn_count`](TcpOptions::syn_count) | `TCP_SYNCNT` | Linux, Android |
/// | [`reset_on_close`](TcpOptions::reset_on_close) | `SO_LINGER` of 0 | everywhere |
/// | [`receive_buffer`](TcpOptions::receive_buffer), [`send_buffer`](TcpOptions::send_buffer) | `SO_RCVBUF`, `SO_SNDBUF` | everywhere |
/// | [`hop_limit`](TcpOptions::hop_limit) | `IP_TTL`, `IPV6_UNICAST_HOPS` | everywhere |
/// | [`traffic_class`](TcpOptions::traffic_class) | `IP_TOS`, `IPV6_TCLASS` | everywhere |
///
/// One that cannot be set is an error in phase `Configure` that names it: of kind `Unsupported` where the system has
/// no such option. What has no method here can be set in [`Connect::before_connect`](crate::Connect::before_connect)
/// or [`Listen::before_bind`](crate::Listen::before_bind).
#[derive(Clone, Debug, Default)]
#[must_use = "give it to a Connect or a Listen"]
pub struct TcpOptions {
    nodelay: Option<bool>,
    keepalive: Option<Keepalive>,
    user_timeout: Option<UserTimeout>,
    syn_count: Option<u8>,
    reset_on_close: bool,
    receive_buffer: Option<usize>,
    send_buffer: Option<usize>,
    hop_limit: Option<u8>,
    traffic_class: Option<u8>,
}

#[derive(Clone, Copy, Debug)]
enum UserTimeout {
    Of(Duration),
    FromDeadline,
}

impl TcpOptions {
    /// None yet.
    pub fn new() -> TcpOptions {
        TcpOptions::default()
    }

    /// Sends small writes at once.
    pub fn nodelay(mut self, nodelay: bool) -> TcpOptions {
        self.nodelay = Some(nodelay);
        self
    }

    /// Probes the peer while nothing moves.
    pub fn keepalive(mut self, keepalive: Keepalive) -> TcpOptions {
        self.keepalive = Some(keepalive);
        self
    }

    /// How long what was sent may stay unacknowledged before the kernel gives the connection up, SYNs included: what
    /// waits then ends as `Kernel(ETIMEDOUT)`, which is no [`Timeout`](crate::Kind::Timeout) of ours. In whole
    /// milliseconds, rounded up.
    pub fn user_timeout(mut self, timeout: Duration) -> TcpOptions {
        self.user_timeout = Some(UserTimeout::Of(timeout));
        self
    }

    /// As [`user_timeout`](TcpOptions::user_timeout), of as much as an attempt to connect has left when it
    /// starts: should this process hang, the kernel gives up in its place. It is for connecting alone: once the
    /// connection stands, the user timeout is the system's again, and
    /// [`set_user_timeout_from_deadline`](crate::TcpStream::set_user_timeout_from_deadline) takes it from what then
    /// bounds the writes. A listener has no deadline to take it from, and leaves it as it is.
    ///
    /// Our own deadline comes first: the kernel counts from the SYN, which is sent later, and gets 10 ms more.
    pub fn user_timeout_from_deadline(mut self) -> TcpOptions {
        self.user_timeout = Some(UserTimeout::FromDeadline);
        self
    }

    /// How often a SYN is sent again before the kernel gives up with `Kernel(ETIMEDOUT)`: 1 to 127.
    pub fn syn_count(mut self, retransmits: u8) -> TcpOptions {
        self.syn_count = Some(retransmits);
        self
    }

    /// Has a close reset the connection and discard what was not sent. (A close that lingers any longer would
    /// block the loop; for that there is [`close_in_order`](crate::TcpStream::close_in_order).)
    pub fn reset_on_close(mut self, reset: bool) -> TcpOptions {
        self.reset_on_close = reset;
        self
    }

    /// The size of the kernel's buffer for what has come, in bytes, which also bounds the window that is
    /// offered. Linux doubles what it is given, and cuts it to `net.core.rmem_max`.
    pub fn receive_buffer(mut self, bytes: usize) -> TcpOptions {
        self.receive_buffer = Some(bytes);
        self
    }

    /// The size of the kernel's buffer for what is to be sent, in bytes; see
    /// [`receive_buffer`](TcpOptions::receive_buffer).
    pub fn send_buffer(mut self, bytes: usize) -> TcpOptions {
        self.send_buffer = Some(bytes);
        self
    }

    /// How many routers a packet may pass.
    pub fn hop_limit(mut self, hops: u8) -> TcpOptions {
        self.hop_limit = Some(hops);
        self
    }

    /// The traffic class of packets: DSCP and ECN (RFC 2474).
    pub fn traffic_class(mut self, class: u8) -> TcpOptions {
        self.traffic_class = Some(class);
        self
    }

    /// What was for connecting alone is undone on a connection that stands.
    pub(crate) fn connected(&self, socket: &SockRef<'_>) -> Result<(), Error> {
        match self.user_timeout {
            Some(UserTimeout::FromDeadline) => set("TCP_USER_TIMEOUT", set_user_timeout(socket, None)),
            _ => Ok(()),
        }
    }

    /// Sets them on a socket of IPv6 or IPv4 whose connect has to be done by `deadline`.
    pub(crate) fn apply(&self, socket: &SockRef<'_>, v6: bool, deadline: Instant) -> Result<(), Error> {
        if let Some(nodelay) = self.nodelay {
            set("TCP_NODELAY", socket.set_tcp_nodelay(nodelay))?;
        }
        if let Some(keepalive) = self.keepalive {
            set("SO_KEEPALIVE", keepalive.apply(socket))?;
        }
        match self.user_timeout {
            Some(UserTimeout::Of(timeout)) => {
                set("TCP_USER_TIMEOUT", set_user_timeout(socket, Some(timeout)))?;
            }
            Some(UserTimeout::FromDeadline) if deadline != Instant::FAR_FUTURE => {
                let left = deadline - Instant::now() + USER_TIMEOUT_GRACE;
                set("TCP_USER_TIMEOUT", set_user_timeout(socket, Some(left)))?;
            }
            _ => {}
        }
        if let Some(count) = self.syn_count {
            set("TCP_SYNCNT", set_syn_count(&**socket, count))?;
        }
        if self.reset_on_close {
            set("SO_LINGER", socket.set_linger(Some(Duration::ZERO)))?;
        }
        if let Some(bytes) = self.receive_buffer {
            set("SO_RCVBUF", socket.set_recv_buffer_size(bytes))?;
        }
        if let Some(bytes) = self.send_buffer {
            set("SO_SNDBUF", socket.set_send_buffer_size(bytes))?;
        }
        if let Some(hops) = self.hop_limit {
            set("the hop limit", set_hop_limit(socket, v6, hops.into()))?;
        }
        if let Some(class) = self.traffic_class {
            set("the traffic class", set_traffic_class(socket, v6, class.into()))?;
        }
        Ok(())
    }
}

/// How much longer than us the kernel waits if it is to give up in our place.
const USER_TIMEOUT_GRACE: Duration = Duration::from_millis(10);

fn set(option: &'static str, result: io::Result<()>) -> Result<(), Error> {
    result.map_err(|error| Error::setting(option, error))
}

fn set_hop_limit(socket: &SockRef<'_>, v6: bool, hops: u32) -> io::Result<()> {
    if v6 { socket.set_unicast_hops_v6(hops) } else { socket.set_ttl_v4(hops) }
}

fn set_traffic_class(socket: &SockRef<'_>, v6: bool, class: u32) -> io::Result<()> {
    if v6 { socket.set_tclass_v6(class) } else { socket.set_tos_v4(class) }
}

/// In whole milliseconds, rounded up; none is what the system has.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn set_user_timeout(socket: &SockRef<'_>, timeout: Option<Duration>) -> io::Result<()> {
    let up = |timeout: Duration| {
        let ms = timeout.as_nanos().div_ceil(1_000_000).clamp(1, i32::MAX as u128);
        Duration::from_millis(ms as u64)
    };
    socket.set_tcp_user_timeout(timeout.map(up))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn user_timeout(socket: &SockRef<'_>) -> io::Result<Option<Duration>> {
    socket.tcp_user_timeout()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn set_user_timeout(_socket: &SockRef<'_>, _timeout: Option<Duration>) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no TCP_USER_TIMEOUT"))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn user_timeout(_socket: &SockRef<'_>) -> io::Result<Option<Duration>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no TCP_USER_TIMEOUT"))
}
