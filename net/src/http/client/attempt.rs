//! [`Attempt`]: one request on one connection, phase by phase.

use std::cell::{Cell, RefCell};
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
use punctual_reactor::{Instant, sleep_until, yield_now};

use crate::error::{Error, Kind, Phase};
use crate::phase::Bounds;

use super::Client;
use super::connection::{Connection, Sender};
use super::dial;
use super::exchange::Exchange;
use super::failure;
use super::hops::How;
use super::origin;
use super::pool::{Checkout, Key};
use super::request::Parts;
use super::retry::Ended;
use super::timeouts::Deadlines;
use super::upload::{Outgoing, RequestBody};

/// How long a server is waited for that has been asked whether it wants the body (RFC 9110, section 10.1.1).
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// For how long a connection of HTTP/2 is silent that takes no more requests once one has run out of time. So one that asks
/// for answers sooner than its server has them dials at most so often.
const DISTRUSTED_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Attempt<'a> {
    client: &'a Client,
    parts: &'a Parts,
    shown: &'a str,
    deadlines: &'a Deadlines,
    connection: Option<Rc<Connection>>,
    reused: bool,
    /// When the connection had been used last before.
    idle_since: Instant,
    /// What the connection had read before.
    read_before: u64,
    /// How it failed, for who decides whether it is tried again.
    pub(super) ended: Cell<Ended>,
    /// The body, if it was given back unsent.
    pub(super) given_back: RefCell<Option<RequestBody>>,
}

/// The response that has begun.
pub(super) struct Sent {
    pub(super) response: Response<Incoming>,
    pub(super) connection: Rc<Connection>,
    /// The number of the request.
    pub(super) number: u64,
    pub(super) user: Option<Arc<()>>,
}

/// Counts in a connection as long as it is there.
struct User {
    connection: Rc<Connection>,
    counts: Option<Arc<()>>,
}

impl User {
    fn of(connection: &Rc<Connection>) -> User {
        User { connection: connection.clone(), counts: Some(connection.users.clone()) }
    }

    /// From here on the body counts.
    fn take(&mut self) -> Option<Arc<()>> {
        self.counts.take()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if self.counts.take().is_some() {
            self.connection.released();
        }
    }
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
        if !self.done {
            self.connection.answered(self.exchange.number);
            if !self.connection.http2 {
                self.connection.close();
            }
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
            idle_since: Instant::now(),
            read_before: 0,
            ended: Cell::new(Ended::Other),
            given_back: RefCell::default(),
        }
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        Some(self.connection.as_ref()?.peer)
    }

    pub(super) fn reused(&self) -> bool {
        self.reused
    }

    /// How it failed, if there was a connection.
    pub(super) fn how(self) -> Option<How> {
        self.connection.as_ref()?;
        let given_back = self.given_back.into_inner();
        Some(How { ended: self.ended.get(), reused: self.reused, given_back })
    }

    /// When the connection had been used last before this.
    pub(super) fn idle_since(&self) -> Instant {
        self.idle_since
    }

    /// Whether the connection said nothing at all to this.
    pub(super) fn was_silent(&self) -> bool {
        let connection = self.connection.as_ref();
        connection.is_some_and(|connection| connection.bytes_read() == self.read_before)
    }

    /// The connection has said nothing until `error`. If that is a timeout, and it has been silent for long, it takes no more
    /// requests: they would wait as well, until its next PING is not answered. What is under way on it goes on.
    pub(super) fn distrust(&self, error: &Error) {
        if let Some(connection) = &self.connection
            && error.is_timeout()
            && connection.has_been_silent_for(DISTRUSTED_AFTER)
        {
            connection.retire();
        }
    }

    /// Connects if need be, sends the request, and waits for the head of the response.
    pub(super) async fn run(
        &mut self,
        key: &Key,
        fresh: bool,
        body: RequestBody,
    ) -> Result<Sent, Error> {
        let connection = self.connect(key, fresh).await?;
        let mut user = User::of(&connection);
        self.idle_since = connection.last_used.replace(Instant::now());
        self.read_before = connection.bytes_read();
        self.reused = connection.requests.get() > 0;
        connection.requests.set(connection.requests.get() + 1);
        self.connection = Some(connection.clone());
        let held_back = self.asks_first(&body);
        let exchange = Rc::new(Exchange::new(*self.deadlines, &connection, held_back));
        let request = self.request(&connection, body, &exchange)?;
        connection.begin(&exchange);
        let mut lease =
            Lease { connection: connection.clone(), exchange: exchange.clone(), done: false };
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
        failure::ambiguous(&response).map_or(Ok(()), |why| {
            let error = Error::new(Kind::Protocol, self.deadlines.head);
            Err(self.failed(error.because(std::io::Error::other(why))))
        })?;
        lease.done = true;
        let number = exchange.number;
        Ok(Sent { response, connection: connection.clone(), number, user: user.take() })
    }

    /// A connection of the pool's, or one made for it; all of it is the connect's time.
    async fn connect(&self, key: &Key, fresh: bool) -> Result<Rc<Connection>, Error> {
        let limit = self.deadlines.connect();
        let pool = self.client.pool();
        // Those who wait are woken by what has become free, and look before this does, a turn later: whoever asks again as
        // soon as its response has ended would take the connection from under their hands, time and again.
        let mut later = pool.is_awaited(key);
        let checkout = if later { Checkout::Wait } else { pool.checkout(key, fresh) };
        let checkout = match checkout {
            Checkout::Wait => {
                let waiting = async {
                    loop {
                        if fresh {
                            pool.make_room(key);
                        }
                        match std::mem::take(&mut later) {
                            true => yield_now().await,
                            false => pool.changed(key).await,
                        }
                        match pool.checkout(key, fresh) {
                            Checkout::Wait => {}
                            checkout => return Ok::<_, Error>(checkout),
                        }
                    }
                };
                let bounds = Bounds::of(Phase::Connect).limit(limit).endpoint(self.shown.to_owned());
                bounds.name("waiting for a connection of the pool").run(waiting).await?
            }
            checkout => checkout,
        };
        match checkout {
            Checkout::Ready(connection) => Ok(connection),
            Checkout::Dial(place) => {
                let (config, to) = (self.client.config(), (&key.origin, self.shown));
                let dialed = dial::dial(config, to, key.prior_knowledge, self.deadlines, limit, place);
                dialed.await
            }
            Checkout::Wait => unreachable!("it has been waited for"),
        }
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
            Poll::Ready(Err(mut failed)) => {
                let unsent = failed.take_message();
                let error = failed.into_error();
                let heard = exchange.has_heard(connection.bytes_read());
                self.ended.set(match unsent {
                    Some(request) => {
                        *self.given_back.borrow_mut() = Some(request.into_body().into_inner());
                        Ended::Unsent
                    }
                    None => failure::ended(&error, connection, heard),
                });
                let phase = if exchange.body_failed() { Phase::Request } else { self.deadlines.head };
                Err(self.failed(failure::explained(phase, error, connection)))
            }
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
        let mut request = Request::new(Outgoing::new(body, exchange.clone(), connection.http2));
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
