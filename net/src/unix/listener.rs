//! [`UnixListener`]: how one is come by.

use std::io;
use std::os::fd::OwnedFd;

use punctual_reactor::Failure;
use socket2::{Domain, SockAddr, Socket, Type};

use super::UnixAddress;
use crate::error::{Error, Phase};
use crate::socket::transport::Unix;
use crate::stream::{BACKLOG, Listener};

/// Accepts Unix stream connections, each under its own deadline: a [`Listener`].
///
/// The file of a path stays when the listener is closed: remove it, or the next to bind it is refused with
/// `EADDRINUSE`. A name in the abstract namespace goes by itself.
pub type UnixListener = Listener<Unix>;

/// Making a listener.
impl UnixListener {
    /// Listens on `address`. Up to 4096 connections may wait to be accepted, or fewer if the kernel is set to
    /// allow fewer (`net.core.somaxconn`).
    ///
    /// # Errors
    /// What the kernel says, as `Kernel(EADDRINUSE)`; `InvalidInput` for an address that makes no sense.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind(address: impl Into<UnixAddress>) -> Result<UnixListener, Error> {
        UnixListener::bind_with_backlog(address, BACKLOG)
    }

    /// As [`bind`](UnixListener::bind), with room for `backlog` connections that wait to be accepted
    /// (listen(2)); Linux takes one more. The next finds no room and gets `EAGAIN`.
    ///
    /// # Errors
    /// As [`bind`](UnixListener::bind).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind_with_backlog(
        address: impl Into<UnixAddress>,
        backlog: u32,
    ) -> Result<UnixListener, Error> {
        let address = address.into();
        let named = |error: Error| error.with_target(address.to_string());
        let at = address
            .to_kernel()
            .map_err(|error| named(Error::invalid(Phase::Bind, error.to_string())))?;
        let io = listen(&at, backlog).map_err(|error| named(Error::kernel(Phase::Bind, error)))?;
        UnixListener::listening(io)
    }

    /// Takes over a listening socket of the standard library.
    ///
    /// # Errors
    /// What the kernel says of the registration.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> Result<UnixListener, Error> {
        listener.set_nonblocking(true).map_err(|error| Error::kernel(Phase::Bind, error))?;
        UnixListener::listening(mio::net::UnixListener::from_std(listener))
    }

    /// Gives it back as a listener of the standard library. It does not block; to have it block, call its
    /// `set_nonblocking`.
    ///
    /// # Errors
    /// `Closed`.
    pub fn into_std(self) -> Result<std::os::unix::net::UnixListener, Error> {
        let Listener { io, local, .. } = self;
        let closed = || Error::failed(Phase::Configure, Failure::Closed).with_target(local.to_string());
        io.into_inner().map(std::os::unix::net::UnixListener::from).ok_or_else(closed)
    }
}

fn listen(address: &SockAddr, backlog: u32) -> io::Result<mio::net::UnixListener> {
    // Closed on exec, as all of socket2's.
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(address)?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(OwnedFd::from(socket).into())
}
