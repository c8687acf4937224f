//! Bodies of responses: idle, too slow, cut short, cancelled, dropped; and what is left after them.

use std::time::Duration;

use http_body_util::BodyExt;
use punctual::http::{Client, Timeouts};
use punctual::net::{Kind, Phase};
use punctual_tests_http::peer::{Connection, Peer, What};
use punctual_tests_http::rig::{MS, assert_passed, now_ns, on_runtime};

const BOUND: Duration = Duration::from_millis(80);
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n";

fn patient() -> Timeouts {
    let long = Duration::from_secs(8);
    Timeouts::new().first_byte(long).body_idle(long).total(2 * long)
}

fn five_bytes_then_nothing(connection: &mut Connection) -> std::io::Result<()> {
    connection.request()?;
    connection.send(HEAD)?;
    connection.send("hello")?;
    connection.ended()
}

#[test]
fn p05_total_deadline_mid_body_closes_the_connection() {
    let peer = Peer::start(|_, connection| five_bytes_then_nothing(connection));
    on_runtime("p05", async |_| {
        let client = Client::new();
        let began = now_ns();
        let sent = client.get(peer.url("/")).timeouts(patient()).timeout(BOUND).send();
        let mut response = sent.await.expect("a response");
        let frame = response.body().frame().await.expect("a frame").expect("data");
        assert_eq!(frame.into_data().expect("data"), "hello");
        let error = response.body().frame().await.expect("an end").expect_err("it stalls");
        assert_passed(began, BOUND);
        assert!(error.is_timeout() && error.phase() == Phase::Body, "{error}");
        let info = error.deadline().expect("a deadline");
        assert_eq!((info.budget(), info.description()), (Some(BOUND), Some("total timeout")), "{error}");
        assert_eq!(error.transferred(), 5);
        assert!(error.diagnosis().is_some(), "{error}");
        assert!(response.body().frame().await.is_none(), "it has ended");
        println!("{error}");
        // The response is still held; the connection is closed all the same.
        let peer = &peer;
        ended_soon(peer).await;
        assert_eq!(client.metrics().idle, 0);
        client.get(peer.url("/")).timeouts(patient()).send().await.expect("another connection");
        assert_eq!(peer.connections(), 2, "the first is not used again");
    });
}

/// Until the peer has seen the client's end, without keeping the loop from it.
async fn ended_soon(peer: &Peer) {
    let began = now_ns();
    let ended =
        |peer: &Peer| peer.seen().iter().any(|seen| matches!(seen.what, What::Closed | What::Reset));
    while !ended(peer) {
        assert!(now_ns() - began < 5_000_000_000, "it is not closed: {:?}", peer.seen());
        punctual::sleep(MS).await;
    }
}

#[test]
fn p06_cancel_mid_body_is_cancelled_and_not_a_timeout() {
    let peer = Peer::start(|_, connection| five_bytes_then_nothing(connection));
    on_runtime("p06", async |_| {
        let client = Client::new();
        let hour = Duration::from_secs(3600);
        let (got, error) = punctual::scope("cancelled", hour, async |scope| {
            let timeouts = Timeouts::new().total(hour).body_idle(hour).min_rate(0);
            let sent = client.get(peer.url("/")).timeouts(timeouts).send();
            let mut response = sent.await.expect("a response");
            let first = response.body().frame().await.expect("a frame").expect("data");
            let got = first.into_data().expect("data");
            let canceller = scope.canceller();
            let cancel = scope.spawn(async move {
                punctual::sleep(20 * MS).await;
                canceller.cancel("enough").expect("the runtime is there");
            });
            let error = response.body().frame().await.expect("an end").expect_err("cancelled");
            drop(cancel);
            (got, error)
        })
        .await
        .map_err(|ended| ended.into_value())
        .unwrap_or_else(|value| value.expect("the body returned"));
        assert_eq!(got, "hello");
        assert_eq!((error.kind(), error.phase()), (Kind::Cancelled, Phase::Body), "{error}");
        assert!(error.to_string().contains("enough"), "{error}");
        ended_soon(&peer).await;
        assert_eq!(client.metrics().idle, 0);
    });
}

#[test]
fn p07_no_timer_is_left_after_success_and_an_idle_connection_is_unaffected() {
    let peer = Peer::start(|_, connection| {
        loop {
            connection.request()?;
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        }
    });
    on_runtime("p07", async |runtime| {
        let client = Client::builder().idle_timeout(Duration::from_secs(30)).build();
        for number in 0..2 {
            let sent = client.get(peer.url("/")).timeouts(patient()).timeout(4 * BOUND).send();
            assert_eq!(sent.await.expect("a response").text(9).await.expect("a body"), "ok");
            // It is there at once, and its task times how long it may be.
            assert_eq!(client.metrics().idle, 1);
            while runtime.metrics().live_timers == 0 {
                punctual::yield_now().await;
            }
            // Of the pool, and nobody else's.
            assert_eq!(runtime.metrics().live_timers, 1, "request {number}");
            // Longer than the total was: it ends nothing any more.
            punctual::sleep(5 * BOUND).await;
        }
        let metrics = client.metrics();
        assert_eq!((metrics.dials, metrics.reuses, metrics.evictions, metrics.idle), (1, 1, 0, 1));
    });
}

#[test]
fn body_idle_ends_a_wait_for_a_part_and_empty_parts_do_not_extend_it() {
    let peer = Peer::start(|_, connection| five_bytes_then_nothing(connection));
    on_runtime("body_idle", async |_| {
        let client = Client::new();
        let sent = client.get(peer.url("/")).timeouts(patient().body_idle(BOUND)).send();
        let mut response = sent.await.expect("a response");
        response.body().frame().await.expect("a frame").expect("data");
        let began = now_ns();
        let error = response.body().frame().await.expect("an end").expect_err("it stalls");
        assert_passed(began, BOUND);
        let info = error.deadline().expect("a deadline");
        assert_eq!(info.description(), Some("body_idle timeout"), "{error}");
        assert!(info.location().is_some_and(|at| at.file().ends_with("bodies.rs")), "{error}");
        println!("{error}");
    });
}

#[test]
fn a_drip_that_is_too_slow_is_ended_by_the_rate() {
    let peer = Peer::start(|_, connection| {
        connection.request()?;
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n")?;
        connection.drip([b'x'; 10_000], 1, 2 * MS)
    });
    on_runtime("min_rate", async |_| {
        let client = Client::new();
        let window = 200 * MS;
        let floor = punctual::net::io::Throughput::per_second(5_000).grace(window);
        let timeouts = patient().body_idle(BOUND).throughput(floor);
        let response = client.get(peer.url("/")).timeouts(timeouts).send().await.expect("a response");
        let began = now_ns();
        let error = response.bytes(20_000).await.expect_err("it is too slow");
        assert_passed(began, window - 5 * MS);
        assert!(error.is_timeout() && error.phase() == Phase::Body, "{error}");
        assert!(error.to_string().contains("fewer than 5000 B/s"), "{error}");
        println!("{error}");
    });
}

#[test]
fn p13_truncated_bodies_are_errors_and_never_ok() {
    let answers = [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ];
    for answer in answers {
        let peer = Peer::start(move |_, connection| {
            connection.request()?;
            connection.send(answer)
        });
        on_runtime("p13", async |_| {
            let client = Client::new();
            let sent = client.get(peer.url("/")).timeouts(patient()).send();
            let error = sent.await.expect("a response").bytes(100).await.expect_err(answer);
            assert_eq!(error.phase(), Phase::Body, "{answer:?}: {error}");
            assert_eq!(error.kind(), Kind::UnexpectedEof, "{answer:?}: {error}");
            assert!(!error.is_retry_safe());
        });
    }
}

#[test]
fn a_body_longer_than_its_limit_is_an_error_and_takes_the_connection_along() {
    let peer = Peer::start(|_, connection| {
        connection.request()?;
        connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nabcdef\r\n")?;
        connection.ended()
    });
    on_runtime("limit", async |_| {
        let client = Client::new();
        let sent = client.get(peer.url("/")).timeouts(patient()).send();
        let error = sent.await.expect("a response").bytes(5).await.expect_err("too long");
        assert_eq!((error.kind(), error.phase()), (Kind::LimitExceeded, Phase::Body), "{error}");
        ended_soon(&peer).await;
    });
}

#[test]
fn p10_a_body_that_is_dropped_half_way_takes_the_connection_along() {
    let peer = Peer::start(|_, connection| five_bytes_then_nothing(connection));
    on_runtime("dropped", async |_| {
        let client = Client::new();
        let mut response = client.get(peer.url("/")).timeouts(patient()).send().await.expect("ok");
        response.body().frame().await.expect("a frame").expect("data");
        drop(response);
        ended_soon(&peer).await;
        assert_eq!((client.metrics().idle, client.metrics().in_use), (0, 0));
    });
}

#[test]
fn p05_what_comes_after_the_total_is_not_given_out_and_its_connection_not_used_again() {
    let peer = Peer::start(|_, connection| {
        connection.request()?;
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")?;
        connection.ended()
    });
    on_runtime("late", async |_| {
        let client = Client::new();
        let sent = client.get(peer.url("/")).timeouts(patient()).timeout(BOUND).send();
        let mut response = sent.await.expect("a response");
        // Nobody reads it in time, though all of it is here.
        punctual::sleep(2 * BOUND).await;
        let error = response.body().frame().await.expect("an end").expect_err("it is too late");
        assert!(error.is_timeout() && error.phase() == Phase::Body, "{error}");
        assert_eq!(client.metrics().idle, 0, "{:?}", client.metrics());
        ended_soon(&peer).await;
    });
}
