//! One connection: what it speaks, and hyper's part of it under the deadlines of its [`Progress`].

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use punctual_reactor::{Instant, Unbounded, scope};

use super::answering::Adapter;
use super::drain::{Course, Listening};
use super::expired::Expired;
#[cfg(feature = "tls")]
use super::info::TlsInfo;
use super::info::{Client, Shared};
use super::progress::{Alarm, Progress};
use super::service::HttpService;
use super::site::Site;
use super::stream::Streams;
use super::wire::{Line, Watched, Wire};
use crate::error::Phase;
use crate::hyper::Timer;
use crate::socket::Socket;
use crate::socket::transport::StreamTransport;

/// With which an HTTP/2 client that knows beforehand begins (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Room for what comes first, in bytes.
const FIRST: usize = 1024;

const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const TOO_LONG: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const NONSENSE: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
pub(super) const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Why a connection is over.
enum Ended<E> {
    /// By itself, or over an error.
    Done(E),
    Slow(Box<Expired>),
    /// It had nothing under way when the server was told to end.
    Idle,
    Cut,
}

/// Serves `caller` until it ends, is too slow, or the server ends.
pub(super) async fn serve<T: StreamTransport, S: HttpService>(
    caller: Caller<T>,
    service: S,
    site: Rc<Site>,
) {
    let listening = Listening::begin(&site.drain).await;
    let (mut wire, client) = match shake(caller, &site).await {
        Ended::Done(Some(shaken)) => shaken,
        Ended::Idle => return site.drain.count(|drained| drained.idle += 1),
        _ => return,
    };
    let agreed_on_http2 = client.speaks_http2();
    let shared = Shared::new(Arc::new(client), site.timeouts.total);
    let progress = Rc::new(Progress::new(site, shared, Instant::now()));
    let mut alarm = Alarm::new("http-connection");
    let (first, speaks_http2) = match first_bytes(&mut wire, &progress, &mut alarm).await {
        Ended::Done(Some(first)) => first,
        Ended::Done(None) | Ended::Cut => return,
        Ended::Idle => return progress.site.drain.count(|drained| drained.idle += 1),
        Ended::Slow(expired) => return too_slow(&mut wire, &progress, *expired).await,
    };
    if agreed_on_http2.is_some_and(|agreed| agreed != speaks_http2) {
        // Another protocol than the one that was agreed on is none.
        return wire.linger(progress.site.timeouts.farewell).await;
    }
    serve_first(wire, first, speaks_http2, service, &progress, alarm).await;
    drop(listening);
}

async fn serve_first<T: StreamTransport, S: HttpService>(
    wire: Wire<T>,
    first: Bytes,
    speaks_http2: bool,
    service: S,
    progress: &Rc<Progress>,
    alarm: Alarm,
) {
    if speaks_http2 {
        serve_http2(wire, first, service, progress, alarm).await;
    } else {
        serve_http1(wire, first, service, progress, alarm).await;
    }
}

/// Who has been accepted.
pub(super) struct Caller<T: StreamTransport> {
    pub(super) stream: Socket<T>,
    pub(super) peer: Option<SocketAddr>,
    #[cfg(feature = "tls")]
    pub(super) acceptor: Option<crate::tls::Acceptor>,
}

type Shaken<T> = Ended<Option<(Wire<T>, Client)>>;

#[cfg(not(feature = "tls"))]
async fn shake<T: StreamTransport>(caller: Caller<T>, _: &Site) -> Shaken<T> {
    let Caller { stream, peer } = caller;
    Ended::Done(Some((Wire::Plain(stream), Client { peer })))
}

/// The TLS handshake, if there is to be one; within its own time.
#[cfg(feature = "tls")]
async fn shake<T: StreamTransport>(caller: Caller<T>, site: &Site) -> Shaken<T> {
    let Caller { stream, peer, acceptor } = caller;
    let Some(acceptor) = acceptor else {
        return Ended::Done(Some((Wire::Plain(stream), Client { peer, tls: None })));
    };
    let mut handshake = std::pin::pin!(acceptor.accept(stream).timeout(site.timeouts.tls).run());
    let shaken = poll_fn(|cx| {
        if site.drain.course() != Course::Serves {
            return Poll::Ready(Ended::Idle);
        }
        handshake.as_mut().poll(cx).map(Ended::Done)
    });
    match shaken.await {
        Ended::Done(Ok(stream)) => {
            let tls = Some(TlsInfo::of(&stream));
            Ended::Done(Some((Wire::Tls(stream), Client { peer, tls })))
        }
        Ended::Done(Err(error)) => {
            tracing::debug!(target: super::TARGET, %error, "a TLS handshake has failed");
            Ended::Done(None)
        }
        _ => Ended::Idle,
    }
}

/// What has come first, and whether it is HTTP/2.
async fn first_bytes<T: StreamTransport>(
    wire: &mut Wire<T>,
    progress: &Progress,
    alarm: &mut Alarm,
) -> Ended<Option<(Bytes, bool)>> {
    let (mut room, mut filled) = (BytesMut::zeroed(FIRST), 0);
    let guard = alarm.guard;
    poll_fn(|cx| {
        if progress.site.drain.course() != Course::Serves {
            return Poll::Ready(Ended::Idle);
        }
        while let Poll::Ready(read) = guard.poll(|| wire.poll_read(cx, &mut room[filled..])) {
            match read {
                Ok(bytes) if bytes > 0 => filled += bytes,
                _ => return Poll::Ready(Ended::Done(None)),
            }
            progress.began();
            let seen = &room[..filled];
            if seen.len() < PREFACE.len() && PREFACE.starts_with(seen) {
                continue;
            }
            let speaks_http2 = seen.starts_with(PREFACE);
            room.truncate(filled);
            let first = std::mem::take(&mut room).freeze();
            return Poll::Ready(Ended::Done(Some((first, speaks_http2))));
        }
        poll_alarm(alarm, progress, cx)
    })
    .await
}

async fn serve_http1<T: StreamTransport, S: HttpService>(
    wire: Wire<T>,
    first: Bytes,
    service: S,
    progress: &Rc<Progress>,
    mut alarm: Alarm,
) {
    let limits = &progress.site.limits;
    let mut builder = ::hyper::server::conn::http1::Builder::new();
    builder
        .header_read_timeout(None) // which would count the time between two requests too
        .max_buf_size(limits.header_bytes.max(8192))
        .max_header_size(limits.header_bytes.max(8192))
        // Whether the client is gone is seen here: hyper would have room for another request beside the one under way.
        .half_close(true)
        // What is small is written in one piece; what is large comes in pieces.
        .writev(false);
    if limits.header_lines != 100 {
        // Other numbers cost hyper an allocation a request.
        builder.max_headers(limits.header_lines);
    }
    let line = Line::new(wire, first);
    let io = Watched::new(&line, progress);
    let mut connection = builder.serve_connection(io, Adapter::new(service, progress));
    let (guard, mut told) = (alarm.guard, false);
    let ended = poll_fn(|cx| {
        match progress.site.drain.course() {
            Course::Serves => {}
            Course::Cuts => return Poll::Ready(Ended::Cut),
            Course::Drains if told => {}
            Course::Drains if progress.is_idle() => return Poll::Ready(Ended::Idle),
            Course::Drains => {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
        if let Poll::Ready(done) = guard.poll(|| Pin::new(&mut connection).poll(cx)) {
            return Poll::Ready(Ended::Done(done));
        }
        if progress.is_over() {
            return Poll::Ready(Ended::Done(Ok(())));
        }
        if progress.is_answering()
            && let Poll::Ready(error) = guard.poll(|| line.borrow_mut().poll_gone(progress, cx))
        {
            tracing::debug!(target: super::TARGET, %error, "a client has gone");
            return Poll::Ready(Ended::Done(Ok(())));
        }
        poll_alarm(&mut alarm, progress, cx)
    });
    let ended = ended.await;
    // With this goes what is under way.
    drop(connection);
    let Some(line) = Rc::into_inner(line) else { return };
    let mut wire = line.into_inner().wire;
    match ended {
        Ended::Done(done) => {
            finished(progress);
            if let Err(error) = &done {
                tracing::debug!(target: super::TARGET, %error, "a connection has failed");
            }
            let farewell = progress.site.timeouts.farewell;
            match progress.refused.get() {
                true => wire.send_away(NONSENSE, farewell).await,
                false if !progress.ended.get() => wire.linger(farewell).await,
                false => {}
            }
        }
        Ended::Slow(expired) => too_slow(&mut wire, progress, *expired).await,
        Ended::Idle => progress.site.drain.count(|drained| drained.idle += 1),
        Ended::Cut => {
            if progress.responds.get() {
                wire.reset_on_close();
            }
            progress.site.drain.count(|drained| drained.cut += 1);
        }
    }
}

async fn serve_http2<T: StreamTransport, S: HttpService>(
    wire: Wire<T>,
    first: Bytes,
    service: S,
    progress: &Rc<Progress>,
    mut alarm: Alarm,
) {
    progress.multiplexed.set(true);
    let served = scope("http2", Unbounded, async |scope| {
        let streams = Streams { scope: scope.clone(), progress: progress.clone() };
        let (limits, timeouts) = (&progress.site.limits, &progress.site.timeouts);
        let mut builder = ::hyper::server::conn::http2::Builder::new(streams);
        builder
            .timer(Timer::new())
            .keep_alive_interval(timeouts.ping_interval)
            .keep_alive_timeout(timeouts.ping_timeout)
            .max_concurrent_streams(limits.streams)
            .max_pending_accept_reset_streams(limits.pending_resets)
            .max_local_error_reset_streams(limits.error_resets)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(limits.send_buffer);
        let io = Watched::new(&Line::new(wire, first), progress);
        let mut connection = builder.serve_connection(io, Adapter::new(service, progress));
        let (guard, mut told) = (alarm.guard, false);
        let ended = poll_fn(|cx| {
            match progress.site.drain.course() {
                Course::Cuts => return Poll::Ready(Ended::Cut),
                Course::Drains if progress.is_idle() => return Poll::Ready(Ended::Idle),
                Course::Serves if !progress.last.get() => {}
                _ if told => {}
                _ => {
                    told = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
            if let Poll::Ready(done) = guard.poll(|| Pin::new(&mut connection).poll(cx)) {
                return Poll::Ready(Ended::Done(done));
            }
            poll_alarm(&mut alarm, progress, cx)
        });
        let ended = ended.await;
        // Requests whose connection has gone go too.
        scope.cancel("the connection has ended");
        ended
    });
    let ended = match served.await {
        Ok(ended) => ended,
        Err(error) => match error.into_value() {
            Some(ended) => ended,
            None => return,
        },
    };
    match ended {
        Ended::Done(done) => {
            finished(progress);
            if let Err(error) = done {
                tracing::debug!(target: super::TARGET, %error, "a connection has failed");
            }
        }
        Ended::Slow(expired) => {
            let error = expired.tell(progress.shared.client().peer, |error| error);
            tracing::debug!(target: super::TARGET, %error, "a connection is closed");
        }
        Ended::Idle => progress.site.drain.count(|drained| drained.idle += 1),
        Ended::Cut => progress.site.drain.count(|drained| drained.cut += 1),
    }
}

fn poll_alarm<E>(alarm: &mut Alarm, progress: &Progress, cx: &mut Context<'_>) -> Poll<Ended<E>> {
    alarm.poll(progress, cx).map(|expired| Ended::Slow(Box::new(expired)))
}

/// What was under way is done; if the server is to end, that counts.
fn finished(progress: &Progress) {
    if progress.site.drain.course() != Course::Serves {
        progress.site.drain.count(|drained| drained.finished += 1);
    }
}

/// Tells a client that was too slow, where it can be told, and closes.
async fn too_slow<T: StreamTransport>(wire: &mut Wire<T>, progress: &Progress, expired: Expired) {
    let phase = expired.phase;
    let error = expired.tell(progress.shared.client().peer, |error| wire.explain(error));
    tracing::debug!(target: super::TARGET, %error, "a connection is closed");
    let farewell = progress.site.timeouts.farewell;
    match phase {
        Phase::RequestHeader => wire.send_away(TOO_SLOW, farewell).await,
        Phase::RequestTotal if !progress.responds.get() => wire.send_away(TOO_LONG, farewell).await,
        Phase::RequestTotal | Phase::ResponseWrite => wire.reset_on_close(),
        _ => {}
    }
}
