//! Requests that share connections, threads and limits: what becomes of one is not the other's business.

use std::sync::mpsc;
use std::time::Duration;

use http::Method;
use punctual::http::Client;
use punctual::net::Phase;
use punctual::{sleep, spawn};
use punctual_tests_http::peer::http2::*;
use punctual_tests_http::peer::{Connection, Peer, Seen, What};
use punctual_tests_http::rig::{MS, assert_passed, now_ns, on_runtime, since};

use crate::frames::{BOUND, fetch, patient};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn noted(peer: &Peer, text: &str) -> usize {
    let is = |seen: &Seen| matches!(&seen.what, What::Note(note) if note.starts_with(text));
    peer.seen().iter().filter(|seen| is(seen)).count()
}

/// Answers the first request on each connection at once, and those after it later.
fn ever_slower(later: Duration) -> Peer {
    Peer::start(move |_, connection| {
        connection.request()?;
        connection.send(OK)?;
        loop {
            connection.request()?;
            connection.pause(later);
            connection.send(OK)?;
        }
    })
}

#[test]
fn p10_a_body_that_fails_late_leaves_alone_who_has_its_connection_by_then() {
    for too_long in [false, true] {
        let peer = ever_slower(3 * BOUND);
        on_runtime("late failure", async |_| {
            let client = Client::builder().timeouts(patient()).build();
            // All of it has come, which nobody reads: so its connection is there for others.
            let first = client.get(peer.url("/first")).timeout(BOUND).send().await.expect("a head");
            // Its time has run since before this.
            let counted = now_ns();
            while client.metrics().idle == 0 {
                sleep(MS).await;
            }
            let (beside, url) = (client.clone(), peer.url("/second"));
            let second = spawn(async move { fetch(&beside, Method::POST, url).await });
            while peer.requests().len() < 2 {
                sleep(MS).await;
            }
            if too_long {
                first.bytes(1).await.expect_err("it has two bytes");
            } else {
                while since(counted) <= BOUND {
                    sleep(MS).await;
                }
                assert!(first.bytes(9).await.expect_err("its time is up").is_timeout());
            }
            assert_eq!(second.await.expect("no panic").expect("none of its business"), "ok");
        });
        assert_eq!(peer.connections(), 1);
    }
}

#[test]
fn a_body_that_ends_on_another_thread_ends_nothing_there() {
    let half = Peer::start(|_, connection| {
        connection.request()?;
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")?;
        connection.ended()
    });
    let (give, take) = mpsc::channel();
    let (done, is_done) = mpsc::channel::<()>();
    let url = half.url("/");
    let first = std::thread::spawn(move || {
        on_runtime("gives its body away", async |_| {
            let response = Client::new().get(url).timeout(BOUND).send().await.expect("a head");
            give.send(response.into_body()).expect("it is awaited");
            while is_done.try_recv() == Err(mpsc::TryRecvError::Empty) {
                sleep(MS).await;
            }
        });
    });
    let slow = Peer::start(|_, connection| {
        connection.request()?;
        connection.pause(4 * BOUND);
        connection.send(OK)
    });
    let second = std::thread::spawn(move || {
        on_runtime("takes it", async |_| {
            let (client, url) = (Client::builder().timeouts(patient()).build(), slow.url("/"));
            let other = spawn(async move { fetch(&client, Method::POST, url).await });
            while slow.requests().is_empty() {
                sleep(MS).await;
            }
            let body = take.recv().expect("it is given");
            sleep(BOUND).await;
            let error = body.bytes(9).await.expect_err("its time is up");
            assert!(error.is_timeout(), "{error}");
            assert_eq!(other.await.expect("no panic").expect("none of its business"), "ok");
        });
        drop(done);
    });
    second.join().expect("the second");
    first.join().expect("the first");
}

#[test]
fn whoever_waits_for_a_connection_has_it_before_those_who_come_later() {
    let peer = Peer::start(|_, connection: &mut Connection| {
        loop {
            connection.request()?;
            connection.send(OK)?;
        }
    });
    on_runtime("turns", async |_| {
        let client = Client::builder().connections_per_host(1).timeouts(patient()).build();
        fetch(&client, Method::GET, peer.url("/")).await.expect("ok");
        let greedy = spawn({
            let (client, url) = (client.clone(), peer.url("/"));
            async move {
                loop {
                    fetch(&client, Method::GET, url.clone()).await.expect("ok");
                }
            }
        });
        while client.metrics().in_use == 0 {
            sleep(MS).await;
        }
        let others: Vec<_> = (0..3)
            .map(|_| {
                let request = client.get(peer.url("/other"));
                let request = request.timeouts(patient().connect(Duration::from_secs(2)));
                spawn(async move { request.send().await?.bytes(9).await })
            })
            .collect();
        for other in others {
            assert_eq!(other.await.expect("no panic").expect("its turn"), "ok");
        }
        greedy.abort();
    });
}

#[test]
fn a_connection_over_age_is_not_in_the_way_of_another() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        loop {
            let stream = http2.request()?;
            http2.respond(stream, b"ok")?;
        }
    });
    on_runtime("over age", async |_| {
        let client = Client::builder().http2_prior_knowledge().connections_per_host(1);
        let client = client.connection_age_max(BOUND).timeouts(patient()).build();
        for _ in 0..2 {
            assert_eq!(fetch(&client, Method::GET, peer.url("/")).await.expect("another one"), "ok");
            sleep(BOUND + MS).await;
        }
    });
    assert_eq!(peer.connections(), 2);
}

#[test]
fn a_stream_that_stalls_ends_at_request_write_whatever_others_send_beside_it() {
    let peer = Peer::start(|_, connection| {
        let mut http2 = Http2::begin(connection, &[])?;
        http2.window(0, 1 << 30)?;
        loop {
            let frame = http2.frame()?;
            let length = frame.payload.len() as u32;
            match frame.kind {
                HEADERS => http2.connection.note("request"),
                // The first stream has what is in the window at first, and no more.
                DATA if frame.stream > 1 && length > 0 => {
                    http2.connection.pause(MS);
                    http2.window(frame.stream, length)?;
                }
                _ => {}
            }
        }
    });
    on_runtime("beside", async |_| {
        let client = Client::builder().http2_prior_knowledge().timeouts(patient()).build();
        let stalls = |client: &Client| {
            let timeouts = patient().request_write(2 * BOUND);
            let request = client.post(peer.url("/")).body(vec![b'x'; 1 << 20]).timeouts(timeouts);
            spawn(async move {
                let began = now_ns();
                let error = request.send().await.expect_err("it cannot be sent");
                assert_passed(began, 2 * BOUND);
                assert!(error.is_timeout() && error.phase() == Phase::Request, "{error}");
                since(began)
            })
        };
        // Beforehand: to fill so much takes the loop longer than the stall may.
        let much = vec![b'x'; 256 << 20];
        let beside = stalls(&client);
        while noted(&peer, "request") == 0 {
            sleep(MS).await;
        }
        let moves = client.post(peer.url("/")).body(much).timeouts(patient());
        let moves = spawn(moves.send());
        // The same with a connection to itself.
        let alone = Client::builder().http2_prior_knowledge().build();
        let alone = stalls(&alone).await.expect("no panic");
        let beside = beside.await.expect("no panic");
        println!("alone {alone:?}, beside another {beside:?}");
        assert!(beside < 4 * alone, "alone {alone:?}, beside another {beside:?}");
        moves.abort();
    });
}
