//! One attempt at one address.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use punctual_reactor::{Direction, Done, Instant, Readiness, Registration, tcp_interest};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::error::{Error, Kind, Phase};
use crate::tcp::TcpStream;

/// Connects to `address` by `deadline`. Whatever ends it early closes the socket, so that a handshake
/// which completes later reaches nobody.
pub(super) async fn attempt(
    address: SocketAddr,
    local: Option<SocketAddr>,
    deadline: Instant,
) -> Result<TcpStream, Error> {
    let failed = |error| Error::kernel(Phase::Connect, error).with_peer(address);
    let (socket, assume) = start(address, local).map_err(failed)?;
    let io = mio::net::TcpStream::from_std(socket.into());
    // Registered after connect(2): an unconnected socket reports a hang-up.
    let io = Registration::new(io, tcp_interest(), assume).map_err(failed)?;
    let ended = |failure| Error::failed(Phase::Connect, failure).with_peer(address).diagnosed(&io);
    io.set_deadline(Direction::Write, Some(deadline)).map_err(ended)?;
    let connected = io.operate(Direction::Write, |io| outcome(io.take_error(), || io.peer_addr()));
    let peer = connected.await.map_err(ended)?;
    io.set_deadline(Direction::Write, None).map_err(ended)?;
    let own = io.get_ref().map(|io| io.local_addr());
    if matches!(own, Some(Ok(own)) if own == peer) {
        return Err(Error::new(Kind::SelfConnect, Phase::Connect).with_peer(address));
    }
    Ok(TcpStream::over(io, peer))
}

/// Makes a socket and sends the SYN.
fn start(address: SocketAddr, local: Option<SocketAddr>) -> io::Result<(Socket, Readiness)> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Some(local) = local {
        socket.bind(&SockAddr::from(local))?;
    }
    match socket.connect(&SockAddr::from(address)) {
        Ok(()) => Ok((socket, Readiness::WRITABLE)),
        // Interrupted, it goes on all the same (connect(2)): to ask again would be EALREADY.
        Err(error) if is_in_progress(&error) => Ok((socket, Readiness::NONE)),
        Err(error) => Err(error),
    }
}

fn is_in_progress(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINPROGRESS) || error.kind() == ErrorKind::Interrupted
}

/// What a socket that is said to be writable has become. Writable alone is not connected: there may be
/// an error, or, after an event that was sent in vain, no peer yet.
fn outcome<P>(
    pending_error: io::Result<Option<io::Error>>,
    peer: impl FnOnce() -> io::Result<P>,
) -> io::Result<Done<P>> {
    if let Some(error) = pending_error? {
        return Err(error);
    }
    match peer() {
        Ok(peer) => Ok(Done::new(peer)),
        Err(error) if error.kind() == ErrorKind::NotConnected => Err(ErrorKind::WouldBlock.into()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c09_writable_is_not_connected() {
        let errno = io::Error::from_raw_os_error;
        let kind = |result: io::Result<Done<u8>>| result.expect_err("not connected").kind();

        let refused = outcome(Ok(Some(errno(libc::ECONNREFUSED))), || Ok(1));
        assert_eq!(kind(refused), ErrorKind::ConnectionRefused, "SO_ERROR comes first");

        let pending = outcome(Ok(None), || Err::<u8, _>(errno(libc::ENOTCONN)));
        assert_eq!(kind(pending), ErrorKind::WouldBlock, "no peer yet: wait on");

        let reset = outcome(Ok(None), || Err::<u8, _>(errno(libc::EINVAL)));
        assert_eq!(kind(reset), ErrorKind::InvalidInput);

        assert!(outcome(Ok(None), || Ok(1)).is_ok());
    }

    #[test]
    fn s04_an_interrupted_connect_is_awaited() {
        assert!(is_in_progress(&io::Error::from_raw_os_error(libc::EINTR)));
        assert!(is_in_progress(&io::Error::from_raw_os_error(libc::EINPROGRESS)));
        assert!(!is_in_progress(&io::Error::from_raw_os_error(libc::EAGAIN)));
    }
}
