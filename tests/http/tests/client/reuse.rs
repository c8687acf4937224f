//! Connections that are used again: dead ones are not, what may not be sent twice is not, and no response is taken for
//! another's.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::Method;
use http_body_util::{BodyExt, StreamBody};
use punctual::http::client::RequestBody;
use punctual::http::{Client, Timeouts};
use punctual::net::{Error, Kind};
use punctual::{sleep, spawn, timeout};
use punctual_tests_http::peer::{Connection, Peer, What};
use punctual_tests_http::rig::{MS, on_runtime, seeds};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Long enough that reaching it is another failure, by name.
fn patient() -> Timeouts {
    let long = Duration::from_secs(8);
    Timeouts::new().connect(long).request_write(long).first_byte(long).body_idle(long).total(2 * long)
}

async fn fetch(client: &Client, method: Method, url: String) -> Result<Bytes, Error> {
    client.method(method, url).timeouts(patient()).send().await?.bytes(1 << 20).await
}

#[test]
fn p14_a_connection_that_the_server_closes_while_idle_is_not_used_again() {
    for reset in [false, true] {
        let peer = Peer::start(move |_, connection| {
            connection.request()?;
            connection.send(OK)?;
            if reset { connection.reset() } else { Ok(()) }
        });
        on_runtime("p14", async |_| {
            let client = Client::new();
            for number in 0..5 {
                // Not even what must not be sent twice meets a dead connection: it is removed as soon as its end is seen.
                let method = if number % 2 == 0 { Method::GET } else { Method::POST };
                let fetched = fetch(&client, method, peer.url("/")).await;
                assert_eq!(fetched.unwrap_or_else(|error| panic!("{number}: {error}")), "ok");
                // A reset may have overtaken nothing here: the body was read whole.
                sleep(20 * MS).await;
            }
        });
        assert_eq!((peer.connections(), peer.requests().len()), (5, 5));
    }
}

/// How the second request on a connection meets its end: it has been read, and nothing is answered.
#[derive(Clone, Copy, Debug)]
enum End {
    Closed,
    Reset,
    /// One byte of an answer first.
    Begun,
}

/// Answers the first request on each connection, and ends at the second.
fn ends_at_reuse(end: End) -> Peer {
    Peer::start(move |_, connection| {
        connection.request()?;
        connection.send(OK)?;
        connection.request()?;
        match end {
            End::Closed => Ok(()),
            End::Reset => connection.reset(),
            End::Begun => connection.send("H"),
        }
    })
}

#[test]
fn p14_of_what_meets_the_end_of_a_used_connection_only_the_idempotent_is_sent_again() {
    let rows = [
        (Method::GET, None, false, true),
        (Method::HEAD, None, false, true),
        (Method::PUT, Some("12345"), false, true),
        (Method::DELETE, None, false, true),
        (Method::OPTIONS, None, false, true),
        (Method::POST, Some("12345"), false, false),
        (Method::POST, None, false, false),
        (Method::PATCH, Some("12345"), false, false),
        (Method::POST, Some("12345"), true, true),
    ];
    for (method, body, keyed, again) in rows {
        for end in [End::Closed, End::Reset, End::Begun] {
            let again = again && !matches!(end, End::Begun);
            let peer = ends_at_reuse(end);
            on_runtime("p14", async |_| {
                let client = Client::new();
                assert_eq!(fetch(&client, Method::GET, peer.url("/first")).await.expect("fine"), "ok");
                let mut request = client.method(method.clone(), peer.url("/second")).timeouts(patient());
                if let Some(body) = body {
                    request = request.body(body);
                }
                if keyed {
                    request = request.header("idempotency-key", "1");
                }
                let sent = request.send().await;
                let what = format!("{method}, {body:?}, keyed: {keyed}, {end:?}");
                match sent {
                    Ok(response) => {
                        assert!(again, "{what}");
                        let timeline = response.timeline();
                        let hops: Vec<bool> = timeline.hops.iter().map(|hop| hop.reused).collect();
                        assert_eq!(hops, [true, false], "{what}: a retry is a hop of its own");
                    }
                    Err(error) => {
                        assert!(!again, "{what}: {error}");
                        assert!(!error.is_timeout() && !error.is_retry_safe(), "{what}: {error}");
                    }
                }
            });
            let seconds: Vec<_> =
                peer.requests().into_iter().filter(|request| request.target() == "/second").collect();
            assert_eq!(seconds.len(), if again { 2 } else { 1 }, "{method} {end:?}");
            assert!(seconds.iter().all(|one| one.body == body.unwrap_or_default().as_bytes()));
        }
    }
}

#[test]
fn p14_a_body_that_is_used_up_is_not_sent_again() {
    let peer = ends_at_reuse(End::Closed);
    on_runtime("p14", async |_| {
        let client = Client::new();
        assert_eq!(fetch(&client, Method::GET, peer.url("/first")).await.expect("fine"), "ok");
        let frames = tokio_stream::iter([Ok::<_, Error>(http_body::Frame::data("12345".into()))]);
        let body = RequestBody::stream(StreamBody::new(frames));
        let sent = client.put(peer.url("/second")).body(body).timeouts(patient()).send().await;
        assert!(!sent.expect_err("it met the end").is_timeout());
    });
    assert_eq!(peer.requests().len(), 2);
}

#[test]
fn p14_a_new_connection_that_ends_without_an_answer_is_an_error_at_once() {
    let peer = Peer::start(|_, connection| connection.request().map(drop));
    on_runtime("p14", async |_| {
        let error = fetch(&Client::new(), Method::GET, peer.url("/")).await.expect_err("no answer");
        assert_eq!(error.kind(), Kind::UnexpectedEof, "{error}");
    });
    assert_eq!((peer.connections(), peer.requests().len()), (1, 1));
}

#[test]
fn p14_what_times_out_is_not_sent_again() {
    let peer = Peer::start(|_, connection| {
        connection.request()?;
        connection.send(OK)?;
        connection.request()?;
        connection.ended()
    });
    on_runtime("p14", async |_| {
        let client = Client::new();
        assert_eq!(fetch(&client, Method::GET, peer.url("/first")).await.expect("fine"), "ok");
        let sent = client.get(peer.url("/second")).timeouts(patient().first_byte(50 * MS)).send().await;
        assert!(sent.expect_err("it is silent").is_timeout());
    });
    assert_eq!((peer.connections(), peer.requests().len()), (1, 2));
}

#[test]
fn p14_many_dead_connections_at_once_cost_one_retry() {
    const IDLE: usize = 8;
    // All requests are held until so many have come; and from then on every old connection ends with its next request.
    let peer = Peer::start(|number, connection| {
        connection.request()?;
        connection.pause(30 * MS);
        connection.send(OK)?;
        connection.request()?;
        if number < IDLE { Ok(()) } else { connection.send(OK) }
    });
    on_runtime("p14", async |_| {
        let client = Client::new();
        let begun: Vec<_> = (0..IDLE)
            .map(|_| {
                let (client, url) = (client.clone(), peer.url("/first"));
                spawn(async move { fetch(&client, Method::GET, url).await })
            })
            .collect();
        for fetched in begun {
            assert_eq!(fetched.await.expect("no panic").expect("fine"), "ok");
        }
        assert_eq!(peer.connections(), IDLE);
        assert_eq!(fetch(&client, Method::GET, peer.url("/second")).await.expect("sent again"), "ok");
    });
    let seconds = peer.requests().iter().filter(|request| request.target() == "/second").count();
    assert_eq!((peer.connections(), seconds), (IDLE + 1, 2), "once on a dead one, once on a new one");
}

/// Answers each request with its own target: at once or later, in one piece, in drips or in chunks, sometimes not at all.
fn echoes(connection: &mut Connection, seed: u64) -> io::Result<()> {
    let mut rng = Rng::with_seed(seed ^ connection.number as u64);
    loop {
        let request = connection.request()?;
        let target = request.target().to_owned();
        let body = format!("{target} ").repeat(rng.usize(1..200));
        if rng.u8(..4) == 0 {
            connection.pause(Duration::from_micros(rng.u64(..20_000)));
        }
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nx-target: {target}\r\n");
        match rng.u8(..8) {
            0 => {
                connection.send(format!("{head}Content-Length: {length}\r\n\r\n"))?;
                connection.drip(body, 64, 300 * Duration::from_micros(1))?;
            }
            1 => connection.send(format!(
                "{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
            ))?,
            2 => {
                connection
                    .send(format!("{head}Content-Length: {length}\r\n\r\n{}", &body[..length / 2]))?;
                connection.pause(Duration::from_micros(rng.u64(..10_000)));
                connection.send(&body[length / 2..])?;
            }
            3 if rng.bool() => return Ok(()),
            4 => {
                connection.send(format!(
                    "{head}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
                ))?;
                return Ok(());
            }
            _ => connection.send(format!("{head}Content-Length: {length}\r\n\r\n{body}"))?,
        }
    }
}

/// One request that may be let go of anywhere; whatever comes of it must be its own. Whether it was whole.
async fn one(client: &Client, peer: &Peer, id: usize, seed: u64) -> bool {
    let mut rng = Rng::with_seed(seed.wrapping_mul(31) ^ id as u64);
    let target = format!("/{id:05}");
    let method = if rng.bool() { Method::GET } else { Method::POST };
    let mut times = patient();
    let short = Duration::from_micros(rng.u64(..15_000));
    let way = rng.u8(..6);
    match way {
        0 => times = times.total(short),
        1 => times = times.first_byte(short),
        2 => times = times.body_idle(short),
        _ => {}
    }
    let request = client.method(method, peer.url(&target)).timeouts(times);
    let exchange = async {
        let response = request.send().await.ok()?;
        let header = response.headers().get("x-target").and_then(|value| value.to_str().ok());
        assert_eq!(header, Some(target.as_str()), "seed {seed}");
        if way == 3 {
            // Dropped with its body, or with a part of it.
            let mut body = response.into_body();
            let part = body.frame().await?.ok()?.into_data().ok()?;
            assert!(
                part.len() < 6 || part.windows(6).any(|part| part == target.as_bytes()),
                "seed {seed}"
            );
            return None;
        }
        let body = response.bytes(1 << 20).await.ok()?;
        let own = body.chunks(7).all(|part| part == format!("{target} ").as_bytes());
        assert!(own, "seed {seed}: {target} got {body:?}");
        Some(())
    };
    match way {
        4 => timeout(short, pin!(exchange)).await.ok().flatten().is_some(),
        _ => exchange.await.is_some(),
    }
}

#[test]
fn p10_no_response_is_taken_for_another_s_whatever_is_let_go_of() {
    for seed in seeds(&[1, 2, 3]) {
        println!("seed {seed}");
        let peer = Rc::new(Peer::start(move |_, connection| echoes(connection, seed)));
        let whole = on_runtime("p10", async |_| {
            let client = Client::new();
            let mut whole = 0;
            for round in 0..40 {
                let tasks: Vec<_> = (0..12)
                    .map(|lane| {
                        let (client, peer) = (client.clone(), peer.clone());
                        spawn(async move { one(&client, &peer, round * 12 + lane, seed).await })
                    })
                    .collect();
                for task in tasks {
                    whole += usize::from(task.await.expect("no panic"));
                }
            }
            whole
        });
        let (connections, requests) = (peer.connections(), peer.requests().len());
        println!("{whole} of {requests} whole, on {connections} connections");
        assert!(whole > 100 && requests > connections, "there was something to be mixed up");
        // What cannot be sent twice was not: each target of a POST has come once at most.
        let mut posts: Vec<String> = Vec::new();
        for seen in peer.seen() {
            if let What::Request(request) = seen.what
                && request.method() == "POST"
            {
                assert!(!posts.contains(&request.target().to_owned()), "twice: {}", request.target());
                posts.push(request.target().to_owned());
            }
        }
    }
}
