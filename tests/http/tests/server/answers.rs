//! What works at all: both versions, services of others.

use std::convert::Infallible;
use std::future::IntoFuture;
use std::time::Duration;

use ::http::{Request, Response};
use punctual::http::{self, Body, Limits, RequestInfo, ServerTimeouts, service_fn};
use punctual::net::TcpListener;
use punctual::{BlockingPool, Runtime, spawn};
use punctual_tests_http::rig::watchdog;

use crate::rig::{Raw, assert_served, get, serve};

async fn hello(request: Request<Body>) -> Result<Response<String>, Infallible> {
    let peer = request.body().info().peer_addr();
    Ok(Response::new(format!("{} for {}", request.uri().path(), peer.is_some())))
}

#[test]
fn p00_http1_is_served_again_and_again_on_one_connection() {
    let served = serve(
        "p00_http1",
        ServerTimeouts::default(),
        Limits::default(),
        || service_fn(hello),
        |address| {
            let mut client = Raw::connect(address);
            for turn in 0..3 {
                client.say(format!("GET /{turn} HTTP/1.1\r\nhost: test\r\n\r\n"));
                let response = client.response();
                assert!(response.ends_with(&format!("/{turn} for true")), "{response}");
            }
            assert_served(address);
            drop(client);
        },
    );
    assert!(served.events.is_empty(), "{:?}", served.events);
    assert_eq!(served.drained.cut, 0);
}

#[test]
fn p00_axums_router_runs_on_it() {
    use axum::routing::{get as on_get, post};
    let router = || {
        axum::Router::new()
            .route("/", on_get(async || "root"))
            .route("/echo", post(async |body: String| body))
            .layer(tower::limit::ConcurrencyLimitLayer::new(8))
    };
    serve("p00_axum", ServerTimeouts::default(), Limits::default(), router, |address| {
        assert!(get(address, "/").ends_with("\r\n\r\nroot"));
        assert!(get(address, "/nowhere").starts_with("HTTP/1.1 404"));
        let mut client = Raw::connect(address);
        client.say("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhello");
        assert!(client.response().ends_with("\r\n\r\nhello"));
    });
}

#[test]
fn p00_what_is_known_of_a_request_is_in_its_body_and_may_be_in_its_extensions_too() {
    async fn known(request: Request<Body>) -> Result<Response<String>, Infallible> {
        let told = request.extensions().get::<RequestInfo>();
        let of_body = request.body().info();
        let same = told.is_none_or(|told| told.peer_addr() == of_body.peer_addr());
        let known = of_body.peer_addr().is_some() && of_body.deadline().is_some() && same;
        Ok(Response::new(format!("{known} {}", told.is_some())))
    }
    let _watchdog = watchdog("p00_info_in_body", Duration::from_secs(6));
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        for too in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let address = listener.local_addr().expect("an address");
            let serve = http::serve(listener, service_fn(known));
            let serve = if too { serve.info_in_extensions() } else { serve };
            let drainer = serve.drainer();
            let serving = spawn(serve.into_future());
            let pool = BlockingPool::new(1, 1).expect("a pool");
            let response = pool.run(move || get(address, "/")).await.expect("a response");
            assert!(response.ends_with(&format!("\r\n\r\ntrue {too}")), "{response}");
            drainer.drain(Duration::from_secs(2));
            serving.await.expect("no panic").expect("no error");
        }
    });
}
