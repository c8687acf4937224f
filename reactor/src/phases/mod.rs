//! The record of phases: how long each phase of a connection took, how it ended, and how much time it had been given.
//!
//! ```text
//!  reads and writes that waited ─▶ Reactor::leave ─┐
//!  names, connects, TLS, requests ─▶ record_phase ─┴▶ Phases ─▶ phases(), metrics(), advise()
//! ```
//!
//! What did not wait is not recorded, and costs nothing: neither a look at the clock nor a look-up.

mod advice;
mod budgets;
mod ending;
mod operation;
mod record;

use std::time::Duration;

pub use advice::{Advice, AdviceOptions, BudgetAdvice, PhaseAdvice, PhaseQuantile, Verdict, advise};
pub use budgets::{BudgetCounts, BudgetRecord};
pub use ending::{PhaseEnding, PhaseEndings, TimeoutBy};
pub use record::PhaseRecord;
pub(crate) use record::{PhaseIndex, Phases};

use crate::executor::{Runtime, context};
use crate::instant::nanos;
use crate::source::NEVER;

/// Records on the runtime of this thread that `phase` has ended so, after `took`, of the time it was given
/// (`None`: it had no deadline). Outside of a runtime it does nothing.
///
/// For protocols of one's own. What a [`Registration`](crate::Registration) waits for is recorded by itself, if
/// [`set_phase`](crate::Registration::set_phase) says under which name. The first 63 names are told apart.
///
/// ```
/// use std::time::Duration;
/// use punctual_reactor::{PhaseEnding, Runtime, phases, record_phase};
///
/// Runtime::new()?.block_on(async {
///     let (took, budget) = (Duration::from_millis(7), Duration::from_millis(100));
///     record_phase("handshake", PhaseEnding::Done, took, Some(budget));
///     assert_eq!(phases()[0].done.max(), took);
/// });
/// # std::io::Result::Ok(())
/// ```
pub fn record_phase(phase: &'static str, ending: PhaseEnding, took: Duration, budget: Option<Duration>) {
    context::with(|driver| {
        let Some(driver) = driver else { return };
        let phases = &mut driver.reactor.borrow_mut().phases;
        let index = phases.index_of(phase);
        phases.record(index, ending, nanos(took), budget.map_or(NEVER, nanos));
    });
}

/// How the phases on the runtime of this thread have fared: see [`Runtime::phases`]. Nothing outside of a runtime.
#[must_use]
pub fn phases() -> Vec<PhaseRecord> {
    context::try_current().map(|driver| driver.reactor.borrow().phases.records()).unwrap_or_default()
}

impl Runtime {
    /// How each phase has fared that has ended at least once, ordered by name. It copies two histograms a phase.
    /// From another thread have the loop do it: `handle.call(|| tell(phases()))`.
    #[must_use]
    pub fn phases(&self) -> Vec<PhaseRecord> {
        self.driver().reactor.borrow().phases.records()
    }
}
