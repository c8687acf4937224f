//! What waits costs nothing: the loop sleeps, and nothing lies in the kernel until the peer has acknowledged what came before.

use std::convert::Infallible;
use std::future::IntoFuture;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use punctual::http::{Body, Client, service_fn};
use punctual::net::{Phase, TcpListener};
use punctual_tests_http::certificates::Authority;
use punctual_tests_http::nginx::Nginx;
use punctual_tests_http::rig::{MS, on_runtime};

#[test]
fn the_loop_sleeps_while_a_response_over_tls_is_waited_for() {
    for http1_only in [true, false] {
        on_runtime("the loop sleeps", async |runtime| {
            let authority = Authority::new();
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let port = listener.local_addr().expect("an address").port();
            let service = service_fn(async |_: http::Request<Body>| {
                punctual::sleep(300 * MS).await;
                Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::from("slept")))
            });
            let serve = punctual::http::serve(listener, service).tls(authority.localhost().acceptor());
            let drainer = serve.drainer();
            let serving = punctual::spawn(serve.into_future());
            let client = Client::builder().tls(authority.connector());
            let client = if http1_only { client.http1_only() } else { client }.build();
            let before = runtime.metrics().turns;
            let response = client.get(format!("https://localhost:{port}/")).send().await.expect("ok");
            assert_eq!(response.text(9).await.expect("a body"), "slept");
            let turns = runtime.metrics().turns - before;
            // Of client and server together; one that wakes itself makes hundreds.
            assert!(turns < 60, "HTTP/1.1 only: {http1_only}: {turns} turns");
            drop(client);
            drainer.drain(Duration::from_secs(1));
            serving.await.expect("no panic").expect("no error");
        });
    }
}

#[test]
fn a_request_does_not_wait_for_an_acknowledgement_of_the_preface() {
    let Some(nginx) = Nginx::start("") else { return };
    nginx.serve_file("a", b"a");
    let mut waits = Vec::new();
    on_runtime("no delay", async |_| {
        for _ in 0..8 {
            let client = Client::builder().tls(nginx.connector()).build();
            let response = client.get(nginx.secure_url("/a")).send().await.expect("ok");
            let timeline = response.timeline();
            assert_eq!(timeline.hops[0].version, Some("HTTP/2"));
            let wait = timeline.hops[0].phases.iter().find(|each| each.phase == Phase::FirstByte);
            waits.push(wait.expect("a wait").took);
            response.bytes(9).await.expect("a body");
        }
    });
    // An acknowledgement that is delayed takes 40 ms.
    waits.sort();
    assert!(waits[waits.len() / 2] < 30 * MS, "{waits:?}");
}
