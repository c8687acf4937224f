//! [`service_fn`], and what [`serve`](super::serve) runs.

use std::error::Error as StdError;
use std::future::Future;
use std::task::{Context, Poll};

use ::http::{Request, Response};
use ::http_body::Body as HttpBody;
use tower_service::Service;

use super::body::Body;

pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// What [`serve`](super::serve) runs: every [`tower_service::Service`] of requests with our [`Body`] is one that can be
/// cloned and answers with any [`http_body::Body`]. It need not be `Send`.
///
/// It is another name for such services, and implemented for all of them.
pub trait HttpService:
    Service<
        Request<Body>,
        Response = Response<Self::ResponseBody>,
        Error = Self::ServiceError,
        Future = Self::ServiceFuture,
    > + Clone
    + 'static
{
    /// The body of its responses.
    type ResponseBody: HttpBody<Data = Self::ResponseData, Error = Self::BodyError> + 'static;
    /// What that consists of.
    type ResponseData: bytes::Buf + 'static;
    /// Why such a body may break off.
    type BodyError: Into<BoxError>;
    /// Why it may have no response. The client is told 500, and nothing else.
    type ServiceError: Into<BoxError>;
    /// Handles one request.
    type ServiceFuture: Future<Output = Result<Response<Self::ResponseBody>, Self::ServiceError>>
        + 'static;
}

impl<S, B> HttpService for S
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    S::Future: 'static,
    B: HttpBody + 'static,
    B::Data: 'static,
    B::Error: Into<BoxError>,
{
    type ResponseBody = B;
    type ResponseData = B::Data;
    type BodyError = B::Error;
    type ServiceError = S::Error;
    type ServiceFuture = S::Future;
}

/// A service of an asynchronous function.
///
/// ```
/// use std::convert::Infallible;
/// use http::{Request, Response};
/// use punctual_net::http::{Body, service_fn};
///
/// let hello = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new("hello\n".to_owned())));
/// # let _ = hello;
/// ```
///
/// What it captures is cloned with it, once a connection; a function that borrows of what it captured over an await is to
/// clone that first: `move |request| { let state = state.clone(); async move { … } }`.
pub fn service_fn<F, R>(function: F) -> ServiceFn<F>
where
    F: FnMut(Request<Body>) -> R,
    R: Future,
{
    ServiceFn { function }
}

/// Made by [`service_fn`].
#[derive(Clone, Copy, Debug)]
pub struct ServiceFn<F> {
    function: F,
}

impl<F, R, B, E> Service<Request<Body>> for ServiceFn<F>
where
    F: FnMut(Request<Body>) -> R,
    R: Future<Output = Result<Response<B>, E>>,
{
    type Response = Response<B>;
    type Error = E;
    type Future = R;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> R {
        (self.function)(request)
    }
}
