//! P08, P15 and the like: how much is taken, what is asked for first, and what becomes of handlers that fail.

use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use punctual::http::{Body, Limits, ServerTimeouts, service_fn};

use crate::rig::{MS, Raw, Served, assert_served, get, serve};

async fn handler(
    request: Request<Body>,
) -> Result<Response<String>, Box<dyn std::error::Error + Send + Sync>> {
    match request.uri().path() {
        "/panic" => panic!("a secret of the handler's"),
        "/error" => return Err("a secret of the handler's".into()),
        "/ignore" => return Ok(Response::new("ignored".to_owned())),
        "/never" => std::future::pending().await,
        _ => {}
    }
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(body.len().to_string()))
}

fn run(
    what: &'static str,
    change: impl FnOnce(&mut Limits),
    clients: impl FnOnce(SocketAddr) + Send + 'static,
) -> Served {
    let mut limits = Limits::default();
    change(&mut limits);
    serve(what, ServerTimeouts::default(), limits, || service_fn(handler), clients)
}

/// What is said to `request`, which may be cut off while it is written.
fn told(address: SocketAddr, request: &str) -> String {
    let mut client = Raw::connect(address);
    client.try_say(request);
    client.rest()
}

#[test]
fn p08_heads_that_are_too_large_are_told_so() {
    run(
        "heads",
        |_| (),
        |address| {
            let began = std::time::Instant::now();
            let head =
                |more: &str| format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{more}\r\n");
            assert!(
                told(address, &head(&format!("x: {}\r\n", "y".repeat(60_000))))
                    .starts_with("HTTP/1.1 200")
            );
            for large in [70_000, 1 << 20] {
                let told = told(address, &head(&format!("x: {}\r\n", "y".repeat(large))));
                assert!(told.starts_with("HTTP/1.1 431 "), "{large}: {told:?}");
            }
            assert!(told(address, &head(&"x: y\r\n".repeat(90))).starts_with("HTTP/1.1 200"));
            for lines in [101, 10_000] {
                let told = told(address, &head(&"x: y\r\n".repeat(lines)));
                assert!(told.starts_with("HTTP/1.1 431 "), "{lines}: {told:?}");
            }
            let path = |length: usize| get(address, &format!("/{}", "p".repeat(length)));
            assert!(path(8_000).starts_with("HTTP/1.1 200"));
            assert!(path(9_000).starts_with("HTTP/1.1 414 "));
            assert!(began.elapsed() < Duration::from_secs(10));
            assert_served(address);
        },
    );
}

#[test]
fn p08_a_large_header_a_byte_at_a_time_costs_no_more_than_its_length() {
    run(
        "quadratic",
        |_| (),
        |address| {
            let began = std::time::Instant::now();
            let mut client = Raw::connect(address);
            client.say("GET / HTTP/1.1\r\nhost: a\r\nx: ");
            for _ in 0..60_000 {
                client.try_say("y");
            }
            client.say("\r\n\r\n");
            assert!(client.response().starts_with("HTTP/1.1 200"));
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        },
    );
}

#[test]
fn p08_bodies_that_are_too_large_are_told_413() {
    run(
        "bodies",
        |limits| limits.body = 10_000,
        |address| {
            let length = |length: usize| {
                format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n")
            };
            let mut client = Raw::connect(address);
            client.say(length(10_000)).say("x".repeat(10_000));
            assert!(client.response().ends_with("\r\n\r\n10000"));
            // Of one that says so at once nothing is read.
            let told_at_once = told(address, &length(10_001));
            assert!(told_at_once.starts_with("HTTP/1.1 413 "), "{told_at_once:?}");
            let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
            let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
            let mut client = Raw::connect(address);
            client.say(format!("{head}{}0\r\n\r\n", chunk.repeat(10)));
            assert!(client.response().ends_with("\r\n\r\n10000"));
            let told = told(address, &format!("{head}{}0\r\n\r\n", chunk.repeat(11)));
            assert!(told.starts_with("HTTP/1.1 413 "), "{told:?}");
            assert!(told.contains("connection: close\r\n"), "{told:?}");
            assert_served(address);
        },
    );
}

#[test]
fn p08_chunk_extensions_and_trailers_are_bounded() {
    run(
        "extensions",
        |_| (),
        |address| {
            let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
            let few = format!("{head}1;{}\r\nx\r\n0\r\na: b\r\n\r\n", "e".repeat(1000));
            let mut client = Raw::connect(address);
            assert!(client.say(few).response().ends_with("\r\n\r\n1"));
            for many in [
                format!("{head}1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(40_000)),
                format!("{head}{}0\r\n\r\n", format!("1;{}\r\nx\r\n", "e".repeat(1000)).repeat(40)),
                format!("{head}0\r\nt: {}\r\n\r\n", "y".repeat(80_000)),
            ] {
                let told = told(address, &many);
                assert!(told.starts_with("HTTP/1.1 400 "), "{told:?}");
            }
            assert_served(address);
        },
    );
}

#[test]
fn p13_a_body_that_breaks_off_is_an_error_and_never_whole() {
    run(
        "truncated",
        |_| (),
        |address| {
            for broken in [
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello",
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
            ] {
                let mut client = Raw::connect(address);
                client.say(broken);
                client.stream.shutdown(std::net::Shutdown::Write).expect("half closed");
                let told = client.rest();
                assert!(!told.contains("200"), "{told:?}");
            }
            assert_served(address);
        },
    );
}

#[test]
fn p15_a_client_that_expects_100_is_told_to_go_on_if_its_body_is_read() {
    run(
        "expect",
        |limits| limits.body = 100,
        |address| {
            let head = |path: &str, length: usize| {
                format!(
                    "POST {path} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
                )
            };
            let mut client = Raw::connect(address);
            client.say(head("/", 5));
            assert_eq!(client.response(), "HTTP/1.1 100 Continue\r\n\r\n");
            assert!(client.say("hello").response().ends_with("\r\n\r\n5"));
            // Sent without waiting.
            let mut client = Raw::connect(address);
            client.say(format!("{}hello", head("/", 5)));
            let first = client.response();
            let last = if first.contains(" 100 ") { client.response() } else { first };
            assert!(last.ends_with("\r\n\r\n5"), "{last:?}");
            // Nobody reads it: it is not asked for, and the connection ends, for it may be sent all the same.
            let told = Raw::connect(address).say(head("/ignore", 5)).rest();
            assert!(told.starts_with("HTTP/1.1 200") && told.ends_with("ignored"), "{told:?}");
            // Too large: refused before it is sent.
            let told = Raw::connect(address).say(head("/", 101)).rest();
            assert!(told.starts_with("HTTP/1.1 413"), "{told:?}");
            // Of a body of nothing there is nothing to ask for.
            let mut client = Raw::connect(address);
            assert!(client.say(head("/", 0)).response().starts_with("HTTP/1.1 200"));
        },
    );
}

#[test]
fn p09_requests_sent_at_once_are_answered_in_order() {
    run(
        "pipelining",
        |_| (),
        |address| {
            let mut client = Raw::connect(address);
            let lengths = [0, 7, 3, 9, 1, 2, 8, 4, 6, 5];
            let request = |length: &usize| {
                format!(
                    "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{}",
                    "x".repeat(*length)
                )
            };
            client.say(lengths.iter().map(request).collect::<String>());
            for length in lengths {
                assert!(client.response().ends_with(&format!("\r\n\r\n{length}")));
            }
        },
    );
}

#[test]
fn k16_a_handler_that_panics_or_fails_is_answered_with_500_and_no_word_of_it() {
    run(
        "panic",
        |_| (),
        |address| {
            let mut beside = Raw::connect(address);
            beside.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").response();
            let mut panics = Raw::connect(address);
            let told = panics
                .say("GET /panic HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n")
                .rest();
            assert!(told.starts_with("HTTP/1.1 500 "), "{told:?}");
            assert_eq!(told.matches("HTTP/1.1").count(), 1, "the connection ends: {told:?}");
            let failed = Raw::connect(address).say("GET /error HTTP/1.1\r\nhost: a\r\n\r\n").response();
            assert!(failed.starts_with("HTTP/1.1 500 "), "{failed:?}");
            assert!(!told.contains("secret") && !failed.contains("secret"));
            assert!(
                beside.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").response().starts_with("HTTP/1.1 200")
            );
            assert_served(address);
        },
    );
}

#[test]
fn r01_one_connection_too_many_is_told_503_and_then_there_is_room() {
    run(
        "connections",
        |limits| limits.connections = 3,
        |address| {
            let mut held: Vec<_> = (0..3).map(|_| Raw::connect(address)).collect();
            for client in &mut held {
                client.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").response();
            }
            let told = Raw::connect(address).rest();
            assert!(
                told.starts_with("HTTP/1.1 503 ") && told.contains("retry-after: 1\r\n"),
                "{told:?}"
            );
            held.clear();
            let deadline = std::time::Instant::now() + Duration::from_secs(10);
            while !get(address, "/").starts_with("HTTP/1.1 200") {
                assert!(std::time::Instant::now() < deadline, "the places are not given back");
                std::thread::sleep(5 * MS);
            }
        },
    );
}

#[test]
fn r01_one_address_may_hold_so_many() {
    run(
        "per address",
        |limits| limits.connections_per_ip = 2,
        |address| {
            let mut held: Vec<_> = (0..2).map(|_| Raw::connect(address)).collect();
            for client in &mut held {
                client.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").response();
            }
            assert!(Raw::connect(address).rest().starts_with("HTTP/1.1 503 "));
            // Of another address (all of 127/8 is this machine) there is room.
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
                .expect("a socket");
            socket
                .bind(&"127.0.0.2:0".parse::<SocketAddr>().expect("an address").into())
                .expect("bound");
            socket.connect(&address.into()).expect("connected");
            let mut other = Raw { stream: socket.into(), began: crate::rig::now() };
            assert!(
                other.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").response().starts_with("HTTP/1.1 200")
            );
        },
    );
}

#[test]
fn p08_the_last_of_many_requests_of_a_connection_says_so() {
    run(
        "requests",
        |limits| limits.requests_per_connection = 5,
        |address| {
            let mut client = Raw::connect(address);
            for turn in 1..=5 {
                let response = client.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").response();
                assert_eq!(response.contains("connection: close"), turn == 5, "{turn}: {response:?}");
            }
            assert_eq!(client.rest(), "");
        },
    );
}
