//! One attempt at one address.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;

use punctual_reactor::{
    Bound, Direction, Done, Failure, Instant, Leeway, Readiness, Registration, check_scope, tcp_interest,
};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::race::Vain;
use crate::error::{Error, Kind, Phase};
use crate::tcp::{Polled, TcpOptions, TcpStream};

/// What is done to each socket before it connects.
#[derive(Clone, Debug, Default)]
pub(super) struct Setup {
    pub(super) options: TcpOptions,
    pub(super) hook: Option<Hook>,
    pub(super) local: Option<SocketAddr>,
    pub(super) leeway: Option<Leeway>,
}

#[derive(Clone)]
pub(super) struct Hook(pub(super) Rc<OnSocket>);

type OnSocket = dyn Fn(SockRef<'_>, SocketAddr) -> io::Result<()>;

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

/// Connects to `address` by `deadline`. Whatever ends it early closes the socket, so that a handshake
/// which completes later reaches nobody. `described` says of a timeout whose it was.
pub(super) async fn attempt(
    address: SocketAddr,
    setup: &Setup,
    deadline: Instant,
    described: impl FnOnce(Error) -> Error,
) -> Result<TcpStream, Vain> {
    // Before there is a socket: one that begins too late sends not even a SYN.
    check_scope().map_err(|why| Vain::All(Error::failed(Phase::Connect, why).with_peer(address)))?;
    let failed = |error| Error::kernel(Phase::Connect, error).with_peer(address);
    let (socket, assume) = setup.start(address, deadline).map_err(Vain::Address)?;
    let io = Polled::from(socket);
    // Registered after connect(2): an unconnected socket reports a hang-up.
    let io =
        Registration::owning(io, tcp_interest(), assume).map_err(|why| Vain::Address(failed(why)))?;
    io.set_subject(address);
    let connected = await_outcome(&io, setup.leeway, deadline).await;
    let peer = connected.map_err(|failure| {
        let of_all = is_of_all(&failure);
        let error = Error::failed(Phase::Connect, failure).with_peer(address).diagnosed(&io);
        if of_all { Vain::All(error) } else { Vain::Address(described(error)) }
    })?;
    if let Some(io) = io.get_ref() {
        let connected = setup.options.connected(&SockRef::from(&*io));
        connected.map_err(|error| Vain::Address(error.with_peer(address)))?;
    }
    let own = io.get_ref().map(|io| io.local_addr());
    if matches!(own, Some(Ok(own)) if own == peer) {
        return Err(Vain::Address(Error::new(Kind::SelfConnect, Phase::Connect).with_peer(address)));
    }
    Ok(TcpStream::over(io, peer))
}

/// Connects to `address` and nothing else: no name, no race, no options.
#[cfg(feature = "dns")]
pub(crate) async fn direct(address: SocketAddr, deadline: Instant) -> Result<TcpStream, Error> {
    let connected = attempt(address, &Setup::default(), deadline, |error| error).await;
    connected.map_err(|vain| match vain {
        Vain::All(error) | Vain::Address(error) => error,
    })
}

async fn await_outcome(
    io: &Registration<Polled>,
    leeway: Option<Leeway>,
    deadline: Instant,
) -> Result<SocketAddr, Failure> {
    let of_streams = io.leeway();
    io.set_leeway(leeway.unwrap_or(Leeway::NONE))?;
    io.set_label(Direction::Write, "tcp-connect");
    io.set_deadline(Direction::Write, Some(deadline))?;
    let peer = io
        .operate(Direction::Write, |io| outcome(SockRef::from(io).take_error(), || io.peer_addr()))
        .await?;
    io.set_deadline(Direction::Write, None)?;
    io.set_label(Direction::Write, "write");
    io.set_leeway(leeway.unwrap_or(of_streams))?;
    Ok(peer)
}

/// Whether it ends the attempts at other addresses too: anything but this address' own failure or time.
fn is_of_all(failure: &Failure) -> bool {
    match failure {
        Failure::Io(_) => false,
        Failure::Elapsed(elapsed) => !matches!(elapsed.bound, Bound::Deadline(_)),
        _ => true,
    }
}

impl Setup {
    /// Makes a socket, sets it up and sends the SYN.
    fn start(&self, address: SocketAddr, deadline: Instant) -> Result<(Socket, Readiness), Error> {
        let failed = |error| Error::kernel(Phase::Connect, error).with_peer(address);
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP)).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let asked = SockRef::from(&socket);
        self.options
            .apply(&asked, address.is_ipv6(), deadline)
            .map_err(|error| error.with_peer(address))?;
        if let Some(hook) = &self.hook {
            let unset = |error| Error::setting("the hook before the connect", error).with_peer(address);
            hook.0(asked, address).map_err(unset)?;
        }
        if let Some(local) = self.local {
            socket.bind(&SockAddr::from(local)).map_err(failed)?;
        }
        match socket.connect(&SockAddr::from(address)) {
            Ok(()) => Ok((socket, Readiness::WRITABLE)),
            // Interrupted, it goes on all the same (connect(2)): to ask again would be EALREADY.
            Err(error) if is_in_progress(&error) => Ok((socket, Readiness::NONE)),
            Err(error) => Err(failed(error)),
        }
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
