//! UDP: how sockets come about, and their options.

mod options;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use punctual_reactor::{Failure, Interest, Readiness, Registration};
use socket2::SockAddr;

use crate::datagram::ends::Ends;
use crate::datagram::explain;
use crate::error::{Error, Phase};
use crate::socket::Socket;
use crate::socket::transport::{DatagramTransport, KernelTransport, Transport, Udp, sealed};
use crate::target::Target;

/// A UDP socket (udp(7)), with a deadline and a timeout on each side: a [`Socket`], where it says what holds
/// for every operation.
pub type UdpSocket = Socket<Udp>;

impl Transport for Udp {}
impl KernelTransport for Udp {}
impl DatagramTransport for Udp {}

impl sealed::Kind for Udp {
    type Io = mio::net::UdpSocket;
    type Names = Ends<SocketAddr>;
    type Address = SocketAddr;
    const TYPE: &'static str = "UdpSocket";

    fn explain(socket: &UdpSocket, error: Error) -> Error {
        explain(socket, error)
    }
}

impl sealed::Datagrams for Udp {
    const FULL_QUEUES_ARE_SILENT: bool = false;

    fn to_kernel(address: &SocketAddr) -> io::Result<SockAddr> {
        Ok((*address).into())
    }

    fn from_kernel(address: &SockAddr) -> SocketAddr {
        // UDP has no datagrams from nowhere.
        address.as_socket().unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into())
    }

    fn at(error: Error, address: &SocketAddr) -> Error {
        error.with_peer(*address)
    }
}

/// Making a socket.
impl UdpSocket {
    /// Binds to the first of the addresses that can be had; on port 0 the kernel chooses one.
    ///
    /// # Errors
    /// What the kernel says, as `Kernel(EADDRINUSE)`; `InvalidInput` for a name or what does not parse.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind(target: impl Into<Target>) -> Result<UdpSocket, Error> {
        let mut last = None;
        for address in target.into().into_addresses(Phase::Bind)? {
            match mio::net::UdpSocket::bind(address) {
                Ok(io) => return UdpSocket::adopt(io, None),
                Err(error) => last = Some(Error::kernel(Phase::Bind, error).with_peer(address)),
            }
        }
        Err(last.unwrap_or_else(|| Error::invalid(Phase::Bind, "no address")))
    }

    /// Takes over a socket of the standard library, bound as it is, connected or not.
    ///
    /// # Errors
    /// What the kernel says of the registration.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn from_std(socket: std::net::UdpSocket) -> Result<UdpSocket, Error> {
        socket.set_nonblocking(true).map_err(|error| Error::kernel(Phase::Configure, error))?;
        let peer = socket.peer_addr().ok();
        UdpSocket::adopt(mio::net::UdpSocket::from_std(socket), peer)
    }

    /// Gives it back as a socket of the standard library. It does not block; to have it block, call its
    /// `set_nonblocking`.
    ///
    /// # Errors
    /// `Closed`.
    pub fn into_std(self) -> Result<std::net::UdpSocket, Error> {
        let closed = self.unconfigured(Failure::Closed);
        self.io.into_inner().map(std::net::UdpSocket::from).ok_or(closed)
    }

    #[track_caller]
    fn adopt(io: mio::net::UdpSocket, peer: Option<SocketAddr>) -> Result<UdpSocket, Error> {
        let unbound = |error| Error::kernel(Phase::Bind, error);
        let local = io.local_addr().map_err(unbound)?;
        let both = Readiness::READABLE | Readiness::WRITABLE;
        let registered = Registration::owning(io, Interest::READABLE | Interest::WRITABLE, both);
        let io = registered.map_err(unbound)?;
        io.set_subject(peer.unwrap_or(local));
        Ok(Socket::assemble(io, Ends::new(local, peer)))
    }

    /// Connects the socket: [`send`](Socket::send) goes to the first of the addresses that can be had, and
    /// nothing that comes from then on is received but from there; what others had sent before still is: look at
    /// [`Datagram::from`](crate::Datagram::from). Nothing is sent, so that nobody needs to be there; but if the peer's
    /// host refuses what is sent later, the socket learns of it: one operation fails with
    /// `Kernel(ECONNREFUSED)`. Another connect replaces it.
    ///
    /// # Errors
    /// What the kernel says, as `Kernel(ENETUNREACH)`; `InvalidInput` for a name or what does not parse; `Closed`.
    pub fn connect(&self, target: impl Into<Target>) -> Result<(), Error> {
        let mut last = None;
        for address in target.into().into_addresses(Phase::Connect)? {
            let Some(io) = self.io.get_ref() else {
                return Err(Error::failed(Phase::Connect, Failure::Closed).with_peer(address));
            };
            match io.connect(address) {
                Ok(()) => {
                    self.io.set_subject(address);
                    *self.names.peer.borrow_mut() = Some(address);
                    return Ok(());
                }
                Err(error) => last = Some(Error::kernel(Phase::Connect, error).with_peer(address)),
            }
        }
        Err(last.unwrap_or_else(|| Error::invalid(Phase::Connect, "no address")))
    }

    /// To whom it is connected, if it is.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        *self.names.peer.borrow()
    }

    /// The address of this end, with the port that was chosen.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.option(|io| io.local_addr())
    }
}
