//! [`Answering`]: one request on its way through the service; [`Content`], the body of its response.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use ::http::header::{self, HeaderValue};
use ::http::{Method, Request, Response, StatusCode, Version};
use ::http_body::{Body as HttpBody, Frame, SizeHint};
use ::hyper::body::Incoming;
use bytes::Buf;
use pin_project_lite::pin_project;

use super::access::Access;
use super::body::{Body, Fate};
use super::info::Shared;
use super::piece::Piece;
use super::progress::Progress;
use super::refusal;
use super::service::{BoxError, HttpService};
use super::stream::StreamState;

/// The service of one connection, as hyper calls it.
pub(super) struct Adapter<S: HttpService>(Rc<Desk<S>>);

/// What the requests of a connection have in common.
struct Desk<S: HttpService> {
    /// Of [`tower_service`]: what was found ready is what is called.
    service: RefCell<S>,
    progress: Rc<Progress>,
    /// The place of the request before, for the next one. Requests are large, and so are the futures of handlers: they are put
    /// where they stay, and hyper moves but a pointer.
    spare: Cell<Option<Pin<Box<Flight<S>>>>>,
}

impl<S: HttpService> Adapter<S> {
    pub(super) fn new(service: S, progress: &Rc<Progress>) -> Adapter<S> {
        let (service, progress) = (RefCell::new(service), progress.clone());
        Adapter(Rc::new(Desk { service, progress, spare: Cell::new(None) }))
    }
}

impl<S: HttpService> ::hyper::service::Service<Request<Incoming>> for Adapter<S> {
    type Response = Response<Content<S::ResponseBody>>;
    type Error = std::convert::Infallible;
    type Future = Answering<S>;

    fn call(&self, mut request: Request<Incoming>) -> Answering<S> {
        let desk = &self.0;
        let progress = &desk.progress;
        let stream = progress.multiplexed.get().then(|| StreamState::announce(progress));
        let last = progress.handling(!HttpBody::is_end_stream(request.body()));
        let site = &progress.site;
        let access = Access::of(&request, progress.shared.client());
        let version = request.version();
        // hyper sees to it for HTTP/1 alone.
        let silent = version == Version::HTTP_2 && *request.method() == Method::HEAD;
        let refused = refusal::of(&request, progress);
        let shared: &Arc<Shared> = stream.as_ref().map_or(&progress.shared, |stream| &stream.shared);
        let info = shared.begin();
        if site.info_in_extensions {
            request.extensions_mut().insert(info.clone());
        }
        let mut fate = None;
        let mut request = Some(request.map(|incoming| {
            let (body, of_body) = Body::new(incoming, &site.timeouts, site.limits.body, info);
            fate = of_body;
            body
        }));
        if let (Some(fate), None) = (&fate, &stream) {
            progress.body.replace(Some(fate.clone()));
        }
        let mut flight = desk.spare.take().unwrap_or_else(|| Box::pin(Flight::default()));
        let mut at = flight.as_mut().project();
        let under_way = at.under_way.insert(UnderWay { progress: progress.clone(), stream, access });
        *at.fate = fate;
        // Only what came over HTTP/1 is told by a header that it was the last.
        *at.close = (last || refused.is_some()) && version < Version::HTTP_2;
        (*at.version, *at.silent) = (version, silent);
        match refused {
            Some(status) => at.state.set(State::Refused { status }),
            None => desk.call(&mut request, at.state, under_way),
        }
        Answering { flight: Some(flight), desk: desk.clone() }
    }
}

impl<S: HttpService> Desk<S> {
    /// Calls the service if it is ready at once, as most always are.
    fn call(
        &self,
        request: &mut Option<Request<Body>>,
        mut state: Pin<&mut State<S, S::ServiceFuture>>,
        under_way: &UnderWay,
    ) {
        let Ok(mut service) = self.service.try_borrow_mut() else {
            // It calls its own connection: not through this.
            return state.set(State::Failed);
        };
        let mut cx = Context::from_waker(Waker::noop());
        // Nothing large goes in or out of it: that would be copied on the way.
        let caught = catch_unwind(AssertUnwindSafe(|| match service.poll_ready(&mut cx) {
            Poll::Ready(Ok(())) => {
                if let Some(request) = request.take() {
                    state.set(State::Running { future: service.call(request) });
                }
            }
            Poll::Ready(Err(error)) => state.set(failed(&error.into())),
            Poll::Pending => {
                // The one that was asked is the one to wait for.
                let fresh = service.clone();
                let asked = std::mem::replace(&mut *service, fresh);
                state.set(State::Waiting { service: asked, request: request.take() });
            }
        }));
        if caught.is_err() {
            under_way.panicked();
            state.set(State::Failed);
        }
    }
}

fn failed<S, F>(error: &BoxError) -> State<S, F> {
    tracing::error!(target: super::TARGET, %error, "a service failed; the client is told 500");
    State::Failed
}

/// A request under way; dropped with the last of its response, or when it is given up.
pub(super) struct UnderWay {
    progress: Rc<Progress>,
    stream: Option<Rc<StreamState>>,
    access: Access,
}

impl UnderWay {
    /// No more is served on a connection on which a handler has panicked.
    fn panicked(&self) {
        self.progress.last.set(true);
        tracing::error!(target: super::TARGET, "a handler panicked; the client is told 500");
    }

    /// Whether what is under way is being written, and if so, whether the client is waited for.
    fn writes(&self, client_is_waited_for: bool) {
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
        at.state.set(State::Failed);
        (*at.under_way, *at.fate) = (None, None);
        self.desk.spare.set(Some(flight));
    }
}

pin_project! {
    struct Flight<S: HttpService> {
        #[pin]
        state: State<S, S::ServiceFuture>,
        under_way: Option<UnderWay>,
        fate: Option<Arc<Fate>>,
        close: bool,
        version: Version,
        silent: bool,
    }
}

impl<S: HttpService> Default for Flight<S> {
    fn default() -> Flight<S> {
        let (under_way, fate, close, silent) = Default::default();
        Flight { state: State::Failed, under_way, fate, close, version: Version::HTTP_11, silent }
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, F> {
        Waiting { service: S, request: Option<Request<Body>> },
        Running { #[pin] future: F },
        Refused { status: StatusCode },
        Failed,
    }
}

impl<S: HttpService> Future for Answering<S> {
    type Output = Result<Response<Content<S::ResponseBody>>, std::convert::Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(flight) = &mut self.flight else { return Poll::Pending };
        let this = flight.as_mut().project();
        let handled = ready!(match this.under_way {
            Some(under_way) => poll_handler(this.state, under_way, cx),
            None => return Poll::Pending, // polled after it was ready
        });
        let Some(under_way) = this.under_way.take() else { return Poll::Pending };
        let broken = this.fate.as_ref().and_then(|fate| fate.status());
        let mut response = match handled {
            Ok(response) if broken.is_none() || !is_failure(response.status()) => response
                .map(|body| Content { body: Some(body), silent: false, rest: None, under_way: None }),
            // What the client did wrong is said in one way, whatever the handler made of it.
            Ok(_) => empty(broken.unwrap_or(StatusCode::BAD_REQUEST)),
            Err(status) => empty(broken.unwrap_or(status)),
        };
        let close = *this.close || broken.is_some() || under_way.progress.last.get();
        if close && *this.version < Version::HTTP_2 {
            under_way.progress.last.set(true);
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if *this.silent {
            silence(&mut response);
        }
        under_way.progress.responds.set(true);
        under_way.access.answered(response.status());
        if response.body().body.as_ref().is_some_and(|body| !body.is_end_stream()) {
            under_way.writes(false);
            response.body_mut().under_way = Some(under_way);
        }
        Poll::Ready(Ok(response))
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
    let mut response = Response::new(Content { body: None, silent: false, rest: None, under_way: None });
    *response.status_mut() = status;
    response
}

/// The response of the handler, or the status that stands for it.
fn poll_handler<S: HttpService>(
    state: Pin<&mut State<S, S::ServiceFuture>>,
    under_way: &UnderWay,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<S::ResponseBody>, StatusCode>> {
    let _entered = under_way.access.enter();
    // Written where it stays, as above.
    let mut handled = Poll::Pending;
    let caught = catch_unwind(AssertUnwindSafe(|| handled = poll_state(state, cx)));
    if caught.is_err() {
        under_way.panicked();
        return Poll::Ready(Err(StatusCode::INTERNAL_SERVER_ERROR));
    }
    handled
}

fn poll_state<S: HttpService>(
    mut state: Pin<&mut State<S, S::ServiceFuture>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<S::ResponseBody>, StatusCode>> {
    loop {
        let called = match state.as_mut().project() {
            StateProjection::Running { future } => {
                return future.poll(cx).map_err(|error| {
                    let _: State<S, ()> = failed(&error.into());
                    StatusCode::INTERNAL_SERVER_ERROR
                });
            }
            StateProjection::Refused { status } => return Poll::Ready(Err(*status)),
            StateProjection::Failed => return Poll::Ready(Err(StatusCode::INTERNAL_SERVER_ERROR)),
            StateProjection::Waiting { service, request } => match ready!(service.poll_ready(cx)) {
                Err(error) => failed(&error.into()),
                Ok(()) => match request.take() {
                    Some(request) => State::Running { future: service.call(request) },
                    None => State::Failed,
                },
            },
        };
        state.set(called);
    }
}

/// `data` as it is handed over: a piece at a time.
fn piece_of<D: Buf>(data: D, rest: &mut Option<D>, under_way: Option<&UnderWay>) -> Frame<Piece<D>> {
    if let Some(stream) = under_way.and_then(|under_way| under_way.stream.as_ref()) {
        stream.writes(true);
    }
    let (piece, left) = Piece::first_of(data);
    *rest = left;
    Frame::data(piece)
}

pin_project! {
    /// The body of a response. hyper drops it when it has all of it.
    pub(super) struct Content<B: HttpBody> {
        #[pin]
        body: Option<B>,
        // Of a request for the headers alone, which say how long it would have been.
        silent: bool,
        // Of a part that was too large for one piece.
        rest: Option<B::Data>,
        under_way: Option<UnderWay>,
    }
}

impl<B> HttpBody for Content<B>
where
    B: HttpBody,
    B::Error: Into<BoxError>,
{
    type Data = Piece<B::Data>;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece<B::Data>>, BoxError>>> {
        let this = self.project();
        if let Some(data) = this.rest.take() {
            return Poll::Ready(Some(Ok(piece_of(data, this.rest, this.under_way.as_ref()))));
        }
        let Some(body) = this.body.as_pin_mut() else { return Poll::Ready(None) };
        let polled = catch_unwind(AssertUnwindSafe(|| body.poll_frame(cx)));
        if let Some(under_way) = &this.under_way {
            under_way.writes(polled.as_ref().is_ok_and(Poll::is_ready));
            if polled.is_err() {
                under_way.panicked();
            }
        }
        match polled {
            Ok(poll) => poll.map_err(Into::into).map_ok(|frame| match frame.into_data() {
                Ok(data) => piece_of(data, this.rest, this.under_way.as_ref()),
                // Trailers.
                Err(frame) => frame.map_data(Piece::Whole),
            }),
            Err(_) => Poll::Ready(Some(Err("the body of a response has panicked".into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None if self.silent => SizeHint::default(),
            None => SizeHint::with_exact(0),
        }
    }
}
