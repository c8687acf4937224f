//! [`Task`] and its waker.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{RawWakerVTable, Wake, Waker};

use crate::arena::Id;
use crate::executor::context;
use crate::executor::task_info::{Origin, Polls};
use crate::remote::Shared;

/// The id of the future that `block_on` was given: no arena gives it out.
pub(crate) const MAIN: Id = Id { index: u32::MAX, generation: u32::MAX };

/// One spawned future. What it returns goes to its `JoinHandle`, not through here.
pub(crate) struct Task {
    /// Away while it is being polled, so that it may spawn, wake and abort as it likes.
    pub(crate) body: Option<Body>,
    pub(crate) aborted: bool,
    pub(crate) origin: Origin,
    pub(crate) polls: Polls,
}

impl Task {
    pub(crate) fn new(origin: Origin) -> Task {
        Task { body: None, aborted: false, origin, polls: Polls::default() }
    }
}

/// The future of `block_on`, which lives on the stack there.
pub(crate) struct Main {
    pub(crate) flag: Arc<TaskWaker>,
    pub(crate) origin: Origin,
    pub(crate) polls: Polls,
}

pub(crate) struct Body {
    pub(crate) future: Pin<Box<dyn Future<Output = ()>>>,
    pub(crate) waker: Waker,
    pub(crate) flag: Arc<TaskWaker>,
}

/// Queues its task, once until the task is polled again.
pub(crate) struct TaskWaker {
    task: Id,
    queued: AtomicBool,
    remote: Arc<Shared>,
}

impl TaskWaker {
    /// A waker whose task is queued already.
    pub(crate) fn queued(task: Id, remote: Arc<Shared>) -> Arc<TaskWaker> {
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

    /// From here on a wake queues the task again.
    pub(crate) fn about_to_poll(&self) {
        self.queued.swap(false, Ordering::AcqRel);
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        context::with(|driver| match driver {
            Some(driver) if driver.is_reached_by(&self.remote) => driver.queue(self.task),
            _ => self.remote.wake_task(self.task),
        });
    }
}
