//! Socket options of a [`TcpStream`].

use std::net::SocketAddr;
use std::time::Duration;

use punctual_reactor::{Direction, Instant, TcpInfo};
use socket2::SockRef;

use crate::error::{Diagnosis, Error, Phase};
use crate::tcp::keepalive::Keepalive;
use crate::tcp::{TcpStream, setup};

/// Socket options.
impl TcpStream {
    /// The address of this end.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.option(|io| io.local_addr())
    }

    /// Whether small writes are sent at once (`TCP_NODELAY`, tcp(7)).
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn nodelay(&self) -> Result<bool, Error> {
        self.option(|io| SockRef::from(io).tcp_nodelay())
    }

    /// Sends small writes at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn set_nodelay(&self, nodelay: bool) -> Result<(), Error> {
        self.option(|io| SockRef::from(io).set_tcp_nodelay(nodelay))
    }

    /// How long the kernel goes on sending after a close (`SO_LINGER`, socket(7)).
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn linger(&self) -> Result<Option<Duration>, Error> {
        self.option(|io| SockRef::from(io).linger())
    }

    /// Sets `SO_LINGER`, in whole seconds. `Some(ZERO)` makes a close reset the connection and discard what
    /// was not sent; with any other value the close itself blocks the loop, which is why it is refused.
    ///
    /// # Errors
    /// `InvalidInput`, `Closed`, or what the kernel says.
    pub fn set_linger(&self, linger: Option<Duration>) -> Result<(), Error> {
        if linger.is_some_and(|linger| !linger.is_zero()) {
            let why = "a lingering close would block the loop: use close_in_order";
            return Err(Error::invalid(Phase::Configure, why).with_peer(self.peer_addr()));
        }
        self.option(|io| SockRef::from(io).set_linger(linger))
    }

    /// The probes of the connection while nothing moves, if they are switched on.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn keepalive(&self) -> Result<Option<Keepalive>, Error> {
        self.option(|io| Keepalive::read(&SockRef::from(io)))
    }

    /// Probes the peer while nothing moves, or does so no more.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> Result<(), Error> {
        self.option(|io| match keepalive {
            Some(keepalive) => keepalive.apply(&SockRef::from(io)),
            None => SockRef::from(io).set_keepalive(false),
        })
    }

    /// How long what was sent may stay unacknowledged (`TCP_USER_TIMEOUT`), if that was set.
    ///
    /// # Errors
    /// `Closed`, `Unsupported` (it is Linux's), or what the kernel says.
    pub fn user_timeout(&self) -> Result<Option<Duration>, Error> {
        self.option(|io| setup::user_timeout(&SockRef::from(io)))
    }

    /// As [`TcpOptions::user_timeout`](crate::TcpOptions::user_timeout); `None` leaves it to the system.
    ///
    /// # Errors
    /// `Closed`, `Unsupported` (it is Linux's), or what the kernel says.
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.option(|io| setup::set_user_timeout(&SockRef::from(io), timeout))
    }

    /// Sets the user timeout to what the next write has: the time until the write deadline or the write timeout,
    /// whichever is less, and at least 1 ms; with neither it is left to the system. A write itself is over when the
    /// kernel has taken the bytes; this bounds how long they may then stay unacknowledged, and so ends a connection
    /// whose peer has silently gone by about the deadline of what was written. Call it again after the deadline
    /// has moved.
    ///
    /// # Errors
    /// `Closed`, `Unsupported` (it is Linux's), or what the kernel says.
    pub fn set_user_timeout_from_deadline(&self) -> Result<(), Error> {
        let until = self.write_deadline().map(|deadline| deadline - Instant::now());
        self.set_user_timeout(until.into_iter().chain(self.write_timeout()).min())
    }

    /// What the kernel knows of the connection now (`TCP_INFO`, tcp(7)): where it is between its two ends, what is on
    /// its way, when the peer was last heard of.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says; on systems other than Linux and Android that it is not told.
    pub fn tcp_info(&self) -> Result<TcpInfo, Error> {
        self.option(TcpInfo::read)
    }

    /// Why an operation on this side would wait now, as an [`Error::diagnosis`] would say it at a timeout. `None` if
    /// nothing is amiss, and where [`tcp_info`](TcpStream::tcp_info) is not told.
    #[must_use]
    pub fn diagnose(&self, side: Direction) -> Option<Diagnosis> {
        let phase = match side {
            Direction::Read => Phase::Read,
            Direction::Write => Phase::Write,
        };
        let info = self.tcp_info().ok()?;
        Diagnosis::of_connection(phase, &info, info.retransmission_timeout)
    }
}
