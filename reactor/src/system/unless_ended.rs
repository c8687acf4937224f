//! [`unless_ended`]: a wait for something that is no source.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::executor::shutdown_requested;
use crate::failure::Failure;

/// Awaits `future`, or the end of the runtime.
pub(crate) async fn unless_ended<F: Future>(future: F) -> Result<F::Output, Failure> {
    let (mut future, mut shutdown) = (pin!(future), pin!(shutdown_requested()));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        shutdown.as_mut().poll(cx).map(|()| Err(Failure::Shutdown))
    })
    .await
}
