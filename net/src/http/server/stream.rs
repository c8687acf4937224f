//! [`Streams`]: the requests of an HTTP/2 connection, each a task of the connection's scope under its own deadline.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use punctual_reactor::{Instant, Scope};

use super::expired::Expired;
use super::info::Shared;
use super::progress::{Alarm, Now, Progress};
use crate::error::Phase;

/// What is known of one request beside its future, which is hyper's.
pub(super) struct StreamState {
    pub(super) shared: Arc<Shared>,
    progress: Rc<Progress>,
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
        let shared = Shared::new(progress.shared.client().clone(), progress.site.timeouts.total);
        let state =
            StreamState { shared, progress: progress.clone(), writes: Cell::new(Writes::Nothing) };
        let state = Rc::new(state);
        *progress.announced.borrow_mut() = Some(state.clone());
        state
    }

    pub(super) fn writes(&self, client_is_waited_for: bool) {
        self.writes.set(if client_is_waited_for { Writes::Something } else { Writes::Nothing });
    }

    fn bound(&self, began: Instant, now: &Now) -> (Phase, Instant, Instant) {
        let until = self.shared.until_from(|| began);
        let total = (Phase::RequestTotal, began, until);
        let since = match self.writes.get() {
            Writes::Nothing => return total,
            Writes::Something => now.read(),
            Writes::Since(since) => since,
        };
        self.writes.set(Writes::Since(since));
        let stall = since + self.progress.site.timeouts.write_stall;
        if stall < until { (Phase::ResponseWrite, since, stall) } else { total }
    }
}

/// Runs hyper's futures of a connection.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) scope: Scope,
    pub(super) progress: Rc<Progress>,
}

impl<F: Future<Output = ()> + 'static> ::hyper::rt::Executor<F> for Streams {
    fn execute(&self, future: F) {
        // Large as it is, it would be moved again and again on its way into the task.
        let future = Box::pin(future);
        let announced: &RefCell<_> = &self.progress.announced;
        match announced.borrow_mut().take() {
            Some(state) => drop(self.scope.spawn_named("http2-request", run(future, state))),
            None => drop(self.scope.spawn(future)),
        }
    }
}

/// Dropping hyper's future resets the stream.
async fn run(mut future: Pin<Box<impl Future<Output = ()>>>, state: Rc<StreamState>) {
    let mut began = None;
    let mut alarm = Alarm::new("http2-request");
    let guard = alarm.guard;
    let expired = poll_fn(|cx| {
        if guard.poll(|| future.as_mut().poll(cx)).is_ready() {
            return Poll::Ready(None);
        }
        let now = Now::default();
        let began = *began.get_or_insert_with(|| now.read());
        let (phase, since, until) = state.bound(began, &now);
        alarm
            .poll_until(until, &now, cx)
            .map(|firing| Some(Expired::new(phase, since, Some(until - since), until, firing)))
    });
    if let Some(expired) = expired.await {
        let error = expired.tell(state.shared.client().peer, |error| error);
        tracing::debug!(target: super::TARGET, %error, "a request has been given up");
    }
}
