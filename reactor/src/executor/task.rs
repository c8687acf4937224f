//! [`Task`] and its waker.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::task::{RawWakerVTable, Wake, Waker};

use crate::arena::Id;
use crate::executor::context;
use crate::executor::joins::JoinKey;
use crate::executor::stage::TaskFuture;
use crate::executor::task_info::{Origin, Polls};
use crate::remote::Shared;

/// The id of the future that `block_on` was given: no arena gives it out.
pub(crate) const MAIN: Id = Id { index: u32::MAX, generation: NonZeroU32::MAX };

/// One spawned future, and what became of it as long as somebody has the handle.
pub(crate) struct Task {
    /// Away while it is being polled, so that it may spawn, wake and abort as it likes. Of a task that is over, its outcome.
    pub(crate) future: Option<TaskFuture>,
    /// The waker that it was polled with, if somebody has kept a clone of it. Away while it is being polled.
    waker: Option<Box<OwnWaker>>,
    pub(crate) origin: Origin,
    pub(crate) polls: Polls,
    /// Whether it is in the run queue, as long as it has no waker; of one that is being polled, whether it was woken
    /// by its name meanwhile.
    queued: bool,
    pub(crate) aborted: bool,
    /// Whether its outcome is where its future was.
    over: bool,
    /// Whether somebody has its handle.
    pub(crate) held: bool,
    /// Who awaits it.
    pub(crate) join: JoinKey,
}

/// A waker as its task has it.
pub(crate) struct OwnWaker {
    flag: Arc<TaskWaker>,
    pub(crate) waker: Waker,
}

impl OwnWaker {
    fn new(remote: &Arc<Shared>) -> OwnWaker {
        let flag = TaskWaker::queued(MAIN, remote.clone());
        let waker = flag.waker();
        OwnWaker { flag, waker }
    }

    /// Whether nobody has a clone of it.
    fn is_alone(&self) -> bool {
        // These two are all there are: only who has one can make another.
        let alone = Arc::strong_count(&self.flag) == 2;
        if alone {
            // What other threads did with theirs is over.
            fence(Ordering::Acquire);
        }
        alone
    }
}

impl Task {
    /// One that is queued already, and whose handle somebody has.
    #[inline]
    pub(crate) fn new(future: TaskFuture, origin: Origin) -> Task {
        Task {
            future: Some(future),
            waker: None,
            origin,
            polls: Polls::default(),
            queued: true,
            aborted: false,
            over: false,
            held: true,
            join: JoinKey::NONE,
        }
    }

    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// It is over. From here on it looks as if it were queued, so that no wake queues it.
    #[inline(always)]
    pub(crate) fn keep_outcome(&mut self, outcome: TaskFuture) {
        (self.future, self.waker) = (Some(outcome), None);
        (self.over, self.queued) = (true, true);
    }

    /// Whether it is in the run queue, or on its way there.
    pub(crate) fn is_queued(&self) -> bool {
        self.waker.as_ref().map_or(self.queued, |own| own.flag.is_queued())
    }

    /// Whether it waits to be woken. With its future away it is being polled, or about to be dropped.
    pub(crate) fn is_waiting(&self) -> bool {
        self.future.is_some() && !self.is_queued()
    }

    /// Whether it is to be queued now, because it was not yet. One that is being polled is queued afterwards.
    #[inline]
    pub(crate) fn is_to_be_queued(&mut self) -> bool {
        match &self.waker {
            Some(own) => own.flag.is_to_be_queued(),
            None => !std::mem::replace(&mut self.queued, true) && self.future.is_some(),
        }
    }

    /// Takes out what is to be polled, and with what; from here on a wake queues the task again.
    #[inline]
    pub(crate) fn begin_poll(
        &mut self,
        id: Id,
        spare: &SpareWakers,
        remote: &Arc<Shared>,
    ) -> Option<(TaskFuture, Box<OwnWaker>)> {
        if self.over {
            return None;
        }
        let future = self.future.take()?;
        self.queued = false;
        let own = match self.waker.take() {
            Some(own) => {
                own.flag.about_to_poll();
                own
            }
            None => spare.take(id, remote),
        };
        Some((future, own))
    }

    /// It waits. A waker that it has left with nobody is another task's from here on. Returns whether the task is to be
    /// queued, because it was woken by its name meanwhile, and not by its waker.
    #[inline(always)]
    #[must_use]
    pub(crate) fn end_poll(
        &mut self,
        future: TaskFuture,
        own: Box<OwnWaker>,
        spare: &SpareWakers,
    ) -> bool {
        self.future = Some(future);
        if !own.is_alone() {
            let woken = std::mem::take(&mut self.queued);
            let to_be_queued = woken && own.flag.is_to_be_queued();
            self.waker = Some(own);
            return to_be_queued;
        }
        let queued = own.flag.is_queued();
        let to_be_queued = self.queued && !queued;
        self.queued |= queued;
        spare.keep(own);
        to_be_queued
    }
}

/// The future of `block_on`, which lives on the stack there.
pub(crate) struct Main {
    pub(crate) flag: Arc<TaskWaker>,
    pub(crate) origin: Origin,
    pub(crate) polls: Polls,
}

/// Queues its task, once until the task is polled again.
pub(crate) struct TaskWaker {
    /// The task's id. It changes only while nobody but its task's keeper has it.
    task: AtomicU64,
    queued: AtomicBool,
    remote: Arc<Shared>,
}

impl TaskWaker {
    /// A waker whose task is queued already.
    pub(crate) fn queued(task: Id, remote: Arc<Shared>) -> Arc<TaskWaker> {
        let task = AtomicU64::new(task.to_bits());
        Arc::new(TaskWaker { task, queued: AtomicBool::new(true), remote })
    }

    /// It as a waker. All are made here: code that is generic is compiled in other crates again, and a waker made there has
    /// a table of functions of its own, by which it would not be known as a task's.
    #[inline(never)]
    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }

    /// The tables of functions of such wakers: a clone may have another than the first.
    pub(crate) fn tables(remote: Arc<Shared>) -> [&'static RawWakerVTable; 2] {
        let waker = TaskWaker::queued(MAIN, remote).waker();
        [waker.vtable(), waker.clone().vtable()]
    }

    /// Whether its task is in the run queue, or on its way there.
    pub(crate) fn is_queued(&self) -> bool {
        self.queued.load(Ordering::Relaxed)
    }

    /// Whether it is to be queued now, because it was not yet.
    pub(crate) fn is_to_be_queued(&self) -> bool {
        !self.queued.swap(true, Ordering::AcqRel)
    }

    /// The same on the thread that polls the task: what this thread did before needs no publishing. But it is no store: that would
    /// part the poll from what other threads did before they found the flag set.
    pub(crate) fn is_to_be_queued_here(&self) -> bool {
        !self.is_queued() && !self.queued.swap(true, Ordering::Relaxed)
    }

    /// From here on a wake queues the task again.
    pub(crate) fn about_to_poll(&self) {
        self.queued.swap(false, Ordering::AcqRel);
    }
}

/// Wakers that nobody has: the next tasks to be polled get them, and most give them back when they wait. What waits by its
/// task's name needs none, so a task that does nothing else has none.
#[derive(Default)]
pub(crate) struct SpareWakers {
    /// The one that the last task has given back, and nearly always the next gets.
    first: Cell<Option<Box<OwnWaker>>>,
    more: RefCell<Vec<OwnWaker>>,
}

/// How many more are kept.
const SPARE_WAKERS: usize = 128;

impl SpareWakers {
    /// One for a task that is not queued.
    #[inline]
    fn take(&self, task: Id, remote: &Arc<Shared>) -> Box<OwnWaker> {
        let own = self.first.take().unwrap_or_else(|| self.take_another(remote));
        own.flag.task.store(task.to_bits(), Ordering::Relaxed);
        own.flag.queued.store(false, Ordering::Relaxed);
        own
    }

    #[inline(never)]
    fn take_another(&self, remote: &Arc<Shared>) -> Box<OwnWaker> {
        let spare = self.more.borrow_mut().pop();
        Box::new(spare.unwrap_or_else(|| OwnWaker::new(remote)))
    }

    #[inline]
    fn keep(&self, own: Box<OwnWaker>) {
        if let Some(before) = self.first.replace(Some(own)) {
            self.keep_another(*before);
        }
    }

    #[inline(never)]
    fn keep_another(&self, own: OwnWaker) {
        let mut more = self.more.borrow_mut();
        if more.len() < SPARE_WAKERS {
            more.push(own);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let first = self.first.take();
        let len = usize::from(first.is_some()) + self.more.borrow().len();
        self.first.set(first);
        len
    }

    /// Keeps the waker of a task that is no more, unless somebody has a clone of it.
    #[inline]
    pub(crate) fn keep_if_alone(&self, own: Box<OwnWaker>) {
        if own.is_alone() {
            self.keep(own);
        }
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_to_be_queued() {
            return;
        }
        let Some(task) = Id::from_bits(self.task.load(Ordering::Relaxed)) else { return };
        if !context::queue_here(&self.remote, task) {
            self.remote.wake_task(task);
        }
    }
}

#[cfg(test)]
mod tests;
