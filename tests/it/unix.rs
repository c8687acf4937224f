//! Unix sockets: addresses, connecting, peers.

use std::rc::Rc;

use punctual::net::{UnixAddress, UnixListener, UnixStream};
use punctual::spawn;

use crate::support::net::on_alarms;
use crate::support::now_ns;

/// A name that nobody else has.
fn name(what: &str) -> UnixAddress {
    UnixAddress::from_abstract_name(format!("punctual-{}-{what}-{}", std::process::id(), now_ns()))
}

#[test]
fn streams_connect_under_abstract_names() {
    on_alarms("abstract", async |_| {
        let at = name("abstract");
        let listener = Rc::new(UnixListener::bind(&at).expect("bound"));
        assert_eq!(listener.local_addr().expect("its address"), at);
        let accepting = spawn({
            let listener = listener.clone();
            async move { listener.accept().await }
        });
        let client = UnixStream::connect(&at).await.expect("connected");
        let (server, from) = accepting.await.expect("no panic").expect("accepted");
        assert!(from.is_unnamed() && server.peer_addr().is_unnamed());
        assert_eq!((client.peer_addr(), server.local_addr().expect("its address")), (&at, at.clone()));
        client.write_all(b"hello").await.expect("sent");
        let mut buffer = [0; 5];
        server.read_exact(&mut buffer).await.expect("received");
        assert_eq!(&buffer, b"hello");
        let peer = server.peer_credentials().expect("it is asked");
        assert_eq!(peer.process, Some(std::process::id()));
        assert_eq!(peer.user, rustix::process::geteuid().as_raw());
    });
}
