//! [`BlameState`]: what held the loop up, and what its tasks have cost.

use punctual_reactor::TaskInfo;
use serde::{Deserialize, Serialize};

use super::{ns, text};

/// How many tasks a state has at most.
const TASKS: usize = 20;

/// What held the loop up so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct BlameState {
    /// How often something held it longer than the threshold.
    pub stalls: u64,
    /// From which length on that is so.
    pub threshold_ns: u64,
    /// The longest of them, the longest first.
    pub worst: Vec<CulpritEntry>,
}

/// Something that held the loop once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CulpritEntry {
    /// What it was, as one line for people.
    pub what: String,
    /// The task's name for people, if it was given one.
    pub name: Option<String>,
    /// The task's name for the machine.
    pub task: Option<String>,
    /// Where the task was spawned, as `src/main.rs:31:12`.
    pub spawned_at: Option<String>,
    /// The `tracing` span in which it was spawned.
    pub span: Option<String>,
    /// How long it held the loop.
    pub held_ns: u64,
    /// In which turn.
    pub turn: u64,
    /// When that was over, on the runtime's clock.
    pub at_ns: u64,
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
