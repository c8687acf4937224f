//! HTTP/2 peers that misbehave, frame by frame: what is lost is an error or sent again where that is safe, and nothing
//! waits for ever.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use punctual::http::{Client, Timeouts};
use punctual::net::{Error, Kind, Phase};
use punctual::{sleep, spawn};
use punctual_tests_http::peer::http2::*;
use punctual_tests_http::peer::{Connection, Peer, Seen, What};
use punctual_tests_http::rig::{MS, assert_passed, now_ns, on_runtime, since};

pub(crate) const BOUND: Duration = Duration::from_millis(80);
pub(crate) const LONG: Duration = Duration::from_secs(8);

/// Long enough that reaching it is another failure, by name.
pub(crate) fn patient() -> Timeouts {
    Timeouts::new().connect(LONG).request_write(LONG).first_byte(LONG).body_idle(LONG).total(2 * LONG)
}

pub(crate) fn client() -> Client {
    Client::builder().http2_prior_knowledge().timeouts(patient()).build()
}

/// One that does not wait long for a connection that is silent.
fn suspicious() -> Client {
    Client::builder().http2_prior_knowledge().timeouts(patient()).http2_ping(BOUND, BOUND).build()
}

pub(crate) async fn fetch(client: &Client, method: Method, url: String) -> Result<Bytes, Error> {
    client.method(method, url).send().await?.bytes(1 << 20).await
}

fn noted(peer: &Peer, text: &str) -> usize {
    let is = |seen: &Seen| matches!(&seen.what, What::Note(note) if note.starts_with(text));
    peer.seen().iter().filter(|seen| is(seen)).count()
}

/// Answers whatever comes by `ok`.
fn serve(http2: &mut Http2<'_>) -> io::Result<()> {
    loop {
        let stream = http2.request()?;
        http2.respond(stream, b"ok")?;
    }
}

#[test]
fn p14_a_goaway_sends_again_what_lies_beyond_its_last_stream_and_nothing_else() {
    for method in [Method::GET, Method::POST] {
        let peer = Peer::start(|number, connection| {
            let mut http2 = Http2::begin(connection, &[])?;
            if number > 0 {
                return serve(&mut http2);
            }
            // Two requests are under way; of the first a half is answered.
            let first = http2.request()?;
            http2.headers(first, STATUS_200, false)?;
            http2.data(first, b"o", false)?;
            http2.request()?;
            http2.go_away(first, NO_ERROR)?;
            http2.connection.pause(20 * MS);
            http2.data(first, b"k", true)?;
            http2.ended()
        });
        on_runtime("goaway", async |_| {
            let client = client();
            let head = client.get(peer.url("/")).send().await.expect("it has begun");
            let second = fetch(&client, method.clone(), peer.url("/")).await;
            assert_eq!(second.expect("sent again"), "ok", "{method}");
            assert_eq!(head.bytes(10).await.expect("the rest"), "ok");
            assert_eq!(fetch(&client, Method::GET, peer.url("/")).await.expect("the new one"), "ok");
        });
        assert_eq!((peer.connections(), noted(&peer, "request")), (2, 4), "{method}");
    }
}

#[test]
fn p14_a_goaway_that_complains_is_not_answered_by_the_same_again() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        http2.request()?;
        http2.go_away(0, ENHANCE_YOUR_CALM)?;
        http2.ended()
    });
    on_runtime("goaway", async |_| {
        let error = fetch(&client(), Method::GET, peer.url("/")).await.expect_err("refused");
        assert_eq!(error.kind(), Kind::Protocol, "{error}");
        println!("{error}");
    });
    assert_eq!((peer.connections(), noted(&peer, "request")), (1, 1));
}

#[test]
fn p14_a_refused_stream_is_sent_again_whatever_its_method_and_others_are_not() {
    for (code, again) in [
        (REFUSED_STREAM, true),
        (NO_ERROR, false),
        (PROTOCOL_ERROR, false),
        (INTERNAL_ERROR, false),
        (CANCEL, false),
        (ENHANCE_YOUR_CALM, false),
        (0xdead_beef, false),
    ] {
        let peer = Peer::start(move |_, connection| {
            let mut http2 = Http2::begin(connection, &[])?;
            let other = http2.request()?;
            let reset = http2.request()?;
            http2.reset(reset, code)?;
            http2.respond(other, b"ok")?;
            serve(&mut http2)
        });
        on_runtime("refused", async |_| {
            let client = client();
            let (beside, url) = (client.clone(), peer.url("/"));
            let other = spawn(async move { fetch(&beside, Method::GET, url).await });
            // The one beside it is to be the first.
            while noted(&peer, "request") == 0 {
                sleep(MS).await;
            }
            let fetched = fetch(&client, Method::POST, peer.url("/")).await;
            match fetched {
                Ok(body) => assert!(again && body == "ok", "{code}"),
                Err(error) => {
                    assert!(!again, "{code}: {error}");
                    assert_eq!(error.kind(), Kind::Protocol, "{code}: {error}");
                }
            }
            assert_eq!(other.await.expect("no panic").expect("undisturbed"), "ok", "{code}");
            assert_eq!(fetch(&client, Method::GET, peer.url("/")).await.expect("it still stands"), "ok");
        });
        let requests = if again { 4 } else { 3 };
        assert_eq!((peer.connections(), noted(&peer, "request")), (1, requests), "{code}");
    }
}

#[test]
fn p14_a_server_that_refuses_all_is_given_up() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        loop {
            let stream = http2.request()?;
            http2.reset(stream, REFUSED_STREAM)?;
        }
    });
    on_runtime("refused", async |_| {
        let error = fetch(&client(), Method::GET, peer.url("/")).await.expect_err("refused");
        assert_eq!(error.kind(), Kind::Protocol, "{error}");
    });
    assert_eq!(noted(&peer, "request"), 4, "once, and three times more");
}

#[test]
fn p01_a_peer_without_settings_or_an_answer_ends_at_first_byte() {
    let scripts: [fn(&mut Connection) -> io::Result<()>; 3] = [
        |connection| connection.ended(),
        |connection| Http2::silent(connection)?.ended(),
        |connection| Http2::begin(connection, &[])?.ended(),
    ];
    for script in scripts {
        let peer = Peer::start(move |_, connection| script(connection));
        on_runtime("silent", async |_| {
            let client = client();
            let began = now_ns();
            let sent = client.get(peer.url("/")).timeouts(patient().first_byte(BOUND)).send().await;
            let error = sent.expect_err("nothing comes");
            assert_passed(began, BOUND);
            assert!(error.is_timeout() && error.phase() == Phase::FirstByte, "{error}");
        });
    }
}

#[test]
fn a_ping_that_is_not_answered_ends_the_connection_and_all_on_it() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        http2.answers_pings = false;
        let first = http2.request()?;
        http2.headers(first, STATUS_200, false)?;
        http2.data(first, b"o", false)?;
        http2.request()?;
        http2.ended()
    });
    on_runtime("ping", async |_| {
        let client = suspicious();
        let began = now_ns();
        let body = client.get(peer.url("/")).send().await.expect("it has begun");
        let error = fetch(&client, Method::POST, peer.url("/")).await.expect_err("nobody is there");
        assert_passed(began, 2 * BOUND);
        assert!(since(began) < LONG / 2, "{:?}: {error}", since(began));
        println!("{error}");
        let error = body.bytes(10).await.expect_err("its body too");
        println!("{error}");
        assert!(since(began) < LONG / 2, "{:?}: {error}", since(began));
    });
    assert!(noted(&peer, "PING") > 0, "{:?}", peer.seen());
    assert_eq!(
        (peer.connections(), noted(&peer, "request")),
        (1, 2),
        "what may have been done is not sent again"
    );
}

#[test]
fn pings_that_are_answered_keep_a_slow_answer_alive() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        let stream = http2.request()?;
        let began = now_ns();
        // Answers nothing but pings for six times as long as a silent one is waited for.
        while since(began) < 6 * BOUND {
            let frame = http2.frame()?;
            if frame.kind == PING && frame.flags & ACK == 0 {
                http2.send(&Frame::new(PING, ACK, 0, frame.payload))?;
            }
        }
        http2.respond(stream, b"ok")
    });
    on_runtime("ping", async |_| {
        let fetched = fetch(&suspicious(), Method::POST, peer.url("/")).await;
        assert_eq!(fetched.expect("slow, and alive"), "ok");
    });
}

#[test]
fn a_window_that_never_opens_ends_at_request_write() {
    // For the stream, by the settings; and for the connection, by never giving anything back.
    for settings in [&[(INITIAL_WINDOW_SIZE, 0)][..], &[(INITIAL_WINDOW_SIZE, 1 << 20)]] {
        let peer = Peer::start(move |_, connection| {
            let mut http2 = Http2::begin(connection, settings)?;
            http2.request()?;
            loop {
                let frame = http2.frame()?;
                if frame.kind == PING && frame.flags & ACK == 0 {
                    http2.send(&Frame::new(PING, ACK, 0, frame.payload))?;
                }
            }
        });
        on_runtime("window", async |_| {
            let client = client();
            let began = now_ns();
            let request = client.post(peer.url("/")).body(vec![b'x'; 1 << 20]);
            let sent = request.timeouts(patient().request_write(BOUND)).send().await;
            let error = sent.expect_err("it cannot be sent");
            assert_passed(began, BOUND);
            assert!(error.is_timeout() && error.phase() == Phase::Request, "{error}");
            println!("{error}");
        });
    }
}

#[test]
fn a_peer_that_reads_nothing_ends_at_request_write_or_by_its_pings() {
    for by_ping in [false, true] {
        let peer = Peer::start(|_, connection| {
            // The windows are wide open, and nothing is taken out of the kernel's buffers.
            let mut http2 = Http2::begin(connection, &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)])?;
            http2.window(0, 0x7fff_0000)?;
            while !http2.connection.is_over() {
                http2.connection.pause(5 * MS);
            }
            Ok(())
        });
        on_runtime("stalled", async |_| {
            let (client, timeouts) = match by_ping {
                true => (suspicious(), patient()),
                false => (client(), patient().request_write(2 * BOUND)),
            };
            let began = now_ns();
            let request = client.post(peer.url("/")).body(vec![b'x'; 32 << 20]).timeouts(timeouts);
            let error = request.send().await.expect_err("it cannot be sent");
            assert_passed(began, 2 * BOUND);
            assert!(since(began) < LONG / 2, "{:?}: {error}", since(began));
            println!("{error}");
            if !by_ping {
                assert!(error.is_timeout() && error.phase() == Phase::Request, "{error}");
            }
        });
    }
}

#[test]
fn p05_a_body_that_stalls_ends_its_stream_and_leaves_the_connection() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        let stalled = http2.request()?;
        http2.headers(stalled, STATUS_200, false)?;
        http2.data(stalled, b"01234", false)?;
        serve(&mut http2)
    });
    on_runtime("p05", async |_| {
        let client = client();
        let began = now_ns();
        let sent = client.get(peer.url("/")).timeouts(patient().body_idle(BOUND)).send().await;
        let error = sent.expect("it has begun").bytes(100).await.expect_err("it stalls");
        assert_passed(began, BOUND);
        assert!(error.is_timeout() && error.phase() == Phase::Body, "{error}");
        assert_eq!(error.transferred(), 5);
        assert_eq!(fetch(&client, Method::GET, peer.url("/")).await.expect("it still stands"), "ok");
    });
    assert_eq!(peer.connections(), 1);
}

#[test]
fn requests_beyond_the_number_of_streams_wait_for_one() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[(MAX_CONCURRENT_STREAMS, 1)])?;
        loop {
            let stream = http2.request()?;
            http2.connection.pause(5 * MS);
            http2.respond(stream, b"ok")?;
        }
    });
    on_runtime("streams", async |_| {
        let client = client();
        assert_eq!(fetch(&client, Method::GET, peer.url("/")).await.expect("the first"), "ok");
        let all: Vec<_> = (0..8)
            .map(|_| {
                let (client, url) = (client.clone(), peer.url("/"));
                spawn(async move { fetch(&client, Method::POST, url).await })
            })
            .collect();
        for one in all {
            assert_eq!(one.await.expect("no panic").expect("in its turn"), "ok");
        }
    });
    assert_eq!(noted(&peer, "request"), 9);
}

/// A response of several frames.
fn frames(length: Option<&str>) -> Vec<Frame> {
    let mut head = vec![STATUS_200];
    if let Some(length) = length {
        // `content-length`, which is number 28 of the static table, literally and not to be kept.
        head.extend([0x0f, 28 - 15, length.len() as u8]);
        head.extend(length.as_bytes());
    }
    vec![
        Frame::new(HEADERS, END_HEADERS, 1, head),
        Frame::new(DATA, 0, 1, "01234"),
        Frame::new(0xfe, 0, 1, "of a kind unheard of"),
        Frame::new(DATA, END_STREAM, 1, "56789"),
    ]
}

#[test]
fn p13_a_response_cut_off_anywhere_is_an_error() {
    let whole: Vec<u8> = frames(None).iter().flat_map(Frame::encoded).collect();
    for reset in [false, true] {
        let bytes = whole.clone();
        let peer = Peer::start(move |number, connection| {
            let mut http2 = Http2::begin(connection, &[])?;
            http2.request()?;
            http2.connection.send(&bytes[..number.min(bytes.len())])?;
            if reset && number < bytes.len() { http2.connection.reset() } else { Ok(()) }
        });
        on_runtime("p13", async |_| {
            for cut in 0..=whole.len() {
                // Each on a client of its own, so that nothing is sent again.
                let fetched = fetch(&client(), Method::GET, peer.url("/")).await;
                if cut < whole.len() {
                    let error = fetched.expect_err(&format!("cut off after {cut} bytes"));
                    assert!(!error.is_timeout(), "cut off after {cut} bytes: {error}");
                } else {
                    assert_eq!(fetched.expect("it is whole"), "0123456789");
                }
            }
        });
        assert_eq!(peer.connections(), whole.len() + 1, "nothing was sent again");
    }
}

#[test]
fn p13_a_body_of_another_length_than_announced_is_an_error() {
    for (length, fine) in
        [("10", true), ("9", false), ("11", false), ("0", false), ("ten", false), ("-10", false)]
    {
        let peer = Peer::start(move |_, connection| {
            let mut http2 = Http2::begin(connection, &[])?;
            http2.request()?;
            for frame in frames(Some(length)) {
                http2.send(&frame)?;
            }
            http2.ended()
        });
        on_runtime("p13", async |_| {
            let fetched = fetch(&client(), Method::GET, peer.url("/")).await;
            assert_eq!(fetched.is_ok(), fine, "{length}: {fetched:?}");
            assert!(fetched.is_ok_and(|body| body == "0123456789") == fine, "{length}");
        });
    }
}
