//! [`Connection`]: one of them, from the accept to the end, under the deadlines of its [`Progress`].

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use punctual_reactor::Instant;

use super::drain::{Course, Listening};
use super::expired::Expired;
use super::http1::Http1;
use super::http2;
#[cfg(feature = "tls")]
use super::info::TlsInfo;
use super::info::{Client, Shared};
use super::progress::{Alarm, Progress};
use super::service::HttpService;
use super::site::{Place, Site};
use super::wire::Wire;
use crate::error::Phase;
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
pub(super) const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Why a connection is over.
pub(super) enum Ended<E> {
    /// By itself, or over an error.
    Done(E),
    Slow(Box<Expired>),
    /// It had nothing under way when the server was told to end.
    Idle,
    Cut,
}

/// One connection, from its accept to its end. What begins it and what ends it is put aside: the task is to hold what it
/// speaks in between, and to be polled without a detour.
pub(super) struct Connection<T: StreamTransport, S: HttpService> {
    part: Part<T, S>,
    listening: Option<Listening>,
    _place: Place,
}

#[expect(clippy::large_enum_variant, reason = "most connections that live are in the largest")]
enum Part<T: StreamTransport, S: HttpService> {
    Opening(Aside<Option<Begun<T, S>>>),
    Http1(Http1<T, S>),
    Rest(Aside<()>),
    Over,
}

type Aside<T> = Pin<Box<dyn Future<Output = T>>>;

/// What is known once the client has spoken.
pub(super) struct Begun<T: StreamTransport, S> {
    pub(super) wire: Wire<T>,
    pub(super) first: Bytes,
    speaks_http2: bool,
    pub(super) service: S,
    pub(super) progress: Rc<Progress>,
    pub(super) alarm: Alarm,
}

impl<T: StreamTransport, S: HttpService> Connection<T, S> {
    pub(super) fn new(caller: Caller<T>, service: S, site: Rc<Site>, place: Place) -> Connection<T, S> {
        let part = Part::Opening(Box::pin(open(caller, service, site)));
        Connection { part, listening: None, _place: place }
    }
}

impl<T: StreamTransport, S: HttpService> Unpin for Connection<T, S> {}

impl<T: StreamTransport, S: HttpService> Future for Connection<T, S> {
    type Output = ();

    /// Until it ends, is too slow, or the server ends.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.listening.is_none() {
            let site = &this._place.site;
            this.listening = Some(site.drain.listen(cx.waker().clone()));
        }
        loop {
            this.part = match &mut this.part {
                Part::Http1(http1) => {
                    let ended = ready!(http1.poll(cx));
                    let Part::Http1(http1) = std::mem::replace(&mut this.part, Part::Over) else {
                        continue;
                    };
                    Part::Rest(Box::pin(http1.end(ended)))
                }
                Part::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    None => Part::Over,
                    Some(begun) if begun.speaks_http2 => Part::Rest(Box::pin(http2::serve(begun))),
                    Some(begun) => Part::Http1(Http1::begin(begun)),
                },
                Part::Rest(rest) => {
                    ready!(rest.as_mut().poll(cx));
                    Part::Over
                }
                Part::Over => {
                    this.listening = None;
                    return Poll::Ready(());
                }
            };
        }
    }
}

/// Up to the client's first word; nothing if that does not come.
async fn open<T: StreamTransport, S: HttpService>(
    caller: Caller<T>,
    service: S,
    site: Rc<Site>,
) -> Option<Begun<T, S>> {
    let idle = |site: &Site| site.drain.count(|drained| drained.idle += 1);
    let (mut wire, client) = match shake(caller, &site).await {
        Ended::Done(shaken) => shaken?,
        Ended::Idle => {
            idle(&site);
            return None;
        }
        _ => return None,
    };
    let agreed_on_http2 = client.speaks_http2();
    let shared = Shared::new(Arc::new(client), site.timeouts.total);
    let progress = Rc::new(Progress::new(site, shared, Instant::now()));
    let mut alarm = Alarm::new("http-connection");
    let (first, speaks_http2) = match first_bytes(&mut wire, &progress, &mut alarm).await {
        Ended::Done(first) => first?,
        Ended::Cut => return None,
        Ended::Idle => {
            idle(&progress.site);
            return None;
        }
        Ended::Slow(expired) => {
            too_slow(&mut wire, &progress, *expired).await;
            return None;
        }
    };
    if agreed_on_http2.is_some_and(|agreed| agreed != speaks_http2) {
        // Another protocol than the one that was agreed on is none.
        wire.linger(progress.site.timeouts.farewell).await;
        return None;
    }
    Some(Begun { wire, first, speaks_http2, service, progress, alarm })
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
    poll_fn(|cx| {
        if progress.site.drain.course() != Course::Serves {
            return Poll::Ready(Ended::Idle);
        }
        while let Poll::Ready(read) = alarm.around(|| wire.poll_read(cx, &mut room[filled..])) {
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

#[inline]
pub(super) fn poll_alarm<E>(
    alarm: &mut Alarm,
    progress: &Progress,
    cx: &mut Context<'_>,
) -> Poll<Ended<E>> {
    alarm.poll(progress, cx).map(|expired| Ended::Slow(Box::new(expired)))
}

/// What was under way is done; if the server is to end, that counts.
pub(super) fn finished(progress: &Progress) {
    if progress.site.drain.course() != Course::Serves {
        progress.site.drain.count(|drained| drained.finished += 1);
    }
}

/// Tells a client that was too slow, where it can be told, and closes.
pub(super) async fn too_slow<T: StreamTransport>(
    wire: &mut Wire<T>,
    progress: &Progress,
    expired: Expired,
) {
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
