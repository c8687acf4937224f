//! What works at all: both versions, services of others.

use std::convert::Infallible;

use ::http::{Request, Response};
use punctual::http::{Body, Limits, RequestInfo, ServerTimeouts, service_fn};

use crate::rig::{Raw, assert_served, get, serve};

async fn hello(request: Request<Body>) -> Result<Response<String>, Infallible> {
    let peer = request.extensions().get::<RequestInfo>().and_then(RequestInfo::peer_addr);
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
