//! [`shield`]: cleaning up in a scope that has ended.

use std::future::{Future, IntoFuture, poll_fn};
use std::panic::Location;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use crate::executor::context;
use crate::scope::open::Limit;
use crate::scope::strand::{Opened, Outcome};
use crate::scope::tree::{Kind, Plan};
use crate::scope::{ScopeDeadline, ScopeEnd};
use crate::text::Text;

/// Awaits `future` for at most `bound`, counted from this call, whatever ends the scopes around it: for
/// cleaning up. A scope that has ended waits for the shields that are awaited in it, and for nothing else.
///
/// A shield within it is kept off from its end as from any other: the bounds of nested shields add up.
///
/// When `bound` is over, `future` sees its operations fail and is dropped if it still waits, as in a scope of that name.
/// A shutdown of the runtime still ends every operation on a source. A panic of `future` goes through.
///
/// # Errors
/// [`ScopeEnd::Elapsed`] if `bound` was over before `future` was ready.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn shield<F: IntoFuture>(
    bound: Duration,
    future: F,
) -> impl Future<Output = Result<F::Output, ScopeEnd>> {
    let driver = context::current("shield");
    let set_at = Location::caller();
    let (own_ns, budget) = Limit::Within(bound).begin(&driver);
    let future = future.into_future();
    async move {
        let deadline = Rc::new(ScopeDeadline { name: Text::Literal("shield"), budget, set_at });
        let plan =
            Plan { kind: Kind::Shield, parent: driver.scope(), deadline, own_ns, unbounded: false };
        let opened = Opened::new(driver, plan);
        let mut future = pin!(Some(future));
        match poll_fn(|cx| opened.poll(cx, future.as_mut())).await {
            Outcome::Finished(value) => Ok(value),
            Outcome::Panicked(panic) => std::panic::resume_unwind(panic),
            Outcome::Dropped => Err(opened.end().unwrap_or(ScopeEnd::Shutdown)),
        }
    }
}
