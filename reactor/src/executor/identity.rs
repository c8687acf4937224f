//! [`RuntimeId`]: for what is kept for one runtime beside it.

use crate::executor::context;
use crate::remote::Handle;
use crate::token::ReactorId;

/// Tells the runtimes of a process apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuntimeId(ReactorId);

impl Handle {
    /// Which runtime it reaches.
    #[must_use]
    pub fn runtime_id(&self) -> RuntimeId {
        RuntimeId(self.shared.id)
    }
}

impl RuntimeId {
    /// Of the runtime on this thread, if there is one.
    #[must_use]
    pub fn current() -> Option<RuntimeId> {
        context::with(|driver| driver.map(|driver| RuntimeId(driver.reactor.borrow().id)))
    }
}
