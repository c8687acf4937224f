//! UDP, and what it has in common with Unix datagrams.

use std::net::SocketAddr;

use punctual::net::UdpSocket;

use crate::support::net::on_alarms;

fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let address = socket.local_addr().expect("its address");
    (socket, address)
}

#[test]
fn datagrams_go_there_and_back() {
    on_alarms("there and back", async |_| {
        let ((left, left_at), (right, right_at)) = (socket(), socket());
        assert_eq!(left.send_to(b"hello", right_at).await.expect("sent"), 5);
        let mut buffer = [0; 16];
        let datagram = right.recv_from(&mut buffer).await.expect("received");
        assert_eq!((datagram.len, datagram.from, datagram.truncated), (5, left_at, false));
        assert_eq!(datagram.received_at, None, "nobody asked for it");
        assert_eq!(&buffer[..5], b"hello");
        right.connect(left_at).expect("connected");
        assert_eq!(right.send(b"").await.expect("sent"), 0);
        assert_eq!(left.recv(&mut buffer).await.expect("received"), 0, "empty, and no end");
    });
}
