//! L04, L07, L08, L09 and D20: records that are cut, late, too many, or in nobody's way.

use std::net::Shutdown;
use std::time::Duration;

use punctual::net::{Kind, Phase, TcpListener, TcpStream, duplex};
use punctual::{Instant, spawn};
use punctual_tests_http::certificates::Authority;
use punctual_tests_http::rig::on_runtime;

use crate::raw::Raw;
use crate::rig::{in_memory, read_all, shaken, transport::Memory, virtual_runtime};
use punctual::tls::TlsStream;

const S: Duration = Duration::from_secs(1);

/// Our client, and a server by hand, shaken.
async fn with_raw_server(capacity: usize) -> (TlsStream<Memory>, Raw<Memory>) {
    let authority = Authority::new();
    let (ours, theirs) = duplex(capacity);
    let mut raw = Raw::server(theirs, &authority.localhost().acceptor());
    let shaking = spawn(async move {
        raw.shake().await.expect("a handshake");
        raw
    });
    let stream = authority.connector().connect(ours, "localhost").await.expect("a handshake");
    (stream, shaking.await.expect("no panic"))
}

#[test]
fn l04_an_end_without_close_notify_is_a_truncation() {
    on_runtime("truncated", async |_| {
        for announced in [true, false] {
            let (stream, mut raw) = with_raw_server(64 * 1024).await;
            let mut records = raw.sealed(b"all there is");
            if announced {
                raw.tls.send_close_notify();
                records.extend(raw.records());
            }
            raw.send(&records).await.expect("room");
            raw.socket.shutdown(Shutdown::Write).expect("an end");
            let (all, ended) = read_all(&stream).await;
            assert_eq!(all, b"all there is");
            if announced {
                ended.expect("a clean end");
            } else {
                let error = ended.expect_err("a truncation");
                assert_eq!((error.kind(), error.phase()), (Kind::UnexpectedEof, Phase::Read));
                assert!(
                    error
                        .to_string()
                        .contains("without the peer's close_notify, so what came may be truncated"),
                    "{error}"
                );
                println!("{error}");
                let again = stream.read(&mut [0; 8]).await.expect_err("for good");
                assert_eq!(again.kind(), Kind::UnexpectedEof);
            }
        }
    });
}

#[test]
fn l04_a_record_cut_in_the_middle_is_no_end_either() {
    on_runtime("cut", async |_| {
        let (stream, mut raw) = with_raw_server(64 * 1024).await;
        let records = raw.sealed(b"never seen");
        raw.send(&records[..records.len() - 1]).await.expect("room");
        raw.socket.shutdown(Shutdown::Write).expect("an end");
        let (all, ended) = read_all(&stream).await;
        assert_eq!((all.len(), ended.expect_err("a truncation").kind()), (0, Kind::UnexpectedEof));
    });
}

#[test]
fn l04_both_ways_end_one_by_one() {
    on_runtime("half-close", async |_| {
        let (client, server) = in_memory(64 * 1024).await;
        client.write_all(b"question").await.expect("room");
        client.shutdown().await.expect("an end");
        client.shutdown().await.expect("once more is no harm");
        let (all, ended) = read_all(&server).await;
        ended.expect("a clean end");
        assert_eq!(all, b"question");
        server.write_all(b"answer").await.expect("the other way is open");
        server.shutdown().await.expect("an end");
        let (all, ended) = read_all(&client).await;
        ended.expect("a clean end");
        assert_eq!(all, b"answer");
        let error = client.write(b"more").await.expect_err("it was ended");
        assert_eq!((error.kind(), error.phase()), (Kind::Kernel(32), Phase::Write), "EPIPE");
    });
}

#[test]
fn l07_half_a_record_a_timeout_and_then_the_rest() {
    let runtime = virtual_runtime();
    runtime.block_on(async {
        let (stream, mut raw) = with_raw_server(64 * 1024).await;
        let records = raw.sealed(b"plaintext");
        let (half, rest) = records.split_at(records.len() / 2);
        raw.send(half).await.expect("room");
        stream.set_read_timeout(Some(3 * S)).expect("set");
        let began = Instant::now();
        let mut buffer = [0; 32];
        let error = stream.read(&mut buffer).await.expect_err("half a record is nothing");
        assert_eq!((error.kind(), error.transferred()), (Kind::Timeout, 0), "{error}");
        assert_eq!(Instant::now(), began + 3 * S);
        raw.send(rest).await.expect("room");
        assert_eq!(stream.read(&mut buffer).await.expect("the whole"), 9);
        assert_eq!(&buffer[..9], b"plaintext");
    });
}

#[test]
fn d20_read_exact_says_how_much_came_and_no_byte_is_lost() {
    let runtime = virtual_runtime();
    runtime.block_on(async {
        let (stream, mut raw) = with_raw_server(64 * 1024).await;
        let records = raw.sealed(b"abc");
        raw.send(&records).await.expect("room");
        stream.set_read_timeout(Some(S)).expect("set");
        let mut buffer = [0; 8];
        let error = stream.read_exact(&mut buffer).await.expect_err("three of eight");
        assert_eq!((error.kind(), error.transferred()), (Kind::Timeout, 3), "{error}");
        assert_eq!(&buffer[..3], b"abc");
        let records = raw.sealed(b"defgh");
        raw.send(&records).await.expect("room");
        stream.read_exact(&mut buffer[3..]).await.expect("the rest");
        assert_eq!(&buffer, b"abcdefgh");
        // One that begins after its deadline takes nothing, even if it is there already.
        let records = raw.sealed(b"waits");
        raw.send(&records).await.expect("room");
        stream.set_read_deadline(Some(Instant::now())).expect("set");
        let error = stream.read(&mut buffer).await.expect_err("too late");
        assert!(error.is_timeout() && error.deadline().is_some_and(|info| info.before_it_began()));
        stream.set_read_deadline(None).expect("set");
        assert_eq!(stream.read(&mut buffer[..2]).await.expect("two of them"), 2);
        stream.set_read_deadline(Some(Instant::now())).expect("set");
        let error =
            stream.read(&mut buffer).await.expect_err("what is decrypted already counts as little");
        assert!(error.is_timeout());
        stream.set_read_deadline(None).expect("set");
        assert_eq!(stream.read(&mut buffer).await.expect("the others"), 3);
    });
}

#[test]
fn l08_a_flood_that_nobody_reads_is_held_up() {
    const ROOM: usize = 64 * 1024;
    let runtime = virtual_runtime();
    runtime.block_on(async {
        let (client, server) = in_memory(ROOM).await;
        server.set_write_timeout(Some(S)).expect("set");
        // Reads a little, so that a record is taken in, and then nothing.
        let flood = vec![7; 64 * ROOM];
        let flooding = spawn(async move {
            let error = server.write_all(&flood).await.expect_err("nobody reads");
            (error.kind(), error.phase(), error.transferred())
        });
        let mut one = [0; 1];
        client.read_exact(&mut one).await.expect("a byte");
        let (kind, phase, taken) = flooding.await.expect("no panic");
        assert_eq!((kind, phase), (Kind::Timeout, Phase::Write));
        // What the stream holds, what waits encrypted at the writer, a record or two at the reader.
        let held = usize::try_from(taken).expect("small");
        assert!((ROOM / 2..=2 * ROOM + 3 * 17 * 1024).contains(&held), "{held} bytes were taken");
        println!("{held} bytes were taken of a flood, {ROOM} by the stream");
    });
}

#[test]
fn l08_a_writer_holds_no_more_than_it_may() {
    let runtime = virtual_runtime();
    runtime.block_on(async {
        let (client, _server) = in_memory(1024).await;
        client.set_write_timeout(Some(S)).expect("set");
        let mut taken = 0;
        let error = loop {
            match client.write(&[1; 100_000]).await {
                Ok(some) => taken += some,
                Err(error) => break error,
            }
        };
        assert!(error.is_timeout() && taken <= 66 * 1024, "{taken}: {error}");
    });
}

#[test]
fn l09_a_close_that_is_cancelled_closes_all_the_same() {
    let runtime = virtual_runtime();
    runtime.block_on(async {
        // Full: the end cannot be said.
        let (client, server) = in_memory(512).await;
        client.set_write_timeout(Some(S)).expect("set");
        let full = client.write_all(&[1; 4096]).await.expect_err("nobody reads");
        assert!(full.is_timeout());
        let began = Instant::now();
        let error = client.shutdown().await.expect_err("nobody reads");
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Shutdown), "{error}");
        assert_eq!(Instant::now(), began + S, "the end is under the timeout of writes");
        let closing = client.close_in_order(2 * S);
        punctual::sleep(S).await;
        let error = closing.await.expect_err("nobody reads");
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Shutdown), "{error}");
        assert_eq!(Instant::now(), began + 3 * S, "its time goes from the call on");
        assert_eq!(error.deadline().and_then(|info| info.elapsed()), Some(2 * S), "and that is told");
        assert_eq!(client.read(&mut [0; 8]).await.expect_err("closed").kind(), Kind::Closed);
        drop(server);
        let (client, server) = in_memory(512).await;
        let closing = punctual::timeout(S, client.close_in_order(60 * S)).await;
        assert!(closing.is_err(), "the peer does not end: given up");
        assert_eq!(client.write(b"x").await.expect_err("closed").kind(), Kind::Closed);
        drop(server);
    });
}

#[test]
fn d20_over_tcp_a_record_can_be_read_in_pieces_and_its_end_twice() {
    on_runtime("pieces of a record", async |_| {
        let authority = Authority::new();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let client = TcpStream::connect(listener.local_addr().expect("its address")).await;
        let (server, _) = listener.accept().await.expect("a connection");
        let acceptor = authority.localhost().acceptor();
        let (client, server) =
            shaken(&authority, &acceptor, client.expect("a connection"), server).await;
        client.set_read_timeout(Some(5 * S)).expect("set");
        let sending = spawn(async move {
            server.write_all(b"one record").await.expect("room");
            server
        });
        let mut two = [0; 2];
        // The first of these waits for the edge, reads all there is, and knows by the short read that there is no more: no
        // other edge comes, the rest is here already.
        for expected in [b"on", b"e ", b"re", b"co", b"rd"] {
            assert_eq!(client.read(&mut two).await.expect("two of ten"), 2);
            assert_eq!(&two, expected);
        }
        let server = sending.await.expect("no panic");
        server.shutdown().await.expect("an end");
        for _ in 0..3 {
            assert_eq!(client.read(&mut two).await.expect("the end"), 0);
        }
    });
}
