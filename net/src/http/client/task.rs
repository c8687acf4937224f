//! The task of a connection: it polls what hyper has made of it, ends it when it has been idle for too long, and gives it
//! back to the pool.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use punctual_reactor::{Instant, Sleep, WaitGuard, sleep_until};

use super::connection::{Connection, Driven, Sender, Wire};
use super::dial::Parts;
use super::failure;
use super::upload::Outgoing;

pub(super) async fn http1(driver: http1::Connection<Wire, Outgoing>, driven: Driven) {
    let connection = &driven.0;
    let mut driver = pin!(driver);
    let mut rest = Rest::new();
    poll_fn(|cx| {
        connection.driven_by(cx);
        let driven = rest.guard.poll(|| drive(driver.as_mut(), connection, cx));
        if driven.is_pending() {
            give_back(connection, cx);
            rest.poll(connection, false, cx);
        }
        driven
    })
    .await;
}

pub(super) async fn http2(mut driver: http2::Connection<Wire, Outgoing, Parts>, driven: Driven) {
    let connection = &driven.0;
    let mut rest = Rest::new();
    poll_fn(|cx| {
        connection.driven_by(cx);
        let driven = rest.guard.poll(|| drive(Pin::new(&mut driver), connection, cx));
        let room = driver.current_max_send_streams();
        if connection.streams_max.replace(room) < room
            && let Some(place) = connection.place()
        {
            place.wake();
        }
        rest.poll(connection, false, cx);
        driven
    })
    .await;
    // hyper takes no more requests; those that are under way end in a task of its own, and with it the stream.
    if let Some(place) = connection.place() {
        place.left_by(connection);
        place.wake();
    }
    poll_fn(|cx| {
        connection.driven_by(cx);
        rest.poll(connection, true, cx);
        if connection.is_closed() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Polls it, and notes why it ended.
fn drive(
    driver: Pin<&mut impl Future<Output = hyper::Result<()>>>,
    connection: &Connection,
    cx: &mut Context<'_>,
) -> Poll<()> {
    driver.poll(cx).map(|ended| {
        if let Err(why) = ended {
            *connection.why.borrow_mut() = Some(failure::in_words(&why));
        }
    })
}

/// The response has begun, and its sender lies here until hyper has done with it.
fn give_back(connection: &Rc<Connection>, cx: &mut Context<'_>) {
    if connection.idle_since.get().is_some() {
        return;
    }
    let ready = match &mut *connection.sender.borrow_mut() {
        Some(Sender::Http1(sender)) => sender.poll_ready(cx),
        _ => return,
    };
    // If it has ended instead, hyper's part of it will have too.
    if let (Poll::Ready(Ok(())), Some(place)) = (ready, connection.place()) {
        place.put_idle(connection);
    }
}

/// How long a connection that nobody uses any more may take to say so to its peer.
const LEAVING: Duration = Duration::from_secs(1);

/// The time that a connection may be idle, or take to end.
struct Rest {
    sleep: Option<Sleep>,
    guard: WaitGuard,
    /// Since when nobody uses it, and it is not idle either.
    left: Option<Instant>,
}

impl Rest {
    fn new() -> Rest {
        Rest { sleep: None, guard: WaitGuard::new(), left: None }
    }

    /// `leaving`: hyper takes no more requests for it.
    fn poll(&mut self, connection: &Rc<Connection>, leaving: bool, cx: &mut Context<'_>) {
        let idle_since = connection.idle_since.get().filter(|_| !leaving);
        let until = match (idle_since, connection.place()) {
            (Some(since), Some(place)) => since + place.idle_timeout(),
            _ if connection.is_unused() => *self.left.get_or_insert_with(Instant::now) + LEAVING,
            _ => {
                (self.sleep, self.left) = (None, None);
                return;
            }
        };
        let guard = self.guard;
        let sleep = self.sleep.get_or_insert_with(|| sleep_until(until).bounding(guard, "http-idle"));
        if sleep.deadline() != until {
            sleep.reset(until);
        }
        if Pin::new(sleep).poll(cx).is_pending() {
            return;
        }
        self.sleep = None;
        match connection.place() {
            Some(place) if idle_since.is_some() => place.expire(connection),
            _ => connection.close(),
        }
    }
}
