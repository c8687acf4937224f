//! The server's side of a call: a scope with the deadline that the client has sent.

mod body;
mod call;

use std::any::Any;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use punctual_reactor::Instant;
use tonic::Status;
use tower_service::Service;

pub use body::CallBody;
pub use call::Answering;

use super::timeout::timeout_in;
use crate::http::{HttpService, Limits, RequestInfo, Serve, ServerTimeouts};
use crate::io::Throughput;
use crate::socket::transport::ListenerTransport;
use crate::stream::Listener;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long a call may take that says nothing itself.
const DEFAULT: Duration = Duration::from_secs(300);
/// How long a call may take, whatever it says.
const LONGEST: Duration = Duration::from_secs(3600);
/// How long after a call's deadline its stream is reset, if the client does not even take that its time is over.
const GRACE: Duration = Duration::from_secs(1);

/// Serves gRPC on `listener`: any services of tonic's, as `tonic::service::Routes`, each call under a [`DeadlineLayer`].
///
/// It is [`http::serve`](crate::http::serve()) with what a stream of messages may do: be silent, and be long. The phases of a request's
/// body, and its total time and size, are bounded by the deadline of the call and the limits of tonic's, instead. Everything else is
/// as there: handshake, first byte, headers, stalled writes, limits, and the drain.
///
/// ```no_run
/// # async fn run(routes: tonic::service::Routes) -> Result<(), punctual_net::Error> { Ok(()) }
/// # #[derive(Clone)] struct Routes;
/// # impl tower_service::Service<http::Request<punctual_net::http::Body>> for Routes {
/// #     type Response = http::Response<tonic::body::Body>; type Error = std::convert::Infallible; type Future = std::future::Ready<Result<Self::Response, Self::Error>>;
/// #     fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> { unimplemented!() }
/// #     fn call(&mut self, _: http::Request<punctual_net::http::Body>) -> Self::Future { unimplemented!() }
/// # }
/// # async fn serve(routes: Routes) -> Result<(), punctual_net::Error> {
/// use punctual_net::{TcpListener, grpc};
///
/// let listener = TcpListener::bind("127.0.0.1:50051")?;
/// grpc::serve(listener, routes).await?;
/// # Ok(()) }
/// ```
pub fn serve<S, B, T>(listener: Listener<T>, service: S) -> Serve<Deadlines<S>, T>
where
    S: Service<Request<crate::http::Body>, Response = Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    S::Future: 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
    T: ListenerTransport,
    Deadlines<S>: HttpService,
{
    serve_with(listener, service, DeadlineLayer::new())
}

/// As [`serve`], with deadlines of one's own.
pub fn serve_with<S, B, T>(
    listener: Listener<T>,
    service: S,
    deadlines: DeadlineLayer,
) -> Serve<Deadlines<S>, T>
where
    S: Service<Request<crate::http::Body>, Response = Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    S::Future: 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
    T: ListenerTransport,
    Deadlines<S>: HttpService,
{
    // tonic's handlers see no body.
    let serve = crate::http::serve(listener, deadlines.layer(service)).info_in_extensions();
    serve.timeouts(timeouts()).limits(limits())
}

/// Those of [`serve`]: a request's body may be silent, and goes on for as long as its call.
#[must_use]
pub fn timeouts() -> ServerTimeouts {
    let body_rate = Throughput::per_second(0);
    let (body_idle, total) = (Duration::MAX, Duration::MAX);
    ServerTimeouts { body_idle, body_rate, total, ..ServerTimeouts::default() }
}

/// Those of [`serve`]: a request's body may be of any length (tonic bounds each message, by 4 MiB unless told otherwise), and a
/// connection is as good for its thousandth call as for its first.
#[must_use]
pub fn limits() -> Limits {
    Limits { body: u64::MAX, requests_per_connection: u64::MAX, ..Limits::default() }
}

/// Gives each call of a gRPC service a [scope](punctual_reactor::scope) with the deadline that its client has sent as `grpc-timeout`.
///
/// Handler and response are polled in it, so that whatever they wait for ends with it, and the calls that they make by a
/// [`Channel`](super::Channel) send on what is left. It is called by the path of the method.
///
/// | what happens | to what is in the scope | to the client |
/// |---|---|---|
/// | the deadline passes, before the response or in the midst of it | it ends as by every scope's deadline | `DEADLINE_EXCEEDED`, in the trailers; a client that takes nothing has its stream reset 1 s later |
/// | the client resets the call, or its connection ends | it is cancelled: sees it, is polled once more, and dropped but for its [shields](punctual_reactor::shield) | nothing: it is gone |
/// | the scope around the server is cancelled | it is cancelled | `CANCELLED` |
/// | `grpc-timeout` cannot be read | it never begins | `INTERNAL`, as grpc-go has it |
/// | `grpc-timeout` is 0 | it never begins | `DEADLINE_EXCEEDED` |
///
/// A call that sends no `grpc-timeout` gets the [default](DeadlineLayer::default_timeout), and none gets more than the
/// [longest](DeadlineLayer::longest). A service whose streams have no end sets both to [`Duration::MAX`].
///
/// Handlers of tonic's must be `Send`, and futures of this runtime are not: await them by [`send_future`](punctual_reactor::send_future).
#[derive(Clone, Copy, Debug)]
pub struct DeadlineLayer {
    default: Duration,
    longest: Duration,
}

impl DeadlineLayer {
    /// With the defaults.
    #[must_use]
    pub const fn new() -> DeadlineLayer {
        DeadlineLayer { default: DEFAULT, longest: LONGEST }
    }

    /// For calls that send no `grpc-timeout`: 5 min by default.
    #[must_use]
    pub const fn default_timeout(self, timeout: Duration) -> DeadlineLayer {
        DeadlineLayer { default: timeout, ..self }
    }

    /// The most that any call gets, whatever it sends: 1 h by default.
    #[must_use]
    pub const fn longest(self, longest: Duration) -> DeadlineLayer {
        DeadlineLayer { longest, ..self }
    }

    /// Around `service`.
    pub fn layer<S>(&self, service: S) -> Deadlines<S> {
        Deadlines { service, layer: *self }
    }
}

impl Default for DeadlineLayer {
    fn default() -> DeadlineLayer {
        DeadlineLayer::new()
    }
}

impl<S> tower_layer::Layer<S> for DeadlineLayer {
    type Service = Deadlines<S>;

    fn layer(&self, service: S) -> Deadlines<S> {
        DeadlineLayer::layer(self, service)
    }
}

/// A service under a [`DeadlineLayer`].
#[derive(Clone, Debug)]
pub struct Deadlines<S> {
    service: S,
    layer: DeadlineLayer,
}

impl<S, A, B> Service<Request<A>> for Deadlines<S>
where
    S: Service<Request<A>, Response = Response<B>> + Clone + 'static,
    S::Future: 'static,
    A: 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<CallBody>;
    type Error = S::Error;
    type Future = Answering<S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Answering<S::Error> {
        let timeout = match timeout_in(request.headers()) {
            Ok(sent) => sent.unwrap_or(self.layer.default).min(self.layer.longest),
            Err(bad) => return Answering::refused(Status::internal(bad.to_string())),
        };
        if timeout.is_zero() {
            return Answering::refused(Status::deadline_exceeded("no time was left when the call came"));
        }
        let in_body = || (request.body() as &dyn Any).downcast_ref().map(crate::http::Body::info);
        if let Some(info) = request.extensions().get::<RequestInfo>().or_else(in_body) {
            info.set_deadline(Instant::now() + timeout + GRACE);
        }
        // What is ready is this one; the clone is for the next.
        let next = self.service.clone();
        let ready = std::mem::replace(&mut self.service, next);
        Answering::begin(ready, request, timeout)
    }
}
