//! The other ends, on this host: those that stall, and those that answer.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::JoinHandle;

use punctual::net::Listen;

/// A name server that is bound, and never answers.
pub(crate) fn dead_name_server() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = socket.local_addr().expect("its address");
    (socket, address)
}

/// A name server that answers every question for IPv4 with 127.0.0.1, and all others with nothing. It ends with the
/// datagram of one byte that [`NameServer::drop`] sends.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    pub(crate) fn start() -> NameServer {
        let (socket, _) = dead_name_server();
        NameServer::answering(socket, answer)
    }

    fn answering(socket: UdpSocket, answer: fn(&[u8]) -> Vec<u8>) -> NameServer {
        let address = socket.local_addr().expect("its address");
        let thread = std::thread::spawn(move || {
            let mut packet = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut packet).expect("received");
                if length < 12 {
                    return;
                }
                let answer = answer(&packet[..length]);
                // Who asked may have gone.
                let _ = socket.send_to(&answer, from);
            }
        });
        NameServer { address, thread: Some(thread) }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.send_to(&[0], self.address).expect("sent");
        let ended = self.thread.take().expect("there until now").join();
        assert!(ended.is_ok() || std::thread::panicking(), "the name server panicked");
    }
}

/// RFC 1035, section 4.1: the question comes back as it was asked.
fn answer(query: &[u8]) -> Vec<u8> {
    let name_length = query[12..].iter().position(|byte| *byte == 0).expect("a name ends") + 1;
    let question = &query[12..12 + name_length + 4];
    let is_ipv4 = question[name_length..name_length + 2] == [0, 1];
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_ipv4), 0, u8::from(!is_ipv4), 0, 0]);
    answer.extend(question);
    if is_ipv4 {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(Ipv4Addr::LOCALHOST.octets());
    } else {
        // That there is nothing may be remembered for a minute: an SOA record says so (RFC 2308, section 5).
        answer.extend([0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 60, 0, 22, 0, 0]);
        answer.extend([[0; 16].as_slice(), &[0, 0, 0, 60]].concat());
    }
    answer
}

/// A name server that says its answers are too long for UDP, and over TCP says nothing.
pub(crate) struct StallingOverTcp {
    pub(crate) address: SocketAddr,
    _over_udp: NameServer,
    /// Connections wait in its queue, and are not accepted.
    _over_tcp: TcpListener,
}

impl StallingOverTcp {
    pub(crate) fn start() -> StallingOverTcp {
        loop {
            let over_tcp = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let address = over_tcp.local_addr().expect("its address");
            // The same port of UDP may be somebody's.
            let Ok(socket) = UdpSocket::bind(address) else { continue };
            let over_udp = NameServer::answering(socket, truncated);
            return StallingOverTcp { address, _over_udp: over_udp, _over_tcp: over_tcp };
        }
    }
}

/// The question alone, with the bit that says that the rest is cut off.
fn truncated(query: &[u8]) -> Vec<u8> {
    let name_length = query[12..].iter().position(|byte| *byte == 0).expect("a name ends") + 1;
    let mut answer = query[..2].to_vec();
    answer.extend([0x83, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
    answer.extend(&query[12..12 + name_length + 4]);
    answer
}

/// A listener whose queue takes one connection and no more, not accepted from: the next SYN is not answered. The
/// connection that fills it is kept beside it. Within a runtime.
pub(crate) fn deaf_listener() -> (punctual::net::TcpListener, SocketAddr, TcpStream) {
    let listener = Listen::on("127.0.0.1:0").backlog(0).bind().expect("a listener");
    let address = listener.local_addr().expect("its address");
    let filler = TcpStream::connect(address).expect("the first is taken");
    (listener, address, filler)
}

/// A server of one connection, on a thread: it does what `serve` does, and closes.
pub(crate) fn serve(
    serve: impl FnOnce(&mut TcpStream) + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepted");
        serve(&mut stream);
    });
    (address, thread)
}

/// A server that reads `request`, says `response`, and then nothing more until the client has gone.
pub(crate) fn serve_and_stall(
    request: &'static [u8],
    response: &'static [u8],
) -> (SocketAddr, JoinHandle<()>) {
    serve(move |stream| {
        let mut asked = vec![0; request.len()];
        stream.read_exact(&mut asked).expect("the request");
        assert_eq!(asked, request);
        stream.write_all(response).expect("sent");
        let _ = stream.read(&mut [0]);
    })
}

/// A port at which nobody listens, as long as the listener that this one had is not replaced.
pub(crate) fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    listener.local_addr().expect("its address")
}
