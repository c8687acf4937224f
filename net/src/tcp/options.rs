//! Socket options of a [`TcpStream`].

use std::net::SocketAddr;
use std::time::Duration;

use punctual_reactor::{Direction, TcpInfo};
use socket2::SockRef;

use crate::error::{Diagnosis, Error, Phase};
use crate::tcp::TcpStream;

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
        self.option(|io| io.nodelay())
    }

    /// Sends small writes at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn set_nodelay(&self, nodelay: bool) -> Result<(), Error> {
        self.option(|io| io.set_nodelay(nodelay))
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
