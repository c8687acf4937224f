//! One call: from the request to the headers of its response.

use std::sync::Arc;
use std::time::Duration;

use ::hyper::body::Incoming;
use ::hyper::client::conn::TrySendError;
use http::{HeaderValue, Request, Response, Uri, header};
use punctual_reactor::{Instant, enclosing, in_scope_as, timeout_at};
use tonic::{Code, Status};

use super::Shared;
use super::body::{Receiving, ResponseBody};
use super::connection::Connection;
use super::headers::{refused, without_bad_details};
use super::request::{RequestBody, Sending, linked};
use crate::error::{Error, Phase};
use crate::grpc::status::{is_cancel_of_peer, not_connected, of_hyper};
use crate::grpc::timeout::{GRPC_TIMEOUT, encode_timeout, timeout_in};
use crate::grpc::times::Deadlines;
use crate::phase::Bounds;

/// How often a call is tried on a new connection that was not sent on the one before.
const ATTEMPTS: usize = 3;

pub(super) async fn run(
    shared: Arc<Shared>,
    request: Request<tonic::body::Body>,
    began: Instant,
) -> Result<Response<ResponseBody>, Status> {
    let timeouts = request.extensions().get().copied().unwrap_or(shared.timeouts);
    let own = timeout_in(request.headers()).map_err(|bad| Status::internal(bad.to_string()))?;
    let deadlines = Deadlines::new(timeouts, began, own, shared.made_at);
    let (request, sending) = prepare(&shared, request)?;
    let mut next = Some(request);
    for _ in 0..ATTEMPTS {
        let connection = connected(&shared, &deadlines).await?;
        let probe = connection.probe;
        let Some(request) = next.take() else { break };
        match exchange(&shared, &deadlines, connection, request, &sending).await? {
            Exchange::Answered(response) => {
                let receiving = |incoming| {
                    Receiving::new(incoming, sending, probe, shared.endpoint.clone(), deadlines)
                };
                return answered(response, receiving);
            }
            Exchange::NotSent(request) => next = Some(*request),
        }
    }
    Err(Status::unavailable(format!("{}: connections close before a call is sent", shared.endpoint)))
}

/// The connection, by the end of the whole.
async fn connected(shared: &Shared, deadlines: &Deadlines) -> Result<Connection, Status> {
    let late = |before_it_began| {
        deadlines.over(Phase::Connect, before_it_began).with_target(shared.endpoint.clone())
    };
    if deadlines.whole.deadline <= Instant::now() {
        return Err(late(true).tell().into());
    }
    let wait = in_scope_as("grpc-connect", shared.connector.connection());
    match timeout_at(deadlines.whole.deadline, wait).await {
        Ok(Ok(Ok(connection))) => Ok(connection),
        Ok(Ok(Err(error))) => Err(not_connected(&error)),
        Ok(Err(failure)) => {
            let error = Error::failed(Phase::Connect, failure).with_target(shared.endpoint.clone());
            Err(error.tell().into())
        }
        Err(elapsed) => {
            let fired = elapsed.firing().fired;
            let error = late(false).with_deadline(|info| info.fired = fired);
            Err(error.fired_as(elapsed.firing()).tell().into())
        }
    }
}

/// The request as it is sent, but for the time that it has.
fn prepare(
    shared: &Shared,
    request: Request<tonic::body::Body>,
) -> Result<(Request<RequestBody>, Sending), Status> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.into_parts().path_and_query;
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(shared.scheme.clone());
    uri.authority = Some(shared.authority.clone());
    uri.path_and_query = path;
    parts.uri = Uri::from_parts(uri).map_err(|error| Status::internal(error.to_string()))?;
    parts.version = http::Version::HTTP_2;
    parts.headers.remove(GRPC_TIMEOUT);
    parts.headers.entry(header::USER_AGENT).or_insert_with(|| shared.user_agent.clone());
    parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let (body, sending) = linked(body);
    Ok((Request::from_parts(parts, body), sending))
}

enum Exchange {
    Answered(Response<Incoming>),
    /// The connection closed before: nothing of the request was sent.
    NotSent(Box<Request<RequestBody>>),
}

/// Sends the request and awaits the headers of its response, as one phase.
async fn exchange(
    shared: &Shared,
    deadlines: &Deadlines,
    mut connection: Connection,
    mut request: Request<RequestBody>,
    sending: &Sending,
) -> Result<Exchange, Status> {
    // By the whole, and by what is around: a scope, a timeout.
    let until = deadlines.whole.deadline.min(enclosing().until());
    let bounds = Bounds::of(Phase::GrpcHeader).limit(deadlines.header());
    let bounds = bounds.endpoint(shared.endpoint.clone()).probe(connection.probe);
    let exchange = async {
        if until != Instant::FAR_FUTURE {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
            request.headers_mut().extend(encode_timeout(left).map(|left| (GRPC_TIMEOUT, left)));
        }
        match connection.sender.try_send_request(request).await {
            Ok(response) => Ok(Exchange::Answered(response)),
            Err(error) => not_answered(error, deadlines, sending),
        }
    };
    bounds.run(exchange).await
}

fn not_answered(
    mut error: TrySendError<Request<RequestBody>>,
    deadlines: &Deadlines,
    sending: &Sending,
) -> Result<Exchange, Status> {
    if let Some(request) = error.take_message() {
        return Ok(Exchange::NotSent(Box::new(request)));
    }
    let error = error.into_error();
    Err(ended(error, deadlines, Phase::GrpcHeader, sending))
}

/// What a stream has ended with that had no trailers.
pub(super) fn ended(
    error: hyper::Error,
    deadlines: &Deadlines,
    phase: Phase,
    sending: &Sending,
) -> Status {
    // The client's own stream is why the request was cut off.
    if let Some(failed) = sending.failed() {
        return failed;
    }
    // Servers reset a call whose time is over: it is our own deadline that they tell of, if it has passed here too.
    if deadlines.whole.deadline <= Instant::now() && is_cancel_of_peer(&error) {
        return deadlines.over(phase, false).into();
    }
    of_hyper(error)
}

/// The headers have come.
fn answered(
    response: Response<Incoming>,
    receiving: impl FnOnce(Incoming) -> Receiving,
) -> Result<Response<ResponseBody>, Status> {
    let (mut parts, incoming) = response.into_parts();
    without_bad_details(&mut parts.headers);
    match refused(parts.status, &parts.headers) {
        Some(status) => Err(status),
        None => {
            let has_status = parts.headers.contains_key(super::headers::GRPC_STATUS);
            let body = ResponseBody::of(receiving(incoming), has_status);
            Ok(Response::from_parts(parts, body))
        }
    }
}

/// The status of a response that ended without one.
pub(super) fn without_status(was_reset: bool) -> Status {
    match was_reset {
        true => Status::new(Code::Internal, "the stream was reset without a status (NO_ERROR)"),
        false => Status::new(Code::Unknown, "the response ended without a grpc-status"),
    }
}
