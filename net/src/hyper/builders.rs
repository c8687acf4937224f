//! hyper's builders with our timers in them, so that no timeout of theirs is inert.
//!
//! hyper takes a timer or goes without: then its header timeout, which is on by default, never fires (hyper#3178).

use std::time::Duration;

use super::executor::Executor;
use super::time::Timer;

/// How long the headers of a request may take, as of hyper by default.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// After so long without a frame an HTTP/2 peer is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// One that does not answer for so long is closed, and with it a write that it blocks.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// hyper's builder of HTTP/1 servers with our [`Timer`] installed, and its header timeout on: 30 s.
///
/// It is for those who bring their own accept loop; [`http::serve`](crate::http::serve) has all other deadlines as well.
///
/// # Panics
/// Outside of a runtime.
#[must_use]
pub fn http1_server() -> ::hyper::server::conn::http1::Builder {
    let mut builder = ::hyper::server::conn::http1::Builder::new();
    builder.timer(Timer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
}

/// hyper's builder of HTTP/2 servers with our [`Timer`] and [`Executor`] (detached tasks) installed, and its keep-alive on: a
/// peer that is silent for 20 s is asked, and closed if it does not answer for 20 s more.
///
/// # Panics
/// Outside of a runtime.
#[must_use]
pub fn http2_server() -> ::hyper::server::conn::http2::Builder<Executor> {
    let mut builder = ::hyper::server::conn::http2::Builder::new(Executor::detached());
    builder.timer(Timer::new()).keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// hyper's builder of HTTP/1 clients. It has no timers: what waits is bounded by the stream, or by a
/// [`timeout`](punctual_reactor::timeout) around the request. [`http::Client`](crate::http::Client) has them all.
#[must_use]
pub fn http1_client() -> ::hyper::client::conn::http1::Builder {
    ::hyper::client::conn::http1::Builder::new()
}

/// hyper's builder of HTTP/2 clients with our [`Timer`] and [`Executor`] (detached tasks) installed, and its keep-alive on
/// while a request is open: as [`http2_server`]'s.
///
/// # Panics
/// Outside of a runtime.
#[must_use]
pub fn http2_client() -> ::hyper::client::conn::http2::Builder<Executor> {
    let mut builder = ::hyper::client::conn::http2::Builder::new(Executor::detached());
    builder.timer(Timer::new()).keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIMEOUT);
    builder
}
