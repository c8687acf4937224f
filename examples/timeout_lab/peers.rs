//! The other ends: who does not answer, who is not there, who answers and then is silent.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use punctual::net::{TcpListener, TcpStream};
use punctual::spawn;
use socket2::{Domain, SockRef, Socket, Type};

/// A listener that takes no more connections: its queue has room for one and is full, so that the kernel drops every SYN.
pub(crate) struct Deaf {
    listener: std::net::TcpListener,
    pub(crate) address: SocketAddr,
    _filler: std::net::TcpStream,
}

impl Deaf {
    pub(crate) fn new() -> Deaf {
        Deaf::on((Ipv4Addr::LOCALHOST, 0).into()).expect("a listener on loopback")
    }

    /// # Errors
    /// On a machine without IPv6, of an address of it.
    pub(crate) fn on_ipv6() -> io::Result<Deaf> {
        Deaf::on((Ipv6Addr::LOCALHOST, 0).into())
    }

    fn on(address: SocketAddr) -> io::Result<Deaf> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.bind(&address.into())?;
        socket.listen(0)?;
        let listener: std::net::TcpListener = socket.into();
        let address = listener.local_addr()?;
        let filler = std::net::TcpStream::connect(address)?;
        listener.set_nonblocking(true)?;
        Ok(Deaf { listener, address, _filler: filler })
    }

    /// Takes out whoever waits: as many as there are.
    pub(crate) fn accept_all(&self) -> Vec<SocketAddr> {
        std::iter::from_fn(|| self.listener.accept().ok()).map(|(_, peer)| peer).collect()
    }
}

/// An address at which nobody listens, and nobody can as long as the socket that holds it lives.
pub(crate) fn closed_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("bound");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket());
    (socket, address.expect("its address"))
}

pub(crate) fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener on loopback");
    let address = listener.local_addr().expect("it is open");
    (listener, address)
}

/// Both ends of a connection: who connected, who accepted.
pub(crate) async fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listen();
    let accepting = spawn(async move { listener.accept().await });
    let client = TcpStream::connect(address).await.expect("connected on loopback");
    let (server, _) = accepting.await.expect("no panic").expect("accepted on loopback");
    (client, server)
}

/// Has the kernel reset it when it is closed (socket(7), `SO_LINGER`).
pub(crate) fn reset(stream: &TcpStream) {
    stream.set_linger(Some(std::time::Duration::ZERO)).expect("it is open");
    stream.close();
}

/// The number of its descriptor.
pub(crate) fn number(stream: &TcpStream) -> i32 {
    use std::os::fd::AsRawFd;
    stream.with_socket(|socket: SockRef<'_>| socket.as_raw_fd()).expect("it is open")
}
