//! Responses that are cut off, garbled or ambiguous: an error or the whole, never a short one.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use punctual::http::{Client, Timeouts};
use punctual::net::{Error, Kind};
use punctual::sleep;
use punctual_tests_http::peer::Peer;
use punctual_tests_http::rig::{assert_passed, now_ns, on_runtime};

/// Long enough that reaching it is another failure, by name.
fn patient() -> Timeouts {
    let long = Duration::from_secs(8);
    Timeouts::new().connect(long).request_write(long).first_byte(long).body_idle(long).total(2 * long)
}

/// The whole response, body and all.
pub(crate) async fn fetch(
    client: &Client,
    method: Method,
    url: String,
) -> Result<(StatusCode, Bytes), Error> {
    let response = client.method(method, url).timeouts(patient()).send().await?;
    Ok((response.status(), response.bytes(1 << 20).await?))
}

/// A response, and the body that it has when it is whole.
const WHOLE: [(&str, &str); 4] = [
    ("HTTP/1.1 200 OK\r\nx: y\r\nContent-Length: 10\r\n\r\n0123456789", "0123456789"),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6;e=f\r\n456789\r\n0\r\n\r\n",
        "0123456789",
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
        "0123456789",
    ),
    ("HTTP/1.1 103 Early\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ""),
];

/// The number at the end of the target of a request.
pub(crate) fn number(target: &str) -> usize {
    target.rsplit('/').next().and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn p13_a_response_cut_off_anywhere_is_an_error() {
    for (whole, body) in WHOLE {
        for reset in [false, true] {
            let peer = Peer::start(move |_, connection| {
                let cut = number(connection.request()?.target());
                connection.send(&whole[..cut])?;
                if reset { connection.reset() } else { Ok(()) }
            });
            on_runtime("p13", async |_| {
                let client = Client::new();
                for cut in 0..whole.len() {
                    let fetched = fetch(&client, Method::GET, peer.url(&format!("/{cut}"))).await;
                    let error = fetched.expect_err(&format!("cut off after {cut} of {whole:?}"));
                    let (kind, said) = (error.kind(), error.to_string());
                    let expected = match kind {
                        Kind::UnexpectedEof | Kind::Protocol => true,
                        Kind::Kernel(libc) => libc == ECONNRESET && reset,
                        _ => false,
                    };
                    assert!(expected, "{cut} of {whole:?}, reset: {reset}: {kind:?}: {said}");
                }
                let fetched = fetch(&client, Method::GET, peer.url(&format!("/{}", whole.len()))).await;
                if !reset {
                    assert_eq!(fetched.expect("it is whole").1, body);
                }
            });
            // Nothing was sent again: all connections were new ones.
            assert_eq!(peer.connections(), whole.len() + 1, "{whole:?}, reset: {reset}");
            assert_eq!(peer.requests().len(), whole.len() + 1, "{whole:?}, reset: {reset}");
        }
    }
}

const ECONNRESET: i32 = 104;

#[test]
fn p13_p14_on_a_connection_used_before_it_is_sent_again_if_nothing_of_it_came_and_only_then() {
    let (whole, body) = WHOLE[0];
    let peer = Peer::start(move |_, connection| {
        loop {
            let request = connection.request()?;
            if request.target() == "/first" || request.target().starts_with("/again") {
                connection.send(whole)?;
                continue;
            }
            // The second time the same comes, it is answered.
            let cut = number(request.target());
            let again = connection.number % 2 == 1 && cut == 0;
            connection.send(if again { whole } else { &whole[..cut] })?;
            if !again {
                return Ok(());
            }
        }
    });
    on_runtime("p14", async |_| {
        for cut in 0..whole.len() {
            let client = Client::new();
            let first = fetch(&client, Method::GET, peer.url("/first")).await;
            assert_eq!(first.expect("whole").1, body);
            let fetched = fetch(&client, Method::GET, peer.url(&format!("/{cut}"))).await;
            if cut == 0 {
                assert_eq!(fetched.expect("sent again").1, body);
            } else {
                let error = fetched.expect_err(&format!("cut off after {cut}"));
                assert!(!error.is_timeout(), "{error}");
            }
        }
    });
    assert_eq!(peer.connections(), whole.len() + 1, "one retry in all");
}

/// What comes instead of a response, and what the connection ends with: all of these are errors.
const GARBLED: &[(&str, &str)] = &[
    (
        "two lengths that differ",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    ),
    ("a list of lengths that differ", "HTTP/1.1 200 OK\r\nContent-Length: 3, 5\r\n\r\nabcde"),
    ("a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc"),
    ("a length with a sign", "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc"),
    ("a length in hex", "HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\nabc"),
    ("a length that is none", "HTTP/1.1 200 OK\r\nContent-Length: three\r\n\r\nabc"),
    ("an empty length", "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nabc"),
    ("a length beyond 64 bits", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551619\r\n\r\nabc"),
    (
        "a length and chunks",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "chunks and a length",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 13\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "chunks twice",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "chunks, and then something",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, x\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "a coding that was not asked for",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "a coding unheard of",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    ("a coding that is none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nabc"),
    (
        "a coding with a control character",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    ("a chunk of no size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n"),
    (
        "a chunk of nonsense",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ng\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "a chunk of negative size",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "a chunk with a sign",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
    ),
    ("a chunk with 0x", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n"),
    (
        "a chunk beyond 64 bits",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "a chunk longer than it says",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "a chunk shorter than it says",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "a chunk that ends in LF",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
    ),
    (
        "a chunk whose extension has an LF",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\nabc\r\n0\r\n\r\n",
    ),
    ("chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("a folded header", "HTTP/1.1 200 OK\r\nx: a\r\n b\r\nContent-Length: 3\r\n\r\nabc"),
    ("a NUL in a value", "HTTP/1.1 200 OK\r\nx: a\0b\r\nContent-Length: 3\r\n\r\nabc"),
    ("a NUL in a name", "HTTP/1.1 200 OK\r\nx\0: a\r\nContent-Length: 3\r\n\r\nabc"),
    ("a CR in a value", "HTTP/1.1 200 OK\r\nx: a\rb\r\nContent-Length: 3\r\n\r\nabc"),
    ("a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc"),
    ("a name with a space", "HTTP/1.1 200 OK\r\nContent Length: 3\r\n\r\nabc"),
    ("a header without a colon", "HTTP/1.1 200 OK\r\nContent-Length 3\r\n\r\nabc"),
    ("a header without a name", "HTTP/1.1 200 OK\r\n: 3\r\n\r\nabc"),
    ("another protocol", "SSH-2.0-OpenSSH_9.2p1 Debian\r\n\r\n"),
    ("another version", "HTTP/1.2 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("the next version", "HTTP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("no version", "ICY 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("a short status", "HTTP/1.1 20 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("a long status", "HTTP/1.1 2000 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("a status of letters", "HTTP/1.1 abc OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("a status below all", "HTTP/1.1 099 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("nothing but blank lines", "\r\n\r\n\r\n\r\n"),
    ("a page without a head", "<html>hello</html>"),
    ("an alert of TLS", "\x15\x03\x01\0\x02\x02\x46"),
    (
        "a switch that nobody asked for",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    ),
];

#[test]
fn p12_what_is_garbled_or_ambiguous_is_an_error_and_ends_its_connection() {
    let peer = Peer::start(|_, connection| {
        loop {
            let request = connection.request()?;
            if request.target() == "/fine" {
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")?;
            } else {
                connection.send(GARBLED[number(request.target())].1)?;
                connection.half_close()?;
            }
        }
    });
    let mut accepted = Vec::new();
    on_runtime("p12", async |_| {
        let client = Client::new();
        for (row, (name, _)) in GARBLED.iter().enumerate() {
            let fetched = fetch(&client, Method::GET, peer.url(&format!("/{row}"))).await;
            match fetched {
                Ok(answer) => accepted.push(format!("{name}: {answer:?}")),
                Err(error)
                    if matches!(
                        error.kind(),
                        Kind::Protocol | Kind::UnexpectedEof | Kind::LimitExceeded
                    ) => {}
                Err(error) => accepted.push(format!("{name}: {error:?}")),
            }
            let fine = fetch(&client, Method::GET, peer.url("/fine")).await;
            assert_eq!(fine.expect("another connection").1, "fine", "after {name}");
        }
    });
    assert!(accepted.is_empty(), "{accepted:#?}");
}

/// What a lenient reader may take and we do; and what it is then.
const UNUSUAL: &[(&str, &str, &str)] = &[
    (
        "the same length twice",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "abc",
    ),
    ("no reason", "HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc", "abc"),
    ("no space before the reason", "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nabc", "abc"),
    ("until the end", "HTTP/1.1 200 OK\r\n\r\nabc", "abc"),
    ("HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc"),
    ("a status unheard of", "HTTP/1.1 599 x\r\nContent-Length: 3\r\n\r\nabc", "abc"),
    ("an empty value", "HTTP/1.1 200 OK\r\nx:\r\nContent-Length: 3\r\n\r\nabc", "abc"),
    ("leading zeros", "HTTP/1.1 200 OK\r\nContent-Length: 0003\r\n\r\nabc", "abc"),
    ("upper case", "HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc"),
];

#[test]
fn p12_what_is_unusual_and_plain_is_taken() {
    let peer = Peer::start(|_, connection| {
        let row = number(connection.request()?.target());
        connection.send(UNUSUAL[row].1)
    });
    on_runtime("p12", async |_| {
        let client = Client::new();
        for (row, (name, _, body)) in UNUSUAL.iter().enumerate() {
            let fetched = fetch(&client, Method::GET, peer.url(&format!("/{row}"))).await;
            assert_eq!(fetched.expect(name).1, *body, "{name}");
        }
    });
}

#[test]
fn p12_what_comes_after_a_response_is_nobody_s_answer() {
    const SECRET: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";
    let rows: [(Method, &str); 5] = [
        (Method::GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (Method::GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n"),
        (Method::GET, "HTTP/1.1 204 No Content\r\nContent-Length: 44\r\n\r\n"),
        (Method::GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 44\r\n\r\n"),
    ];
    for (method, first) in rows {
        // In one piece with the response, or when the connection lies idle. (What comes after the next request has been
        // sent is an answer to that, as far as anybody can tell.)
        for later in [Duration::ZERO, Duration::from_millis(5)] {
            let peer = Peer::start(move |_, connection| {
                loop {
                    if connection.request()?.target() == "/next" {
                        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")?;
                    } else if later.is_zero() {
                        connection.send(format!("{first}{SECRET}"))?;
                    } else {
                        connection.send(first)?;
                        connection.pause(later);
                        connection.send(SECRET)?;
                    }
                }
            });
            on_runtime("p12", async |_| {
                let client = Client::new();
                for _ in 0..10 {
                    let fetched = fetch(&client, method.clone(), peer.url("/first")).await;
                    // What follows at once may be an error of this one already.
                    if let Ok((_, body)) = fetched {
                        assert!(body.is_empty() || body == "ok", "{first:?}: {body:?}");
                    }
                    sleep(4 * later).await;
                    match fetch(&client, Method::GET, peer.url("/next")).await {
                        Ok((_, body)) => assert_eq!(body, "next", "{first:?}, {later:?}"),
                        Err(error) => assert!(!error.is_timeout(), "{first:?}, {later:?}: {error}"),
                    }
                }
            });
        }
    }
}

#[test]
fn p13_a_body_until_the_end_is_whole_only_if_the_end_is_orderly() {
    let peer = Peer::start(|_, connection| {
        let reset = connection.request()?.target() == "/reset";
        connection.send("HTTP/1.1 200 OK\r\n\r\nabc")?;
        // The client is to have read it: a reset may overtake it.
        connection.pause(Duration::from_millis(30));
        if reset { connection.reset() } else { Ok(()) }
    });
    on_runtime("p13", async |_| {
        let client = Client::new();
        let began = now_ns();
        assert_eq!(fetch(&client, Method::GET, peer.url("/")).await.expect("whole").1, "abc");
        assert_passed(began, Duration::from_millis(30));
        let error = fetch(&client, Method::GET, peer.url("/reset")).await.expect_err("reset");
        assert_eq!(error.kind(), Kind::Kernel(ECONNRESET), "{error}");
    });
}
