//! One call: its handler and the body of its response in one scope, polled by whoever sends the response.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, response::Parts};
use http_body::{Body, Frame};
use punctual_reactor::{Limit, RuntimeId, Scope, ScopeEnd, ScopeError, Unbounded, scope, spawn_named};
use tonic::Status;
use tower_service::Service;

use super::BoxError;
use super::body::CallBody;

/// What a handler's scope is cancelled with when nobody waits for its answer any more.
const GONE: &str = "the client has reset the call, or its connection has ended";

/// The most of a method's path that its scope is called by, in bytes.
const NAME_MAX: usize = 100;

type Part = Result<Frame<Bytes>, BoxError>;
type Run = Pin<Box<dyn Future<Output = Option<ScopeEnd>>>>;

/// A response that is being made.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Answering<E> {
    refused: Option<Status>,
    call: Option<Call>,
    head: Rc<RefCell<Option<Result<Head, E>>>>,
}

/// The head of a response.
struct Head {
    parts: Parts,
    /// Nothing comes after it.
    is_all: bool,
}

/// The scope's future, and what goes out of it.
pub(super) struct Call {
    run: Option<Run>,
    passing: Rc<Passing>,
}

/// What is handed from the scope's future to whoever polls it.
#[derive(Default)]
struct Passing {
    /// The next part of the body is asked for.
    wanted: Cell<bool>,
    part: RefCell<Option<Part>>,
    scope: RefCell<Option<Scope>>,
}

impl<E: 'static> Answering<E> {
    pub(super) fn refused(status: Status) -> Answering<E> {
        Answering { refused: Some(status), call: None, head: Rc::default() }
    }

    pub(super) fn begin<S, A, B>(mut service: S, request: Request<A>, timeout: Duration) -> Answering<E>
    where
        S: Service<Request<A>, Response = Response<B>, Error = E> + 'static,
        A: 'static,
        B: Body<Data = Bytes> + 'static,
        B::Error: Into<BoxError>,
    {
        let passing = Rc::new(Passing::default());
        let head = Rc::new(RefCell::new(None));
        let limit = match timeout {
            Duration::MAX => Unbounded.into(),
            timeout => Limit::Within(timeout),
        };
        let (there, head_there) = (passing.clone(), head.clone());
        let ended = scope(name(&request), limit, async move |scope| {
            there.scope.replace(Some(scope.clone()));
            let answered = service.call(request).await;
            // Once it has ended, that is the answer, whatever the handler made of it.
            if let Some(end) = scope.end() {
                return Some(end);
            }
            let (parts, body) = match answered {
                Ok(response) => response.into_parts(),
                Err(error) => {
                    head_there.replace(Some(Err(error)));
                    return None;
                }
            };
            let is_all = body.is_end_stream();
            head_there.replace(Some(Ok(Head { parts, is_all })));
            if is_all { None } else { there.pass(scope, body).await }
        });
        let run = async move {
            match ended.await {
                Ok(end) => end,
                Err(error) => end_of(error),
            }
        };
        Answering { refused: None, call: Some(Call { run: Some(Box::pin(run)), passing }), head }
    }
}

fn end_of(error: ScopeError<Option<ScopeEnd>>) -> Option<ScopeEnd> {
    error.end().cloned()
}

/// The path, as far as it is fit for a name.
fn name<A>(request: &Request<A>) -> String {
    let mut path = request.uri().path().to_owned();
    // A path is of ASCII.
    path.truncate(NAME_MAX);
    path
}

impl Passing {
    /// Hands on the parts of a body, one each time that one is asked for.
    async fn pass<B>(&self, scope: &Scope, body: B) -> Option<ScopeEnd>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let mut body = pin!(body);
        loop {
            let next = poll_fn(|cx| match self.wanted.get() {
                true => body.as_mut().poll_frame(cx),
                // Whoever asks polls it.
                false => Poll::Pending,
            });
            let part = next.await?;
            let is_last = !matches!(&part, Ok(frame) if frame.is_data());
            if is_last
                && let Some(end) = scope.end()
                && !is_of_success(&part)
            {
                return Some(end);
            }
            self.wanted.set(false);
            self.part.replace(Some(part.map_err(Into::into)));
            if is_last {
                return None;
            }
        }
    }
}

/// Whether these are the trailers of a call that has succeeded.
fn is_of_success<E>(part: &Result<Frame<Bytes>, E>) -> bool {
    let Ok(frame) = part else { return false };
    let status = frame.trailers_ref().and_then(|trailers| trailers.get("grpc-status"));
    status.is_some_and(|status| status == "0")
}

impl Call {
    /// The scope's end, once it is over.
    fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<Option<ScopeEnd>> {
        let Some(run) = &mut self.run else { return Poll::Ready(None) };
        let ended = std::task::ready!(run.as_mut().poll(cx));
        self.run = None;
        Poll::Ready(ended)
    }

    /// The next part of the body; or how the scope has ended before there was one.
    pub(super) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, ScopeEnd>> {
        self.passing.wanted.set(true);
        let ended = self.poll_run(cx);
        if let Some(part) = self.passing.part.take() {
            return Poll::Ready(Ok(Some(part)));
        }
        ended.map(|end| end.map_or(Ok(None), Err))
    }

    pub(super) fn is_over(&self) -> bool {
        self.run.is_none()
    }
}

impl Drop for Call {
    /// Nobody waits for the answer any more: what is in the scope is told, and gets to see it.
    fn drop(&mut self) {
        let (Some(run), Some(scope)) = (self.run.take(), self.passing.scope.take()) else { return };
        scope.cancel(GONE);
        if RuntimeId::current().is_some() {
            drop(spawn_named("grpc call given up", run));
        }
    }
}

/// What a client is told of a call whose scope has ended.
pub(super) fn status_of(end: &ScopeEnd) -> Status {
    match end {
        ScopeEnd::Elapsed(_) => Status::deadline_exceeded("the deadline of the call has passed"),
        ScopeEnd::Cancelled(cause) => Status::cancelled(format!("the call was cancelled: {cause}")),
        _ => Status::unavailable("the server is shutting down"),
    }
}

impl<E: 'static> Future for Answering<E> {
    type Output = Result<Response<CallBody>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(status) = self.refused.take() {
            return Poll::Ready(Ok(status.into_http()));
        }
        let Some(call) = &mut self.call else { panic!("a future was polled after it was over") };
        let ended = call.poll_run(cx);
        let call_is_over = call.is_over();
        let head = self.head.take();
        let call = match (head, ended) {
            (None, Poll::Pending) => return Poll::Pending,
            (None, Poll::Ready(end)) => {
                let status = end.map_or_else(
                    || Status::internal("the handler gave no answer"),
                    |end| status_of(&end),
                );
                self.call = None;
                return Poll::Ready(Ok(status.into_http()));
            }
            (Some(Err(error)), _) => {
                self.call = None;
                return Poll::Ready(Err(error));
            }
            (Some(Ok(head)), _) => (head, self.call.take()),
        };
        let (Head { parts, is_all }, call) = call;
        let body = match call.filter(|_| !is_all && !call_is_over) {
            Some(call) => CallBody::of(call),
            None => CallBody::default(),
        };
        Poll::Ready(Ok(Response::from_parts(parts, body)))
    }
}

impl<E> fmt::Debug for Answering<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering").finish_non_exhaustive()
    }
}
