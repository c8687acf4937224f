//! [`State`]: one look at a running loop, as a document.
//!
//! ```text
//!  metrics() drift() waits() blame() … ──▶ State ──▶ JSON at /debug/state ──▶ State ──▶ `top`, scripts
//!             on the loop                  copies, cut to a size      in another process
//! ```

mod counters;
mod culprits;
mod distribution;
mod phases;
mod text;
mod waits;

#[cfg(test)]
mod tests;

use std::time::{SystemTime, UNIX_EPOCH};

use punctual_reactor::{Advice, AdviceOptions, Instant, PhaseRecord, blame, metrics_and_waits, tasks};
use serde::{Deserialize, Serialize};

pub use counters::Counters;
pub use culprits::{BlameState, CulpritEntry, TaskEntry};
pub use distribution::{Distribution, DriftState};
pub use phases::PhaseState;
pub use waits::{PhaseWaits, WaitState, WaitsState};

/// One look at a running loop: everything that [`Runtime`](crate::Runtime) tells of itself, taken in one go.
///
/// Durations and moments are whole nanoseconds, in fields whose name ends in `_ns`. All lists are cut to a
/// fixed length and all texts to a fixed size, so that a loop with a million waits is looked at as well; how many
/// there are is told beside each list.
///
/// The document changes by growing: a reader ignores fields it does not know and takes missing ones as empty, so
/// that both sides may be of different releases. [`version`](State::version) counts the changes that this does not
/// cover.
///
/// ```
/// use punctual::debug::State;
///
/// let runtime = punctual::Runtime::new()?;
/// let state = runtime.block_on(async { State::of_current() });
/// let json = serde_json::to_string(&state)?;
/// assert_eq!(serde_json::from_str::<State>(&json)?, state);
/// assert_eq!(state.version, State::VERSION);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct State {
    /// Of this document: [`State::VERSION`] of whoever wrote it.
    pub version: u32,
    /// When it was taken, on the runtime's clock.
    pub taken_ns: u64,
    /// When it was taken, by the calendar: since 1970, in UTC.
    pub taken_unix_ns: u64,
    /// The process.
    pub process_id: u32,
    /// The file name of its program.
    pub process_name: String,
    /// What the loop has done so far, and how much lives in it now.
    pub counters: Counters,
    /// How late everything fired so far, and through whom.
    pub drift: DriftState,
    /// What held the loop up.
    pub blame: BlameState,
    /// The tasks that were busy longest, the busiest first.
    pub tasks: Vec<TaskEntry>,
    /// What waits now.
    pub waits: WaitsState,
    /// How the phases of connections have fared.
    pub phases: Vec<PhaseState>,
    /// What to think of their deadlines: the lines of [`advise`](crate::advise).
    pub advice: Vec<String>,
}

impl State {
    /// The version of the documents that this release writes.
    pub const VERSION: u32 = 1;

    /// The state of the runtime on this thread; call it from one of its tasks. It costs a walk over what waits, and
    /// a copy of the histograms.
    ///
    /// Outside of a runtime all of it is empty but the time and the process.
    #[must_use]
    pub fn of_current() -> State {
        let now = Instant::now();
        let (metrics, waits) = metrics_and_waits();
        State {
            version: State::VERSION,
            taken_ns: now.as_nanos(),
            taken_unix_ns: unix_ns(),
            process_id: std::process::id(),
            process_name: program(),
            counters: Counters::from(&metrics),
            drift: DriftState::from(&metrics.drift),
            blame: BlameState::from(&blame()),
            tasks: TaskEntry::busiest(tasks()),
            waits: WaitsState::of(&waits, &metrics.waits, now),
            phases: PhaseState::all(&metrics.phases),
            advice: advice(&metrics.phases),
        }
    }
}

/// How many lines of advice a state has at most.
const LINES: usize = 200;

fn advice(phases: &[PhaseRecord]) -> Vec<String> {
    if phases.is_empty() {
        return Vec::new();
    }
    let advice = Advice::of(phases, &AdviceOptions::new()).map(|advice| advice.to_string());
    advice.unwrap_or_default().lines().take(LINES).map(text::cut).collect()
}

/// Zero for a calendar that stands before 1970.
fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, ns)
}

/// The length of `duration` in nanoseconds, at most `u64::MAX`.
fn ns(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn program() -> String {
    let path = std::env::args_os().next().map(std::path::PathBuf::from);
    let name = path.as_deref().and_then(std::path::Path::file_name);
    text::cut(&name.unwrap_or_default().to_string_lossy())
}
