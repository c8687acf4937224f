//! [`TaskInfo`]: what is known of a task: who it is, where it comes from, and what it has cost.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use tracing::Metadata;
use tracing::level_filters::LevelFilter;

use crate::arena::Id;
use crate::executor::task::{MAIN, Task};
use crate::executor::{Driver, Runtime, context};
use crate::one_line::OneLine;
use crate::text::Text;
use crate::token::ReactorId;

/// Names one task of one runtime, for ever: it is not reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskId {
    pub(crate) id: Id,
    pub(crate) reactor: ReactorId,
}

impl TaskId {
    /// Whether it is the future that `block_on` was given, which nobody spawned.
    #[must_use]
    pub fn is_main(self) -> bool {
        self.id == MAIN
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TaskId { id, reactor } = self;
        match self.is_main() {
            true => write!(f, "TaskId(main of reactor {})", reactor.0),
            false => write!(f, "TaskId({}#{} of reactor {})", id.index, id.generation, reactor.0),
        }
    }
}

/// A task that lives now, as [`tasks`] and [`Runtime::tasks`] list them.
///
/// Its `Display` is one line: `task "sync" spawned at src/main.rs:31:12 in span "request"`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its name for the machine.
    pub id: TaskId,
    /// Its name for people, if it was given one by `spawn_named`.
    pub name: Option<String>,
    /// Where it was spawned; of the future of `block_on`, where that was called.
    pub spawned_at: &'static Location<'static>,
    /// The `tracing` span in which it was spawned, if there was one.
    pub span: Option<&'static Metadata<'static>>,
    /// The number of that span, as the subscriber gave it.
    pub span_id: Option<u64>,
    /// What it does now.
    pub state: TaskState,
    /// How often it was polled; not counted if the runtime [does not account](crate::Builder::account_polls).
    pub polls: u64,
    /// How long these polls took, all together.
    pub busy: Duration,
    /// How long the longest of them took.
    pub longest_poll: Duration,
}

/// What a task does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// It is being polled.
    Running,
    /// It was woken, and will be polled.
    Queued,
    /// It waits to be woken.
    Waiting,
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TaskState::Running => "running",
            TaskState::Queued => "queued",
            TaskState::Waiting => "waiting",
        })
    }
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = self.span.map(Metadata::name);
        describe_task(f, self.id.is_main(), self.name.as_deref(), self.spawned_at, span)
    }
}

/// `task "sync" spawned at src/main.rs:31:12 in span "request"`
pub(crate) fn describe_task(
    f: &mut fmt::Formatter<'_>,
    is_main: bool,
    name: Option<&str>,
    spawned_at: &Location<'_>,
    span: Option<&str>,
) -> fmt::Result {
    match (is_main, name) {
        (true, _) => write!(f, "the future of block_on at {spawned_at}")?,
        (false, None) => write!(f, "the task spawned at {spawned_at}")?,
        (false, Some(name)) => write!(f, "task \"{}\" spawned at {spawned_at}", OneLine(name))?,
    }
    match span {
        Some(span) => write!(f, " in span \"{}\"", OneLine(span)),
        None => Ok(()),
    }
}

/// Where a task comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) spawned_at: &'static Location<'static>,
    /// Most tasks have neither a name nor a span.
    more: Option<Arc<More>>,
}

#[derive(Debug, PartialEq, Eq)]
struct More {
    name: Option<Text>,
    span: Option<SpanInfo>,
}

/// A span of the program's, as it was when something was spawned in it. It is not kept open by this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpanInfo {
    pub(crate) metadata: &'static Metadata<'static>,
    pub(crate) id: u64,
}

impl Origin {
    /// Of what is spawned now.
    #[inline(always)]
    pub(crate) fn new(name: Option<Text>, spawned_at: &'static Location<'static>) -> Origin {
        // Without a subscriber nothing is asked.
        if name.is_none() && LevelFilter::current() == LevelFilter::OFF {
            return Origin { spawned_at, more: None };
        }
        Origin::with_more(name, spawned_at)
    }

    #[inline(never)]
    fn with_more(name: Option<Text>, spawned_at: &'static Location<'static>) -> Origin {
        let span = SpanInfo::current();
        let more = (name.is_some() || span.is_some()).then(|| Arc::new(More { name, span }));
        Origin { spawned_at, more }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.more.as_ref()?.name.as_deref()
    }

    pub(crate) fn span(&self) -> Option<SpanInfo> {
        self.more.as_ref()?.span
    }
}

impl SpanInfo {
    fn current() -> Option<SpanInfo> {
        let span = tracing::Span::current();
        let metadata = span.metadata()?;
        span.id().map(|id| SpanInfo { metadata, id: id.into_u64() })
    }
}

/// What the polls of one task have cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Polls {
    count: u64,
    busy_ns: u64,
    longest_ns: u64,
    /// When the last one ended.
    ended_ns: u64,
}

impl Polls {
    #[inline]
    pub(crate) fn add(&mut self, took_ns: u64, ended_ns: u64) {
        self.count += 1;
        self.busy_ns += took_ns;
        self.longest_ns = self.longest_ns.max(took_ns);
        self.ended_ns = ended_ns;
    }
}

/// The tasks that live now on the runtime of this thread: see [`Runtime::tasks`]. None outside of a runtime.
#[must_use]
pub fn tasks() -> Vec<TaskInfo> {
    context::try_current().map(|driver| driver.tasks()).unwrap_or_default()
}

/// The task with this id, if it lives on the runtime of this thread.
#[must_use]
pub fn task_info(task: TaskId) -> Option<TaskInfo> {
    context::try_current()?.task_info(task)
}

/// The task that is being polled on this thread, or the future of `block_on`; `None` outside of both.
#[must_use]
pub fn current_task() -> Option<TaskId> {
    context::with(|driver| driver.and_then(|driver| driver.polled_task()))
}

impl Runtime {
    /// The tasks that live now, with where they come from and what they have cost; within `block_on` its future
    /// comes first, and is one more than [`Metrics::live_tasks`](crate::Metrics::live_tasks) counts.
    ///
    /// It costs a walk over all tasks. From another thread have the loop do it: `handle.call(|| tell(tasks()))`.
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskInfo> {
        self.driver().tasks()
    }
}

impl Driver {
    fn tasks(&self) -> Vec<TaskInfo> {
        let polled = self.polled_task();
        let mut tasks = self.tasks.borrow_mut();
        let live = tasks.iter_mut().filter(|(_, task)| !task.is_over());
        let of_tasks = live.map(|(id, task)| self.describe(id, task, polled));
        self.main_info(polled).into_iter().chain(of_tasks).collect()
    }

    pub(crate) fn task_info(&self, task: TaskId) -> Option<TaskInfo> {
        let polled = self.polled_task();
        if task.reactor != self.id {
            return None;
        }
        if task.is_main() {
            return self.main_info(polled);
        }
        let mut tasks = self.tasks.borrow_mut();
        let found = tasks.get_mut(task.id).filter(|found| !found.is_over());
        found.map(|found| self.describe(task.id, found, polled))
    }

    /// Whether it has not ended; the future of `block_on` may be taken up again.
    pub(crate) fn lives(&self, task: Id) -> bool {
        task == MAIN || !self.tasks.is_over(task)
    }

    /// The tasks that wait, whatever for, and when each was polled last, if polls are accounted.
    pub(crate) fn waiting_tasks(&self) -> Vec<(Id, Option<u64>)> {
        let polled = self.polled_task().map(|task| task.id);
        let since_ns = |polls: &Polls| (polls.count > 0).then_some(polls.ended_ns);
        let main = self.main.borrow();
        let main = main.as_ref().filter(|main| polled != Some(MAIN) && !main.flag.is_queued());
        let mut tasks = self.tasks.borrow_mut();
        let waiting = tasks.iter_mut().filter(|(_, task)| !task.aborted && task.is_waiting());
        let waiting = waiting.map(|(id, task)| (id, since_ns(&task.polls)));
        main.map(|main| (MAIN, since_ns(&main.polls))).into_iter().chain(waiting).collect()
    }

    /// The future of `block_on`, within that.
    fn main_info(&self, polled: Option<TaskId>) -> Option<TaskInfo> {
        let main = self.main.borrow();
        let main = main.as_ref()?;
        let queued = main.flag.is_queued();
        Some(self.task_info_of(MAIN, &main.origin, main.polls, queued, polled))
    }

    fn describe(&self, id: Id, task: &Task, polled: Option<TaskId>) -> TaskInfo {
        let queued = task.future.is_some() && task.is_queued();
        self.task_info_of(id, &task.origin, task.polls, queued, polled)
    }

    fn task_info_of(
        &self,
        id: Id,
        origin: &Origin,
        polls: Polls,
        queued: bool,
        polled: Option<TaskId>,
    ) -> TaskInfo {
        let id = TaskId { id, reactor: self.id };
        let state = match (polled == Some(id), queued) {
            (true, _) => TaskState::Running,
            (false, true) => TaskState::Queued,
            (false, false) => TaskState::Waiting,
        };
        TaskInfo {
            id,
            name: origin.name().map(str::to_owned),
            spawned_at: origin.spawned_at,
            span: origin.span().map(|span| span.metadata),
            span_id: origin.span().map(|span| span.id),
            state,
            polls: polls.count,
            busy: Duration::from_nanos(polls.busy_ns),
            longest_poll: Duration::from_nanos(polls.longest_ns),
        }
    }
}
