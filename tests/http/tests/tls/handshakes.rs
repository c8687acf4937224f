//! L01, L05, L06: handshakes that stall, break off, drip.

use std::time::Duration;

use punctual::net::{Connect, Diagnosis, Kind, Phase, TcpListener, TcpStream, duplex};
use punctual::tls::Acceptor;
use punctual::{Instant, scope, sleep, spawn};
use punctual_tests_http::certificates::Authority;
use punctual_tests_http::rig::{MS, assert_passed, now_ns, on_runtime};

use crate::rig::virtual_runtime;

fn acceptor() -> Acceptor {
    Authority::new().localhost().acceptor()
}

#[test]
fn l01_a_stalled_handshake_ends_at_its_own_deadline_with_a_reason() {
    on_runtime("stalled handshakes", async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let began = now_ns();
        let client = TcpStream::connect(address).await.expect("a connection");
        let (server, _) = listener.accept().await.expect("a connection");
        let error =
            Authority::new().connector().connect(client, "localhost").timeout(50 * MS).name("pay").await;
        let error = error.expect_err("nobody answers");
        assert_passed(began, 50 * MS);
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Tls), "{error}");
        assert!(matches!(error.diagnosis(), Some(Diagnosis::PeerSilent { .. })), "{error}");
        assert!(error.is_retry_safe(), "no byte of the application has been sent");
        let text = error.to_string();
        assert!(text.starts_with(&format!("TLS handshake with localhost ({address}) timed out after 50 ms (deadline \"pay\" set at ")), "{text}");
        println!("{text}");
        drop(server);
        // The other side: a client that connects and says nothing.
        let began = now_ns();
        let silent = TcpStream::connect(address).await.expect("a connection");
        let (server, _) = listener.accept().await.expect("a connection");
        let error = acceptor().accept(server).timeout(50 * MS).await.expect_err("silence");
        assert_passed(began, 50 * MS);
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Tls), "{error}");
        println!("{error}");
        drop(silent);
    });
}

#[test]
fn l01_ten_seconds_by_default_to_the_nanosecond() {
    let runtime = virtual_runtime();
    runtime.block_on(async {
        let began = Instant::now();
        let (client, _silent) = duplex(1024);
        let error =
            Authority::new().connector().connect(client, "localhost").await.expect_err("silence");
        assert_eq!(Instant::now(), began + Duration::from_secs(10));
        assert_eq!(error.deadline().map(|info| info.lateness()), Some(Duration::ZERO));
        let began = Instant::now();
        let (server, _silent) = duplex(1024);
        let error = acceptor().accept(server).await.expect_err("silence");
        assert_eq!(Instant::now(), began + Duration::from_secs(10));
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Tls));
        assert_eq!(error.deadline().map(|info| info.lateness()), Some(Duration::ZERO));
        // A drip does not extend it.
        let began = Instant::now();
        let (server, drips) = duplex(1024);
        let dripping = spawn(async move {
            // The beginning of a hello that is said to be long.
            for byte in [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3].into_iter().chain(std::iter::repeat(7)) {
                if drips.write_all(&[byte]).await.is_err() {
                    return;
                }
                sleep(Duration::from_secs(1)).await;
            }
        });
        let error = acceptor().accept(server).await.expect_err("too slow");
        assert!(error.is_timeout(), "{error}");
        assert_eq!(Instant::now(), began + Duration::from_secs(10));
        dripping.await.expect("no panic");
    });
}

#[test]
fn l01_the_budget_of_a_connect_covers_the_handshake() {
    on_runtime("one budget", async |_| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let connector = Authority::new().connector();
        let began = now_ns();
        let connect = Connect::to(address).timeout(60 * MS).name("upstream");
        let error = connector.connect_to(connect).await.expect_err("nobody answers");
        assert_passed(began, 60 * MS);
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Tls), "{error}");
        let info = error.deadline().expect("a deadline");
        assert_eq!((info.budget(), info.name()), (Some(60 * MS), Some("upstream")), "{error}");
        println!("{error}");
        // A cap of its own within it.
        let began = now_ns();
        let connect = Connect::to(address).timeout(Duration::from_secs(9)).name("upstream");
        let error =
            connector.connect_to(connect).tls_timeout(40 * MS).await.expect_err("nobody answers");
        assert_passed(began, 40 * MS);
        let info = error.deadline().expect("a deadline");
        assert_eq!((info.budget(), info.name()), (Some(40 * MS), Some("tls-handshake cap of upstream")));
        println!("{error}");
    });
}

#[test]
fn l01_a_stalled_handshake_does_not_hold_up_the_next_connection() {
    on_runtime("accept goes on", async |_| {
        let authority = Authority::new();
        let acceptor = authority.localhost().acceptor();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let ended = scope("server", punctual::Unbounded, async |scope| {
            scope.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let handshake = acceptor.accept(stream);
                    drop(spawn(async move {
                        let stream = handshake.await?;
                        stream.write_all(b"hello").await?;
                        stream.shutdown().await
                    }));
                }
            });
            let silent = TcpStream::connect(address).await.expect("a connection");
            let stream =
                authority.connector().connect_to(Connect::to(address)).await.expect("a handshake");
            let mut hello = [0; 5];
            stream.read_exact(&mut hello).await.expect("hello");
            drop(silent);
            scope.cancel("done");
        });
        let _ = ended.await;
    });
}

#[test]
fn l05_the_peer_breaks_off_in_the_middle() {
    on_runtime("broken off", async |_| {
        let notify = [21, 3, 3, 0, 2, 1, 0];
        for (said, kind) in [
            (&notify[..], None),
            (&[][..], Some(Kind::UnexpectedEof)),
            (&[22, 3, 3][..], Some(Kind::UnexpectedEof)),
            (&[21, 3, 3, 0, 2, 2, 40][..], Some(Kind::Tls)),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", Some(Kind::Tls)),
        ] {
            let (client, peer) = duplex(64 * 1024);
            peer.write_all(said).await.expect("room");
            peer.shutdown(std::net::Shutdown::Write).expect("an end");
            let error =
                Authority::new().connector().connect(client, "localhost").await.expect_err("no server");
            println!("{error}");
            assert_eq!(error.phase(), Phase::Tls, "{error}");
            assert!(kind.is_none_or(|kind| kind == error.kind()), "{said:?}: {error:?}");
            let (server, peer) = duplex(64 * 1024);
            peer.write_all(said).await.expect("room");
            peer.shutdown(std::net::Shutdown::Write).expect("an end");
            let error = acceptor().accept(server).await.expect_err("no client");
            println!("{error}");
            assert!(kind.is_none_or(|kind| kind == error.kind()), "{said:?}: {error:?}");
        }
    });
}

#[test]
fn l06_hellos_that_come_byte_by_byte() {
    on_runtime("a byte at a time", async |_| {
        let authority = Authority::new();
        let acceptor = authority.localhost().acceptor();
        for ours_is_the_client in [true, false] {
            let (ours, theirs) = duplex(64 * 1024);
            let mut raw = match ours_is_the_client {
                true => crate::raw::Raw::server(theirs, &acceptor),
                false => crate::raw::Raw::client(theirs, &authority),
            };
            raw.piece = Box::new(|| 1);
            let peer = spawn(async move {
                raw.shake().await.expect("a handshake");
                let records = raw.sealed(b"made it");
                raw.send(&records).await.expect("room");
                raw
            });
            let stream = match ours_is_the_client {
                true => authority.connector().connect(ours, "localhost").await.expect("a handshake"),
                false => acceptor.accept(ours).await.expect("a handshake"),
            };
            let mut made_it = [0; 7];
            stream.read_exact(&mut made_it).await.expect("seven bytes");
            drop(stream);
            drop(peer.await.expect("no panic"));
        }
    });
}
