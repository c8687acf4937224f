//! [`WaitsState`]: what waits now, counted by phase, and the oldest of it.

use std::collections::BTreeMap;

use punctual_reactor::{Instant, Wait};
use serde::{Deserialize, Serialize};

use super::{ns, text};

/// How many waits a list of a state has at most.
const LISTED: usize = 20;
/// How many phases.
const PHASES: usize = 64;

/// What waits now: see [`Runtime::waits`](crate::Runtime::waits).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct WaitsState {
    /// How many.
    pub count: u64,
    /// Of these, bounded by nothing.
    pub without_deadline: u64,
    /// All of them by what they wait for, the most frequent first.
    pub by_phase: Vec<PhaseWaits>,
    /// Those that wait longest, the oldest first.
    pub oldest: Vec<WaitState>,
    /// Those bounded by nothing, the oldest first.
    pub unbounded: Vec<WaitState>,
}

/// The waits of one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PhaseWaits {
    /// For what, as `read`, `accept`, `sleep`.
    pub phase: String,
    /// How many.
    pub count: u64,
    /// Of these, bounded by nothing.
    pub without_deadline: u64,
    /// How long the oldest has waited.
    pub oldest_ns: u64,
}

/// One thing that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct WaitState {
    /// For what, as `read`, `accept`, `sleep`.
    pub phase: String,
    /// How long it has waited.
    pub waited_ns: u64,
    /// Until its deadline; negative for one that is past and still to be fired. `None` without a deadline.
    pub left_ns: Option<i64>,
    /// On which source.
    pub source: Option<String>,
    /// In which scopes, the outermost first, as `request/upstream`.
    pub scope: Option<String>,
    /// Where its task was spawned; `None` for the future of `block_on`.
    pub task: Option<String>,
}

impl WaitsState {
    pub(super) fn of(waits: &[Wait], now: Instant) -> WaitsState {
        let mut phases = BTreeMap::<&str, PhaseWaits>::new();
        for wait in waits {
            let phase = phases.entry(wait.what()).or_default();
            phase.count += 1;
            phase.without_deadline += u64::from(wait.has_no_deadline());
            phase.oldest_ns = phase.oldest_ns.max(ns(now - wait.since()));
        }
        let named = |(what, waits): (&str, PhaseWaits)| PhaseWaits { phase: text::cut(what), ..waits };
        let mut by_phase: Vec<_> = phases.into_iter().map(named).collect();
        by_phase.sort_by_key(|phase| std::cmp::Reverse(phase.count));
        by_phase.truncate(PHASES);
        WaitsState {
            count: waits.len() as u64,
            without_deadline: waits.iter().filter(|wait| wait.has_no_deadline()).count() as u64,
            by_phase,
            oldest: oldest(waits.iter(), now),
            unbounded: oldest(waits.iter().filter(|wait| wait.has_no_deadline()), now),
        }
    }
}

fn oldest<'a>(waits: impl Iterator<Item = &'a Wait>, now: Instant) -> Vec<WaitState> {
    let mut waits: Vec<_> = waits.collect();
    let since = |wait: &&Wait| wait.since();
    if waits.len() > LISTED {
        waits.select_nth_unstable_by_key(LISTED, since);
        waits.truncate(LISTED);
    }
    waits.sort_by_key(since);
    waits.into_iter().map(|wait| WaitState::of(wait, now)).collect()
}

impl WaitState {
    fn of(wait: &Wait, now: Instant) -> WaitState {
        WaitState {
            phase: text::cut(wait.what()),
            waited_ns: ns(now - wait.since()),
            left_ns: wait.deadline().map(|deadline| left_ns(deadline, now)),
            source: wait.token().map(|token| text::cut(&format!("{token:?}"))),
            scope: wait.scope().map(text::cut),
            task: wait.task().map(|at| text::cut(&at.to_string())),
        }
    }
}

fn left_ns(deadline: Instant, now: Instant) -> i64 {
    let signed = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
    match deadline > now {
        true => signed(ns(deadline - now)),
        false => -signed(ns(now - deadline)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_is_past_counts_backwards() {
        let at = Instant::from_nanos;
        assert_eq!(left_ns(at(150), at(100)), 50);
        assert_eq!(left_ns(at(100), at(150)), -50);
        assert_eq!(left_ns(at(100), at(100)), 0);
        assert_eq!(left_ns(at(u64::MAX - 1), at(0)), i64::MAX);
    }
}
