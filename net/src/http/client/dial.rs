//! From an origin to a connection that is ready for requests.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use punctual_reactor::{Scope, Unbounded, in_scope_as, outside_scopes, scope, spawn_named, timeout_at};

use crate::Connect;
use crate::error::{Error, Phase};
use crate::hyper::Timer;
#[cfg(feature = "tls")]
use crate::phase::Bounds;
use crate::phase::Limit;

use super::config::Config;
use super::connection::{Connection, Driven, Sender, Stream, Wire};
use super::origin::Origin;
use super::pool::Place;
use super::task;
use super::timeouts::Deadlines;

/// The most that the head of a response may take, in bytes.
pub(super) const HEAD_MAX: usize = 64 * 1024;

/// Resolves, connects, shakes hands, within `limit`. What is made belongs to the caller: a task drives it.
pub(super) async fn dial(
    config: &Config,
    (origin, shown): (&Origin, &str),
    http2: bool,
    deadlines: &Deadlines,
    limit: Limit,
    place: Place,
) -> Result<Rc<Connection>, Error> {
    let connect = Connect::to(origin.target()).within(limit, deadlines.timeouts.resolve_cap());
    let tcp = config.shape(connect).connect().await?;
    #[cfg(feature = "tls")]
    if origin.https {
        let bounds = Bounds::of(Phase::Tls).limit(deadlines.tls(limit)).endpoint(shown.to_owned());
        let tls = config.tls.connect(tcp, &origin.host).bounded(bounds).run().await?;
        let http2 = tls.alpn_protocol().map_or(http2, |chosen| chosen == b"h2");
        return hand_over(config, Stream::Tls(tls), http2, limit, place).await;
    }
    #[cfg(not(feature = "tls"))]
    let _ = shown;
    let stream = Stream::Plain(tcp);
    hand_over(config, stream, http2, limit, place).await
}

/// Has hyper speak HTTP on `stream`.
async fn hand_over(
    config: &Config,
    stream: Stream,
    http2: bool,
    limit: Limit,
    place: Place,
) -> Result<Rc<Connection>, Error> {
    let place = Rc::new(place);
    let connection =
        Connection::new(stream, http2, (config.ping_interval, config.ping_timeout), place.clone());
    let wire = Wire(connection.clone());
    if http2 {
        let (sender, driver) =
            in_time(http2_builder(config).handshake(wire), limit, &connection).await?;
        *connection.sender.borrow_mut() = Some(Sender::Http2(sender));
        connection.streams_max.set(driver.current_max_send_streams());
        start(task::http2(driver, Driven::new(connection.clone())));
    } else {
        let (sender, driver) =
            in_time(http1_builder(config).handshake(wire), limit, &connection).await?;
        *connection.sender.borrow_mut() = Some(Sender::Http1(sender));
        start(task::http1(driver, Driven::new(connection.clone())));
    }
    place.filled_by(&connection);
    Ok(connection)
}

/// Starts a task of nobody's scope: the connection may outlive the request that it was made for.
fn start(task: impl Future<Output = ()> + 'static) {
    // What reads here has no deadline, by intent: those who wait for something of it have theirs.
    let task = async {
        let driven = async |_: &Scope| in_scope_as("http-connection", task).await;
        let _ = scope("http connection", Unbounded, driven).await;
    };
    drop(outside_scopes(|| spawn_named("http connection", task)));
}

/// Where hyper puts the parts of an HTTP/2 connection that it does not poll itself.
#[derive(Clone, Copy)]
pub(super) struct Parts;

impl<F: Future + 'static> hyper::rt::Executor<F> for Parts {
    fn execute(&self, part: F) {
        start(async { drop(part.await) });
    }
}

fn http1_builder(config: &Config) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_MAX).max_headers(config.headers_max);
    builder
}

/// A time that does not come. hyper adds times to moments of the standard library, which panics where a sum is too large.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

fn http2_builder(config: &Config) -> http2::Builder<Parts> {
    let mut builder = http2::Builder::new(Parts);
    builder
        .timer(Timer::new())
        .max_header_list_size(HEAD_MAX as u32)
        .keep_alive_interval(config.ping_interval.min(NEVER))
        .keep_alive_timeout(config.ping_timeout.min(NEVER))
        .keep_alive_while_idle(false);
    builder
}

/// The opening of HTTP/2 is written at once, into a socket that is empty; it is part of the connect's time.
async fn in_time<T>(
    handshake: impl Future<Output = hyper::Result<T>>,
    limit: Limit,
    connection: &Connection,
) -> Result<T, Error> {
    match timeout_at(limit.deadline, handshake).await {
        Ok(Ok(made)) => Ok(made),
        Ok(Err(failure)) => Err(super::failure::explained(Phase::Connect, failure, connection)),
        Err(elapsed) => {
            let info = limit.info(elapsed.firing().fired);
            Err(Error::timeout(Phase::Connect, info)
                .fired_as(elapsed.firing())
                .with_peer(connection.peer)
                .tell())
        }
    }
}
