//! Every deadline by a client that stalls: it ends at its own, never early by the test's clock, under its own name, while
//! others beside it are served.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use punctual::http::{Body, Limits, ServerTimeouts, service_fn};
use punctual::net::io::Throughput;
use punctual_tests_http::rig::since;

use crate::rig::{MS, Raw, Served, assert_served, now, serve};

/// What is under test is short, all else so long that it cannot be mistaken for it.
const SHORT: Duration = Duration::from_millis(150);

fn timeouts(change: impl FnOnce(&mut ServerTimeouts)) -> ServerTimeouts {
    let mut timeouts = ServerTimeouts::default();
    change(&mut timeouts);
    timeouts
}

async fn handler(request: Request<Body>) -> Result<Response<String>, Infallible> {
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/never" => std::future::pending().await,
        "/long" => {
            let info = request.body().info().clone();
            info.set_timeout(3 * SHORT);
            std::future::pending().await
        }
        "/longer" => {
            let info = request.body().info().clone();
            info.set_timeout(Duration::MAX);
            punctual::sleep(2 * SHORT).await;
            Ok(Response::new("late".to_owned()))
        }
        "/large" => Ok(Response::new("x".repeat(64 << 20))),
        "/read" => match request.into_body().collect().await {
            Ok(body) => Ok(Response::new(body.to_bytes().len().to_string())),
            Err(error) => {
                let mut response = Response::new(error.to_string());
                *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                Ok(response)
            }
        },
        _ => Ok(Response::new(path)),
    }
}

fn run(
    what: &'static str,
    timeouts: ServerTimeouts,
    clients: impl FnOnce(SocketAddr) + Send + 'static,
) -> Served {
    serve(what, timeouts, Limits::default(), || service_fn(handler), clients)
}

/// Exactly one thing has timed out: `phase`, told of once.
fn assert_only(served: &Served, phase: &str, event: &str) {
    assert_eq!(served.timeouts(phase), 1, "{:?}", served.phases);
    let others = served.phases.iter().filter(|record| record.phase != phase);
    assert_eq!(others.map(|record| record.endings.timeouts()).sum::<u64>(), 0, "{:?}", served.phases);
    assert_eq!(served.events.len(), 1, "{:?}", served.events);
    assert_eq!(served.event(event), 1, "{:?}", served.events);
}

#[test]
fn p02_a_client_that_says_nothing_is_closed_in_its_first_byte() {
    let served = run("first byte", timeouts(|t| t.first_byte = SHORT), |address| {
        let mut silent = Raw::connect(address);
        assert_served(address);
        assert_eq!(silent.rest(), "");
        silent.assert_older_than(SHORT);
        assert_served(address);
    });
    assert_only(&served, "request-first-byte", "http.server.first_byte.timeout");
    assert_eq!(served.events[0].1, tracing::Level::INFO);
}

#[test]
fn p02_headers_that_drip_are_told_408_at_the_deadline_of_them_all() {
    let served = run("headers", timeouts(|t| t.header = 2 * SHORT), |address| {
        let mut slow = Raw::connect(address);
        slow.say("GET / HTTP/1.1\r\nhost: test\r\n");
        let mut drip = 0;
        // Until it is told: a server whose deadline is put off by what drips tells it nothing.
        while !slow.is_told() && slow.age() < 20 * SHORT {
            slow.say(format!("x-{drip}: y\r\n"));
            drip += 1;
            std::thread::sleep(10 * MS);
        }
        assert_served(address);
        let told = slow.rest();
        assert!(told.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{told:?}");
        assert!(told.contains("connection: close\r\n"), "{told:?}");
        slow.assert_older_than(2 * SHORT);
        assert!(slow.age() < 10 * SHORT, "each byte has extended it: {:?}", slow.age());
    });
    assert_only(&served, "request-header", "http.server.header.timeout");
}

#[test]
fn p02_the_headers_of_a_second_request_have_their_own_time() {
    let served = run("second headers", timeouts(|t| t.header = 2 * SHORT), |address| {
        let mut slow = Raw::connect(address);
        slow.say("GET / HTTP/1.1\r\nhost: test\r\n\r\n").response();
        std::thread::sleep(3 * SHORT);
        let began = now();
        slow.say("GET /second HTTP/1.1\r\nhost:");
        let told = slow.rest();
        assert!(told.starts_with("HTTP/1.1 408 "), "{told:?}");
        assert!(since(began) >= 2 * SHORT, "early: {:?}", since(began));
    });
    assert_only(&served, "request-header", "http.server.header.timeout");
}

#[test]
fn p03_a_body_that_stops_is_told_408_and_what_follows_is_no_request() {
    let served = run("body idle", timeouts(|t| t.body_idle = SHORT), |address| {
        let mut slow = Raw::connect(address);
        slow.say("POST /read HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\nGET /sec");
        let began = now();
        let mut told = slow.response();
        assert!(since(began) >= SHORT - 50 * MS);
        slow.assert_older_than(SHORT);
        // What is left of the body is no request, also if it looks like one.
        slow.try_say("ret HTTP/1.1\r\nhost: test\r\n\r\nGET /secret HTTP/1.1\r\nhost: test\r\n\r\n");
        told.push_str(&slow.rest());
        assert!(told.starts_with("HTTP/1.1 408 "), "{told:?}");
        assert_eq!(told.matches("HTTP/1.1").count(), 1, "{told:?}");
        assert!(!told.contains("secret"), "{told:?}");
        assert_served(address);
    });
    assert_only(&served, "request-body", "http.server.body.timeout");
}

#[test]
fn p03_a_body_that_drips_below_the_rate_is_told_408() {
    let rate = Throughput::per_second(500).grace(2 * SHORT);
    let served = run("body rate", timeouts(|t| t.body_rate = rate), |address| {
        let mut slow = Raw::connect(address);
        slow.say("POST /read HTTP/1.1\r\nhost: test\r\ncontent-length: 100000\r\n\r\n");
        while slow.age() < 2 * SHORT - 20 * MS {
            slow.say("x");
            std::thread::sleep(10 * MS);
        }
        assert_served(address);
        let told = slow.rest();
        assert!(told.starts_with("HTTP/1.1 408 "), "{told:?}");
        slow.assert_older_than(2 * SHORT);
    });
    assert_only(&served, "request-body", "http.server.body.timeout");
}

#[test]
fn p03_a_body_that_comes_fast_enough_for_longer_than_any_wait_is_read() {
    let served = run("fast enough", timeouts(|t| t.body_idle = SHORT), |address| {
        let mut client = Raw::connect(address);
        client.say("POST /read HTTP/1.1\r\nhost: test\r\ncontent-length: 30000\r\n\r\n");
        for _ in 0..30 {
            client.say("x".repeat(1000));
            std::thread::sleep(15 * MS);
        }
        assert!(client.response().ends_with("\r\n\r\n30000"));
        assert!(client.age() > 2 * SHORT);
    });
    assert!(served.events.is_empty(), "{:?}", served.events);
}

#[test]
fn p04_a_client_that_takes_nothing_is_closed_at_the_write_stall() {
    let served = run("write stall", timeouts(|t| t.write_stall = SHORT), |address| {
        let mut stalled = Raw::connect(address);
        stalled.say("GET /large HTTP/1.1\r\nhost: test\r\n\r\n");
        assert_served(address);
        std::thread::sleep(2 * SHORT);
        stalled.assert_older_than(SHORT);
        let got = stalled.rest().len();
        assert!(got < 64 << 20, "all of it came");
        assert_served(address);
    });
    assert_only(&served, "response-write", "http.server.write.timeout");
}

#[test]
fn p02_an_idle_connection_is_closed_at_the_keep_alive() {
    let served = run("keep alive", timeouts(|t| t.keep_alive = SHORT), |address| {
        let mut idle = Raw::connect(address);
        let began = now();
        idle.say("GET / HTTP/1.1\r\nhost: test\r\n\r\n").response();
        assert_served(address);
        assert_eq!(idle.rest(), "");
        assert!(since(began) >= SHORT, "early: {:?}", since(began));
    });
    assert_only(&served, "keep-alive", "http.server.keep_alive.timeout");
    assert_eq!(served.events[0].1, tracing::Level::INFO);
}

#[test]
fn p05_a_handler_that_never_answers_is_ended_by_the_total() {
    let served = run("total", timeouts(|t| t.total = SHORT), |address| {
        let mut client = Raw::connect(address);
        client.say("GET /never HTTP/1.1\r\nhost: test\r\n\r\n");
        assert_served(address);
        let told = client.rest();
        assert!(told.starts_with("HTTP/1.1 503 "), "{told:?}");
        client.assert_older_than(SHORT);
    });
    assert_only(&served, "request-total", "http.server.request.timeout");
}

#[test]
fn p05_a_handler_moves_its_own_deadline_and_no_other() {
    let served = run("moved", timeouts(|t| t.total = SHORT), |address| {
        let mut client = Raw::connect(address);
        client.say("GET /longer HTTP/1.1\r\nhost: test\r\n\r\n");
        assert!(client.response().ends_with("late"));
        let began = now();
        client.say("GET /long HTTP/1.1\r\nhost: test\r\n\r\n");
        let told = client.rest();
        assert!(told.starts_with("HTTP/1.1 503 "), "{told:?}");
        assert!(since(began) >= 3 * SHORT, "early: {:?}", since(began));
    });
    assert_only(&served, "request-total", "http.server.request.timeout");
}
