//! Requests over HTTP/1.1 and HTTP/2, with bodies both ways, to a server that is drained at the end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use punctual::http::{Body, Client, ServerTimeouts, Timeouts, serve, service_fn};
use punctual::{Unbounded, scope};

use crate::pattern;
use crate::world::{PATIENCE, World};

pub(super) async fn run(world: World) {
    let Some(listener) = world.listener() else { return };
    let address = listener.local_addr().expect("an address");
    let http2 = world.once_in(2);
    let over = scope("http", Unbounded, async |scope| {
        let serving = serve(listener, service_fn(answer)).timeouts(patient());
        let drainer = serving.drainer();
        let server = scope.spawn(serving.into_future());
        let builder = Client::builder().timeouts(times(PATIENCE)).http2_ping(PATIENCE, PATIENCE);
        let client = if http2 { builder.http2_prior_knowledge() } else { builder.http1_only() }.build();
        let requests: Vec<_> = (0..=world.below(3))
            .map(|_| {
                let (world, client) = (world.clone(), client.clone());
                scope.spawn(async move {
                    for _ in 0..=world.below(2) {
                        request(&world, &client, address).await;
                    }
                })
            })
            .collect();
        for request in requests {
            world.joined(request.await);
        }
        drop(client);
        drainer.drain(Duration::from_millis(world.below(50)));
        world.joined(server.await)
    })
    .await;
    if let Some(drained) = world.over(over).flatten() {
        world.ended(drained);
    }
    // The client's connections are tasks of their own, which end when they see that nobody holds them.
    for _ in 0..LEFT_TURNS {
        if punctual::metrics().live_tasks == 0 {
            return;
        }
        punctual::sleep(Duration::from_millis(1)).await;
    }
}

const LEFT_TURNS: usize = 2_000;

fn times(all: Duration) -> Timeouts {
    let times = Timeouts::new().resolve(all).tls(all).connect(all).request_write(all).first_byte(all);
    times.body_idle(all).total(all).throughput(None)
}

/// A server that waits as long as its clients do.
fn patient() -> ServerTimeouts {
    let mut times = ServerTimeouts::default();
    let all = [
        &mut times.first_byte,
        &mut times.header,
        &mut times.body_idle,
        &mut times.total,
        &mut times.write_stall,
        &mut times.keep_alive,
        &mut times.ping_interval,
        &mut times.ping_timeout,
    ];
    for time in all {
        *time = 2 * PATIENCE;
    }
    times.body_rate = punctual::net::io::Throughput::per_second(0);
    times
}

/// Sees that the request is whole, and answers with as much as it asks for.
async fn answer(request: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
    let number = |name| {
        let value = request.headers().get(name).expect("the client has set it");
        value.to_str().expect("text").parse::<u64>().expect("a number")
    };
    let (id, length) = (number("x-id"), number("x-length"));
    let Ok(body) = request.into_body().collect().await else {
        let mut cut = Response::new(Full::default());
        *cut.status_mut() = http::StatusCode::BAD_REQUEST;
        return Ok(cut);
    };
    pattern::check(id, 0, &body.to_bytes());
    Ok(Response::new(Full::from(pattern::bytes(!id, 0, length as usize))))
}

async fn request(world: &World, client: &Client, address: SocketAddr) -> Option<()> {
    let id = world.new_id();
    let (up, down) = (world.one_of(&[0, 10, 3_000]), world.one_of(&[0, 10, 9_000]));
    let budget = world.budget();
    let url = format!("http://{address}/{id}");
    let request = client
        .post(url)
        .header("x-id", id.to_string())
        .header("x-length", down.to_string())
        .body(pattern::bytes(id, 0, up))
        .timeout(budget);
    let response = world.within(budget, request.send()).await?;
    if response.status().is_client_error() {
        // What was to come to the server was cut off, or has taken too long for it.
        assert!(!world.is_harmless());
        return None;
    }
    assert_eq!(response.status(), http::StatusCode::OK);
    let body = world.ended(response.bytes(100_000).await)?;
    assert_eq!(body.len(), down, "it is whole");
    pattern::check(!id, 0, &body);
    Some(())
}
