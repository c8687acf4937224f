//! The task of a connection: it polls what hyper has made of it, ends it when it has been idle for too long, and gives it
//! back to the pool.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

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
            rest.poll(connection, cx);
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
        rest.poll(connection, cx);
        driven
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

/// The time that a connection may be idle.
struct Rest {
    sleep: Option<Sleep>,
    guard: WaitGuard,
}

impl Rest {
    fn new() -> Rest {
        Rest { sleep: None, guard: WaitGuard::new() }
    }

    fn poll(&mut self, connection: &Rc<Connection>, cx: &mut Context<'_>) {
        let (Some(since), Some(place)) = (connection.idle_since.get(), connection.place()) else {
            self.sleep = None;
            return;
        };
        let until: Instant = since + place.idle_timeout();
        let guard = self.guard;
        let sleep = self.sleep.get_or_insert_with(|| sleep_until(until).bounding(guard, "http-idle"));
        if sleep.deadline() != until {
            sleep.reset(until);
        }
        if Pin::new(sleep).poll(cx).is_ready() {
            self.sleep = None;
            place.expire(connection);
        }
    }
}
