//! [`Answering`]: one request on its way through the service.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use ::http::header::{self, HeaderValue};
use ::http::{Method, Request, Response, StatusCode, Version};
use ::http_body::Body as HttpBody;
use ::hyper::body::Incoming;
use pin_project_lite::pin_project;

use super::access::Access;
use super::body::{Body, Fate, Watch};
use super::content::Content;
use super::info::{RequestInfo, Shared};
use super::progress::Progress;
use super::refusal;
use super::service::{BoxError, HttpService};
use super::spares::Spares;
use super::stream::StreamState;

/// The service of one connection, as hyper calls it.
pub(super) struct Adapter<S: HttpService>(Rc<Desk<S>>);

/// What the requests of a connection have in common.
struct Desk<S: HttpService> {
    /// Of [`tower_service`]: what was found ready is what is called.
    service: RefCell<S>,
    progress: Rc<Progress>,
    /// The places of requests before, for the next ones. Requests are large, and so are the futures of handlers: they are put
    /// where they stay, and hyper moves but a pointer.
    spares: Spares<Pin<Box<Flight<S>>>>,
}

impl<S: HttpService> Adapter<S> {
    pub(super) fn new(service: S, progress: &Rc<Progress>) -> Adapter<S> {
        let (service, progress) = (RefCell::new(service), progress.clone());
        Adapter(Rc::new(Desk { service, progress, spares: Spares::default() }))
    }
}

impl<S: HttpService> ::hyper::service::Service<Request<Incoming>> for Adapter<S> {
    type Response = Response<Content<S::ResponseBody>>;
    type Error = Infallible;
    type Future = Answering<S>;

    /// Requests are large: this is to be a part of what calls it, so that they are not moved on their way.
    #[inline]
    fn call(&self, request: Request<Incoming>) -> Answering<S> {
        let mut come = Some(request);
        Answering { flight: self.0.take_off(&mut come), desk: self.0.clone() }
    }
}

/// A request that has come, and what is to be beside its body.
struct Come<'a> {
    request: &'a mut Option<Request<Incoming>>,
    body: Option<(RequestInfo, Option<Box<Watch>>)>,
}

impl Come<'_> {
    /// The request as its handler is to have it.
    #[inline]
    fn take(&mut self) -> Option<Request<Body>> {
        let (info, watch) = self.body.take()?;
        self.request.take().map(|request| request.map(|incoming| Body::new(incoming, info, watch)))
    }
}

impl<S: HttpService> Desk<S> {
    /// Begins to answer a request, which is there.
    #[inline(never)]
    fn take_off(&self, come: &mut Option<Request<Incoming>>) -> Option<Pin<Box<Flight<S>>>> {
        let progress = &self.progress;
        let stream = progress.multiplexed.get().then(|| StreamState::announce(progress));
        let shared: &Arc<Shared> = stream.as_ref().map_or(&progress.shared, |stream| &stream.shared);
        let info = shared.begin();
        let request = come.as_mut()?;
        let has_body = !HttpBody::is_end_stream(request.body());
        let last = progress.handling(has_body);
        let site = &progress.site;
        let access = Access::of(request, progress.shared.client());
        let version = request.version();
        // hyper sees to it for HTTP/1 alone.
        let silent = version == Version::HTTP_2 && *request.method() == Method::HEAD;
        let refused = refusal::of(request, has_body, progress);
        if site.info_in_extensions {
            request.extensions_mut().insert(info.clone());
        }
        let watch = has_body.then(|| Watch::new(&site.timeouts, site.limits.body, &info));
        let fate = watch.as_ref().map(|watch| watch.fate.clone());
        if let (Some(fate), None) = (&fate, &stream) {
            progress.body.replace(Some(fate.clone()));
        }
        let mut flight = self.spares.take().unwrap_or_else(|| Box::pin(Flight::default()));
        let at = flight.as_mut().project();
        let under_way = at.under_way.insert(UnderWay { progress: progress.clone(), stream, access });
        *at.fate = fate;
        // Only what came over HTTP/1 is told by a header that it was the last.
        *at.close = (last || refused.is_some()) && version < Version::HTTP_2;
        (*at.version, *at.silent) = (version, silent);
        match refused {
            Some(status) => *at.state = State::Refused { status },
            None => {
                let mut come = Come { request: come, body: Some((info, watch)) };
                self.call(&mut come, at.state, at.future, under_way);
            }
        }
        Some(flight)
    }

    /// Calls the service if it is ready at once, as most always are.
    fn call(
        &self,
        come: &mut Come<'_>,
        state: &mut State<S>,
        mut future: Pin<&mut Option<S::ServiceFuture>>,
        under_way: &UnderWay,
    ) {
        // Otherwise it calls its own connection: not through this.
        let Ok(mut service) = self.service.try_borrow_mut() else { return };
        let mut cx = Context::from_waker(Waker::noop());
        // Nothing large goes in or out of it: that would be copied on the way.
        let caught = catch_unwind(AssertUnwindSafe(|| match service.poll_ready(&mut cx) {
            Poll::Ready(Ok(())) => {
                if let Some(request) = come.take() {
                    future.set(Some(service.call(request)));
                }
            }
            Poll::Ready(Err(error)) => failed(&error.into()),
            Poll::Pending => {
                // The one that was asked is the one to wait for.
                let fresh = service.clone();
                let asked = std::mem::replace(&mut *service, fresh);
                *state = State::Waiting { service: asked, request: come.take().map(Box::new) };
            }
        }));
        if caught.is_err() {
            under_way.panicked();
        }
    }
}

fn failed(error: &BoxError) {
    tracing::error!(target: super::TARGET, %error, "a service failed; the client is told 500");
}

/// A request under way; dropped with the last of its response, or when it is given up.
pub(super) struct UnderWay {
    progress: Rc<Progress>,
    stream: Option<Rc<StreamState>>,
    access: Access,
}

impl UnderWay {
    /// No more is served on a connection on which a handler has panicked.
    pub(super) fn panicked(&self) {
        self.progress.last.set(true);
        tracing::error!(target: super::TARGET, "a handler panicked; the client is told 500");
    }

    /// Whether what is under way is being written, and if so, whether the client is waited for.
    pub(super) fn writes(&self, client_is_waited_for: bool) {
        if let Some(stream) = &self.stream {
            stream.writes(client_is_waited_for);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.progress.answered();
    }
}

/// One request, until there is a response to it.
pub(super) struct Answering<S: HttpService> {
    flight: Option<Pin<Box<Flight<S>>>>,
    desk: Rc<Desk<S>>,
}

impl<S: HttpService> Drop for Answering<S> {
    fn drop(&mut self) {
        let Some(mut flight) = self.flight.take() else { return };
        let mut at = flight.as_mut().project();
        at.future.set(None);
        (*at.state, *at.under_way, *at.fate) = (State::Called, None, None);
        self.desk.spares.keep(flight);
    }
}

pin_project! {
    struct Flight<S: HttpService> {
        // The handler, once it is called; it is first of all: a request that is answered at once has nothing else.
        #[pin]
        future: Option<S::ServiceFuture>,
        state: State<S>,
        under_way: Option<UnderWay>,
        fate: Option<Arc<Fate>>,
        close: bool,
        version: Version,
        silent: bool,
    }
}

impl<S: HttpService> Default for Flight<S> {
    fn default() -> Flight<S> {
        let (future, under_way, fate, close, silent) = Default::default();
        let (state, version) = (State::Called, Version::HTTP_11);
        Flight { future, state, under_way, fate, close, version, silent }
    }
}

/// What is to be done with a request before it is handled.
enum State<S> {
    /// The service is called, unless it has failed in that.
    Called,
    Waiting {
        service: S,
        request: Option<Box<Request<Body>>>,
    },
    Refused {
        status: StatusCode,
    },
}

impl<S: HttpService> Future for Answering<S> {
    type Output = Result<Response<Content<S::ResponseBody>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut answer = Poll::Pending;
        if let Some(flight) = &mut self.flight {
            flight.as_mut().poll(cx, &mut answer);
        }
        answer
    }
}

/// The response to a request. It is large, and written where it stays.
type Answer<S> = Result<Response<Content<<S as HttpService>::ResponseBody>>, Infallible>;

impl<S: HttpService> Flight<S> {
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, answer: &mut Poll<Answer<S>>) {
        let this = self.project();
        // Without it, this is polled after it was ready.
        let Some(under_way) = this.under_way.as_ref() else { return };
        poll_handler(this.future, this.state, under_way, cx, answer);
        let Poll::Ready(Ok(response)) = answer else { return };
        let Some(under_way) = this.under_way.take() else { return };
        let broken = this.fate.as_ref().and_then(|fate| fate.status());
        if let Some(status) = broken.filter(|_| is_failure(response.status())) {
            // What the client did wrong is said in one way, whatever the handler made of it.
            *response = empty(status);
        }
        let close = *this.close || broken.is_some() || under_way.progress.last.get();
        if close && *this.version < Version::HTTP_2 {
            under_way.progress.last.set(true);
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if *this.silent {
            silence(response);
        }
        under_way.progress.responds.set(true);
        under_way.access.answered(response.status());
        if response.body().body.as_ref().is_some_and(|body| !body.is_end_stream()) {
            under_way.writes(false);
            response.body_mut().under_way = Some(under_way);
        }
    }
}

/// Leaves the headers as they are with a body, and has none (RFC 9110, section 9.3.2).
fn silence<B: HttpBody>(response: &mut Response<Content<B>>) {
    let body = response.body_mut();
    let length = body.body.take().and_then(|body| body.size_hint().exact());
    body.silent = true;
    if let Some(length) = length.filter(|_| !response.headers().contains_key(header::CONTENT_LENGTH)) {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
}

fn is_failure(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

fn empty<B: HttpBody>(status: StatusCode) -> Response<Content<B>> {
    let mut response = Response::new(Content::default());
    *response.status_mut() = status;
    response
}

fn poll_handler<S: HttpService>(
    future: Pin<&mut Option<S::ServiceFuture>>,
    state: &mut State<S>,
    under_way: &UnderWay,
    cx: &mut Context<'_>,
    answer: &mut Poll<Answer<S>>,
) {
    let _entered = under_way.access.enter();
    let caught = catch_unwind(AssertUnwindSafe(|| *answer = poll_state(future, state, cx)));
    if caught.is_err() {
        under_way.panicked();
        *answer = Poll::Ready(Ok(empty(StatusCode::INTERNAL_SERVER_ERROR)));
    }
}

fn poll_state<S: HttpService>(
    mut future: Pin<&mut Option<S::ServiceFuture>>,
    state: &mut State<S>,
    cx: &mut Context<'_>,
) -> Poll<Answer<S>> {
    loop {
        if let Some(called) = future.as_mut().as_pin_mut() {
            return called.poll(cx).map(|answer| match answer {
                Ok(response) => Ok(response.map(Content::of)),
                Err(error) => {
                    failed(&error.into());
                    Ok(empty(StatusCode::INTERNAL_SERVER_ERROR))
                }
            });
        }
        match state {
            State::Refused { status } => return Poll::Ready(Ok(empty(*status))),
            State::Called => return Poll::Ready(Ok(empty(StatusCode::INTERNAL_SERVER_ERROR))),
            State::Waiting { service, request } => {
                let asked = ready!(service.poll_ready(cx)).map_err(|error| failed(&error.into()));
                if let (Ok(()), Some(request)) = (asked, request.take()) {
                    future.set(Some(service.call(*request)));
                }
                *state = State::Called;
            }
        }
    }
}
