//! A request that is dropped at any of its waits leaves nothing behind.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use http_body_util::BodyExt;
use punctual::http::Client;
use punctual::{Runtime, waits};
use punctual_tests_http::peer::http2::{self, Http2};
use punctual_tests_http::peer::{Connection, Peer};
use punctual_tests_http::rig::{MS, assert_baseline, on_runtime, watchdog};

/// Polls `future` so many times, and drops it.
async fn polls<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

fn slowly(connection: &mut Connection) -> std::io::Result<()> {
    loop {
        connection.request()?;
        connection.drip("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", 20, MS)?;
        connection.drip("abcd", 1, MS)?;
    }
}

fn slowly_http2(connection: &mut Connection) -> std::io::Result<()> {
    let mut http2 = Http2::begin(connection, &[])?;
    loop {
        let stream = http2.request()?;
        std::thread::sleep(MS);
        http2.headers(stream, http2::STATUS_200, false)?;
        for part in [b"a", b"b", b"c"] {
            std::thread::sleep(MS);
            http2.data(stream, part, false)?;
        }
        http2.data(stream, b"d", true)?;
    }
}

fn at_every_wait(prior_knowledge: bool) {
    let _watchdog = watchdog("dropping", 6_000 * MS);
    let runtime = Runtime::new().expect("a runtime");
    let peer = Peer::start(
        move |_, connection| {
            if prior_knowledge { slowly_http2(connection) } else { slowly(connection) }
        },
    );
    let mut finished = 0;
    for times in 0..60 {
        let done = runtime.block_on(async {
            let builder = Client::builder();
            let client = if prior_knowledge { builder.http2_prior_knowledge() } else { builder }.build();
            let request = async {
                let mut got = Vec::new();
                let mut response = client.post(peer.url("/")).body("x").send().await.expect("ok");
                while let Some(frame) = response.body().frame().await {
                    got.extend_from_slice(&frame.expect("a part").into_data().expect("data"));
                }
                assert_eq!(got, b"abcd");
            };
            polls(request, times).await
        });
        // The client is gone, and with it everything.
        assert_baseline(&runtime);
        finished += usize::from(done.is_some());
    }
    assert!(finished > 0 && finished < 60, "{finished} of 60 came to their end");
}

#[test]
fn a_request_that_is_dropped_at_any_wait_leaves_nothing() {
    at_every_wait(false);
}

#[test]
fn a_request_over_http2_that_is_dropped_at_any_wait_leaves_nothing() {
    at_every_wait(true);
}

#[test]
fn no_wait_of_the_client_is_without_a_deadline() {
    for prior_knowledge in [false, true] {
        let peer = Peer::start(move |_, connection| {
            if prior_knowledge {
                let mut http2 = Http2::begin(connection, &[])?;
                let stream = http2.request()?;
                std::thread::sleep(30 * MS);
                http2.headers(stream, http2::STATUS_200, false)?;
                std::thread::sleep(30 * MS);
                http2.data(stream, b"ok", true)?;
                http2.ended()
            } else {
                connection.request()?;
                connection.pause(30 * MS);
                connection.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")?;
                connection.pause(30 * MS);
                connection.send("ok")?;
                connection.ended()
            }
        });
        on_runtime("waits", async |runtime| {
            let builder = Client::builder();
            let client = if prior_knowledge { builder.http2_prior_knowledge() } else { builder }.build();
            let url = peer.url("/");
            let request = punctual::spawn({
                let client = client.clone();
                async move { client.get(url).send().await.expect("ok").bytes(9).await.expect("ok") }
            });
            let mut looked = 0;
            while !request.is_finished() {
                let all = waits();
                let without: Vec<_> = all.without_deadline().map(ToString::to_string).collect();
                assert!(without.is_empty(), "{without:?}");
                looked += 1;
                punctual::sleep(MS).await;
            }
            assert!(looked > 20, "{looked}");
            let all = waits();
            assert_eq!(all.without_deadline().count(), 0, "idle: {all}");
            let _ = runtime;
        });
    }
}
