//! [`Between`]: what happened between two states of one process.

use punctual::debug::{Counters, DriftState, State};

/// Rates over an interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Between {
    /// From the earlier state to the later, or, without an earlier one, nothing.
    pub elapsed_ns: u64,
    /// Which share of the time the loop was not asleep.
    pub busy: f64,
    pub turns: f64,
    pub polls: f64,
    pub task_polls: f64,
    pub events: f64,
    pub fired: f64,
    /// The drift of what fired in between; without an earlier state, of all.
    pub drift: DriftState,
}

/// Whether `now` is a later state of the runtime that `before` was taken of.
pub(crate) fn continues(before: &State, now: &State) -> bool {
    let counts = |counters: &Counters| [counters.turns, counters.polls, counters.task_polls];
    now.process_id == before.process_id
        && now.taken_ns > before.taken_ns
        && counts(&now.counters).iter().zip(counts(&before.counters)).all(|(now, before)| *now >= before)
}

impl Between {
    pub(crate) fn of(before: Option<&State>, now: &State) -> Between {
        let Some(before) = before.filter(|before| continues(before, now)) else {
            return Between { drift: now.drift.clone(), ..Between::default() };
        };
        let elapsed_ns = now.taken_ns - before.taken_ns;
        let seconds = elapsed_ns as f64 / 1e9;
        let rate = |counter: fn(&Counters) -> u64| {
            counter(&now.counters).saturating_sub(counter(&before.counters)) as f64 / seconds
        };
        let mut drift = DriftState::default();
        drift.total = now.drift.total.since(&before.drift.total);
        drift.quantisation = now.drift.quantisation.since(&before.drift.quantisation);
        drift.kernel = now.drift.kernel.since(&before.drift.kernel);
        drift.in_loop = now.drift.in_loop.since(&before.drift.in_loop);
        drift.early = now.drift.early.saturating_sub(before.drift.early);
        Between {
            elapsed_ns,
            busy: (1.0 - rate(|counters| counters.parked_ns) / 1e9).clamp(0.0, 1.0),
            turns: rate(|counters| counters.turns),
            polls: rate(|counters| counters.polls),
            task_polls: rate(|counters| counters.task_polls),
            events: rate(|counters| counters.events),
            fired: rate(|counters| counters.fired),
            drift,
        }
    }
}
