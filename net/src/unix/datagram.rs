//! [`UnixDatagram`].

use std::io;
use std::os::fd::OwnedFd;

use punctual_reactor::{Failure, Interest, Readiness, Registration};
use socket2::{Domain, SockAddr, SockRef, Type};

use super::UnixAddress;
use crate::datagram::ends::Ends;
use crate::datagram::explain;
use crate::error::{Error, Phase};
use crate::socket::Socket;
use crate::socket::transport::{DatagramTransport, KernelTransport, Transport, UnixMessages, sealed};

/// A Unix datagram socket (unix(7)), with a deadline and a timeout on each side: a [`Socket`], where it says
/// what holds for every operation. Nothing is lost or put out of order on the way.
pub type UnixDatagram = Socket<UnixMessages>;

impl Transport for UnixMessages {}
impl KernelTransport for UnixMessages {}
impl DatagramTransport for UnixMessages {}

impl sealed::Kind for UnixMessages {
    type Io = mio::net::UnixDatagram;
    type Names = Ends<UnixAddress>;
    type Address = UnixAddress;
    const TYPE: &'static str = "UnixDatagram";

    fn explain(socket: &UnixDatagram, error: Error) -> Error {
        explain(socket, error)
    }
}

impl sealed::Datagrams for UnixMessages {
    const FULL_QUEUES_ARE_SILENT: bool = true;

    fn to_kernel(address: &UnixAddress) -> io::Result<SockAddr> {
        address.to_kernel()
    }

    fn from_kernel(address: &SockAddr) -> UnixAddress {
        UnixAddress::from_kernel(address)
    }

    fn at(error: Error, address: &UnixAddress) -> Error {
        error.with_target(address.to_string())
    }
}

/// Making a socket.
impl UnixDatagram {
    /// Binds to `address`, at which others reach it. The file of a path stays when the socket is closed: remove
    /// it, or the next to bind it is refused with `EADDRINUSE`.
    ///
    /// # Errors
    /// What the kernel says, as `Kernel(EADDRINUSE)`; `InvalidInput` for an address that makes no sense.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind(address: impl Into<UnixAddress>) -> Result<UnixDatagram, Error> {
        let address = address.into();
        let named = |error: Error| error.with_target(address.to_string());
        let at = address
            .to_kernel()
            .map_err(|error| named(Error::invalid(Phase::Bind, error.to_string())))?;
        let bound = open().and_then(|io| SockRef::from(&io).bind(&at).map(|()| io));
        let io = bound.map_err(|error| named(Error::kernel(Phase::Bind, error)))?;
        UnixDatagram::adopt(io, address, None)
    }

    /// A socket without an address, which can send and cannot be answered.
    ///
    /// # Errors
    /// What the kernel says.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn unbound() -> Result<UnixDatagram, Error> {
        let io = open().map_err(|error| Error::kernel(Phase::Bind, error))?;
        UnixDatagram::adopt(io, UnixAddress::UNNAMED, None)
    }

    /// Two sockets that are connected to each other (socketpair(2)).
    ///
    /// # Errors
    /// What the kernel says.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn pair() -> Result<(UnixDatagram, UnixDatagram), Error> {
        let failed = |error| Error::kernel(Phase::Connect, error).with_target("the other end of a pair");
        let (left, right) = mio::net::UnixDatagram::pair().map_err(failed)?;
        let adopt = |io| UnixDatagram::adopt(io, UnixAddress::UNNAMED, Some(UnixAddress::UNNAMED));
        Ok((adopt(left)?, adopt(right)?))
    }

    /// Takes over a socket of the standard library, bound and connected as it is.
    ///
    /// # Errors
    /// What the kernel says of the registration.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> Result<UnixDatagram, Error> {
        let failed = |error| Error::kernel(Phase::Configure, error);
        socket.set_nonblocking(true).map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?.into();
        let peer = socket.peer_addr().ok().map(UnixAddress::from);
        UnixDatagram::adopt(mio::net::UnixDatagram::from_std(socket), local, peer)
    }

    /// Gives it back as a socket of the standard library. It does not block; to have it block, call its
    /// `set_nonblocking`.
    ///
    /// # Errors
    /// `Closed`.
    pub fn into_std(self) -> Result<std::os::unix::net::UnixDatagram, Error> {
        let closed = self.unconfigured(Failure::Closed);
        self.io.into_inner().map(std::os::unix::net::UnixDatagram::from).ok_or(closed)
    }

    #[track_caller]
    fn adopt(
        io: mio::net::UnixDatagram,
        local: UnixAddress,
        peer: Option<UnixAddress>,
    ) -> Result<UnixDatagram, Error> {
        #[cfg(target_vendor = "apple")]
        let _ = SockRef::from(&io).set_nosigpipe(true);
        let both = Readiness::READABLE | Readiness::WRITABLE;
        let registered = Registration::owning(io, Interest::READABLE | Interest::WRITABLE, both);
        let failed = |error| Error::kernel(Phase::Configure, error).with_target(local.to_string());
        let io = registered.map_err(failed)?;
        io.set_subject(peer.as_ref().unwrap_or(&local).to_subject());
        Ok(Socket::assemble(io, Ends::new(local, peer)))
    }

    /// Connects the socket: [`send`](Socket::send) goes to `address`, and nothing is received but from there.
    /// Another connect replaces it.
    ///
    /// # Errors
    /// What the kernel says, as `Kernel(ENOENT)` where nothing is; `InvalidInput` for an address that makes no
    /// sense;
    /// `Closed`.
    pub fn connect(&self, address: impl Into<UnixAddress>) -> Result<(), Error> {
        let address = address.into();
        let named = |error: Error| error.with_target(address.to_string());
        let to = address
            .to_kernel()
            .map_err(|error| named(Error::invalid(Phase::Connect, error.to_string())))?;
        let io =
            self.io.get_ref().ok_or_else(|| named(Error::failed(Phase::Connect, Failure::Closed)))?;
        SockRef::from(&*io).connect(&to).map_err(|error| named(Error::kernel(Phase::Connect, error)))?;
        self.io.set_subject(address.to_subject());
        *self.names.peer.borrow_mut() = Some(address);
        Ok(())
    }

    /// To whom it is connected, if it is.
    #[must_use]
    pub fn peer_addr(&self) -> Option<UnixAddress> {
        self.names.peer.borrow().clone()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn local_addr(&self) -> Result<UnixAddress, Error> {
        self.option(|io| io.local_addr().map(UnixAddress::from))
    }
}

fn open() -> io::Result<mio::net::UnixDatagram> {
    // Closed on exec, as all of socket2's.
    let socket = socket2::Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(OwnedFd::from(socket).into())
}
