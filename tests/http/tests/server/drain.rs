//! A server that is told to end: idle connections at once, the rest until the deadline.

use std::convert::Infallible;
use std::sync::mpsc::channel;
use std::time::Duration;

use http::{Request, Response};
use punctual::http::{Body, Limits, ServerTimeouts, serve, service_fn};
use punctual::net::TcpListener;
use punctual::{BlockingPool, Instant, Runtime, sleep, spawn};
use punctual_tests_http::rig::{assert_baseline, watchdog};

use crate::rig::{MS, Raw};

async fn handler(request: Request<Body>) -> Result<Response<String>, Infallible> {
    match request.uri().path() {
        "/soon" => sleep(200 * MS).await,
        "/never" => std::future::pending().await,
        _ => {}
    }
    Ok(Response::new("done".to_owned()))
}

#[test]
fn p17_a_drain_closes_what_is_idle_finishes_what_it_can_and_cuts_the_rest() {
    let _watchdog = watchdog("p17", Duration::from_secs(6));
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let serve = serve(listener, service_fn(handler))
            .timeouts(ServerTimeouts::default())
            .limits(Limits::default());
        let drainer = serve.drainer();
        let serving = spawn(serve.into_future());
        let pool = BlockingPool::new(1, 1).expect("a pool");
        let (ready, are_ready) = channel();
        let (drain, draining) = channel::<()>();
        let clients = spawn(async move {
            pool.run(move || {
                let mut idle = Raw::connect(address);
                idle.say("GET / HTTP/1.1\r\nhost: test\r\n\r\n").response();
                let silent = Raw::connect(address);
                let mut soon = Raw::connect(address);
                soon.say("GET /soon HTTP/1.1\r\nhost: test\r\n\r\n");
                let mut never = Raw::connect(address);
                never.say("GET /never HTTP/1.1\r\nhost: test\r\n\r\n");
                let mut behind = Raw::connect(address);
                behind.say("GET / HTTP/1.1\r\nhost: test\r\n\r\n").response();
                ready.send(()).expect("awaited");
                draining.recv().expect("told");
                assert_eq!((idle.rest(), behind.rest()), Default::default());
                drop(silent);
                assert!(std::net::TcpStream::connect(address).is_err(), "it still listens");
                let told = soon.rest();
                assert!(told.ends_with("done") && told.contains("connection: close\r\n"), "{told:?}");
                assert_eq!(never.rest(), "", "cut");
            })
            .await
        });
        while are_ready.try_recv().is_err() {
            sleep(5 * MS).await;
        }
        let (began, within) = (Instant::now(), 500 * MS);
        drainer.drain(within);
        sleep(20 * MS).await;
        drain.send(()).expect("listening");
        let drained = serving.await.expect("no panic").expect("no error");
        assert!(
            began.elapsed() >= within,
            "the one that never ends was cut early: {:?}",
            began.elapsed()
        );
        assert_eq!((drained.idle, drained.finished, drained.cut), (3, 1, 1), "{drained:?}");
        clients.await.expect("joined").expect("the clients");
    });
    assert_baseline(&runtime);
}
