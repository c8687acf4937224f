//! Deadlines, timeouts and socket options of a [`TcpStream`].

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use punctual_reactor::{Cause, Direction, Failure, Instant, Leeway, Token};
use socket2::SockRef;

use crate::error::{Error, Phase};
use crate::tcp::TcpStream;

/// Deadlines and timeouts.
impl TcpStream {
    /// Sets or clears the deadline of both sides. What waits observes it; to move it later is a store. One
    /// in the past ends what waits in the next turn. [`Instant::FAR_FUTURE`] is no deadline.
    ///
    /// # Errors
    /// `Closed`; nothing was set.
    #[track_caller]
    pub fn set_deadline(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.set_read_deadline(deadline)?;
        self.set_write_deadline(deadline)
    }

    /// As [`set_deadline`](TcpStream::set_deadline), for reads.
    ///
    /// # Errors
    /// `Closed`; nothing was set.
    #[track_caller]
    pub fn set_read_deadline(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.io().set_deadline(Direction::Read, deadline).map_err(|why| self.unconfigured(why))
    }

    /// As [`set_deadline`](TcpStream::set_deadline), for writes.
    ///
    /// # Errors
    /// `Closed`; nothing was set.
    #[track_caller]
    pub fn set_write_deadline(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.io().set_deadline(Direction::Write, deadline).map_err(|why| self.unconfigured(why))
    }

    /// The deadline of reads.
    #[must_use]
    pub fn read_deadline(&self) -> Option<Instant> {
        self.io().deadline(Direction::Read)
    }

    /// The deadline of writes.
    #[must_use]
    pub fn write_deadline(&self) -> Option<Instant> {
        self.io().deadline(Direction::Write)
    }

    /// Gives each operation that begins from now on at most `timeout`, from its start, or any time. Zero
    /// lets none begin; one that waits already keeps what it had.
    ///
    /// # Errors
    /// `Closed`; nothing was set.
    #[track_caller]
    pub fn set_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.set_read_timeout(timeout)?;
        self.set_write_timeout(timeout)
    }

    /// As [`set_timeout`](TcpStream::set_timeout), for reads: an idle timeout, if each read takes what has
    /// come.
    ///
    /// # Errors
    /// `Closed`; nothing was set.
    #[track_caller]
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.io().set_timeout(Direction::Read, timeout).map_err(|why| self.unconfigured(why))
    }

    /// As [`set_timeout`](TcpStream::set_timeout), for writes: how long the peer may take to make room.
    ///
    /// # Errors
    /// `Closed`; nothing was set.
    #[track_caller]
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.io().set_timeout(Direction::Write, timeout).map_err(|why| self.unconfigured(why))
    }

    /// The timeout of a read.
    #[must_use]
    pub fn read_timeout(&self) -> Option<Duration> {
        self.io().timeout(Direction::Read)
    }

    /// The timeout of a write.
    #[must_use]
    pub fn write_timeout(&self) -> Option<Duration> {
        self.io().timeout(Direction::Write)
    }

    /// Sets how late its deadlines may be fired in order to share a wake-up.
    ///
    /// # Errors
    /// `Closed`; nothing was set.
    pub fn set_leeway(&self, leeway: Leeway) -> Result<(), Error> {
        self.io().set_leeway(leeway).map_err(|why| self.unconfigured(why))
    }

    /// Its name, by which a [`Handle`](punctual_reactor::Handle) sets its deadlines or cancels it from any
    /// thread. It names this connection and no later one.
    #[must_use]
    pub fn token(&self) -> Token {
        self.io().token()
    }

    /// Ends all its operations, those to come included, with `cause`. The first cause stays.
    pub fn cancel(&self, cause: impl Into<Cause>) {
        self.io().cancel(cause);
    }
}

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

    /// Runs `what` on the socket, for options that have no method here. It must neither close the stream nor
    /// change whether the socket blocks; what it reads, no deadline bounds.
    ///
    /// # Errors
    /// `Closed`; it did not run.
    pub fn with_socket<T>(&self, what: impl FnOnce(SockRef<'_>) -> T) -> Result<T, Error> {
        self.option(|io| Ok(what(SockRef::from(io))))
    }

    fn option<T>(&self, option: impl FnOnce(&mio::net::TcpStream) -> io::Result<T>) -> Result<T, Error> {
        let io = self.io().get_ref().ok_or_else(|| self.unconfigured(Failure::Closed))?;
        option(&io).map_err(|error| self.unconfigured(Failure::Io(error)))
    }

    fn unconfigured(&self, why: Failure) -> Error {
        self.failed(Phase::Configure, why)
    }
}
