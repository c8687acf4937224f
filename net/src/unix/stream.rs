//! [`UnixStream`].

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::Duration;

use punctual_reactor::{Failure, Interest, Readiness, Registration, messages};

use super::{UnixAddress, connect};
use crate::error::{Error, Phase};
use crate::socket::Socket;
use crate::socket::transport::{
    KernelTransport, ListenerTransport, StreamTransport, Transport, Unix, sealed,
};
use crate::stream;

/// A connected Unix stream socket (unix(7)), with a deadline and a timeout on each side: a [`Socket`], where it
/// says what holds for every operation.
///
/// A peer may send descriptors along with its bytes. They are not received, but they cut reads short: what one read
/// returns less than was asked for says nothing of what comes next, here as anywhere.
pub type UnixStream = Socket<Unix>;

/// How long a connect may take in all unless another time is chosen, as that of TCP.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

impl Transport for Unix {}
impl KernelTransport for Unix {}
impl StreamTransport for Unix {}
impl ListenerTransport for Unix {}

impl sealed::Kind for Unix {
    type Io = mio::net::UnixStream;
    /// The other end.
    type Names = UnixAddress;
    type Address = UnixAddress;
    const TYPE: &'static str = "UnixStream";

    fn explain(socket: &UnixStream, error: Error) -> Error {
        if !socket.names.is_unnamed() {
            return error.with_target(socket.names.to_string());
        }
        // Clients have no names, as a rule: it is the listener's that tells its clients from others.
        let local = socket.io.get_ref().and_then(|io| io.local_addr().ok()).map(UnixAddress::from);
        match local.filter(|local| !local.is_unnamed()) {
            Some(local) => error.with_target(format!("a client of {local}")),
            None => error.with_target(socket.names.to_string()),
        }
    }
}

impl sealed::Stream for Unix {
    fn read(mut io: &Self::Io, buffer: &mut [u8]) -> io::Result<usize> {
        io.read(buffer)
    }

    fn read_vectored(mut io: &Self::Io, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        io.read_vectored(buffers)
    }

    fn peek(io: &Self::Io, buffer: &mut [u8]) -> io::Result<usize> {
        messages::peek(io.as_fd(), buffer)
    }

    fn write(io: &Self::Io, bytes: &[u8]) -> io::Result<usize> {
        stream::send(io, bytes)
    }

    fn write_vectored(io: &Self::Io, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        stream::send_vectored(io, buffers)
    }

    fn shutdown(io: &Self::Io, how: Shutdown) -> io::Result<()> {
        io.shutdown(how)
    }
}

impl sealed::Listening for Unix {
    type Listener = mio::net::UnixListener;

    fn local(listener: &mio::net::UnixListener) -> io::Result<UnixAddress> {
        listener.local_addr().map(UnixAddress::from)
    }

    fn accept(listener: &mio::net::UnixListener) -> io::Result<(mio::net::UnixStream, UnixAddress)> {
        listener.accept().map(|(io, peer)| (io, peer.into()))
    }

    fn accepted(io: mio::net::UnixStream, peer: &UnixAddress) -> Result<UnixStream, Error> {
        UnixStream::adopt(io, peer.clone(), Phase::Accept)
    }
}

/// Who is at the other end of a [`UnixStream`], as it was when the connection was made; for the end that
/// connected, as it was when the other began to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// The process, where the system says so: Linux does.
    pub process: Option<u32>,
    /// The effective user.
    pub user: u32,
    /// The effective group.
    pub group: u32,
}

/// Making a connection.
impl UnixStream {
    /// Connects within 30 s; see [`connect_timeout`](UnixStream::connect_timeout).
    ///
    /// # Errors
    /// As [`connect_timeout`](UnixStream::connect_timeout).
    #[track_caller]
    pub fn connect(address: impl Into<UnixAddress>) -> impl Future<Output = Result<UnixStream, Error>> {
        connect::connect(address.into(), CONNECT_TIMEOUT)
    }

    /// Connects within `budget`. A Unix connect succeeds or fails at once, but for one case: where as many wait
    /// to be accepted as the listener has room for, the kernel says `EAGAIN`, and no event ever tells that
    /// there is room again (connect(2)). It is then tried anew after 1 ms, 2 ms, and so on up to every 50 ms,
    /// and once more when the budget is used up.
    ///
    /// Cancel-safe: dropped before it is ready, no connection is left.
    ///
    /// # Errors
    /// `Timeout`, `InvalidInput` for an address that makes no sense, or what the kernel says, as `Kernel(ENOENT)`
    /// where nothing is and `Kernel(ECONNREFUSED)` where nobody listens.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn connect_timeout(
        address: impl Into<UnixAddress>,
        budget: Duration,
    ) -> impl Future<Output = Result<UnixStream, Error>> {
        connect::connect(address.into(), budget)
    }

    /// Two streams that are connected to each other (socketpair(2)).
    ///
    /// # Errors
    /// What the kernel says.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn pair() -> Result<(UnixStream, UnixStream), Error> {
        let failed = |error| Error::kernel(Phase::Connect, error).with_target("the other end of a pair");
        let (left, right) = mio::net::UnixStream::pair().map_err(failed)?;
        let adopt = |io| UnixStream::adopt(io, UnixAddress::UNNAMED, Phase::Connect);
        Ok((adopt(left)?, adopt(right)?))
    }

    /// Takes over a connected socket of the standard library.
    ///
    /// # Errors
    /// What the kernel says of the registration, or that the socket is not connected.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> Result<UnixStream, Error> {
        let failed = |error| Error::kernel(Phase::Configure, error);
        let peer = stream.peer_addr().map_err(failed)?;
        stream.set_nonblocking(true).map_err(failed)?;
        UnixStream::adopt(mio::net::UnixStream::from_std(stream), peer.into(), Phase::Configure)
    }

    /// Gives it back as a stream of the standard library. It does not block; to have it block, call its
    /// `set_nonblocking`.
    ///
    /// # Errors
    /// `Closed`.
    pub fn into_std(self) -> Result<std::os::unix::net::UnixStream, Error> {
        let closed = self.unconfigured(Failure::Closed);
        self.io.into_inner().map(std::os::unix::net::UnixStream::from).ok_or(closed)
    }

    /// Registers a connected socket; both sides are worth a try at once. Short reads are not trusted: a
    /// descriptor that was sent along cuts them.
    #[track_caller]
    pub(super) fn adopt(
        io: mio::net::UnixStream,
        peer: UnixAddress,
        phase: Phase,
    ) -> Result<UnixStream, Error> {
        #[cfg(target_vendor = "apple")]
        let _ = socket2::SockRef::from(&io).set_nosigpipe(true);
        let both = Readiness::READABLE | Readiness::WRITABLE;
        let registered = Registration::owning(io, Interest::READABLE | Interest::WRITABLE, both);
        let failed = |error| Error::kernel(phase, error).with_target(peer.to_string());
        let io = registered.map_err(failed)?;
        io.set_subject(peer.to_subject());
        Ok(Socket::assemble(io, peer))
    }
}

/// The two ends.
impl UnixStream {
    /// The address of the other end, as it was when the connection was made. That of a client is unnamed,
    /// unless the client has bound its socket first.
    #[must_use]
    pub fn peer_addr(&self) -> &UnixAddress {
        &self.names
    }

    /// The address of this end.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn local_addr(&self) -> Result<UnixAddress, Error> {
        self.option(|io| io.local_addr().map(UnixAddress::from))
    }

    /// Who is at the other end (`SO_PEERCRED`, unix(7)); the kernel vouches for it.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn peer_credentials(&self) -> Result<Credentials, Error> {
        let peer = self.option(|io| messages::peer_credentials(io.as_fd()))?;
        Ok(Credentials { process: peer.process, user: peer.user, group: peer.group })
    }
}
