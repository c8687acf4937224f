//! One connection: hyper's part, under the deadlines of its [`Progress`].

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use punctual_net::TcpStream;
use punctual_reactor::{Instant, Leeway, Sleep, sleep_until};

use super::admit;
use super::limits::Limits;
use super::progress::{Progress, Stage, Watched};
use super::routes;
use super::site::Site;
use super::stop::Stop;

/// Of all that a request may have, at most so many.
const HEADERS_MAX: usize = 64;

const TOO_SLOW: &str = "HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=utf-8\r\n\
    connection: close\r\ncontent-length: 39\r\n\r\nThe headers took too long to arrive.  \n";
const TOO_MANY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
    retry-after: 1\r\nconnection: close\r\ncontent-length: 60\r\n\r\n\
    As many connections as may be are open already: try later. \n";

/// Serves `stream` until it ends, is too slow, or `stop` says so and nothing is under way.
pub(super) async fn serve(stream: TcpStream, site: Rc<Site>, stop: Rc<Stop>) {
    let limits = &site.limits;
    // A connection that cannot be set up any more has ended.
    let _ = stream.set_write_timeout(Some(limits.stall));
    let _ = stream.set_nodelay(true);
    let stream = Rc::new(stream);
    let progress = Progress::new(&stream, &site);
    let service = service_fn(|request| {
        let (progress, site) = (progress.clone(), site.clone());
        async move {
            progress.answering();
            let answer = match admit::refusal(&request, site.address) {
                Some(refused) => refused,
                None => routes::answer(&request, &site, &progress).await,
            };
            Ok::<_, Infallible>(answer.respond(&progress))
        }
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None) // which would count the time between two requests too
        .max_buf_size(limits.header_bytes)
        .max_headers(HEADERS_MAX)
        .half_close(false) // one that has gone wants no profile any more
        .serve_connection(Watched::new(&stream, &progress), service);
    let mut connection = pin!(connection);
    let mut sleep = pin!(sleep_until(progress.deadline()).with_leeway(Leeway::MILLISECOND));
    let mut stopping = pin!(Some(stop.wait()));
    let served = poll_fn(|cx| {
        if stopping.as_mut().as_pin_mut().is_some_and(|stopping| stopping.poll(cx).is_ready()) {
            stopping.set(None);
            connection.as_mut().graceful_shutdown();
            progress.hurry();
        }
        if let Poll::Ready(done) = connection.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        poll_too_slow(&progress, sleep.as_mut(), cx).map(|()| None)
    });
    match served.await {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "a connection of the debug endpoint has failed"),
        // One that is cut because the endpoint stops was not too slow.
        None if progress.stage() == Stage::Header && !progress.is_hurried() => {
            send_away(&stream, TOO_SLOW, limits).await;
        }
        None => {}
    }
}

/// Ready when the deadline has passed, wherever it has been moved to meanwhile.
fn poll_too_slow(progress: &Progress, mut sleep: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        let deadline = progress.deadline();
        if sleep.deadline() != deadline {
            sleep.as_mut().get_mut().reset(deadline);
        }
        ready!(sleep.as_mut().poll(cx));
        if Instant::now() >= deadline {
            return Poll::Ready(());
        }
    }
}

/// Tells one that is one too many.
pub(super) async fn refuse(stream: TcpStream, limits: &Limits) {
    send_away(&stream, TOO_MANY, limits).await;
}

async fn send_away(stream: &TcpStream, words: &str, limits: &Limits) {
    let told = stream.set_write_timeout(Some(limits.farewell));
    // Whether it listens or not, it is closed.
    if told.is_ok() && stream.write_all(words.as_bytes()).await.is_ok() {
        let _ = stream.close_in_order(limits.farewell).await;
    }
}
