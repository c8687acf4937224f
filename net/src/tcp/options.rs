//! Socket options of a [`TcpStream`].

use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;

use crate::error::{Error, Phase};
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
}
