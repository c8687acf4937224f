//! [`Streams`]: the requests of an HTTP/2 connection, each a task of the connection's scope under its own deadline, if it
//! has to wait for anything.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use punctual_reactor::{Instant, Scope};

use super::info::Shared;
use super::progress::{Alarm, Now, Progress};
use super::site::Site;
use crate::error::Phase;

/// What is known of one request beside its future, which is hyper's.
pub(super) struct StreamState {
    pub(super) shared: Arc<Shared>,
    site: Rc<Site>,
    writes: Cell<Writes>,
}

#[derive(Clone, Copy)]
enum Writes {
    /// It is up to the handler.
    Nothing,
    /// It is up to the client, as of now.
    Something,
    Since(Instant),
}

impl StreamState {
    /// Of a request that has just come: hyper has its future executed next.
    pub(super) fn announce(progress: &Rc<Progress>) -> Rc<StreamState> {
        let state = progress.spares.take().unwrap_or_else(|| {
            let client = progress.shared.client().clone();
            let shared = Shared::new(client, progress.site.timeouts.total);
            Rc::new(StreamState {
                shared,
                site: progress.site.clone(),
                writes: Cell::new(Writes::Nothing),
            })
        });
        let before = progress.announced.replace(Some(state.clone()));
        drop(before);
        state
    }

    /// Its request is done: it may be that of the next one, of which who still asks for this one is told nothing.
    fn spare(self: Rc<Self>, progress: &Progress) {
        if Rc::strong_count(&self) == 1 {
            self.writes.set(Writes::Nothing);
            progress.spares.keep(self);
        }
    }

    pub(super) fn writes(&self, client_is_waited_for: bool) {
        self.writes.set(if client_is_waited_for { Writes::Something } else { Writes::Nothing });
    }

    fn bound(&self, began: Instant, now: &Now<'_>) -> (Phase, Instant, Instant) {
        let until = self.shared.until_from(|| began);
        let total = (Phase::RequestTotal, began, until);
        let since = match self.writes.get() {
            Writes::Nothing => return total,
            Writes::Something => now.read(),
            Writes::Since(since) => since,
        };
        self.writes.set(Writes::Since(since));
        let stall = since + self.site.timeouts.write_stall;
        if stall < until { (Phase::ResponseWrite, since, stall) } else { total }
    }
}

/// So many requests are polled at once in one poll of their connection; others have to wait for their turn.
const AT_ONCE: usize = 16;

/// Runs hyper's futures of a connection.
#[derive(Clone)]
pub(super) struct Streams {
    scope: Scope,
    progress: Rc<Progress>,
    /// Those of requests that have come in this poll of the connection.
    come: Rc<Cell<Vec<Come>>>,
}

type Come = (Pin<Box<dyn Future<Output = ()>>>, Rc<StreamState>);

impl Streams {
    pub(super) fn new(scope: &Scope, progress: &Rc<Progress>) -> Streams {
        Streams { scope: scope.clone(), progress: progress.clone(), come: Rc::default() }
    }

    /// Polls those that have come, as a handler of HTTP/1 is polled with its connection. Most are done then; the others become
    /// tasks, which poll them anew and are woken from then on.
    pub(super) fn begin(&self) {
        let mut come = self.come.take();
        for (at, (mut future, state)) in come.drain(..).enumerate() {
            if at < AT_ONCE {
                let mut cx = Context::from_waker(Waker::noop());
                match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx))) {
                    Ok(Poll::Ready(())) => {
                        drop(future);
                        state.spare(&self.progress);
                        continue;
                    }
                    Ok(Poll::Pending) => {}
                    // What a handler does is caught where it is called.
                    Err(_) => {
                        tracing::error!(target: super::TARGET, "a request of HTTP/2 panicked");
                        continue;
                    }
                }
            }
            drop(self.scope.spawn_named("http2-request", run(future, state)));
        }
        // Its room is for the next ones.
        if come.capacity() <= AT_ONCE {
            self.come.set(come);
        }
    }

    /// The connection has ended, and they with it.
    pub(super) fn end(&self) {
        drop(self.come.take());
    }
}

impl<F: Future<Output = ()> + 'static> ::hyper::rt::Executor<F> for Streams {
    fn execute(&self, future: F) {
        // Large as it is, it would be moved again and again on its way into the task.
        let future = Box::pin(future);
        let Some(state) = self.progress.announced.take() else {
            return drop(self.scope.spawn(future));
        };
        let mut come = self.come.take();
        come.push((future, state));
        self.come.set(come);
    }
}

/// Dropping hyper's future resets the stream.
async fn run(mut future: Pin<Box<dyn Future<Output = ()>>>, state: Rc<StreamState>) {
    let mut began = None;
    let mut alarm = Alarm::new("http2-request");
    let expired = poll_fn(|cx| {
        if alarm.around(|| future.as_mut().poll(cx)).is_ready() {
            return Poll::Ready(None);
        }
        let first = |now: &Now<'_>| state.bound(*began.get_or_insert_with(|| now.read()), now);
        alarm.poll_first(first, cx).map(Some)
    });
    if let Some(expired) = expired.await {
        let error = expired.tell(state.shared.client().peer, |error| error);
        tracing::debug!(target: super::TARGET, %error, "a request has been given up");
    }
}
