//! [`Polled`]: a TCP socket as the poll knows it.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use punctual_reactor::Source;
use socket2::{SockAddr, SockRef};

/// A socket that is connected, or connects, and does not block. It is registered as mio's own type would be; but which descriptor it
/// has need not be asked of another crate's function at each system call.
#[derive(Debug)]
pub struct Polled(OwnedFd);

impl Polled {
    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        SockRef::from(self).peer_addr().and_then(of_internet)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        SockRef::from(self).local_addr().and_then(of_internet)
    }

    pub(crate) fn into_std(self) -> TcpStream {
        self.0.into()
    }
}

fn of_internet(address: SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

impl<S: Into<OwnedFd>> From<S> for Polled {
    fn from(socket: S) -> Polled {
        Polled(socket.into())
    }
}

impl AsFd for Polled {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Source for Polled {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).deregister(registry)
    }
}
