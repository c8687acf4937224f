//! [`ScopeWatch`]: the end of the current scope, for what is polled.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Context;

use crate::executor::context;
use crate::failure::Failure;
use crate::instant::Instant;
use crate::remote::Shared;
use crate::scope::Waiting;
use crate::waits::{Label, Subject};

/// Sees the end of the scope that it is polled in: what [`in_scope`](crate::in_scope) is to futures, for poll-based interfaces,
/// as the body of a message. It is `Send`, so that such a one can be.
///
/// ```
/// use std::future::poll_fn;
/// use std::task::Poll;
/// use std::time::Duration;
/// use punctual_reactor::{Failure, Instant, Runtime, ScopeWatch, scope};
///
/// Runtime::new()?.block_on(async {
///     let mut watch = ScopeWatch::new("body");
///     let wait = poll_fn(|cx| match watch.poll(cx, Instant::FAR_FUTURE) {
///         Err(end) => Poll::Ready(end),
///         Ok(()) => Poll::Pending, // here goes what is waited for
///     });
///     let end = scope("short", Duration::from_millis(2), async |_| wait.await).await;
///     let end = end.expect("it has returned, having seen the end");
///     assert!(matches!(end, Failure::Elapsed(_)));
/// });
/// # std::io::Result::Ok(())
/// ```
pub struct ScopeWatch {
    what: &'static str,
    peer: Option<SocketAddr>,
    waiting: Option<Waiting<Arc<Shared>>>,
}

impl ScopeWatch {
    /// For something that the [audit](crate::waits) calls `what`.
    #[must_use]
    pub const fn new(what: &'static str) -> ScopeWatch {
        ScopeWatch { what, peer: None, waiting: None }
    }

    /// For something that waits for `peer`, as the audit then says.
    #[must_use]
    pub fn of_peer(self, peer: Option<SocketAddr>) -> ScopeWatch {
        ScopeWatch { what: self.what, peer, waiting: None }
    }

    /// Has the task of `cx` woken when the current scope ends, and lists it in the [audit](crate::waits) as waiting until `deadline`,
    /// which is somebody else's business. It belongs to the scope in which it was polled last. Outside of a runtime it does
    /// nothing.
    ///
    /// # Errors
    /// How the scope has ended. After [`Failure::Elapsed`] what has come by then may still be taken; after a cancel it is not.
    pub fn poll(&mut self, cx: &Context<'_>, deadline: Instant) -> Result<(), Failure> {
        let Some(driver) = context::try_current() else { return Ok(()) };
        if driver.is_shut_down() {
            self.leave();
            return Err(Failure::Shutdown);
        }
        let began_ns = self.waiting.as_ref().map(Waiting::since_ns);
        let subject = self.peer.map_or(Subject::Literal("the peer"), Subject::Address);
        let polled = Waiting::poll(&mut self.waiting, Label::new(self.what), subject, cx);
        polled.map_err(|end| end.failure(began_ns))?;
        if let Some(waiting) = &self.waiting {
            waiting.until(&driver, deadline.as_nanos());
        }
        Ok(())
    }

    /// Waits no longer, until it is polled again.
    pub fn leave(&mut self) {
        self.waiting = None;
    }
}

impl fmt::Debug for ScopeWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopeWatch").field("what", &self.what).finish_non_exhaustive()
    }
}
