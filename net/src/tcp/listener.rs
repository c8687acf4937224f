//! [`TcpListener`]: how one is come by.

use punctual_reactor::Failure;

use crate::error::{Error, Phase};
use crate::socket::transport::Tcp;
use crate::stream::Listener;
use crate::target::Target;
use crate::tcp::listen::Listen;

/// Accepts TCP connections, each under its own deadline: a [`Listener`].
pub type TcpListener = Listener<Tcp>;

/// Making a listener.
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

    /// As [`bind`](TcpListener::bind), with room for `backlog` connections that wait to be accepted (listen(2));
    /// the kernel may grant fewer. To one more it does not answer, and the peer tries again after a second
    /// or more.
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
        TcpListener::listening(mio::net::TcpListener::from_std(listener))
    }

    /// Gives it back as a listener of the standard library. It does not block; to have it block, call its
    /// `set_nonblocking`.
    ///
    /// # Errors
    /// `Closed`.
    pub fn into_std(self) -> Result<std::net::TcpListener, Error> {
        let Listener { io, local, .. } = self;
        let closed = || Error::failed(Phase::Configure, Failure::Closed).with_target(local.to_string());
        io.into_inner().map(std::net::TcpListener::from).ok_or_else(closed)
    }
}
