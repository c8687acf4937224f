//! [`Listener`].

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use punctual_reactor::{
    Cause, Direction, Done, Failure, Instant, Interest, Readiness, Registration, Subject, Token,
};
use socket2::SockRef;

use super::backoff::{Backoff, is_exhaustion, is_of_one_connection};
use crate::error::{Error, Phase};
use crate::pause::operate;
use crate::socket::Socket;
use crate::socket::transport::ListenerTransport;

/// Accepts connections, each under its own deadline. Its names are [`TcpListener`](crate::TcpListener) and
/// [`UnixListener`](crate::UnixListener).
///
/// Deadlines and timeouts are those of a stream's reading side: absolute and sticky, or given to each
/// accept anew. Out of descriptors (`EMFILE` and its kind) it pauses 5 ms, doubled each time up to 1 s,
/// within the accept that waits; it neither spins nor goes deaf.
pub struct Listener<T: ListenerTransport> {
    pub(crate) io: Registration<T::Listener>,
    pub(crate) local: T::Address,
    backoff: Backoff,
}

/// The connections that may wait to be accepted, unless another number is chosen.
pub(crate) const BACKLOG: u32 = 4096;

impl<T: ListenerTransport> Listener<T> {
    #[track_caller]
    pub(crate) fn listening(io: T::Listener) -> Result<Listener<T>, Error> {
        let unbound = |error| Error::kernel(Phase::Bind, error);
        let local = T::local(&io).map_err(unbound)?;
        let io = Registration::owning(io, Interest::READABLE, Readiness::NONE).map_err(unbound)?;
        io.set_idle_label(Direction::Read, Phase::Accept.as_str());
        io.set_subject(Subject::Named(Rc::new(local.clone())));
        Ok(Listener { io, local, backoff: Backoff::default() })
    }

    /// Waits for the next connection. One that was aborted before it could be accepted is passed over.
    ///
    /// Cancel-safe: dropped before it is ready, it has accepted nothing.
    ///
    /// # Errors
    /// A deadline or timeout, a cancel, a close, or what the kernel says of the listener.
    pub async fn accept(&self) -> Result<(Socket<T>, T::Address), Error> {
        let accepted =
            operate(&self.io, Direction::Read, self.backoff.pause(), |io| self.accept_one(io));
        let (io, peer) = accepted.await.map_err(|failure| self.failed(Phase::Accept, failure).tell())?;
        Ok((T::accepted(io, &peer)?, peer))
    }

    fn accept_one(&self, io: &T::Listener) -> io::Result<Done<(T::Io, T::Address)>> {
        match T::accept(io) {
            Ok(accepted) => {
                self.backoff.pause().succeeded();
                Ok(Done::new(accepted))
            }
            Err(error) if is_exhaustion(&error) => {
                self.backoff.failed(&error);
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(error) if is_of_one_connection(&error) => {
                tracing::debug!(%error, "a connection was gone before it was accepted");
                Ok(Done::step(0, 0))
            }
            Err(error) => Err(error),
        }
    }

    /// Sets or clears the deadline of accepting. What waits observes it.
    ///
    /// # Errors
    /// `Closed`; nothing was set.
    #[track_caller]
    pub fn set_deadline(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.io
            .set_deadline(Direction::Read, deadline)
            .map_err(|failure| self.failed(Phase::Configure, failure))
    }

    /// The deadline of accepting.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.io.deadline(Direction::Read)
    }

    /// Gives each accept that begins from now on at most `timeout`.
    ///
    /// # Errors
    /// `Closed`; nothing was set.
    #[track_caller]
    pub fn set_timeout(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.io
            .set_timeout(Direction::Read, timeout)
            .map_err(|failure| self.failed(Phase::Configure, failure))
    }

    /// The timeout of an accept.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.io.timeout(Direction::Read)
    }

    /// The address it listens on, with the port that was chosen.
    ///
    /// # Errors
    /// `Closed`.
    pub fn local_addr(&self) -> Result<T::Address, Error> {
        let open = self.io.get_ref().map(|_| self.local.clone());
        open.ok_or_else(|| self.failed(Phase::Configure, Failure::Closed))
    }

    /// How often accepting failed for want of descriptors or memory.
    #[must_use]
    pub fn exhaustions(&self) -> u64 {
        self.backoff.failures()
    }

    /// Its name, by which a [`Handle`](punctual_reactor::Handle) sets its deadline or cancels it from any
    /// thread.
    #[must_use]
    pub fn token(&self) -> Token {
        self.io.token()
    }

    /// Ends all accepts, those to come included, with `cause`. The first cause stays.
    pub fn cancel(&self, cause: impl Into<Cause>) {
        self.io.cancel(cause);
    }

    /// Runs `what` on the socket, for options that have no method here. It must neither close the listener nor
    /// change whether the socket blocks.
    ///
    /// # Errors
    /// `Closed`; it did not run.
    pub fn with_socket<V>(&self, what: impl FnOnce(SockRef<'_>) -> V) -> Result<V, Error> {
        let io = self.io.get_ref();
        let io = io.ok_or_else(|| self.failed(Phase::Configure, Failure::Closed))?;
        Ok(what(SockRef::from(&*io)))
    }

    /// Stops listening. Accepts that wait end as `Closed` in the next turn; connections that nobody has
    /// accepted are reset by the kernel.
    pub fn close(&self) {
        self.io.close();
    }

    fn failed(&self, phase: Phase, failure: Failure) -> Error {
        Error::failed(phase, failure).with_target(self.local.to_string()).diagnosed(&self.io)
    }
}

impl<T: ListenerTransport> fmt::Debug for Listener<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("local", &self.local)
            .field("token", &self.token())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}
