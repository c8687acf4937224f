//! [`WaitElsewhere`]: something that another thread does is awaited.

use std::fmt;
use std::rc::Rc;

use crate::executor::{Driver, context};

/// Says that a task waits for another thread, as for a lookup of a name: that takes real time, and a virtual clock
/// stands still until this is dropped.
#[must_use = "virtual time stands still only as long as this is kept"]
pub struct WaitElsewhere {
    driver: Rc<Driver>,
}

impl WaitElsewhere {
    /// In the runtime of this thread.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn begin() -> WaitElsewhere {
        let driver = context::current("waiting for another thread");
        driver.reactor.borrow_mut().waiting_sides += 1;
        WaitElsewhere { driver }
    }
}

impl Drop for WaitElsewhere {
    fn drop(&mut self) {
        self.driver.reactor.borrow_mut().waiting_sides -= 1;
    }
}

impl fmt::Debug for WaitElsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WaitElsewhere")
    }
}
