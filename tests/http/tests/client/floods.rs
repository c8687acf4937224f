//! HTTP/2 peers that flood, or send what makes no sense: an error soon, in bounded memory, and no deadline is extended.

use std::io;

use http::Method;
use punctual::net::Phase;
use punctual_tests_http::peer::Peer;
use punctual_tests_http::peer::http2::*;
use punctual_tests_http::rig::{MS, assert_passed, now_ns, on_runtime, since};

use crate::frames::{BOUND, LONG, client, fetch, patient};

/// A header that is put into the table of headers once, and named from there again and again.
fn bomb() -> Vec<u8> {
    let mut head = vec![STATUS_200, 0x40, 1, b'x', 0x7f, 0xa1, 0x1e];
    head.extend([b'y'; 4_000]);
    head.extend([0xbe; 10_000]);
    head
}

#[test]
fn p08_floods_and_nonsense_end_the_connection() {
    type Sends = fn(&mut Http2<'_>, u32) -> io::Result<()>;
    let rows: [(&str, Sends); 16] = [
        ("data for no stream", |h, _| h.data(0, b"x", false)),
        ("data for a stream that never was", |h, _| h.data(99, b"x", false)),
        ("a response on a stream of the server's", |h, _| h.headers(2, STATUS_200, true)),
        ("data before a head", |h, s| h.data(s, b"x", true)),
        ("a frame of 16 MB", |h, s| {
            let mut head = Frame::new(DATA, 0, s, []).encoded();
            head[..3].fill(0xff);
            h.connection.send(head)
        }),
        ("a window update of nothing", |h, s| h.window(s, 0)),
        ("a window update of nothing for all", |h, _| h.window(0, 0)),
        ("a window beyond 2^31", |h, _| h.window(0, 0x7fff_ffff)),
        ("settings that are not six bytes", |h, _| h.send(&Frame::new(SETTINGS, 0, 0, [0; 5]))),
        ("a head that is no head", |h, s| h.send(&Frame::new(HEADERS, END_HEADERS, s, [0xff; 9]))),
        ("a head without a status", |h, s| {
            h.send(&Frame::new(HEADERS, END_HEADERS | END_STREAM, s, []))
        }),
        ("40 MB of headers in 14 KB", |h, s| {
            h.send(&Frame::new(HEADERS, END_HEADERS | END_STREAM, s, bomb()))
        }),
        ("a head without end", |h, s| {
            h.send(&Frame::new(HEADERS, 0, s, [STATUS_200]))?;
            loop {
                h.send(&Frame::new(9, 0, s, [[0x40, 1, b'x', 1, b'y']; 1_000].concat()))?;
            }
        }),
        ("a head without end or content", |h, s| {
            h.send(&Frame::new(HEADERS, 0, s, [STATUS_200]))?;
            loop {
                h.send(&Frame::new(9, 0, s, []))?;
            }
        }),
        ("a push that was not asked for", |h, s| {
            h.send(&Frame::new(5, END_HEADERS, s, [0, 0, 0, 2, 0x82, 0x84, 0x86]))
        }),
        ("HTTP/1.1", |h, _| h.connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
    ];
    let peer = Peer::start(move |number, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        let stream = http2.request()?;
        rows[number].1(&mut http2, stream)?;
        http2.ended()
    });
    on_runtime("p08", async |_| {
        for (name, _) in rows {
            let began = now_ns();
            let fetched = fetch(&client(), Method::GET, peer.url("/")).await;
            let error = fetched.expect_err(name);
            assert!(!error.is_timeout(), "{name}: {error}");
            assert!(since(began) < LONG / 2, "{name}: {:?}", since(began));
            println!("{name}: {error}");
        }
    });
    assert_eq!(peer.connections(), rows.len());
}

#[test]
fn p08_floods_that_say_nothing_do_not_extend_a_deadline() {
    type Sends = fn(&mut Http2<'_>, u32) -> io::Result<()>;
    let rows: [(&str, Sends); 4] = [
        ("pings", |h, _| h.send(&Frame::new(PING, 0, 0, [1; 8]))),
        ("settings", |h, _| h.send(&Frame::new(SETTINGS, 0, 0, []))),
        ("window updates", |h, s| h.window(s, 1)),
        ("frames of a kind unheard of", |h, s| h.send(&Frame::new(0xfe, 0, s, [0; 100]))),
    ];
    for (name, send) in rows {
        let peer = Peer::start(move |_, connection| {
            let mut http2 = Http2::begin(connection, &[])?;
            let stream = http2.request()?;
            // What the client says to that must not fill the buffers up.
            let mut reading = http2.connection.stream.try_clone()?;
            let drain = std::thread::spawn(move || io::copy(&mut reading, &mut io::sink()).map(drop));
            while send(&mut http2, stream).is_ok() {}
            drain.join().expect("no panic")
        });
        on_runtime("p08", async |_| {
            let client = client();
            let began = now_ns();
            let sent = client.get(peer.url("/")).timeouts(patient().first_byte(2 * BOUND)).send().await;
            let error = sent.expect_err("there is no answer");
            assert!(since(began) < LONG / 2, "{name}: {:?}", since(began));
            assert!(error.phase() == Phase::FirstByte, "{name}: {error}");
            if error.is_timeout() {
                assert_passed(began, 2 * BOUND);
            }
            println!("{name}: {error}");
        });
    }
}

#[test]
fn p08_empty_parts_of_a_body_are_no_progress() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        let stream = http2.request()?;
        http2.headers(stream, STATUS_200, false)?;
        loop {
            http2.data(stream, b"", false)?;
            http2.connection.pause(MS);
        }
    });
    on_runtime("p08", async |_| {
        let client = client();
        let began = now_ns();
        let sent = client.get(peer.url("/")).timeouts(patient().body_idle(BOUND)).send().await;
        let error = sent.expect("it has begun").bytes(100).await.expect_err("nothing comes");
        assert!(since(began) < LONG / 2, "{:?}: {error}", since(began));
        println!("{error}");
    });
}
