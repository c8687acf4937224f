//! [`Scoped`]: how poll-based operations learn that the scope they wait in has ended.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use punctual_reactor::{Failure, ScopeId, WaitGuard, check_scope, current_scope_id, in_scope_beside};

/// Has no result but the scope's end.
type End = dyn Future<Output = Result<Infallible, Failure>>;

/// Waits for the end of the scope of whoever polls it. Outside of scopes it costs a look, and no memory.
#[derive(Default)]
pub(super) struct Scoped {
    end: Option<Pin<Box<End>>>,
    /// Whose end that is.
    scope: Option<ScopeId>,
}

impl Scoped {
    /// Whether something may begin in the present scope.
    pub(super) fn check() -> Result<(), Failure> {
        // Outside of a runtime there are no scopes.
        if current_scope_id().is_some() { check_scope() } else { Ok(()) }
    }

    /// Whether it is polled in another scope than that of the last poll, which has been left since.
    pub(super) fn has_moved(&self) -> bool {
        self.scope != current_scope_id()
    }

    /// Ready when the scope has ended: by its deadline, or cancelled.
    ///
    /// `guard` is what bounds the operation that waits beside this.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        what: &'static str,
        guard: WaitGuard,
    ) -> Poll<Failure> {
        let scope = current_scope_id();
        if self.scope != scope || self.end.is_none() {
            self.scope = scope;
            self.end = match scope {
                Some(_) => Some(Box::pin(in_scope_beside(what, guard, pending()))),
                None => None,
            };
        }
        let Some(end) = &mut self.end else { return Poll::Pending };
        let Err(failure) = ready!(end.as_mut().poll(cx));
        self.end = None;
        Poll::Ready(failure)
    }

    /// What waited has ended.
    pub(super) fn leave(&mut self) {
        self.end = None;
    }
}

impl fmt::Debug for Scoped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").field("waits", &self.end.is_some()).finish()
    }
}
