//! hyper on the loop: HTTP/1 and HTTP/2 over our streams, its timeouts in our wheel, our errors through it.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper::{Request, Response};
use punctual::net::hyper::{Executor, Io, Timer};
use punctual::net::{Error, Kind, Phase, Socket, duplex, io::Bounded};
use punctual::reactor::Direction;
use punctual::{Instant, Runtime, Unbounded, scope, spawn};

use crate::support::net::*;
use crate::support::{MS, now_ns};

const SECOND: Duration = Duration::from_secs(1);

/// More than any buffer between the two.
fn much() -> Bytes {
    (0..1_500_000_u32).map(|n| (n / 7 + n) as u8).collect::<Vec<_>>().into()
}

fn ask(body: Bytes) -> Request<Full<Bytes>> {
    Request::post("/echo").header("host", "localhost").body(Full::new(body)).expect("a request")
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes());
    Ok(Response::new(Full::new(body.unwrap_or_default())))
}

/// A server on one end and a client on the other; what is sent comes back.
async fn http1<C, S>(client: C, server: S)
where
    C: Read + Write + Unpin + 'static,
    S: Read + Write + Unpin + 'static,
{
    let served = spawn(async move {
        let builder = hyper::server::conn::http1::Builder::new();
        builder.clone().timer(Timer::new()).serve_connection(server, service_fn(echo)).await
    });
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(client).await.expect("a connection");
    let driven = spawn(connection);
    for body in [Bytes::from_static(b"hello"), much(), Bytes::new()] {
        let response = sender.send_request(ask(body.clone())).await.expect("a response");
        let came = response.into_body().collect().await.expect("its body").to_bytes();
        assert!(came == body, "{} bytes of {}", came.len(), body.len());
    }
    drop(sender);
    driven.await.expect("no panic").expect("the client ends in order");
    served.await.expect("no panic").expect("and so does the server");
}

async fn exchange<T: Pair>(_: &Runtime)
where
    Socket<T>: Read + Write + Unpin,
{
    let (client, server) = T::pair().await;
    http1(client, server).await;
    let (client, server) = T::pair().await;
    http1(Io::new(Bounded::new(client)), Io::new(server).vectored(true)).await;
}

#[test]
fn http1_over_every_stream() {
    on_streams!(exchange);
}

#[test]
fn http2_runs_its_tasks_in_a_scope_and_they_end_with_it() {
    on_virtual_clock("HTTP/2", async |runtime| {
        let (client, server) = memory_pair();
        let done = scope("http2", Unbounded, async |scope| {
            let executor = Executor::in_scope(scope);
            let served = hyper::server::conn::http2::Builder::new(executor.clone())
                .timer(Timer::new())
                .serve_connection(server, service_fn(echo));
            drop(scope.spawn(async move { drop(served.await) }));
            let (mut sender, connection) = hyper::client::conn::http2::Builder::new(executor)
                .timer(Timer::new())
                .keep_alive_interval(Some(SECOND))
                .keep_alive_while_idle(true)
                .handshake(client)
                .await
                .expect("a connection");
            drop(scope.spawn(async move { drop(connection.await) }));
            for body in [Bytes::from_static(b"hello"), much()] {
                let response = sender.send_request(ask(body.clone())).await.expect("a response");
                let came = response.into_body().collect().await.expect("its body").to_bytes();
                assert!(came == body, "{} bytes of {}", came.len(), body.len());
            }
            // Its pings go to and fro meanwhile, on the loop's clock.
            punctual::sleep(60 * SECOND).await;
            assert!(sender.is_ready(), "it is well");
            scope.cancel("that is enough");
        });
        // Whether its tasks saw the cancel and ended, or were dropped.
        let _ = done.await;
        assert_eq!(runtime.metrics().live_tasks, 0);
        assert_eq!(runtime.metrics().live_timers, 0, "hyper's own timers have gone");
    });
}

#[test]
fn hypers_timeout_ends_at_its_time_to_the_nanosecond() {
    on_virtual_clock("header timeout", async |_| {
        let (client, server) = memory_pair();
        client.write_all(b"GET / HTTP/1.1\r\n").await.expect("there is room");
        let began = Instant::now();
        let served = hyper::server::conn::http1::Builder::new()
            .timer(Timer::new())
            .header_read_timeout(5 * SECOND)
            .serve_connection(server, service_fn(echo));
        let error = served.await.expect_err("the rest never came");
        assert!(error.is_timeout(), "{error:?}");
        assert_eq!(Instant::now() - began, 5 * SECOND);
    });
}

#[test]
fn an_error_of_ours_comes_out_of_hyper_whole() {
    on_alarms("errors", async |_| {
        let (client, server) = tcp_pair().await;
        client.write_all(b"GET / HTTP/1.1\r\n").await.expect("there is room");
        let (handle, token) = (runtime_handle(), server.token());
        let mut served = Box::pin(
            hyper::server::conn::http1::Builder::new()
                .header_read_timeout(None)
                .serve_connection(server, service_fn(echo)),
        );
        // What has come is read first: before that hyper takes an error for a client that has left.
        while !punctual::waits().iter().any(|wait| wait.what() == "read" && wait.token() == Some(token))
        {
            let polled = std::future::poll_fn(|cx| Poll::Ready(served.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
            punctual::yield_now().await;
        }
        let armed = now_ns();
        let deadline = Instant::now() + 20 * MS;
        handle.set_deadline(token, Some(Direction::Read), Some(deadline)).expect("it runs");
        let error = served.await.expect_err("the rest never came");
        assert_passed(armed, 20 * MS);
        let ours = Error::in_chain(&error).expect("one of ours");
        assert_eq!((ours.kind(), ours.phase()), (Kind::Timeout, Phase::Read), "{ours}");
        assert_eq!(ours.deadline().map(|info| info.deadline()), Some(deadline));
        assert_eq!(ours.peer(), Some(client.local_addr().expect("bound")));
        let plain = io::Error::other("not ours");
        assert!(Error::in_chain(&plain).is_none());
        drop(client);
    });
}

/// A stream whose second read says that there was more than there was room for.
struct Liar {
    began: bool,
}

impl AsyncRead for Liar {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if std::mem::replace(&mut self.began, true) {
            return Poll::Ready(Ok(room.len() + 1));
        }
        let honest = b"GET / HTTP/1.1\r\n";
        room[..honest.len()].copy_from_slice(honest);
        Poll::Ready(Ok(honest.len()))
    }
}

impl AsyncWrite for Liar {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_stream_that_lies_is_an_error_and_no_panic() {
    on_alarms("a liar", async |_| {
        let served = hyper::server::conn::http1::Builder::new()
            .header_read_timeout(None)
            .serve_connection(Io::new(Liar { began: false }), service_fn(echo));
        let error = served.await.expect_err("it lied");
        let said = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        assert!(said.map(ToString::to_string).any(|said| said.contains("more bytes")), "{error:?}");
    });
}

/// Dropped at any await, a connection leaves nothing: the baseline is held after each.
#[test]
fn a_connection_given_up_leaves_nothing() {
    on_alarms("given up", async |runtime| {
        let (client, server) = duplex(64);
        let mut served = Box::pin(
            hyper::server::conn::http1::Builder::new()
                .timer(Timer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(server, service_fn(echo)),
        );
        for byte in b"GET / HTTP/1.1\r\nHost" {
            client.write_all(&[*byte]).await.expect("there is room");
            let polled = std::future::poll_fn(|cx| Poll::Ready(served.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
        }
        assert_eq!(runtime.metrics().live_timers, 1, "hyper's");
        drop(served);
        assert_eq!((runtime.metrics().live_timers, runtime.metrics().live_sources), (0, 1));
        drop(client);
    });
}
