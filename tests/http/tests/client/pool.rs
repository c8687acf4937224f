//! The pool: what is used again, what is not, and how many there may be.

use std::time::Duration;

use punctual::http::{Client, Timeouts};
use punctual::net::{Error, Phase};
use punctual_tests_http::peer::{Connection, Peer};
use punctual_tests_http::rig::{MS, assert_passed, now_ns, on_runtime};

fn ok(connection: &mut Connection) -> std::io::Result<()> {
    connection.request()?;
    connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
}

fn ok_for_ever() -> Peer {
    Peer::start(|_, connection| {
        loop {
            ok(connection)?;
        }
    })
}

/// Answers whose second half comes later.
fn in_two_parts(later: Duration) -> Peer {
    Peer::start(move |_, connection| {
        loop {
            connection.request()?;
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")?;
            connection.pause(later);
            connection.send("k")?;
        }
    })
}

async fn get(client: &Client, peer: &Peer) -> Result<String, Error> {
    client.get(peer.url("/")).send().await?.text(100).await
}

async fn settled(client: &Client, idle: usize) {
    let began = now_ns();
    while client.metrics().idle != idle || client.metrics().in_use != 0 {
        assert!(now_ns() - began < 5_000_000_000, "{:?}", client.metrics());
        punctual::sleep(MS).await;
    }
}

#[test]
fn connections_are_used_again_the_latest_first() {
    let peer = in_two_parts(20 * MS);
    on_runtime("reuse", async |_| {
        let client = Client::new();
        let (first, second) = (client.get(peer.url("/")), client.get(peer.url("/")));
        let (first, second) = (first.send().await.expect("ok"), second.send().await.expect("ok"));
        assert!(!first.timeline().hops[0].reused);
        first.bytes(9).await.expect("ok");
        second.bytes(9).await.expect("ok");
        settled(&client, 2).await;
        for _ in 0..5 {
            let response = client.get(peer.url("/")).send().await.expect("ok");
            let timeline = response.timeline();
            let hop = &timeline.hops[0];
            assert!(hop.reused);
            let connecting = [Phase::Resolve, Phase::Connect, Phase::Tls];
            assert!(!hop.phases.iter().any(|phase| connecting.contains(&phase.phase)), "{hop:?}");
            response.bytes(9).await.expect("ok");
            settled(&client, 2).await;
        }
        let metrics = client.metrics();
        assert_eq!((metrics.dials, metrics.reuses, metrics.evictions), (2, 5, 0));
        assert_eq!(peer.connections(), 2);
    });
}

#[test]
fn requests_one_after_another_share_a_connection_without_a_pause_between_them() {
    let bodies = [
        "content-length: 0\r\n\r\n",
        "content-length: 2\r\n\r\nok",
        "transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ];
    for body in bodies {
        let peer = Peer::start(move |_, connection| {
            loop {
                connection.request()?;
                connection.send(format!("HTTP/1.1 200 OK\r\n{body}"))?;
            }
        });
        on_runtime("one after another", async |_| {
            let client = Client::new();
            for _ in 0..5 {
                get(&client, &peer).await.expect("ok");
            }
            assert_eq!((client.metrics().dials, client.metrics().reuses), (1, 4), "{body:?}");
            assert_eq!(peer.connections(), 1);
        });
    }
}

#[test]
fn requests_beyond_the_limit_wait_within_their_connect_time() {
    let peer = in_two_parts(200 * MS);
    on_runtime("limit", async |_| {
        let client = Client::builder().connections_per_host(1).build();
        let holder = client.get(peer.url("/")).send().await.expect("a response");
        let bound = 60 * MS;
        let began = now_ns();
        let sent = client.get(peer.url("/")).timeouts(Timeouts::new().connect(bound)).send();
        let error = sent.await.expect_err("there is no room");
        assert_passed(began, bound);
        assert!(error.is_timeout() && error.phase() == Phase::Connect, "{error}");
        assert!(error.to_string().contains("waiting for a connection of the pool"), "{error}");
        assert!(error.is_retry_safe(), "nothing was sent");
        assert_eq!((client.metrics().waiting, client.metrics().in_use), (0, 1));
        println!("{error}");
        // Whoever waits gets the one that becomes free.
        let waiting = punctual::spawn({
            let (client, url) = (client.clone(), peer.url("/"));
            async move { client.get(url).timeout(Duration::from_secs(5)).send().await }
        });
        while client.metrics().waiting == 0 {
            punctual::yield_now().await;
        }
        holder.bytes(9).await.expect("ok");
        let response = waiting.await.expect("no panic").expect("a response");
        assert!(response.timeline().hops[0].reused);
        response.bytes(9).await.expect("ok");
        assert_eq!(peer.connections(), 1);
    });
}

#[test]
fn the_idle_beyond_their_number_and_time_are_closed() {
    let peer = in_two_parts(100 * MS);
    on_runtime("idle", async |_| {
        let idle = 60 * MS;
        let client = Client::builder().idle_connections(2, 2).idle_timeout(idle).build();
        let mut responses = Vec::new();
        for _ in 0..4 {
            responses.push(client.get(peer.url("/")).send().await.expect("a response"));
        }
        assert_eq!(client.metrics().in_use, 4);
        for response in responses {
            response.bytes(9).await.expect("ok");
        }
        let began = now_ns();
        settled(&client, 2).await;
        assert_eq!(client.metrics().evictions, 2);
        settled(&client, 0).await;
        assert_passed(began, idle / 2);
        assert_eq!(client.metrics().evictions, 4);
    });
}

#[test]
fn p14_what_the_server_closes_while_idle_is_gone_at_once() {
    let peer = Peer::start(|number, connection| match number {
        0 => ok(connection),
        _ => loop {
            ok(connection)?;
        },
    });
    on_runtime("p14", async |_| {
        let client = Client::new();
        get(&client, &peer).await.expect("ok");
        settled(&client, 0).await;
        get(&client, &peer).await.expect("ok");
        settled(&client, 1).await;
        assert_eq!((client.metrics().dials, client.metrics().reuses), (2, 0));
    });
}

#[test]
fn p14_one_that_dies_at_reuse_takes_its_idle_company_along_and_get_is_sent_again() {
    // The first two connections answer once, and end when they are asked again.
    let peer = Peer::start(|number, connection| {
        connection.request()?;
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")?;
        connection.pause(50 * MS);
        connection.send("k")?;
        if number < 2 {
            return connection.request().map(drop);
        }
        loop {
            ok(connection)?;
        }
    });
    on_runtime("quarantine", async |_| {
        let client = Client::new();
        let first = client.get(peer.url("/")).send().await.expect("ok");
        let second = client.get(peer.url("/")).send().await.expect("ok");
        first.bytes(9).await.expect("ok");
        second.bytes(9).await.expect("ok");
        settled(&client, 2).await;
        let response = client.get(peer.url("/")).send().await.expect("sent again");
        let timeline = response.timeline();
        assert_eq!(timeline.hops.len(), 2, "{timeline:?}");
        assert!(timeline.hops[0].reused && !timeline.hops[1].reused);
        response.bytes(9).await.expect("ok");
        settled(&client, 1).await;
        assert_eq!(client.metrics().evictions, 1, "its company");
        assert_eq!(peer.connections(), 3);
    });
}

#[test]
fn a_client_that_is_dropped_closes_what_is_idle_and_not_what_is_in_use() {
    let peer = ok_for_ever();
    let slow = in_two_parts(100 * MS);
    on_runtime("drop", async |_| {
        let client = Client::new();
        let held = client.get(slow.url("/")).send().await.expect("ok");
        get(&client, &peer).await.expect("ok");
        settled_idle(&client, 1).await;
        drop(client);
        assert_eq!(held.text(9).await.expect("its body"), "ok");
    });
}

async fn settled_idle(client: &Client, idle: usize) {
    while client.metrics().idle != idle {
        punctual::sleep(MS).await;
    }
}
