//! [`TcpStream`]: how one is come by.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use punctual_reactor::{Failure, Readiness, Registration, Subject, messages, tcp_interest};
use socket2::SockRef;

use crate::connect::Connect;
use crate::error::{Error, Phase};
use crate::phase::Probe;
use crate::socket::Socket;
use crate::socket::transport::{
    KernelTransport, ListenerTransport, StreamTransport, Tcp, Transport, sealed,
};
use crate::stream;
use crate::target::Target;
use crate::tcp::Polled;

/// A TCP connection, with a deadline and a timeout on each side: a [`Socket`], where it says what holds for
/// every operation.
pub type TcpStream = Socket<Tcp>;

impl Transport for Tcp {}
impl KernelTransport for Tcp {}
impl StreamTransport for Tcp {}
impl ListenerTransport for Tcp {}

impl sealed::Kind for Tcp {
    type Io = Polled;
    /// Its registration knows the other end, as it was when the connection was made.
    type Names = ();
    type Address = SocketAddr;
    const TYPE: &'static str = "TcpStream";

    fn explain(socket: &TcpStream, error: Error) -> Error {
        error.with_peer(socket.peer_addr()).diagnosed(&socket.io)
    }

    fn probe(socket: &TcpStream) -> Probe {
        Probe::of_tcp(socket.peer_addr(), &socket.io)
    }
}

impl sealed::Stream for Tcp {
    #[inline]
    fn read(io: &Self::Io, buffer: &mut [u8]) -> io::Result<usize> {
        messages::receive_bytes(io.as_fd(), buffer)
    }

    fn read_vectored(io: &Self::Io, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*SockRef::from(io)).read_vectored(buffers)
    }

    fn peek(io: &Self::Io, buffer: &mut [u8]) -> io::Result<usize> {
        messages::peek(io.as_fd(), buffer)
    }

    #[inline]
    fn write(io: &Self::Io, bytes: &[u8]) -> io::Result<usize> {
        stream::send(io, bytes)
    }

    fn write_vectored(io: &Self::Io, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        stream::send_vectored(io, buffers)
    }

    fn shutdown(io: &Self::Io, how: Shutdown) -> io::Result<()> {
        SockRef::from(io).shutdown(how)
    }
}

impl sealed::Listening for Tcp {
    type Listener = mio::net::TcpListener;

    fn local(listener: &mio::net::TcpListener) -> io::Result<SocketAddr> {
        listener.local_addr()
    }

    fn accept(listener: &mio::net::TcpListener) -> io::Result<(Polled, SocketAddr)> {
        listener.accept().map(|(stream, peer)| (stream.into(), peer))
    }

    fn accepted(io: Polled, peer: &SocketAddr) -> Result<TcpStream, Error> {
        TcpStream::adopt(io, *peer, Phase::Accept)
    }
}

/// Making a connection.
impl TcpStream {
    /// Connects within 30 s, names resolved included; see [`Connect`] for other bounds and more.
    ///
    /// # Errors
    /// As [`Connect::connect`].
    #[track_caller]
    pub fn connect(target: impl Into<Target>) -> impl Future<Output = Result<TcpStream, Error>> {
        Connect::to(target).connect()
    }

    /// Connects within `budget`, names resolved included.
    ///
    /// # Errors
    /// As [`Connect::connect`].
    #[track_caller]
    pub fn connect_timeout(
        target: impl Into<Target>,
        budget: Duration,
    ) -> impl Future<Output = Result<TcpStream, Error>> {
        Connect::to(target).timeout(budget).connect()
    }

    /// Takes over a connected socket of the standard library.
    ///
    /// # Errors
    /// What the kernel says of the registration, or that the socket is not connected.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn from_std(stream: std::net::TcpStream) -> Result<TcpStream, Error> {
        let peer = stream.peer_addr().map_err(|error| Error::kernel(Phase::Configure, error))?;
        stream.set_nonblocking(true).map_err(|error| Error::kernel(Phase::Configure, error))?;
        TcpStream::adopt(stream.into(), peer, Phase::Configure)
    }

    /// Gives it back as a stream of the standard library. It does not block; to have it block, call its
    /// `set_nonblocking`.
    ///
    /// # Errors
    /// `Closed`.
    pub fn into_std(self) -> Result<std::net::TcpStream, Error> {
        let peer = self.peer_addr();
        let Socket { io, .. } = self;
        let closed = || Error::failed(Phase::Configure, Failure::Closed).with_peer(peer);
        io.into_inner().map(Polled::into_std).ok_or_else(closed)
    }

    /// Registers a connected socket; both sides are worth a try at once.
    #[track_caller]
    pub(crate) fn adopt(io: Polled, peer: SocketAddr, phase: Phase) -> Result<Self, Error> {
        #[cfg(target_vendor = "apple")]
        let _ = SockRef::from(&io).set_nosigpipe(true);
        let registration =
            Registration::owning(io, tcp_interest(), Readiness::READABLE | Readiness::WRITABLE)
                .map_err(|error| Error::kernel(phase, error).with_peer(peer))?;
        Ok(TcpStream::over(registration, peer))
    }

    pub(crate) fn over(io: Registration<Polled>, peer: SocketAddr) -> TcpStream {
        io.trust_short_reads();
        io.set_subject(peer);
        Socket::assemble(io, ())
    }

    /// The address of the other end, as it was when the connection was made.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        match self.io.subject() {
            Some(Subject::Address(peer)) => peer,
            _ => unreachable!("a TCP stream is made with the address of its peer"),
        }
    }
}
