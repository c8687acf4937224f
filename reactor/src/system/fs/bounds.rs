//! [`Bounds`]: until when an operation on a file may be waited for.

use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::executor::Driver;
use crate::failure::{Bound, Failure, OperationElapsed};
use crate::instant::Instant;
use crate::scope::in_scope_as;
use crate::system::fs::FILE_OPERATION;
use crate::time::Sleep;
use crate::waits::WaitGuard;

/// The two bounds of a file's operations, and where they were set. The earlier counts.
#[derive(Clone, Copy, Default)]
pub(super) struct Bounds {
    pub(super) deadline: Option<(Instant, &'static Location<'static>)>,
    pub(super) timeout: Option<(Duration, &'static Location<'static>)>,
}

impl Bounds {
    fn due(&self, now: Instant) -> Option<(Instant, Bound)> {
        let deadline = self.deadline.map(|(at, set)| (at, Bound::Deadline(Some(set))));
        let timeout =
            self.timeout.map(|(timeout, set)| (now + timeout, Bound::Timeout(timeout, Some(set))));
        match (deadline, timeout) {
            (Some(deadline), Some(timeout)) if timeout.0 < deadline.0 => Some(timeout),
            (deadline, timeout) => deadline.or(timeout),
        }
    }

    /// Awaits `future` within the bounds, counted from now, and as long as the runtime goes on. One that is due already
    /// lets nothing begin.
    pub(super) async fn guard<T>(
        self,
        driver: Rc<Driver>,
        future: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let began = driver.clock.now();
        let held_up_before_ns = driver.reactor.borrow().wait.held_up_ns;
        let Some((deadline, bound)) = self.due(began) else {
            return in_scope_as(FILE_OPERATION, future).await.and_then(|result| result);
        };
        let elapsed = |fired: Instant, before_it_began| {
            let wait = driver.reactor.borrow().wait;
            let bound = bound.clone();
            let held_up_ns = wait.held_up_ns.saturating_sub(held_up_before_ns);
            Failure::Elapsed(OperationElapsed {
                began,
                deadline,
                fired,
                bound,
                before_it_began,
                wait,
                held_up_ns,
            })
        };
        if deadline <= began {
            return Err(elapsed(began, true));
        }
        let leeway = driver.reactor.borrow().guard_leeway(deadline - began);
        let guard = WaitGuard::new();
        let sleep = Sleep::new(driver.clone(), deadline).with_leeway(leeway);
        let mut sleep = sleep.bounding(guard, FILE_OPERATION);
        let mut future = pin!(in_scope_as(FILE_OPERATION, future));
        poll_fn(|cx| {
            // What is done in time is no timeout.
            if let Poll::Ready(result) = guard.poll(|| future.as_mut().poll(cx)) {
                return Poll::Ready(result.and_then(|result| result));
            }
            match (Pin::new(&mut sleep).poll(cx), sleep.firing()) {
                (Poll::Ready(()), Some(firing)) => Poll::Ready(Err(elapsed(firing.fired, false))),
                _ => Poll::Pending,
            }
        })
        .await
    }
}
