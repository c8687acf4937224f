//! [`Http1`]: HTTP/1 on a connection: hyper's part of it, under the connection's deadlines.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::answering::Adapter;
use super::connection::{Begun, Ended, finished, poll_alarm, too_slow};
use super::drain::Course;
use super::progress::{Alarm, Progress};
use super::service::HttpService;
use super::wire::{Line, Watched};
use crate::socket::transport::StreamTransport;

const NONSENSE: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

pub(super) struct Http1<T: StreamTransport, S: HttpService> {
    hyper: ::hyper::server::conn::http1::Connection<Watched<T>, Adapter<S>>,
    alarm: Alarm,
    progress: Rc<Progress>,
    line: Rc<RefCell<Line<T>>>,
    /// hyper knows that the server is to end.
    told: bool,
}

pub(super) type Http1Ended = Ended<::hyper::Result<()>>;

impl<T: StreamTransport, S: HttpService> Http1<T, S> {
    pub(super) fn begin(begun: Begun<T, S>) -> Http1<T, S> {
        let Begun { wire, first, service, progress, alarm, .. } = begun;
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
        let io = Watched::new(&line, &progress);
        let hyper = builder.serve_connection(io, Adapter::new(service, &progress));
        Http1 { hyper, alarm, progress, line, told: false }
    }

    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Http1Ended> {
        let Http1 { hyper, alarm, progress, line, told } = self;
        match progress.site.drain.course() {
            Course::Serves => {}
            Course::Cuts => return Poll::Ready(Ended::Cut),
            Course::Drains if *told => {}
            Course::Drains if progress.is_idle() => return Poll::Ready(Ended::Idle),
            Course::Drains => {
                *told = true;
                Pin::new(&mut *hyper).graceful_shutdown();
            }
        }
        if let Poll::Ready(done) = alarm.around(|| Pin::new(hyper).poll(cx)) {
            return Poll::Ready(Ended::Done(done));
        }
        if progress.is_over() {
            return Poll::Ready(Ended::Done(Ok(())));
        }
        if progress.is_answering()
            && let Poll::Ready(error) = alarm.around(|| line.borrow_mut().poll_gone(progress, cx))
        {
            tracing::debug!(target: super::TARGET, %error, "a client has gone");
            return Poll::Ready(Ended::Done(Ok(())));
        }
        poll_alarm(alarm, progress, cx)
    }

    /// Closes it, and tells the client why where that is to be told.
    pub(super) async fn end(self, ended: Http1Ended) {
        let Http1 { hyper, progress, line, .. } = self;
        // With this goes what is under way.
        drop(hyper);
        let Some(line) = Rc::into_inner(line) else { return };
        let mut wire = line.into_inner().wire;
        match ended {
            Ended::Done(done) => {
                finished(&progress);
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
            Ended::Slow(expired) => too_slow(&mut wire, &progress, *expired).await,
            Ended::Idle => progress.site.drain.count(|drained| drained.idle += 1),
            Ended::Cut => {
                if progress.responds.get() {
                    wire.reset_on_close();
                }
                progress.site.drain.count(|drained| drained.cut += 1);
            }
        }
    }
}
