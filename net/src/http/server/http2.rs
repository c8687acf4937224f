//! HTTP/2 on a connection: hyper's part of it, and the scope of its requests.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use punctual_reactor::{Unbounded, scope};

use super::answering::Adapter;
use super::connection::{Begun, Ended, finished, poll_alarm};
use super::drain::Course;
use super::pulse::Pulse;
use super::service::HttpService;
use super::stream::Streams;
use super::wire::{Line, Watched};
use crate::socket::transport::StreamTransport;

/// Speaks it until the connection is over.
pub(super) async fn serve<T: StreamTransport, S: HttpService>(begun: Begun<T, S>) {
    let Begun { wire, first, service, progress, mut alarm, .. } = begun;
    let progress = &progress;
    progress.multiplexed.set(true);
    let served = scope("http2", Unbounded, async |scope| {
        let streams = Streams::new(scope, progress);
        let (limits, timeouts) = (&progress.site.limits, &progress.site.timeouts);
        let pulse = Pulse::new();
        let mut builder = ::hyper::server::conn::http2::Builder::new(streams.clone());
        builder
            .timer(pulse.clone())
            .keep_alive_interval(timeouts.ping_interval)
            .keep_alive_timeout(timeouts.ping_timeout)
            .max_concurrent_streams(limits.streams)
            .max_pending_accept_reset_streams(limits.pending_resets)
            .max_local_error_reset_streams(limits.error_resets)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(limits.send_buffer);
        let io = Watched::new(&Line::new(wire, first), progress);
        let mut connection = builder.serve_connection(io, Adapter::new(service, progress));
        let mut told = false;
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
            pulse.begins();
            if let Poll::Ready(done) = alarm.around(|| Pin::new(&mut connection).poll(cx)) {
                return Poll::Ready(Ended::Done(done));
            }
            streams.begin();
            poll_alarm(&mut alarm, progress, cx)
        });
        let ended = ended.await;
        streams.end();
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
