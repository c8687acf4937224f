//! [`Connection`]: a connection as its requests, their bodies and the pool know it, while hyper owns the stream.

mod wire;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use punctual_reactor::Instant;

use crate::error::{DeadlineInfo, Error};
use crate::phase::Explains;
use crate::socket::transport::{Tcp, sealed::Kind};
use crate::tcp::TcpStream;

pub(super) use wire::Wire;

use super::exchange::Exchange;
use super::pool::Place;
use super::upload::Outgoing;

/// What a connection runs over.
pub(super) enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(crate::tls::TlsStream),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(stream) => stream,
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.get_ref(),
        }
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.socket().peer_addr()
    }
}

/// What requests are handed to.
pub(super) enum Sender {
    Http1(http1::SendRequest<Outgoing>),
    Http2(http2::SendRequest<Outgoing>),
}

/// A connection that requests are sent on.
pub(super) struct Connection {
    pub(super) number: u64,
    pub(super) peer: SocketAddr,
    pub(super) http2: bool,
    pub(super) established: Instant,
    stream: RefCell<Option<Stream>>,
    /// Bytes written and read since it stands.
    written: Cell<u64>,
    read: Cell<u64>,
    /// When something was read last.
    heard: Cell<Instant>,
    /// After how much silence hyper sends a PING, and how long it waits for the answer, if it is one of HTTP/2.
    ping: (Duration, Duration),
    /// When the stream was given up by hyper, while there was nothing wrong with it.
    given_up: Cell<Option<Instant>>,
    /// The stream has ended, or failed.
    broken: Cell<bool>,
    /// How many requests it has had.
    pub(super) requests: Cell<u64>,
    /// When a request was begun or ended on it last.
    pub(super) last_used: Cell<Instant>,
    /// Since when it has nothing to do.
    pub(super) idle_since: Cell<Option<Instant>>,
    /// Where it belongs, until it has ended.
    place: RefCell<Option<Rc<Place>>>,
    /// Of an idle HTTP/1 connection or one of HTTP/2: what requests are handed to. Of a busy one of HTTP/1 there when the
    /// response has begun, and taken back by the connection's task when it has ended.
    pub(super) sender: RefCell<Option<Sender>>,
    /// Requests that are yet to be written.
    unsent: RefCell<Vec<Rc<Exchange>>>,
    /// The request whose head is waited for, of HTTP/1.
    current: RefCell<Option<Rc<Exchange>>>,
    /// One more than there are requests and bodies in it.
    pub(super) users: Arc<()>,
    /// How many requests the peer lets there be at a time.
    pub(super) streams_max: Cell<usize>,
    /// Why it ended, in words.
    pub(super) why: RefCell<Option<String>>,
    closed: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
    task: RefCell<Option<Waker>>,
}

thread_local! {
    static CONNECTIONS: RefCell<HashMap<u64, Rc<Connection>>> = RefCell::default();
}

/// How many there have been, on all threads: a body may be on another than its connection, where it must not find one of
/// the same number.
static MADE: AtomicU64 = AtomicU64::new(0);

/// Finds a connection on its own thread. Bodies and callbacks have one because they must be `Send`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u64);

impl Ticket {
    /// Nothing if the connection is gone, or another thread's.
    pub(super) fn find(self) -> Option<Rc<Connection>> {
        CONNECTIONS.try_with(|connections| connections.borrow().get(&self.0).cloned()).ok().flatten()
    }
}

impl Connection {
    pub(super) fn new(
        stream: Stream,
        http2: bool,
        ping: (Duration, Duration),
        place: Rc<Place>,
    ) -> Rc<Connection> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Rc::new(Connection {
            number,
            peer: stream.peer(),
            http2,
            established: Instant::now(),
            stream: RefCell::new(Some(stream)),
            written: Cell::new(0),
            read: Cell::new(0),
            heard: Cell::new(Instant::now()),
            ping,
            given_up: Cell::new(None),
            broken: Cell::new(false),
            requests: Cell::new(0),
            last_used: Cell::new(Instant::now()),
            idle_since: Cell::new(None),
            place: RefCell::new(Some(place)),
            sender: RefCell::default(),
            unsent: RefCell::default(),
            current: RefCell::default(),
            users: Arc::default(),
            streams_max: Cell::new(1),
            why: RefCell::default(),
            closed: Cell::new(false),
            reader: RefCell::default(),
            writer: RefCell::default(),
            task: RefCell::default(),
        })
    }

    pub(super) fn ticket(&self) -> Ticket {
        Ticket(self.number)
    }

    /// Closes it now, whatever is under way on it: hyper meets the end when it is polled, which this sees to.
    pub(super) fn close(&self) {
        self.closed.set(true);
        let stream = self.stream.borrow_mut().take();
        drop(stream);
        let sender = self.sender.borrow_mut().take();
        drop(sender);
        for waker in [&self.reader, &self.writer, &self.task] {
            let waker = waker.borrow_mut().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Closes it as soon as nothing is under way on it any more.
    pub(super) fn retire(&self) {
        let sender = self.sender.borrow_mut().take();
        drop(sender);
        if self.is_unused() {
            self.close();
        }
    }

    /// Whether hyper takes requests for it. What the peer has ended is known as soon as the loop has seen it.
    pub(super) fn takes_requests(&self) -> bool {
        let alive = match &*self.sender.borrow() {
            Some(Sender::Http1(sender)) => sender.is_ready(),
            Some(Sender::Http2(sender)) => !sender.is_closed(),
            None => false,
        };
        alive && !self.closed.get()
    }

    /// Whether one more request fits in, of those that the peer lets there be at a time.
    pub(super) fn has_room(&self) -> bool {
        Arc::strong_count(&self.users) - 1 < self.streams_max.get()
    }

    /// Whether no request and no body is in it.
    pub(super) fn is_unused(&self) -> bool {
        Arc::strong_count(&self.users) == 1
    }

    /// A response on it has ended. Whoever has waited for that and asks for more finds it at once, if hyper has done with
    /// it too; if not, its task gives it back later.
    pub(super) fn rest(self: &Rc<Self>) {
        let done = matches!(&*self.sender.borrow(), Some(Sender::Http1(sender)) if sender.is_ready());
        if let (true, None, Some(place)) = (done, self.idle_since.get(), self.place()) {
            place.put_idle(self);
            // It knows for how long.
            self.wake_task();
        }
    }

    /// A request or a body has left it.
    pub(super) fn released(&self) {
        if self.is_unused() {
            self.wake_task();
        }
        if self.http2 && self.is_unused() {
            self.idle_since.set(Some(Instant::now()));
        }
        match self.place() {
            Some(place) => place.wake(),
            // It has ended, and was kept to say why.
            None if self.is_unused() => forgotten(self.number),
            None => {}
        }
    }

    pub(super) fn place(&self) -> Option<Rc<Place>> {
        self.place.borrow().clone()
    }

    /// The deadline that has passed, if hyper has given it up because a PING was not answered: in silence, and with the stream unharmed.
    pub(super) fn unanswered(&self) -> Option<DeadlineInfo> {
        let given_up = self.given_up.get()?;
        let (interval, timeout) = self.ping;
        let heard = self.heard.get();
        if given_up.saturating_duration_since(heard) < timeout {
            return None;
        }
        // hyper asks when it has been silent for so long, or when the connection has something to do again.
        let asked = (heard + interval).max(self.last_used.get());
        let info = DeadlineInfo::new((asked + timeout).min(given_up), given_up);
        Some(DeadlineInfo { budget: Some(timeout), ..info }.described("answer to an HTTP/2 PING"))
    }

    /// Whether nothing at all has come for so long.
    pub(super) fn has_been_silent_for(&self, time: Duration) -> bool {
        self.heard.get().elapsed() >= time
    }

    pub(super) fn written(&self) -> u64 {
        self.written.get()
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.read.get()
    }

    /// A request is about to be handed over.
    pub(super) fn begin(&self, exchange: &Rc<Exchange>) {
        self.unsent.borrow_mut().push(exchange.clone());
        if !self.http2 {
            *self.current.borrow_mut() = Some(exchange.clone());
        }
    }

    /// The number of the next request, and from when it has begun on that of the latest.
    pub(super) fn next_number(&self) -> u64 {
        self.requests.get()
    }

    /// A response has ended, or nobody wants it any more. Of what is still being sent to have it, nobody wants the rest.
    pub(super) fn answered(&self, number: u64) {
        let unsent = {
            let mut all = self.unsent.borrow_mut();
            let at = all.iter().position(|exchange| exchange.number == number);
            at.map(|at| all.swap_remove(at)).filter(|exchange| !exchange.is_sent())
        };
        match unsent {
            Some(exchange) if self.http2 => exchange.abandon(),
            Some(_) => self.close(),
            None => {}
        }
    }

    /// Its response has begun, or it is given up.
    pub(super) fn forget(&self, exchange: &Rc<Exchange>) {
        if exchange.is_sent() {
            self.unsent.borrow_mut().retain(|other| !Rc::ptr_eq(other, exchange));
        }
        let ours = self.current.borrow().as_ref().is_some_and(|current| Rc::ptr_eq(current, exchange));
        if ours {
            *self.current.borrow_mut() = None;
        }
    }

    pub(super) fn current(&self) -> Option<Rc<Exchange>> {
        self.current.borrow().clone()
    }

    /// The task that drives it is to look again.
    pub(super) fn wake_task(&self) {
        let task = self.task.borrow_mut().take();
        if let Some(task) = task {
            task.wake();
        }
    }

    pub(super) fn driven_by(&self, cx: &Context<'_>) {
        *self.task.borrow_mut() = Some(cx.waker().clone());
    }

    fn wrote(&self, bytes: usize) {
        self.written.set(self.written.get() + bytes as u64);
        for exchange in self.unsent.borrow().iter() {
            exchange.wrote(bytes as u64);
        }
    }

    fn flushed(&self) {
        for exchange in self.unsent.borrow().iter() {
            exchange.flushed(self.written.get());
        }
    }
}

impl Explains for Connection {
    fn explain(&self, error: Error) -> Error {
        match &*self.stream.borrow() {
            Some(stream) => Tcp::explain(stream.socket(), error),
            None => error.with_peer(self.peer),
        }
    }
}

/// A connection that its task drives. It ends with this; those who still use it can find it, to learn why.
pub(super) struct Driven(pub(super) Rc<Connection>);

impl Driven {
    pub(super) fn new(connection: Rc<Connection>) -> Driven {
        CONNECTIONS.with_borrow_mut(|all| {
            // A body that was dropped on another thread could not tell.
            all.retain(|_, other| other.place().is_some() || !other.is_unused());
            all.insert(connection.number, connection.clone())
        });
        Driven(connection)
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.close();
        let place = self.0.place.borrow_mut().take();
        if let Some(place) = place {
            place.left_by(&self.0);
        }
        if self.0.is_unused() {
            forgotten(self.0.number);
        }
    }
}

fn forgotten(number: u64) {
    let removed = CONNECTIONS.try_with(|all| all.borrow_mut().remove(&number));
    drop(removed);
}
