//! Operations on a registration as phases: a read that waits, a write that waits.

use super::{PhaseEnding, PhaseIndex};
use crate::instant::Instant;
use crate::operation::{Operation, Times};
use crate::reactor::Reactor;
use crate::source::{NEVER, Source};

impl Reactor {
    /// Records that `operation` has ended so. It is called before it leaves, and costs a look at what is known: no
    /// clock is read. `ended_by` is the deadline that has ended it, if one has.
    pub(crate) fn record_operation(
        &mut self,
        source: &Source,
        operation: &Operation,
        phase: PhaseIndex,
        ending: PhaseEnding,
        ended_by: Option<Instant>,
    ) {
        let Times { guard_ns, begun_at_ns, .. } = operation.times(source.side(operation.direction));
        let ending = match ending {
            PhaseEnding::Dropped => self.why_dropped_in(operation.scope, guard_ns, self.now_ns),
            ending => ending,
        };
        // One that had neither a deadline nor waited has not looked at the clock.
        let began_ns = if begun_at_ns == 0 { self.now_ns } else { begun_at_ns };
        let until_ns = match ended_by {
            Some(deadline) => deadline.as_nanos(),
            None => self.bound_of(source, operation, began_ns),
        };
        let budget_ns = if until_ns == NEVER { NEVER } else { until_ns.saturating_sub(began_ns) };
        // When the loop last looked at the clock: after the wake-up that brought the readiness.
        let took_ns = if operation.waiting { self.now_ns.saturating_sub(began_ns) } else { 0 };
        self.phases.record(phase, ending, took_ns, budget_ns);
    }

    /// The same of one that has waited since `began_ns` and has its result, as nearly all end. It would have ended at `until_ns`.
    #[inline]
    pub(crate) fn record_done(&mut self, phase: PhaseIndex, began_ns: u64, until_ns: u64) {
        let budget_ns = if until_ns == NEVER { NEVER } else { until_ns.saturating_sub(began_ns) };
        // When the loop last looked at the clock: after the wake-up that brought the readiness.
        let took_ns = self.now_ns.saturating_sub(began_ns);
        self.phases.record_done(phase, took_ns, budget_ns);
    }

    /// By when it was to be over: by its own deadline, its side's, its scope's, that of a timeout around it.
    pub(crate) fn bound_of(&mut self, source: &Source, operation: &Operation, began_ns: u64) -> u64 {
        let of_scope = operation.scope.map_or(NEVER, |scope| self.scopes.effective_ns(scope));
        let side = source.side(operation.direction);
        // One that did not wait has not fixed what it had been given.
        let Times { own_ns, guard_ns, begun_at_ns, .. } = operation.times(side);
        let own_ns = if begun_at_ns == 0 { began_ns.saturating_add(side.timeout()) } else { own_ns };
        own_ns.min(guard_ns).min(side.deadline()).min(of_scope)
    }
}
