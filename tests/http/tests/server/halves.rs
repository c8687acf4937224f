//! Clients that end their side after the last byte of a request, as `nc` does, and wait for the answer (RFC 9112, section
//! 9.6; X01), beside those that are gone.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use punctual::http::{Body, Limits, ServerTimeouts, service_fn};
use punctual::sleep;

use crate::rig::{MS, Raw, Served, serve};

/// Answers a while after it has read the body.
async fn late(request: Request<Body>) -> Result<Response<String>, Infallible> {
    let Ok(body) = request.into_body().collect().await else {
        return Ok(Response::builder().status(400).body(String::new()).expect("a response"));
    };
    let length = body.to_bytes().len();
    sleep(30 * MS).await;
    Ok(Response::new(format!("{length} bytes")))
}

fn run(what: &'static str, clients: impl FnOnce(SocketAddr) + Send + 'static) -> Served {
    serve(what, ServerTimeouts::default(), Limits::default(), || service_fn(late), clients)
}

#[test]
fn x01_a_client_that_has_ended_its_side_is_answered() {
    let served = run("halves", |address| {
        let requests = [
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", 1),
            ("GET / HTTP/1.0\r\n\r\n", 1),
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", 2),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello", 1),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                1,
            ),
        ];
        for (request, answers) in requests {
            for pause in [Duration::ZERO, 10 * MS] {
                let mut client = Raw::connect(address);
                client.say(request);
                // The end comes with the request, or while the handler is at it.
                std::thread::sleep(pause);
                client.stream.shutdown(Shutdown::Write).expect("half closed");
                let told = client.rest();
                let length = if request.starts_with("POST") { 5 } else { 0 };
                assert!(told.ends_with(&format!("{length} bytes")), "{request:?}: {told:?}");
                assert_eq!(told.matches(" 200 OK\r\n").count(), answers, "{request:?}: {told:?}");
                // At once after the answer: nothing more can come.
                assert!(client.age() < Duration::from_secs(10), "{:?}", client.age());
            }
        }
    });
    assert!(served.events.is_empty(), "{:?}", served.events);
}

#[test]
fn x01_a_body_that_is_not_whole_when_the_client_ends_its_side_is_broken() {
    run("cut", |address| {
        let mut client = Raw::connect(address);
        client.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nhello");
        client.stream.shutdown(Shutdown::Write).expect("half closed");
        let told = client.rest();
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 400 "), "{told:?}");
    });
}

#[test]
fn p06_a_client_that_resets_its_connection_has_the_handler_dropped() {
    let dropped = Rc::new(Cell::new(false));
    let seen = dropped.clone();
    serve(
        "reset",
        ServerTimeouts::default(),
        Limits::default(),
        move || {
            service_fn(move |_| {
                let guard = SetOnDrop(seen.clone());
                async move {
                    let _guard = guard;
                    sleep(Duration::from_secs(600)).await;
                    Ok::<_, Infallible>(Response::new(String::new()))
                }
            })
        },
        |address| {
            let mut client = Raw::connect(address);
            client.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
            std::thread::sleep(20 * MS);
            socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).expect("linger");
            drop(client);
            std::thread::sleep(200 * MS);
        },
    );
    assert!(dropped.get());
}

struct SetOnDrop(Rc<Cell<bool>>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.set(true);
    }
}
