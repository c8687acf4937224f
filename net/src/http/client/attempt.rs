//! [`Attempt`]: one request on one connection, phase by phase.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use punctual_reactor::{Instant, sleep_until};

use crate::error::{Error, Kind, Phase};
use crate::phase::Bounds;

use super::Client;
use super::connection::{Connection, Sender};
use super::dial;
use super::exchange::Exchange;
use super::failure;
use super::origin::{self, Origin};
use super::request::Parts;
use super::retry::Ended;
use super::timeouts::Deadlines;
use super::upload::{Outgoing, RequestBody};

/// How long a server is waited for that has been asked whether it wants the body (RFC 9110, section 10.1.1).
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct Attempt<'a> {
    client: &'a Client,
    parts: &'a Parts,
    shown: &'a str,
    deadlines: &'a Deadlines,
    connection: Option<Rc<Connection>>,
    reused: bool,
    /// How it failed, for who decides whether it is tried again.
    pub(super) ended: Ended,
    /// The body, if it was given back unsent.
    pub(super) given_back: Option<RequestBody>,
}

/// The response that has begun.
pub(super) struct Sent {
    pub(super) response: Response<Incoming>,
    pub(super) connection: Rc<Connection>,
    pub(super) user: Arc<()>,
}

/// Gives up what an HTTP/1 connection is busy with when the request is, by closing it; and forgets the request.
struct Lease {
    connection: Rc<Connection>,
    exchange: Rc<Exchange>,
    done: bool,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.connection.forget(&self.exchange);
        if !self.done && !self.connection.http2 {
            self.connection.close();
        }
    }
}

type Answer = Result<Response<Incoming>, hyper::client::conn::TrySendError<Request<Outgoing>>>;

impl<'a> Attempt<'a> {
    pub(super) fn new(
        client: &'a Client,
        parts: &'a Parts,
        shown: &'a str,
        deadlines: &'a Deadlines,
    ) -> Self {
        Attempt {
            client,
            parts,
            shown,
            deadlines,
            connection: None,
            reused: false,
            ended: Ended::Other,
            given_back: None,
        }
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        Some(self.connection.as_ref()?.peer)
    }

    pub(super) fn reused(&self) -> bool {
        self.reused
    }

    /// Connects if need be, sends the request, and waits for the head of the response.
    pub(super) async fn run(&mut self, origin: &Origin, body: RequestBody) -> Result<Sent, Error> {
        let connection = self.connect(origin).await?;
        self.reused = connection.requests.get() > 0;
        connection.requests.set(connection.requests.get() + 1);
        self.connection = Some(connection.clone());
        let held_back = self.asks_first(&body);
        let exchange = Rc::new(Exchange::new(*self.deadlines, connection.written(), held_back));
        let request = self.request(&connection, body, &exchange)?;
        connection.begin(&exchange);
        let mut lease =
            Lease { connection: connection.clone(), exchange: exchange.clone(), done: false };
        let user = connection.users.clone();
        let sender = connection.sender.borrow_mut().take();
        let response = match sender {
            Some(Sender::Http1(mut sender)) => {
                let answer = sender.try_send_request(request);
                let response = self.exchange(&connection, &exchange, pin!(answer)).await?;
                *connection.sender.borrow_mut() = Some(Sender::Http1(sender));
                connection.wake_task();
                response
            }
            Some(Sender::Http2(mut sender)) => {
                *connection.sender.borrow_mut() = Some(Sender::Http2(sender.clone()));
                let answer = sender.try_send_request(request);
                self.exchange(&connection, &exchange, pin!(answer)).await?
            }
            None => return Err(self.failed(Error::new(Kind::Closed, Phase::Request))),
        };
        lease.done = true;
        Ok(Sent { response, connection: connection.clone(), user })
    }

    async fn connect(&self, origin: &Origin) -> Result<Rc<Connection>, Error> {
        let limit = self.deadlines.connect();
        let config = self.client.config();
        dial::dial(config, origin, config.prior_knowledge, self.deadlines, limit).await
    }

    /// Sends it and waits, each under its deadline.
    async fn exchange(
        &mut self,
        connection: &Connection,
        exchange: &Exchange,
        mut answer: Pin<&mut impl Future<Output = Answer>>,
    ) -> Result<Response<Incoming>, Error> {
        let early = Bounds::of(Phase::Request)
            .moving(exchange.limit())
            .endpoint(self.shown.to_owned())
            .peer(connection.peer)
            .explained_by(connection)
            .run(self.sending(connection, exchange, answer.as_mut()))
            .await?;
        if let Some(response) = early {
            return Ok(response);
        }
        Bounds::of(self.deadlines.head)
            .limit(self.deadlines.first_byte())
            .endpoint(self.shown.to_owned())
            .peer(connection.peer)
            .explained_by(connection)
            .run(self.waiting(connection, exchange, answer))
            .await
    }

    /// Until it is sent. A response may come before.
    async fn sending(
        &self,
        connection: &Connection,
        exchange: &Exchange,
        mut answer: Pin<&mut impl Future<Output = Answer>>,
    ) -> Result<Option<Response<Incoming>>, Error> {
        let mut patience =
            exchange.is_held_back().then(|| sleep_until(Instant::now() + CONTINUE_TIMEOUT));
        poll_fn(|cx| {
            if exchange.poll_sent(cx).is_ready() {
                return Poll::Ready(Ok(None));
            }
            if let Some(sleep) = &mut patience
                && Pin::new(sleep).poll(cx).is_ready()
            {
                patience = None;
                exchange.release_body();
            }
            self.poll_answer(connection, exchange, cx, answer.as_mut()).map_ok(Some)
        })
        .await
    }

    async fn waiting(
        &self,
        connection: &Connection,
        exchange: &Exchange,
        mut answer: Pin<&mut impl Future<Output = Answer>>,
    ) -> Result<Response<Incoming>, Error> {
        poll_fn(|cx| {
            let _ = exchange.poll_sent(cx);
            self.poll_answer(connection, exchange, cx, answer.as_mut())
        })
        .await
    }

    fn poll_answer(
        &self,
        connection: &Connection,
        exchange: &Exchange,
        cx: &mut std::task::Context<'_>,
        answer: Pin<&mut impl Future<Output = Answer>>,
    ) -> Poll<Result<Response<Incoming>, Error>> {
        if exchange.is_flooded() {
            let why = "there were more than 5 interim responses (1xx)";
            let error = Error::new(Kind::LimitExceeded, self.deadlines.head);
            return Poll::Ready(Err(self.failed(error.because(std::io::Error::other(why)))));
        }
        let polled = match answer.poll(cx) {
            Poll::Ready(Ok(response)) => Ok(response),
            Poll::Ready(Err(failed)) => Err(self.failed(failure::explained(
                self.deadlines.head,
                failed.into_error(),
                connection,
            ))),
            Poll::Pending => return Poll::Pending,
        };
        Poll::Ready(polled)
    }

    fn failed(&self, error: Error) -> Error {
        let error = error.with_target(self.shown.to_owned());
        match &self.connection {
            Some(connection) => error.with_peer(connection.peer),
            None => error,
        }
    }

    /// Whether the server is asked before it is sent the body.
    fn asks_first(&self, body: &RequestBody) -> bool {
        let asks = self.parts.headers.get(header::EXPECT);
        !body.is_empty()
            && asks.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    }

    fn request(
        &self,
        connection: &Connection,
        body: RequestBody,
        exchange: &Rc<Exchange>,
    ) -> Result<Request<Outgoing>, Error> {
        let Parts { method, url, headers, .. } = self.parts;
        let length = body.length();
        let empty = body.is_empty();
        let mut request = Request::new(Outgoing::new(body, exchange.clone()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = origin::request_target(url, connection.http2)?;
        *request.headers_mut() = headers.clone();
        if connection.http2 {
            *request.version_mut() = http::Version::HTTP_2;
            request.headers_mut().remove(header::HOST);
        } else if !headers.contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, origin::host_header(url)?);
        }
        let wants_length = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
        let length = length.or((empty && wants_length).then_some(0));
        if let (Some(length), false) = (length, headers.contains_key(header::CONTENT_LENGTH)) {
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        let ticket = connection.ticket();
        hyper::ext::on_informational(&mut request, move |interim| {
            let exchange = ticket.find().and_then(|connection| connection.current());
            if let Some(exchange) = exchange {
                exchange.informed(interim.status().as_u16());
            }
        });
        Ok(request)
    }
}
