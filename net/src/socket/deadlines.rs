//! Deadlines and timeouts of a [`Socket`], and the name by which others reach it.

use std::time::Duration;

use punctual_reactor::{Cause, Direction, Instant, Leeway, Token};

use super::Socket;
use super::transport::Transport;
use crate::error::Error;

/// Deadlines and timeouts.
impl<T: Transport> Socket<T> {
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

    /// As [`set_deadline`](Socket::set_deadline), for reads.
    ///
    /// # Errors
    /// `Closed`; nothing was set.
    #[track_caller]
    pub fn set_read_deadline(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.io().set_deadline(Direction::Read, deadline).map_err(|why| self.unconfigured(why))
    }

    /// As [`set_deadline`](Socket::set_deadline), for writes.
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

    /// As [`set_timeout`](Socket::set_timeout), for reads: an idle timeout, if each read takes what has
    /// come.
    ///
    /// # Errors
    /// `Closed`; nothing was set.
    #[track_caller]
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.io().set_timeout(Direction::Read, timeout).map_err(|why| self.unconfigured(why))
    }

    /// As [`set_timeout`](Socket::set_timeout), for writes: how long the peer may take to make room.
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
