//! Ending a scope from afar: [`ScopeId`], [`Canceller`].

use std::fmt;

use crate::arena::Id;
use crate::event::Cause;
use crate::remote::{Handle, SendError};
use crate::token::ReactorId;

/// Names one scope of one runtime, for ever.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScopeId {
    pub(crate) id: Id,
    pub(crate) reactor: ReactorId,
}

impl fmt::Debug for ScopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Id { index, generation } = self.id;
        write!(f, "ScopeId({index}#{generation} of {:?})", self.reactor)
    }
}

/// Cancels one scope, from any thread; made by [`Scope::canceller`](crate::Scope::canceller).
///
/// It names its scope by a [`ScopeId`], so one that comes too late finds nothing and does no harm: it is counted
/// among the [stale](crate::Metrics::stale_events).
#[derive(Clone)]
pub struct Canceller {
    pub(crate) handle: Handle,
    pub(crate) scope: ScopeId,
}

impl Canceller {
    /// Ends the scope with `cause`, unless it has ended: the first cause stays. What waits in it ends in the
    /// loop's next turn.
    ///
    /// # Errors
    /// [`SendError`] if the loop's inbox is full, or the loop is gone.
    pub fn cancel(&self, cause: impl Into<Cause>) -> Result<(), SendError> {
        self.handle.cancel_scope(self.scope, cause)
    }

    /// Which scope it cancels.
    #[must_use]
    pub fn scope(&self) -> ScopeId {
        self.scope
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Canceller({:?})", self.scope)
    }
}
