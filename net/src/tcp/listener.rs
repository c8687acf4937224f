//! [`TcpListener`].

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use punctual_reactor::{
    Cause, Direction, Done, Failure, Instant, Interest, Readiness, Registration, Sleep, Token,
    sleep_until,
};
use socket2::SockRef;

use crate::error::{Error, Phase};
use crate::target::Target;
use crate::tcp::backoff::{Backoff, is_exhaustion, is_of_one_connection};
use crate::tcp::listen::Listen;
use crate::tcp::stream::TcpStream;

/// Accepts TCP connections, each under its own deadline.
///
/// Deadlines and timeouts are those of a stream's reading side: absolute and sticky, or given to each
/// accept anew. Out of descriptors (`EMFILE` and its kind) it pauses 5 ms, doubled each time up to 1 s,
/// within the accept that waits; it neither spins nor goes deaf.
pub struct TcpListener {
    io: Registration<mio::net::TcpListener>,
    local: SocketAddr,
    backoff: Backoff,
}

impl TcpListener {
    /// Listens on the first of the addresses that can be had; on port 0 the kernel chooses one. The
    /// address may be reused while old connections linger (`SO_REUSEADDR`). Up to 4096 connections may wait to
    /// be accepted, or fewer if the kernel is set to allow fewer (`net.core.somaxconn`). [`Listen`] makes other
    /// choices.
    ///
    /// # Errors
    /// What the kernel says, as `Kernel(EADDRINUSE)`; `InvalidInput` for a name or what does not parse.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind(target: impl Into<Target>) -> Result<TcpListener, Error> {
        Listen::on(target).bind()
    }

    /// As [`bind`](TcpListener::bind), with room for [`backlog`](Listen::backlog) connections that wait to be
    /// accepted.
    ///
    /// # Errors
    /// As [`bind`](TcpListener::bind).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind_with_backlog(target: impl Into<Target>, backlog: u32) -> Result<TcpListener, Error> {
        Listen::on(target).backlog(backlog).bind()
    }

    /// Takes over a listening socket of the standard library.
    ///
    /// # Errors
    /// What the kernel says of the registration.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn from_std(listener: std::net::TcpListener) -> Result<TcpListener, Error> {
        listener.set_nonblocking(true).map_err(|error| Error::kernel(Phase::Bind, error))?;
        TcpListener::adopt(mio::net::TcpListener::from_std(listener))
    }

    #[track_caller]
    pub(super) fn adopt(io: mio::net::TcpListener) -> Result<TcpListener, Error> {
        let unbound = |error| Error::kernel(Phase::Bind, error);
        let local = io.local_addr().map_err(unbound)?;
        let io = Registration::new(io, Interest::READABLE, Readiness::NONE).map_err(unbound)?;
        Ok(TcpListener { io, local, backoff: Backoff::default() })
    }

    /// Waits for the next connection. One that was aborted before it could be accepted is passed over.
    ///
    /// Cancel-safe: dropped before it is ready, it has accepted nothing.
    ///
    /// # Errors
    /// A deadline or timeout, a cancel, a close, or what the kernel says of the listener.
    pub async fn accept(&self) -> Result<(TcpStream, SocketAddr), Error> {
        let mut accepting = pin!(self.io.operate(Direction::Read, |io| self.accept_one(io)));
        let mut pause: Option<Pin<Box<Sleep>>> = None;
        let accepted = poll_fn(|cx| {
            loop {
                if let Poll::Ready(result) = accepting.as_mut().poll(cx) {
                    return Poll::Ready(result);
                }
                let Some(retry_at) = self.backoff.retry_at() else {
                    pause = None;
                    return Poll::Pending;
                };
                let sleep = pause.get_or_insert_with(|| Box::pin(sleep_until(retry_at)));
                if sleep.deadline() != retry_at {
                    sleep.reset(retry_at);
                }
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                // The kernel said once that a connection waits, and will not say it again.
                pause = None;
                self.backoff.over();
                if let Err(closed) = self.io.assume(Readiness::READABLE) {
                    return Poll::Ready(Err(closed));
                }
            }
        });
        let (io, peer) = accepted.await.map_err(|failure| self.failed(Phase::Accept, failure))?;
        Ok((TcpStream::adopt(io, peer, Phase::Accept)?, peer))
    }

    fn accept_one(
        &self,
        io: &mio::net::TcpListener,
    ) -> io::Result<Done<(mio::net::TcpStream, SocketAddr)>> {
        if !self.backoff.is_over() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match io.accept() {
            Ok(accepted) => {
                self.backoff.succeeded();
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
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        let open = self.io.get_ref().map(|_| self.local);
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
    pub fn with_socket<T>(&self, what: impl FnOnce(SockRef<'_>) -> T) -> Result<T, Error> {
        let io = self.io.get_ref();
        let io = io.ok_or_else(|| self.failed(Phase::Configure, Failure::Closed))?;
        Ok(what(SockRef::from(&*io)))
    }

    /// Gives it back as a listener of the standard library. It does not block; to have it block, call its
    /// `set_nonblocking`.
    ///
    /// # Errors
    /// `Closed`.
    pub fn into_std(self) -> Result<std::net::TcpListener, Error> {
        let TcpListener { io, local, .. } = self;
        let closed = || Error::failed(Phase::Configure, Failure::Closed).with_target(local.to_string());
        io.into_inner().map(std::net::TcpListener::from).ok_or_else(closed)
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

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener")
            .field("local", &self.local)
            .field("token", &self.token())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}
