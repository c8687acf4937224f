//! HTTP/2: many requests on one connection, its limits, its pings, and how it is agreed on.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use punctual::http::{Client, Timeouts};
use punctual::net::hyper::{Executor, Timer};
use punctual::net::{Error, Kind, Phase, TcpListener};
use punctual::spawn;
use punctual_tests_http::certificates::Authority;
use punctual_tests_http::peer::http2::{self, Frame, Http2};
use punctual_tests_http::peer::{Peer, What};
use punctual_tests_http::rig::{MS, assert_passed, now_ns, on_runtime};

const BOUND: Duration = Duration::from_millis(80);

fn client() -> Client {
    Client::builder().http2_prior_knowledge().build()
}

fn send(client: &Client, peer: &Peer, path: &str) -> punctual::JoinHandle<Result<Bytes, Error>> {
    let (client, url) = (client.clone(), peer.url(path));
    spawn(async move { client.get(url).send().await?.bytes(1 << 20).await })
}

#[test]
fn many_requests_share_one_dial_and_one_connection() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        // None is answered until all are there.
        let mut streams = Vec::new();
        for _ in 0..20 {
            streams.push(http2.request()?);
        }
        for stream in streams.into_iter().rev() {
            http2.respond(stream, b"ok")?;
        }
        http2.ended()
    });
    on_runtime("multiplexing", async |_| {
        let client = client();
        let requests: Vec<_> = (0..20).map(|_| send(&client, &peer, "/")).collect();
        for request in requests {
            assert_eq!(request.await.expect("no panic").expect("a body"), "ok");
        }
        assert_eq!(peer.connections(), 1);
        let metrics = client.metrics();
        assert_eq!((metrics.dials, metrics.reuses, metrics.idle, metrics.in_use), (1, 19, 1, 0));
    });
}

#[test]
fn a_stream_that_runs_out_of_time_is_reset_and_only_that() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        let _silent = http2.request()?;
        let second = http2.request()?;
        // The first has been given up by then.
        while http2.frame()?.kind != http2::RST_STREAM {}
        http2.respond(second, b"ok")?;
        http2.ended()
    });
    on_runtime("reset", async |_| {
        let client = client();
        let began = now_ns();
        let url = peer.url("/silent");
        let first = spawn({
            let client = client.clone();
            async move { client.get(url).timeouts(Timeouts::new().first_byte(BOUND)).send().await }
        });
        punctual::sleep(20 * MS).await;
        let second = send(&client, &peer, "/");
        let error = first.await.expect("no panic").expect_err("it is not answered");
        assert_passed(began, BOUND);
        assert!(error.is_timeout() && error.phase() == Phase::FirstByte, "{error}");
        assert_eq!(second.await.expect("no panic").expect("a body"), "ok");
        assert_eq!(peer.connections(), 1, "the connection is unharmed");
    });
}

#[test]
fn a_connection_that_is_silent_for_a_second_takes_no_more_requests() {
    let peer = Peer::start(|number, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        let first = http2.request()?;
        http2.headers(first, http2::STATUS_200, false)?;
        if number > 0 {
            http2.data(first, b"ok", true)?;
            return http2.ended();
        }
        // Nothing more is said on the first but, late, the rest of what had begun.
        http2.request()?;
        let last = http2.request()?;
        while !matches!(http2.frame()?, Frame { kind: http2::RST_STREAM, stream, .. } if stream == last)
        {
        }
        std::thread::sleep(100 * MS);
        http2.data(first, b"late", true)?;
        http2.ended()
    });
    on_runtime("silent", async |_| {
        let client = client();
        let begun = client.get(peer.url("/begun")).send().await.expect("it has begun");
        for connections in [1, 1, 2] {
            let timeouts = Timeouts::new().total(600 * MS);
            let sent = client.get(peer.url("/")).timeouts(timeouts).send().await;
            assert_eq!(sent.as_ref().map_err(Error::is_timeout).is_ok(), connections == 2, "{sent:?}");
            assert_eq!(peer.connections(), connections);
        }
        assert_eq!(begun.bytes(10).await.expect("it goes on"), "late");
    });
}

#[test]
fn no_more_requests_at_a_time_than_the_peer_allows() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[(http2::MAX_CONCURRENT_STREAMS, 1)])?;
        loop {
            let stream = http2.request()?;
            http2.headers(stream, http2::STATUS_200, false)?;
            http2.data(stream, b"o", false)?;
            std::thread::sleep(20 * MS);
            http2.data(stream, b"k", true)?;
        }
    });
    on_runtime("max streams", async |_| {
        let client = Client::builder().http2_prior_knowledge().connections_per_host(1).build();
        // The limit is known once the first has been answered.
        send(&client, &peer, "/").await.expect("no panic").expect("a body");
        let requests: Vec<_> = (0..4).map(|_| send(&client, &peer, "/")).collect();
        punctual::sleep(5 * MS).await;
        assert_eq!((client.metrics().waiting, client.metrics().in_use), (3, 1));
        for request in requests {
            assert_eq!(request.await.expect("no panic").expect("a body"), "ok");
        }
        assert_eq!(peer.connections(), 1);
    });
}

fn unanswered_ping(blocked: bool) {
    let peer = Peer::start(move |_, connection| {
        if blocked {
            socket2::SockRef::from(&connection.stream).set_recv_buffer_size(4096)?;
        }
        let mut http2 = Http2::begin(connection, &[(http2::INITIAL_WINDOW_SIZE, 1 << 30)])?;
        http2.window(0, 1 << 30)?;
        let stream = http2.request()?;
        http2.headers(stream, http2::STATUS_200, false)?;
        http2.data(stream, b"part", false)?;
        http2.nothing(3_000 * MS)
    });
    on_runtime("ping", async |_| {
        let (interval, timeout) = (BOUND, 2 * BOUND);
        let client = Client::builder().http2_prior_knowledge().http2_ping(interval, timeout).build();
        let long = Duration::from_secs(30);
        let timeouts = Timeouts::new().request_write(long).first_byte(long);
        let body = if blocked { vec![1; 64 << 20] } else { Vec::new() };
        let sent = client.post(peer.url("/")).body(body).timeouts(timeouts).send();
        let mut response = sent.await.expect("a response");
        response.body().frame().await.expect("a frame").expect("data");
        let began = now_ns();
        let error = response.body().frame().await.expect("an end").expect_err("nobody is there");
        assert!(now_ns() - began < 2_000_000_000, "pings bound it, not the idle timeout");
        assert!(error.is_timeout() && error.phase() == Phase::Body, "{error}");
        assert!(error.to_string().contains("has not answered an HTTP/2 PING"), "{error}");
        let passed = error.deadline().expect("a timeout says which deadline");
        assert_eq!(passed.budget(), Some(timeout), "{error}");
        assert!(passed.fired() >= passed.deadline(), "{error}");
        assert_eq!((client.metrics().idle, client.metrics().in_use), (0, 0));
        println!("{error}");
    });
}

#[test]
fn a_ping_that_is_not_answered_ends_the_connection() {
    unanswered_ping(false);
}

#[test]
fn a_ping_bounds_a_write_that_is_blocked() {
    unanswered_ping(true);
}

#[test]
fn http2_is_agreed_on_by_tls_and_http_1_where_it_is_not() {
    for (offered, expected) in [
        (&["h2", "http/1.1"][..], http::Version::HTTP_2),
        (&["http/1.1"][..], http::Version::HTTP_11),
        (&[][..], http::Version::HTTP_11),
    ] {
        on_runtime("alpn", async |_| {
            let authority = Authority::new();
            let acceptor = authority.localhost().acceptor().alpn(offered);
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let address = listener.local_addr().expect("its address");
            let server = spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.expect("a connection");
                    let stream = acceptor.accept(stream).await.expect("a handshake");
                    let http2 = stream.alpn_protocol() == Some(b"h2");
                    let hello = service_fn(async |_| {
                        Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from_static(b"hello"))))
                    });
                    drop(spawn(async move {
                        if http2 {
                            let builder = hyper::server::conn::http2::Builder::new(Executor::detached());
                            drop(builder.serve_connection(stream, hello).await);
                        } else {
                            let mut builder = hyper::server::conn::http1::Builder::new();
                            builder.timer(Timer::new());
                            drop(builder.serve_connection(stream, hello).await);
                        }
                    }));
                }
            });
            let client = Client::builder().tls(authority.connector()).build();
            for number in 0..3 {
                let url = format!("https://localhost:{}/", address.port());
                let response = client.get(url).send().await.expect("a response");
                assert_eq!(response.version(), expected);
                let timeline = response.timeline();
                let phases: Vec<_> = timeline.hops[0].phases.iter().map(|phase| phase.phase).collect();
                if number == 0 {
                    let all =
                        [Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Request, Phase::FirstByte];
                    assert_eq!(phases[..5], all);
                } else {
                    assert!(timeline.hops[0].reused, "{timeline:?}");
                }
                assert_eq!(response.text(9).await.expect("a body"), "hello");
                while client.metrics().idle == 0 {
                    punctual::yield_now().await;
                }
            }
            assert_eq!((client.metrics().dials, client.metrics().reuses), (1, 2));
            server.abort();
        });
    }
}

#[test]
fn l03_a_certificate_that_does_not_hold_is_an_error_of_tls() {
    on_runtime("l03", async |_| {
        let acceptor = Authority::new().localhost().acceptor();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let server = spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            acceptor.accept(stream).await.map(drop)
        });
        let client = Client::builder().tls(Authority::new().connector()).build();
        let sent = client.get(format!("https://localhost:{}/", address.port())).send().await;
        let error = sent.expect_err("nobody knows who issued it");
        assert_eq!((error.kind(), error.phase()), (Kind::Tls, Phase::Tls), "{error}");
        assert!(!error.is_retry_safe());
        assert!(server.await.expect("no panic").is_err(), "no byte of the request was sent");
    });
}

#[test]
fn a_body_that_is_dropped_resets_its_stream_alone() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        let first = http2.request()?;
        http2.headers(first, http2::STATUS_200, false)?;
        http2.data(first, b"part", false)?;
        loop {
            let frame = http2.frame()?;
            if frame == Frame::new(http2::RST_STREAM, 0, first, http2::CANCEL.to_be_bytes()) {
                break;
            }
        }
        let second = http2.request()?;
        http2.respond(second, b"ok")?;
        http2.ended()
    });
    on_runtime("drop", async |_| {
        let client = client();
        let mut response = client.get(peer.url("/")).send().await.expect("a response");
        response.body().frame().await.expect("a frame").expect("data");
        drop(response);
        assert_eq!(send(&client, &peer, "/").await.expect("no panic").expect("a body"), "ok");
        assert_eq!(peer.connections(), 1);
        assert!(!peer.seen().iter().any(|seen| seen.what == What::Closed));
    });
}

#[test]
fn what_is_under_way_when_the_peer_goes_away_ends_well_and_the_next_goes_elsewhere() {
    let peer = Peer::start(|number, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        let stream = http2.request()?;
        http2.headers(stream, http2::STATUS_200, false)?;
        if number == 0 {
            http2.data(stream, b"a", false)?;
            http2.go_away(stream, http2::NO_ERROR)?;
            std::thread::sleep(100 * MS);
        }
        http2.data(stream, b"b", true)?;
        http2.ended()
    });
    on_runtime("goaway", async |_| {
        let client = client();
        let first = client.get(peer.url("/")).send().await.expect("a response");
        punctual::sleep(30 * MS).await;
        assert_eq!(send(&client, &peer, "/").await.expect("no panic").expect("a body"), "b");
        assert_eq!(first.bytes(9).await.expect("all of it"), "ab");
        assert_eq!(peer.connections(), 2);
        // The first is closed as soon as it has nothing to do.
        let began = now_ns();
        while client.metrics().in_use > 0 {
            assert!(now_ns() - began < 900_000_000, "{:?}", client.metrics());
            punctual::sleep(MS).await;
        }
    });
}

#[test]
fn a_client_that_is_dropped_lets_streams_under_way_end() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        let stream = http2.request()?;
        http2.headers(stream, http2::STATUS_200, false)?;
        std::thread::sleep(50 * MS);
        http2.data(stream, b"late", true)?;
        http2.ended()
    });
    on_runtime("drop", async |_| {
        let client = client();
        let response = client.get(peer.url("/")).send().await.expect("a response");
        drop(client);
        assert_eq!(response.bytes(9).await.expect("all of it"), "late");
    });
}

#[test]
fn a_body_larger_than_the_window_is_sent_as_the_peer_takes_it_and_stalls_as_a_request() {
    let peer = Peer::start(|number, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        let (mut stream, mut got, mut owed) = (0, 0, 0);
        while got < 800_000 {
            let frame = http2.frame()?;
            if frame.kind == http2::HEADERS {
                stream = frame.stream;
            }
            if frame.kind == http2::DATA {
                got += frame.payload.len();
                owed += frame.payload.len() as u32;
                // The second is given nothing beyond the window that there is.
                if number == 0 && owed >= 32 * 1024 {
                    std::thread::sleep(20 * MS);
                    http2.window(0, owed)?;
                    http2.window(stream, owed)?;
                    owed = 0;
                }
            }
        }
        http2.respond(stream, b"ok")?;
        http2.ended()
    });
    on_runtime("window", async |_| {
        // 24 times 20 ms: longer than either bound in all.
        let timeouts = Timeouts::new().request_write(5 * BOUND).first_byte(3 * BOUND);
        let url = peer.url("/");
        let first = client();
        let sent = first.post(&url).body(vec![1; 800_000]).timeouts(timeouts).send();
        assert_eq!(sent.await.expect("a response").bytes(9).await.expect("ok"), "ok");
        let second = client();
        let began = now_ns();
        let sent = second.post(&url).body(vec![1; 800_000]).timeouts(timeouts).send();
        let error = sent.await.expect_err("it is not taken");
        assert_passed(began, 5 * BOUND);
        assert!(error.is_timeout() && error.phase() == Phase::Request, "{error}");
    });
}

#[test]
fn pings_may_be_put_off_for_ever() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        let stream = http2.request()?;
        http2.respond(stream, b"ok")?;
        http2.ended()
    });
    on_runtime("no pings", async |_| {
        let client = Client::builder().http2_prior_knowledge();
        let client = client.http2_ping(Duration::MAX, Duration::MAX).build();
        assert_eq!(send(&client, &peer, "/").await.expect("no panic").expect("an answer"), "ok");
    });
}
