//! [`WaitsState`]: what waits now, counted by phase, and the oldest of it.

use punctual_reactor::{Instant, Wait, WaitCounts, Waits};
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
    /// Of these, without a deadline, though nobody has said that they may.
    pub without_deadline: u64,
    /// Without one by their nature, as an `accept`.
    pub idle: u64,
    /// Without one by choice.
    pub intended: u64,
    /// All of them by phase, that with the most first.
    pub by_phase: Vec<PhaseWaits>,
    /// Those that have waited longest, the oldest first.
    pub oldest: Vec<WaitState>,
    /// Those without a deadline of which nobody has said that they may, the oldest first.
    pub unbounded: Vec<WaitState>,
}

/// The waits of one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PhaseWaits {
    /// Its name, as `read`, `accept`, `sleep`.
    pub phase: String,
    /// How many.
    pub count: u64,
    /// Of these, without a deadline, though nobody has said that they may.
    pub without_deadline: u64,
    /// How long the oldest has waited.
    pub oldest_ns: u64,
}

/// One thing that waits: see [`Wait`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct WaitState {
    /// For what, as `read`, `accept`, `sleep`.
    pub what: String,
    /// The phase it is a part of, as `request`.
    pub phase: String,
    /// With whom or what, as the peer's address.
    pub subject: Option<String>,
    /// How long it has waited.
    pub waited_ns: u64,
    /// Until its deadline; negative for one that is past and still to be fired. `None` without a deadline.
    pub left_ns: Option<i64>,
    /// Whether it has a deadline and whether it ought to: `bounded`, `idle`, `intended` or `unbounded`.
    pub class: String,
    /// Whose deadline it is, and where that was set.
    pub bound: Option<String>,
    /// On which source.
    pub source: Option<String>,
    /// In which scopes, the outermost first, as `request/upstream`.
    pub scope: Option<String>,
    /// Its task's name for the machine.
    pub task: Option<String>,
    /// Its task's name for people, if it was given one.
    pub name: Option<String>,
    /// Where its task was spawned, or `block_on` called.
    pub spawned_at: Option<String>,
}

impl WaitsState {
    pub(super) fn of(waits: &Waits, counts: &WaitCounts, now: Instant) -> WaitsState {
        let entries =
            |listed: Vec<&Wait>| listed.into_iter().map(|wait| WaitState::of(wait, now)).collect();
        let by_phase = waits.by_phase().into_iter().take(PHASES).map(|of| PhaseWaits {
            phase: text::cut(of.phase),
            count: of.counts.total as u64,
            without_deadline: of.counts.without_deadline as u64,
            oldest_ns: ns(of.oldest),
        });
        WaitsState {
            count: counts.total as u64,
            without_deadline: counts.without_deadline as u64,
            idle: counts.idle as u64,
            intended: counts.intended as u64,
            by_phase: by_phase.collect(),
            oldest: entries(waits.oldest(LISTED)),
            unbounded: entries(waits.without_deadline().take(LISTED).collect()),
        }
    }
}

impl WaitState {
    fn of(wait: &Wait, now: Instant) -> WaitState {
        let task = wait.task();
        WaitState {
            what: text::cut(wait.what()),
            phase: text::cut(wait.phase()),
            subject: wait.subject().map(text::cut),
            waited_ns: ns(wait.age()),
            left_ns: wait.deadline().map(|deadline| left_ns(deadline, now)),
            class: wait.class().as_str().to_owned(),
            bound: wait.bound().map(|bound| text::cut(&bound.to_string())),
            source: wait.token().map(|token| text::cut(&format!("{token:?}"))),
            scope: wait.scope().map(text::cut),
            task: task.map(|task| format!("{:?}", task.id)),
            name: task.and_then(|task| task.name.as_deref()).map(text::cut),
            spawned_at: task.map(|task| text::cut(&task.spawned_at.to_string())),
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
