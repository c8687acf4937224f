//! The scripted peer itself, tried by sockets of the standard library: it does what a script says.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use punctual_tests_http::peer::http2::{self, Frame, Http2};
use punctual_tests_http::peer::{Peer, What};
use punctual_tests_http::rig::{MS, assert_passed, now_ns};

#[test]
fn a_peer_answers_drips_and_resets_as_its_script_says() {
    let peer = Peer::start(|_, connection| {
        connection.request()?;
        connection.drip("abcdef", 2, 20 * MS)?;
        connection.head()?;
        connection.reset()
    });
    let mut client = TcpStream::connect(peer.address).expect("connected");
    client
        .write_all(b"PUT /x HTTP/1.1\r\nContent-Length: 3\r\n\r\n123GET /y HTTP/1.1\r\n")
        .expect("sent");
    let began = now_ns();
    let mut got = [0; 6];
    client.read_exact(&mut got).expect("all of it");
    assert_eq!(&got, b"abcdef");
    assert_passed(began, 40 * MS);
    client.write_all(b"\r\n").expect("sent");
    let end = client.read(&mut got).expect_err("reset");
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    let requests = peer.requests();
    assert_eq!((requests[0].method(), requests[0].target()), ("PUT", "/x"));
    assert_eq!(requests[0].body, b"123");
    assert_eq!(requests[1].head, "GET /y HTTP/1.1\r\n\r\n");
    peer.wait_for(|seen| seen.what == What::Ended);
    assert_eq!(peer.connections(), 1);
}

#[test]
fn a_peer_half_closes_and_sees_how_the_client_ends() {
    let peer = Peer::start(|_, connection| {
        connection.half_close()?;
        connection.ended()
    });
    let mut client = TcpStream::connect(peer.address).expect("connected");
    assert_eq!(client.read(&mut [0]).expect("the end"), 0);
    client.write_all(b"still heard").expect("sent");
    drop(client);
    let closed = peer.wait_for(|seen| seen.what == What::Closed);
    assert_eq!(closed.connection, 0);
}

#[test]
fn a_body_in_chunks_is_put_together() {
    let peer = Peer::start(|_, connection| connection.request().map(drop));
    let mut client = TcpStream::connect(peer.address).expect("connected");
    let request =
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
    client.write_all(request.as_bytes()).expect("sent");
    peer.wait_for(|seen| seen.what == What::Ended);
    assert_eq!(peer.requests()[0].body, b"abc0123456789");
}

#[test]
fn frames_are_read_and_written_as_the_standard_has_them() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[(http2::INITIAL_WINDOW_SIZE, 0)])?;
        let (stream, length) = http2.request_whole()?;
        assert_eq!((stream, length), (1, 2));
        http2.go_away(1, http2::NO_ERROR)?;
        http2.ended()
    });
    let mut client = TcpStream::connect(peer.address).expect("connected");
    client.write_all(http2::PREFACE).expect("sent");
    for frame in [
        Frame::new(http2::SETTINGS, 0, 0, []),
        Frame::new(http2::PING, 0, 0, [7; 8]),
        Frame::new(http2::HEADERS, http2::END_HEADERS, 1, [0x82]),
        Frame::new(http2::DATA, http2::END_STREAM, 1, "ok"),
    ] {
        client.write_all(&frame.encoded()).expect("sent");
    }
    let expected = [
        Frame::new(http2::SETTINGS, 0, 0, [0, 4, 0, 0, 0, 0]),
        Frame::new(http2::SETTINGS, http2::ACK, 0, []),
        Frame::new(http2::PING, http2::ACK, 0, [7; 8]),
        Frame::new(http2::GOAWAY, 0, 0, [0, 0, 0, 1, 0, 0, 0, 0]),
    ];
    let expected: Vec<u8> = expected.iter().flat_map(Frame::encoded).collect();
    let mut got = vec![0; expected.len()];
    client.read_exact(&mut got).expect("all of it");
    assert_eq!(got, expected);
}
