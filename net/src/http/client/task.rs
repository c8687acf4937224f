//! The task of a connection: it polls what hyper has made of it, and ends with it.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use std::pin::{Pin, pin};

use hyper::client::conn::{http1, http2};

use crate::hyper::Executor;

use super::connection::{Connection, Wire};
use super::failure;
use super::upload::Outgoing;

pub(super) async fn http1(driver: http1::Connection<Wire, Outgoing>, connection: Rc<Connection>) {
    let mut driver = pin!(driver);
    poll_fn(|cx| {
        connection.driven_by(cx);
        drive(driver.as_mut(), &connection, cx)
    })
    .await;
    connection.close();
}

pub(super) async fn http2(
    mut driver: http2::Connection<Wire, Outgoing, Executor>,
    connection: Rc<Connection>,
) {
    poll_fn(|cx| {
        connection.driven_by(cx);
        let polled = drive(Pin::new(&mut driver), &connection, cx);
        connection.streams_max.set(driver.current_max_send_streams());
        polled
    })
    .await;
    connection.close();
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
