//! P12: requests that two readers may read in two ways are refused, and nothing behind them is read.

use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::BodyExt;
use punctual::http::{Body, Limits, ServerTimeouts, service_fn};

use crate::rig::{MS, Raw, assert_served, serve};

async fn echo(request: Request<Body>) -> Result<Response<String>, Infallible> {
    let path = request.uri().path().to_owned();
    Ok(match request.into_body().collect().await {
        Ok(body) => Response::new(format!("{path}:{}", body.to_bytes().len())),
        Err(_) => Response::new("broken".to_owned()),
    })
}

/// What must not be served. A request that would follow is appended to each.
const REFUSED: [(&str, &str); 29] = [
    (
        "length and encoding",
        "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "encoding and length",
        "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    ),
    (
        "two encodings",
        "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked twice",
        "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a list that ends in chunked",
        "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "an encoding that is not chunked",
        "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\n\r\n",
    ),
    (
        "an encoding that looks like chunked",
        "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "an encoding in HTTP/1.0",
        "POST /a HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "two lengths",
        "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    ),
    ("a list of lengths", "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5, 6\r\n\r\nhello"),
    ("a signed length", "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\nhello"),
    ("a negative length", "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\nhello"),
    ("a hexadecimal length", "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 0x5\r\n\r\nhello"),
    ("an empty length", "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\nhello"),
    (
        "a length beyond 64 bits",
        "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 18446744073709551621\r\n\r\nhello",
    ),
    ("a bare LF after a field", "POST /a HTTP/1.1\r\nhost: a\ncontent-length: 5\r\n\r\nhello"),
    ("a bare LF after the request line", "GET /a HTTP/1.1\nhost: a\r\n\r\n"),
    ("an empty line of a bare LF", "GET /a HTTP/1.1\r\nhost: a\r\nx: y\n\n"),
    ("a folded line", "GET /a HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\n\r\n"),
    ("a space before the colon", "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length : 5\r\n\r\nhello"),
    ("a space before a name", "GET /a HTTP/1.1\r\n host: a\r\n\r\n"),
    ("a bare CR", "GET /a HTTP/1.1\r\nhost: a\r\nx: y\rz: 1\r\n\r\n"),
    ("a NUL", "GET /a HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n"),
    ("no host", "GET /a HTTP/1.1\r\nx: y\r\n\r\n"),
    ("two hosts", "GET /a HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
    ("two hosts, HTTP/1.0", "GET /a HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n"),
    ("a fragment in the target", "GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("no version", "GET /a\r\nhost: a\r\n\r\n"),
    ("another version", "GET /a HTTP/1.2\r\nhost: a\r\n\r\n"),
];

#[test]
fn p12_what_can_be_read_in_two_ways_is_refused_with_all_that_follows() {
    let (timeouts, limits) = (ServerTimeouts::default(), Limits::default());
    serve(
        "smuggling",
        timeouts,
        limits,
        || service_fn(echo),
        |address| {
            let behind = "GET /secret HTTP/1.1\r\nhost: a\r\n\r\n";
            for (what, request) in REFUSED {
                let told = Raw::connect(address).say(format!("{request}{behind}")).rest();
                assert!(
                    told.starts_with("HTTP/1.1 4") || told.starts_with("HTTP/1.0 4"),
                    "{what}: {told:?}"
                );
                assert!(!told.contains("secret"), "{what}: {told:?}");
                assert_eq!(told.matches("HTTP/1.").count(), 1, "{what}: {told:?}");
                // The same in two parts, cut in the middle.
                let mut client = Raw::connect(address);
                let (first, second) = request.split_at(request.len() / 2);
                client.say(first);
                std::thread::sleep(2 * MS);
                client.try_say(&format!("{second}{behind}"));
                let told = client.rest();
                assert!(
                    told.starts_with("HTTP/1.1 4") || told.starts_with("HTTP/1.0 4"),
                    "{what}, cut: {told:?}"
                );
                assert!(!told.contains("secret"), "{what}, cut: {told:?}");
            }
            assert_served(address);
        },
    );
}

#[test]
fn p12_a_length_that_is_said_twice_alike_is_that_length() {
    let (timeouts, limits) = (ServerTimeouts::default(), Limits::default());
    serve(
        "lengths",
        timeouts,
        limits,
        || service_fn(echo),
        |address| {
            let first =
                "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello";
            let second = "GET /b HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
            let told = Raw::connect(address).say(format!("{first}{second}")).rest();
            assert!(told.contains("/a:5") && told.contains("/b:0"), "{told:?}");
        },
    );
}

#[test]
fn p12_chunks_that_lie_break_the_body_and_nothing_behind_is_read() {
    let bad = [
        ("an overflow", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("a signed size", "+5\r\nhello\r\n0\r\n\r\n"),
        ("a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("no size", "\r\nhello\r\n0\r\n\r\n"),
        ("too much", "3\r\nhello\r\n0\r\n\r\n"),
        ("a bare LF behind data", "5\r\nhello\n0\r\n\r\n"),
        ("a bare LF behind a size", "5\nhello\r\n0\r\n\r\n"),
    ];
    let (timeouts, limits) = (ServerTimeouts::default(), Limits::default());
    serve(
        "chunks",
        timeouts,
        limits,
        || service_fn(echo),
        move |address| {
            for (what, chunks) in bad {
                let head = "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
                let behind = "GET /secret HTTP/1.1\r\nhost: a\r\n\r\n";
                let told = Raw::connect(address).say(format!("{head}{chunks}{behind}")).rest();
                assert!(!told.contains("secret"), "{what}: {told:?}");
                assert!(!told.contains("/a:"), "{what}: its body was taken for whole: {told:?}");
            }
            assert_served(address);
        },
    );
}

#[test]
fn p12_what_was_sent_before_the_answer_is_read_as_strictly() {
    let (timeouts, limits) = (ServerTimeouts::default(), Limits::default());
    let slow = |request: Request<Body>| async move {
        punctual::sleep(30 * MS).await;
        echo(request).await
    };
    serve(
        "early",
        timeouts,
        limits,
        move || service_fn(slow),
        |address| {
            for bad in ["GET /b HTTP/1.1\nhost: a\r\n\r\n", REFUSED[0].1] {
                let mut client = Raw::connect(address);
                client.say("GET /a HTTP/1.1\r\nhost: a\r\n\r\n");
                std::thread::sleep(10 * MS);
                client.say(format!("{bad}GET /secret HTTP/1.1\r\nhost: a\r\n\r\n"));
                let told = client.rest();
                assert!(!told.contains("/b:") && !told.contains("secret"), "{told:?}");
            }
        },
    );
}
