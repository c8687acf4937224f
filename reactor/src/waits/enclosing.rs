//! [`Enclosing`]: by what the code that runs now can be ended from without.

use crate::arena::Id;
use crate::executor::{Driver, context};
use crate::instant::Instant;
use crate::phases::{PhaseEnding, TimeoutBy};
use crate::source::NEVER;

/// The [scope](crate::scope) and the [`timeout`](crate::timeout)s in which something was polled. Whoever is dropped with
/// them is told nothing, and finds out with this what it was.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Enclosing {
    guard_ns: u64,
    scope: Option<Id>,
}

/// Of the code that runs now. Outside of a runtime it is nothing.
#[doc(hidden)]
#[must_use]
pub fn enclosing() -> Enclosing {
    context::with(|driver| match driver {
        Some(driver) => Enclosing { guard_ns: driver.frame.until_ns(), scope: driver.scope() },
        None => Enclosing { guard_ns: NEVER, scope: None },
    })
}

impl Enclosing {
    /// When the earliest of the timeouts ends it. [`Instant::FAR_FUTURE`] if none does.
    #[must_use]
    pub fn guard(&self) -> Instant {
        Instant::from_nanos(self.guard_ns)
    }

    /// By when all of it ends at the latest.
    #[must_use]
    pub fn until(&self) -> Instant {
        let scope_ns = self.scope.and_then(|scope| {
            context::with(|driver| Some(driver?.reactor.borrow_mut().scopes.effective_ns(scope)))
        });
        Instant::from_nanos(scope_ns.unwrap_or(NEVER).min(self.guard_ns))
    }

    /// What has dropped what was in it: the end of the scope, a timeout, or [whoever held it](PhaseEnding::Dropped).
    #[must_use]
    pub fn why_dropped(&self) -> PhaseEnding {
        let of = |driver: Option<&std::rc::Rc<Driver>>| {
            let mut reactor = driver?.reactor.try_borrow_mut().ok()?;
            // Not by a clock that was read before the timeout fired.
            let now_ns = reactor.clock.now().as_nanos();
            Some(reactor.why_dropped_in(self.scope, self.guard_ns, now_ns))
        };
        context::with(of).unwrap_or(PhaseEnding::Dropped)
    }
}

impl crate::reactor::Reactor {
    /// Dropped with its scope, it has the scope's end; dropped by a timeout around it, it is out of time.
    #[cold]
    pub(crate) fn why_dropped_in(
        &mut self,
        scope: Option<Id>,
        guard_ns: u64,
        now_ns: u64,
    ) -> PhaseEnding {
        let open = scope.filter(|scope| self.scopes.nodes.get_mut(*scope).is_some());
        match open.and_then(|scope| self.scopes.end_of(scope)) {
            Some((_, end)) => PhaseEnding::of_scope(&end),
            None if guard_ns <= now_ns => PhaseEnding::Timeout(TimeoutBy::Guard),
            None => PhaseEnding::Dropped,
        }
    }
}
