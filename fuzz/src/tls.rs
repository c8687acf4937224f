//! What comes where a TLS handshake is expected, over a stream in memory and on a virtual clock.

use std::net::Shutdown;
use std::sync::OnceLock;

use punctual_net::tls::danger::AcceptAnyCertificate;
use punctual_net::tls::{Acceptor, Connector};
use punctual_net::{Duplex, duplex};
use punctual_reactor::spawn;

use crate::input::Input;
use crate::settled;

/// The first byte says whose handshake it is, and whether the other end closes after what it has said.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let how = input.byte();
    let said = input.rest().to_vec();
    settled::run(async || {
        let (ours, theirs) = duplex(64 * 1024);
        let peer = spawn(async move {
            let _ = theirs.write_all(&said).await;
            if how & 2 == 0 {
                let _ = theirs.shutdown(Shutdown::Write);
            }
            let mut room = [0; 4096];
            while theirs.read(&mut room).await.is_ok_and(|read| read > 0) {}
        });
        let error = if how & 1 == 0 { accept(ours).await } else { connect(ours).await };
        assert!(!error.contains(char::is_control), "{error:?}");
        peer.await.expect("the peer did not panic");
    });
}

/// Nobody can guess their way through a handshake.
async fn accept(stream: Duplex) -> String {
    static ACCEPTOR: OnceLock<Acceptor> = OnceLock::new();
    let acceptor = ACCEPTOR.get_or_init(|| {
        let pem = include_bytes!("tls/identity.pem");
        Acceptor::from_pem(pem, pem).expect("a certificate and its key")
    });
    acceptor.accept(stream).await.expect_err("no handshake can succeed").to_string()
}

async fn connect(stream: Duplex) -> String {
    static CONNECTOR: OnceLock<Connector> = OnceLock::new();
    let connector = CONNECTOR.get_or_init(|| AcceptAnyCertificate.connector().alpn(["h2", "http/1.1"]));
    connector.connect(stream, "localhost").await.expect_err("no handshake can succeed").to_string()
}
