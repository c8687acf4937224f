//! [`TcpListener`]: how one is come by.

use std::io;
use std::net::SocketAddr;

use punctual_reactor::Failure;
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::{Error, Phase};
use crate::socket::transport::Tcp;
use crate::stream::{BACKLOG, Listener};
use crate::target::Target;

/// Accepts TCP connections, each under its own deadline: a [`Listener`].
pub type TcpListener = Listener<Tcp>;

/// Making a listener.
impl TcpListener {
    /// Listens on the first of the addresses that can be had; on port 0 the kernel chooses one. The
    /// address may be reused while old connections linger (`SO_REUSEADDR`). Up to 4096 connections may wait to
    /// be accepted, or fewer if the kernel is set to allow fewer (`net.core.somaxconn`).
    ///
    /// # Errors
    /// What the kernel says, as `Kernel(EADDRINUSE)`; `InvalidInput` for a name or what does not parse.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind(target: impl Into<Target>) -> Result<TcpListener, Error> {
        TcpListener::bind_with_backlog(target, BACKLOG)
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
        let mut last = None;
        for address in target.into().into_addresses(Phase::Bind)? {
            match listen(address, backlog) {
                Ok(io) => return TcpListener::listening(io),
                Err(error) => last = Some(Error::kernel(Phase::Bind, error).with_peer(address)),
            }
        }
        Err(last.unwrap_or_else(|| Error::invalid(Phase::Bind, "no address")))
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

/// A listening socket as the standard library makes it, but for the backlog.
fn listen(address: SocketAddr, backlog: u32) -> io::Result<mio::net::TcpListener> {
    // Closed on exec, as all of socket2's.
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Elsewhere than on Unix it would let others take the port over.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(mio::net::TcpListener::from_std(socket.into()))
}
