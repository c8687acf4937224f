//! Pairs of streams over TLS.

use punctual::net::{Duplex, Error, Socket, duplex, transport::StreamTransport};
use punctual::tls::{Acceptor, TlsStream};
use punctual::{Runtime, VirtualClock, spawn};
use punctual_tests_http::certificates::Authority;

/// Both ends, the client's first, shaken over two ends of a stream.
pub(crate) async fn shaken<T: StreamTransport>(
    authority: &Authority,
    acceptor: &Acceptor,
    client: Socket<T>,
    server: Socket<T>,
) -> (TlsStream<T>, TlsStream<T>) {
    let accepting = acceptor.accept(server);
    let accepting = spawn(accepting.run());
    let client = authority.connector().connect(client, "localhost").await.expect("a handshake");
    (client, accepting.await.expect("no panic").expect("a handshake"))
}

/// Both ends over a stream in memory.
pub(crate) async fn in_memory(
    capacity: usize,
) -> (TlsStream<transport::Memory>, TlsStream<transport::Memory>) {
    let authority = Authority::new();
    let (client, server): (Duplex, Duplex) = duplex(capacity);
    shaken(&authority, &authority.localhost().acceptor(), client, server).await
}

pub(crate) use punctual::net::transport;

pub(crate) fn virtual_runtime() -> Runtime {
    Runtime::builder().clock(VirtualClock::new()).build().expect("a runtime")
}

/// Reads until the end or an error: what came, and how it ended.
pub(crate) async fn read_all<T: StreamTransport>(stream: &TlsStream<T>) -> (Vec<u8>, Result<(), Error>) {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return (all, Ok(())),
            Ok(read) => all.extend_from_slice(&buffer[..read]),
            Err(error) => return (all, Err(error)),
        }
    }
}
