//! Which runtime runs on this thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::arena::Id;
use crate::clock::Clock;
use crate::executor::Driver;
use crate::instant::Instant;
#[cfg(feature = "profile")]
use crate::profile;
use crate::remote::Shared;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Driver>>> = const { RefCell::new(None) };
}

/// Makes a runtime the current one until it is dropped.
#[must_use]
pub(crate) struct Entered {
    before: Option<Rc<Driver>>,
}

pub(crate) fn enter(driver: &Rc<Driver>) -> Entered {
    #[cfg(feature = "profile")]
    profile::changes();
    Entered { before: replace(Some(driver.clone())) }
}

impl Drop for Entered {
    fn drop(&mut self) {
        #[cfg(feature = "profile")]
        profile::changes();
        let before = self.before.take();
        drop(replace(before));
    }
}

/// While the thread ends there is no current runtime, and none can be made so.
fn replace(driver: Option<Rc<Driver>>) -> Option<Rc<Driver>> {
    CURRENT.try_with(|current| current.replace(driver)).ok().flatten()
}

/// The runtime on this thread.
///
/// # Panics
/// If there is none: `what` can only be done within one.
#[track_caller]
pub(crate) fn current(what: &str) -> Rc<Driver> {
    match try_current() {
        Some(driver) => driver,
        None => panic!("{what} needs a punctual runtime on this thread: call it within `block_on`"),
    }
}

/// The runtime on this thread, if there is one (there is none while the thread ends).
pub(crate) fn try_current() -> Option<Rc<Driver>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// Lends the runtime on this thread to `look`.
pub(crate) fn with<R>(look: impl FnOnce(Option<&Rc<Driver>>) -> R) -> R {
    let mut look = Some(look);
    let looked = CURRENT.try_with(|current| {
        let current = current.borrow();
        look.take().map(|look| look(current.as_ref()))
    });
    match (looked, look) {
        (Ok(Some(result)), _) => result,
        (_, Some(look)) => look(None),
        (_, None) => unreachable!("a closure that was taken has been called"),
    }
}

/// Queues a task of the runtime that `remote` reaches, if that is the one on this thread.
#[inline]
pub(crate) fn queue_here(remote: &Arc<Shared>, task: Id) -> bool {
    let queued = CURRENT.try_with(|current| match &*current.borrow() {
        Some(driver) if driver.is_reached_by(remote) => {
            driver.queue(task);
            true
        }
        _ => false,
    });
    queued.unwrap_or(false)
}

pub(crate) fn now() -> Instant {
    with(|driver| match driver {
        Some(driver) => driver.clock.now(),
        None => Clock::monotonic().now(),
    })
}
