//! [`SetReadiness`]: how a source that the kernel knows nothing of becomes ready.

use std::fmt;
use std::rc::Rc;

use crate::executor::{Driver, context};
use crate::failure::Failure;
use crate::readiness::Readiness;
use crate::token::Token;

/// Says what can be done with a source in memory, as the kernel does with descriptors; made by
/// [`Registration::in_memory`](crate::Registration::in_memory).
#[derive(Clone)]
pub struct SetReadiness {
    pub(crate) driver: Rc<Driver>,
    pub(crate) token: Token,
}

impl SetReadiness {
    /// Adds `readiness` to what can be done. Whoever waits for it is woken in the next turn, before deadlines that
    /// come due there: nobody's code runs meanwhile, so it may be called from within an operation on another source.
    /// As with the kernel, say it when something becomes possible that was not.
    ///
    /// # Errors
    /// [`Failure::Closed`] if the source was closed.
    pub fn set(&self, readiness: Readiness) -> Result<(), Failure> {
        self.driver
            .reactor
            .borrow_mut()
            .set_readiness(self.token, readiness)
            .map_err(|_| Failure::Closed)?;
        // Called from elsewhere on this thread, as between `prepare` and somebody else's poll, the loop would sleep.
        let runs =
            context::with(|current| current.is_some_and(|current| Rc::ptr_eq(current, &self.driver)));
        if !runs {
            self.driver.remote.notify();
        }
        Ok(())
    }
}

impl fmt::Debug for SetReadiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SetReadiness").field(&self.token).finish()
    }
}
