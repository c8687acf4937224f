//! Both ends are ours.

use std::time::Duration;

use punctual::net::phase::Bounds;
use punctual::net::{Diagnosis, Error, Kind, Phase, TcpListener, TcpStream, UnixStream, duplex};
use punctual::tls::{Acceptor, Connector};
use punctual::{Instant, sleep, spawn};
use punctual_tests_http::certificates::{Authority, Files};
use punctual_tests_http::rig::{assert_baseline, on_runtime};
use rustls::HandshakeKind;

use crate::rig::{in_memory, read_all, shaken, virtual_runtime};

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

#[test]
fn l_over_unix_sockets_in_two_halves() {
    on_runtime("halves over a Unix socket", async |_| {
        let authority = Authority::new();
        let acceptor = authority.localhost().acceptor();
        let (client, server) = UnixStream::pair().expect("a pair");
        let (client, server) = shaken(&authority, &acceptor, client, server).await;
        let (reads, writes) = server.into_split();
        // One task reads what the other writes, both ways at the same time.
        let echo = spawn(async move {
            let mut buffer = [0; 3000];
            loop {
                match reads.read(&mut buffer).await.expect("no error") {
                    0 => return drop(writes),
                    read => writes.write_all(&buffer[..read]).await.expect("room"),
                }
            }
        });
        let (reads, writes) = client.into_split();
        let sent: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
        let sending = spawn({
            let sent = sent.clone();
            async move {
                writes.write_all(&sent).await.expect("room");
                writes.shutdown().await.expect("an end");
                writes
            }
        });
        let (all, ended) = read_all(&reads).await;
        ended.expect("dropping the writing half has said the end");
        assert!(all == sent, "{} bytes", all.len());
        let writes = sending.await.expect("no panic");
        echo.await.expect("no panic");
        assert!(reads.reunite(writes).is_ok());
    });
}

#[test]
fn l_what_a_write_left_behind_goes_while_a_read_waits() {
    let runtime = virtual_runtime();
    runtime.block_on(async {
        // Room for a tenth of what is written: nobody flushes it, and the answer comes only when all has come.
        let (client, server) = in_memory(1000).await;
        client.set_read_timeout(Some(Duration::from_secs(3))).expect("set");
        client.set_write_timeout(Some(Duration::from_millis(1))).expect("set");
        let answering = spawn(async move {
            let mut question = [0; 10_000];
            sleep(Duration::from_secs(1)).await;
            server.read_exact(&mut question).await.expect("all of it");
            server.write_all(b"yes").await.expect("room");
            server
        });
        assert_eq!(client.write(&[1; 10_000]).await.expect("it is taken"), 10_000);
        let mut answer = [0; 3];
        client.read_exact(&mut answer).await.expect("the read has sent the rest");
        drop(answering.await.expect("no panic"));
        // If nobody takes it, it is the read's own time that ends it, as a read.
        let began = Instant::now();
        let (client, _server) = in_memory(1000).await;
        client.set_read_timeout(Some(Duration::from_secs(3))).expect("set");
        client.set_write_timeout(Some(Duration::from_millis(1))).expect("set");
        client.write(&[1; 10_000]).await.expect("it is taken");
        let error = client.read(&mut answer).await.expect_err("silence");
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Read), "{error}");
        assert_eq!(Instant::now(), began + Duration::from_secs(3));
    });
    assert_baseline(&runtime);
}

#[test]
fn l_tokios_traits_over_tls_and_over_sockets() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    on_runtime("tokio's traits", async |_| {
        let (client, server) = in_memory(5000).await;
        let sent: Vec<u8> = (0..300_000_u32).map(|number| (number / 7) as u8).collect();
        let echo = spawn(async move {
            let (mut reads, mut writes) = tokio::io::split(server);
            let copied = tokio::io::copy(&mut reads, &mut writes).await.expect("no error");
            writes.shutdown().await.expect("an end");
            copied
        });
        let (mut reads, mut writes) = tokio::io::split(client);
        let sending = spawn({
            let sent = sent.clone();
            async move {
                writes.write_all(&sent).await.expect("room");
                writes.shutdown().await.expect("an end");
            }
        });
        let mut all = Vec::new();
        reads.read_to_end(&mut all).await.expect("a clean end");
        assert!(all == sent, "{} bytes", all.len());
        assert_eq!(echo.await.expect("no panic"), 300_000);
        sending.await.expect("no panic");
        // A socket by itself, whose errors come out whole.
        let (mut near, mut far) = duplex(64);
        near.write_all(b"ping").await.map_err(drop).expect("room");
        let mut four = [0; 4];
        AsyncReadExt::read_exact(&mut far, &mut four).await.expect("four bytes");
        assert_eq!(&four, b"ping");
        far.set_read_timeout(Some(Duration::from_millis(5))).expect("set");
        let error = AsyncReadExt::read(&mut far, &mut four).await.expect_err("silence");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert!(Error::from_io(&error).is_some_and(Error::is_timeout), "{error}");
        AsyncWriteExt::shutdown(&mut near).await.expect("an end");
    });
}

#[test]
fn l_sessions_are_resumed_by_tickets() {
    on_runtime("resumption", async |_| {
        let authority = Authority::new();
        let acceptor = authority.localhost().acceptor();
        let connector = authority.connector();
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let (client, server) = duplex(64 * 1024);
            let accepting = spawn(acceptor.accept(server).run());
            let client = connector.clone().connect(client, "localhost").await.expect("a handshake");
            let server = accepting.await.expect("no panic").expect("a handshake");
            server.write_all(b"hello").await.expect("room");
            // The tickets come with what is read.
            client.read_exact(&mut [0; 5]).await.expect("hello");
            kinds.push((client.handshake_kind(), server.handshake_kind()));
        }
        let (full, resumed) = (Some(HandshakeKind::Full), Some(HandshakeKind::Resumed));
        assert_eq!(kinds, [(full, full), (resumed, resumed), (resumed, resumed)]);
    });
}

#[test]
fn l_an_application_protocol_that_is_not_shared_is_an_error() {
    on_runtime("ALPN", async |_| {
        let authority = Authority::new();
        let (client, server) = duplex(64 * 1024);
        let accepting = spawn(authority.localhost().acceptor().alpn(["h2"]).accept(server).run());
        let connector = authority.connector().alpn(["http/1.1"]);
        let error = connector.connect(client, "localhost").await.expect_err("nothing in common");
        assert_eq!((error.kind(), error.phase()), (Kind::Tls, Phase::Tls));
        assert!(
            error.to_string().contains("it speaks none of the application protocols that we offer"),
            "{error}"
        );
        let error = accepting.await.expect("no panic").expect_err("nothing in common");
        assert!(error.to_string().contains("no application protocol (ALPN) in common"), "{error}");
    });
}

#[test]
fn l_bad_pem_is_said_clearly() {
    let (authority, files) = (Authority::new(), Files::new());
    let issued = authority.localhost();
    let chain = files.write("chain.pem", &issued.certificate_pem);
    let key = files.write("key.pem", &issued.key_pem);
    let other_key = files.write("other.pem", authority.localhost().key_pem);
    let empty = files.write("empty.pem", "");
    let broken =
        files.write("broken.pem", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    Acceptor::from_pem_files(&chain, &key).expect("they fit");
    let says = |chain: &std::path::Path, key: &std::path::Path, expected: &str| {
        let error = Acceptor::from_pem_files(chain, key).expect_err("it cannot be used");
        assert_eq!((error.kind(), error.phase()), (Kind::Tls, Phase::Configure));
        let text = error.to_string();
        assert!(text.contains(expected), "{text}");
        println!("{text}");
    };
    says(&files.path().join("none.pem"), &key, "none.pem cannot be read: No such file or directory");
    says(&empty, &key, "empty.pem holds no certificate in PEM");
    says(&broken, &key, "broken.pem is not valid PEM");
    says(&chain, &chain, "chain.pem holds no private key in PEM that is not encrypted");
    says(&chain, &other_key, "the certificate and its key: keys may not be consistent: KeyMismatch");
    let error = Connector::with_roots_from_pem_file(&empty).expect_err("nobody to trust");
    assert!(error.to_string().contains("holds no certificate"), "{error}");
}

#[test]
fn l_the_systems_roots_are_the_default_and_trust_no_stranger() {
    on_runtime("the system's roots", async |_| {
        let (client, server) = duplex(64 * 1024);
        let accepting = spawn(Authority::new().localhost().acceptor().accept(server).run());
        let error = Connector::new().connect(client, "localhost").await.expect_err("a stranger");
        assert_eq!(error.kind(), Kind::Tls);
        // Without any it is said so, and not laid at the server's door.
        let text = error.to_string();
        let refused = text.contains("is not of an authority that we trust");
        assert!(refused || text.contains("root certificates"), "{text}");
        println!("{text}");
        let _ = accepting.await.expect("no panic").expect_err("refused");
    });
}

#[test]
fn l_a_probe_says_why_of_a_stream_that_somebody_else_owns() {
    on_runtime("a probe", async |_| {
        let authority = Authority::new();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let client = TcpStream::connect(listener.local_addr().expect("its address")).await;
        let (server, _) = listener.accept().await.expect("a connection");
        let acceptor = authority.localhost().acceptor();
        let (client, server) =
            shaken(&authority, &acceptor, client.expect("a connection"), server).await;
        let probe = client.probe();
        let owner = spawn(async move { client.read(&mut [0; 8]).await });
        let bounds = Bounds::of(Phase::FirstByte).timeout(Duration::from_millis(30)).probe(probe);
        let error = bounds.clone().run(std::future::pending::<Result<(), Error>>()).await;
        let error = error.expect_err("silence");
        assert!(matches!(error.diagnosis(), Some(Diagnosis::PeerSilent { .. })), "{error}");
        assert_eq!(error.peer(), probe.peer());
        println!("{error}");
        owner.abort();
        let _ = owner.await;
        // It is closed now, and another has its descriptor: the probe does not ask after that one.
        let _other = TcpStream::connect(listener.local_addr().expect("its address")).await;
        let error = bounds.run(std::future::pending::<Result<(), Error>>()).await.expect_err("for ever");
        assert!(error.diagnosis().is_none(), "{error}");
        drop(server);
    });
}
