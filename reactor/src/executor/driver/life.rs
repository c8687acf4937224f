//! A task's beginning, and its end.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use super::{Driver, count, drop_contained};
use crate::arena::Id;
use crate::executor::join::{JoinError, JoinHandle};
use crate::executor::joining::Held;
use crate::executor::stage::{Outcome, Plain, Stage, TaskFuture};
use crate::executor::task::{MAIN, Task};
use crate::executor::task_info::{Origin, TaskId};
use crate::waiters::{self, Wakeup};

impl Driver {
    /// Starts a task of no scope.
    #[inline]
    pub(crate) fn spawn<F: Future + 'static>(&self, future: F, origin: Origin) -> JoinHandle<F::Output> {
        JoinHandle::new(self.spawn_with(|_| Plain { future }, origin))
    }

    /// Starts the task that `make` makes, which is told its name.
    #[inline]
    pub(crate) fn spawn_with<T: 'static, F: Future<Output = Outcome<T>> + 'static>(
        &self,
        make: impl FnOnce(Id) -> F,
        origin: Origin,
    ) -> Held {
        if self.closing.get() {
            drop_contained(make(MAIN));
            return self.refused(JoinError::aborted(origin.spawned_at));
        }
        let task = self.tasks.borrow_mut().next_id();
        self.start(task, Box::pin(Stage::of(make(task))), origin);
        Held::new(&self.tasks, task)
    }

    /// Starts the task that was announced as `task`.
    #[inline(never)]
    fn start(&self, task: Id, future: TaskFuture, origin: Origin) {
        count(&self.counts.spawned);
        let inserted = self.tasks.borrow_mut().insert(Task::new(future, origin));
        debug_assert_eq!(inserted, task);
        self.queue(task);
    }

    /// A task that is never started.
    #[cold]
    pub(crate) fn refused(&self, error: JoinError) -> Held {
        Held::refused(self.id, error)
    }

    /// Drops tasks of a scope that is over, on this thread and before this returns, unless it is called from
    /// such a drop: then right after that.
    pub(crate) fn drop_tasks(&self, tasks: Vec<Id>) {
        if tasks.is_empty() {
            return;
        }
        for id in tasks {
            let future = self.take_to_drop(id);
            self.dropped.borrow_mut().extend(future.map(|future| (id, future)));
        }
        if self.dropping.replace(true) {
            return;
        }
        loop {
            let next = self.dropped.borrow_mut().pop();
            let Some((id, future)) = next else { break };
            let (began_ns, noted_ns) = (self.read_if_accounted(), self.noted_ns.get());
            let origin = self.accounts.then(|| self.origin(TaskId { id, reactor: self.id })).flatten();
            self.end_task(id, future);
            let ended_ns = self.read_if_accounted();
            if let Some(origin) = origin.filter(|_| ended_ns - began_ns >= self.floor_ns) {
                self.note_task(id, origin, began_ns, ended_ns, noted_ns);
            }
        }
        self.dropping.set(false);
    }

    /// The future of a task that is to be dropped, unless it is being polled now: then it is dropped when it comes back.
    pub(super) fn take_to_drop(&self, id: Id) -> Option<TaskFuture> {
        let mut all = self.tasks.borrow_mut();
        let task = all.get_mut(id).filter(|task| !task.is_over())?;
        task.aborted = true;
        task.future.take()
    }

    /// Drops the future of a task that is not done, and the task; whoever has its handle is told that it was aborted.
    pub(super) fn end_task(&self, id: Id, mut future: TaskFuture) {
        self.abort_future(id, &mut future);
        match self.keep_outcome(id, future) {
            Ok(waker) => waker.into_iter().for_each(waiters::wake),
            Err(future) => {
                drop_contained(future);
                self.tasks.borrow_mut().discard(id);
            }
        }
    }

    /// Puts into the place of the future of a task that was aborted, that it was, if anybody can ask.
    pub(in crate::executor) fn abort_future(&self, id: Id, future: &mut TaskFuture) {
        let held = self
            .tasks
            .borrow_mut()
            .get_mut(id)
            .filter(|task| task.held)
            .map(|task| task.origin.spawned_at);
        if let Some(spawned_at) = held {
            end_contained(future, JoinError::aborted(spawned_at));
        }
    }

    /// The task is over, and what became of it is in `future`: keeps it for whoever has the handle. If who awaits it is a task, that
    /// is queued; returns who else does.
    ///
    /// # Errors
    /// Nobody has the handle, and `future` is to be dropped.
    #[inline(always)]
    pub(in crate::executor) fn keep_outcome(
        &self,
        id: Id,
        future: TaskFuture,
    ) -> Result<Option<Waker>, TaskFuture> {
        let mut all = self.tasks.borrow_mut();
        let Some(task) = all.get_mut(id).filter(|task| task.held) else { return Err(future) };
        match self.tasks.keep_outcome(task, future) {
            Some(Wakeup::Task(joiner)) => {
                if self.is_to_be_queued_of(&mut all, joiner) {
                    self.queue(joiner);
                }
                Ok(None)
            }
            Some(Wakeup::Waker(waker)) => Ok(Some(waker)),
            None => Ok(None),
        }
    }
}

/// Ends what is somebody else's with `error`, unless it is done, and keeps the loop alive if its drop panics.
#[cold]
pub(in crate::executor) fn end_contained(future: &mut TaskFuture, error: JoinError) {
    if catch_unwind(AssertUnwindSafe(|| future.as_mut().end(error))).is_err() {
        tracing::error!("the drop of a future or a call panicked");
    }
}
