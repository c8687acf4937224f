//! [`BlameState`]: what held the loop up, and what its tasks have cost.

use punctual_reactor::{Blame, Culprit, TaskInfo};
use serde::{Deserialize, Serialize};

use super::{ns, text};

/// How many culprits a state has at most.
const CULPRITS: usize = 20;
/// How many tasks a state has at most.
const TASKS: usize = 20;

/// What held the loop up so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct BlameState {
    /// Turns that took the threshold or longer.
    pub stalls: u64,
    /// Firings of which the loop's part was the threshold or more.
    pub late_firings: u64,
    /// The threshold.
    pub threshold_ns: u64,
    /// The worst culprits, the one that held the loop longest first.
    pub worst: Vec<CulpritEntry>,
}

/// Something that held the loop once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CulpritEntry {
    /// What kind of thing it is, as `task`, `call`, `hook`.
    pub kind: String,
    /// All of it as one line for people.
    pub line: String,
    /// The task's name for people, if it was given one.
    pub name: Option<String>,
    /// The task's name for the machine, if it is one.
    pub task: Option<String>,
    /// Where the task was spawned, or the call made, as `src/main.rs:31:12`.
    pub location: Option<String>,
    /// The `tracing` span in which the task was spawned.
    pub span: Option<String>,
    /// How long it held the loop.
    pub held_ns: u64,
    /// For how much of that the thread was on a CPU, where that is known.
    pub ran_ns: Option<u64>,
    /// In which turn.
    pub turn: u64,
    /// When that began, on the runtime's clock.
    pub began_ns: u64,
    /// How many firings were late for it.
    pub late_firings: u64,
    /// The loop's part in the lateness of the latest of these.
    pub lateness_ns: u64,
}

/// A task and what it has cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TaskEntry {
    /// Its name for the machine.
    pub task: String,
    /// Its name for people, if it was given one.
    pub name: Option<String>,
    /// Where it was spawned, as `src/main.rs:31:12`.
    pub spawned_at: String,
    /// The `tracing` span in which it was spawned.
    pub span: Option<String>,
    /// How often it was polled.
    pub polls: u64,
    /// How long these polls took, all together.
    pub busy_ns: u64,
    /// How long the longest of them took.
    pub longest_poll_ns: u64,
}

impl From<&Blame> for BlameState {
    fn from(blame: &Blame) -> BlameState {
        BlameState {
            stalls: blame.stalls,
            late_firings: blame.late_firings,
            threshold_ns: ns(blame.threshold),
            worst: blame.worst.iter().take(CULPRITS).map(CulpritEntry::from).collect(),
        }
    }
}

impl From<&Culprit> for CulpritEntry {
    fn from(culprit: &Culprit) -> CulpritEntry {
        CulpritEntry {
            kind: culprit.kind().as_str().to_owned(),
            line: text::cut(&culprit.to_string()),
            name: culprit.name().map(text::cut),
            task: culprit.task().map(|task| format!("{task:?}")),
            location: culprit.location().map(|at| text::cut(&at.to_string())),
            span: culprit.span().map(|span| text::cut(span.name())),
            held_ns: ns(culprit.held()),
            ran_ns: culprit.ran().map(ns),
            turn: culprit.turn(),
            began_ns: culprit.began().as_nanos(),
            late_firings: culprit.late_firings(),
            lateness_ns: ns(culprit.lateness()),
        }
    }
}

impl TaskEntry {
    /// Those that were busy longest, the busiest first.
    pub(super) fn busiest(mut tasks: Vec<TaskInfo>) -> Vec<TaskEntry> {
        let busiest = |task: &TaskInfo| std::cmp::Reverse(task.busy);
        if tasks.len() > TASKS {
            tasks.select_nth_unstable_by_key(TASKS, busiest);
            tasks.truncate(TASKS);
        }
        tasks.sort_by_key(busiest);
        tasks.iter().map(TaskEntry::from).collect()
    }
}

impl From<&TaskInfo> for TaskEntry {
    fn from(task: &TaskInfo) -> TaskEntry {
        TaskEntry {
            task: format!("{:?}", task.id),
            name: task.name.as_deref().map(text::cut),
            spawned_at: text::cut(&task.spawned_at.to_string()),
            span: task.span.map(|span| text::cut(span.name())),
            polls: task.polls,
            busy_ns: ns(task.busy),
            longest_poll_ns: ns(task.longest_poll),
        }
    }
}
