//! Both ends are ours.

use punctual::net::{TcpListener, TcpStream};
use punctual::spawn;
use punctual_tests_http::certificates::Authority;
use punctual_tests_http::rig::on_runtime;

#[test]
fn l_hello_both_ways_over_tcp() {
    on_runtime("hello over TLS", async |_| {
        let authority = Authority::new();
        let acceptor = authority.localhost().acceptor().alpn(["h2", "http/1.1"]);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let server = spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            let stream = acceptor.accept(stream).await.expect("a handshake");
            assert_eq!(stream.server_name().as_deref(), Some("localhost"));
            let mut buffer = [0; 5];
            stream.read_exact(&mut buffer).await.expect("five bytes");
            stream.write_all(&buffer).await.expect("room");
            stream.shutdown().await.expect("an end");
            assert_eq!(stream.read(&mut buffer).await.expect("an end"), 0);
        });
        let stream = TcpStream::connect(address).await.expect("a connection");
        let connector = authority.connector().alpn(["http/1.1"]);
        let stream = connector.connect(stream, "localhost").await.expect("a handshake");
        assert_eq!(stream.alpn_protocol(), Some(&b"http/1.1"[..]));
        stream.write_all(b"hello").await.expect("room");
        let mut buffer = [0; 16];
        let read = stream.read(&mut buffer).await.expect("an answer");
        assert_eq!(&buffer[..read], b"hello");
        assert_eq!(stream.read(&mut buffer).await.expect("an end"), 0);
        assert_eq!(stream.read(&mut buffer).await.expect("still the end"), 0);
        stream.shutdown().await.expect("an end");
        server.await.expect("no panic");
    });
}
