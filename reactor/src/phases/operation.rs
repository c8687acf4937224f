//! Operations on a registration as phases: a read that waits, a write that waits.

use std::cell::RefCell;

use super::{PhaseEnding, PhaseIndex};
use crate::instant::Instant;
use crate::operation::Operation;
use crate::reactor::Reactor;
use crate::source::{NEVER, Source};
use crate::token::Token;

impl Reactor {
    /// Records that `operation` has ended so. It is called while the reactor still knows of it, and costs a look at
    /// what it knows: no clock is read. `ended_by` is the deadline that has ended it, if one has; `closed` is what is
    /// kept of a source that was closed.
    pub(crate) fn record_operation(
        &mut self,
        token: Token,
        operation: &Operation,
        phase: PhaseIndex,
        ending: PhaseEnding,
        ended_by: Option<Instant>,
        closed: &RefCell<Option<Source>>,
    ) {
        let ending = match ending {
            PhaseEnding::Dropped => {
                self.why_dropped_in(operation.scope, operation.guard_ns, self.now_ns)
            }
            ending => ending,
        };
        // One that had neither a deadline nor waited has not looked at the clock.
        let began_ns = if operation.begun_at_ns == 0 { self.now_ns } else { operation.begun_at_ns };
        let until_ns = match ended_by {
            Some(deadline) => deadline.as_nanos(),
            None => self.bound_of(token, operation, began_ns, closed),
        };
        let budget_ns = if until_ns == NEVER { NEVER } else { until_ns.saturating_sub(began_ns) };
        // When the loop last looked at the clock: after the wake-up that brought the readiness.
        let took_ns = if operation.waiting { self.now_ns.saturating_sub(began_ns) } else { 0 };
        self.phases.record(phase, ending, took_ns, budget_ns);
    }

    /// By when it was to be over: by its own deadline, its side's, its scope's, that of a timeout around it.
    fn bound_of(
        &mut self,
        token: Token,
        operation: &Operation,
        began_ns: u64,
        closed: &RefCell<Option<Source>>,
    ) -> u64 {
        let of_scope = operation.scope.map_or(NEVER, |scope| self.scopes.effective_ns(scope));
        let bounds = |source: &Source| {
            let side = &source.sides[operation.direction.side()];
            (side.deadline, side.timeout)
        };
        let (of_side, timeout_ns) = match self.source(token) {
            Ok(source) => bounds(source),
            Err(_) => closed.borrow().as_ref().map_or((NEVER, NEVER), bounds),
        };
        // One that did not wait has not fixed what it had been given.
        let own_ns = match operation.begun_at_ns {
            0 => began_ns.saturating_add(timeout_ns),
            _ => operation.own_ns,
        };
        own_ns.min(operation.guard_ns).min(of_side).min(of_scope)
    }
}
