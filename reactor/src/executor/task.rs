//! [`Task`] and its waker.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
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
    pub(crate) flag: Arc<TaskWaker>,
    pub(crate) aborted: bool,
    pub(crate) origin: Origin,
    pub(crate) polls: Polls,
}

impl Task {
    pub(crate) fn new(origin: Origin, flag: Arc<TaskWaker>) -> Task {
        Task { body: None, flag, aborted: false, origin, polls: Polls::default() }
    }

    /// Whether it waits to be woken. With its body away it is being polled, or about to be dropped.
    pub(crate) fn is_waiting(&self) -> bool {
        self.body.is_some() && !self.flag.is_queued()
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

    /// Makes it that of `task`. Nobody has it yet but that task.
    pub(crate) fn is_of(&self, task: Id) {
        self.task.store(task.to_bits(), Ordering::Relaxed);
    }

    /// Whether its task is in the run queue, or on its way there.
    pub(crate) fn is_queued(&self) -> bool {
        self.queued.load(Ordering::Relaxed)
    }

    /// Whether it is to be queued now, because it was not yet.
    pub(crate) fn is_to_be_queued(&self) -> bool {
        !self.queued.swap(true, Ordering::AcqRel)
    }

    /// From here on a wake queues the task again.
    pub(crate) fn about_to_poll(&self) {
        self.queued.swap(false, Ordering::AcqRel);
    }
}

/// Wakers of tasks that are no more, which nobody else has: the next tasks get them.
#[derive(Default)]
pub(crate) struct SpareWakers(RefCell<Vec<(Arc<TaskWaker>, Waker)>>);

/// How many are kept.
const SPARE_WAKERS: usize = 128;

impl SpareWakers {
    /// One whose task is queued already.
    pub(crate) fn take(&self, remote: &Arc<Shared>) -> (Arc<TaskWaker>, Waker) {
        let spare = self.0.borrow_mut().pop();
        spare.unwrap_or_else(|| {
            let flag = TaskWaker::queued(MAIN, remote.clone());
            let waker = flag.waker();
            (flag, waker)
        })
    }

    pub(crate) fn keep(&self, flag: Arc<TaskWaker>, waker: Waker) {
        // These two are all there are: only who has one can make another.
        if Arc::strong_count(&flag) == 2 && self.0.borrow().len() < SPARE_WAKERS {
            // What other threads did with theirs is over.
            fence(Ordering::Acquire);
            flag.queued.store(true, Ordering::Relaxed);
            self.0.borrow_mut().push((flag, waker));
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
        let task = Id::from_bits(self.task.load(Ordering::Relaxed));
        context::with(|driver| match driver {
            Some(driver) if driver.is_reached_by(&self.remote) => driver.queue(task),
            _ => self.remote.wake_task(task),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, poll_fn};
    use std::rc::Rc;
    use std::task::Poll;

    use super::*;
    use crate::{Runtime, spawn, yield_now};

    /// The waker of a task that ends at once.
    async fn waker_of_one_that_ended() -> Waker {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone()));
        spawn(waker).await.expect("it does not panic")
    }

    #[test]
    fn a_waker_that_somebody_has_is_never_another_tasks() {
        let runtime = Runtime::new().expect("a runtime");
        let polls = Rc::new(Cell::new(0));
        runtime.block_on(async {
            let old = waker_of_one_that_ended().await;
            let counted = polls.clone();
            let _next = spawn(poll_fn(move |_| {
                counted.set(counted.get() + 1);
                Poll::<()>::Pending
            }));
            yield_now().await;
            let elsewhere = old.clone();
            std::thread::spawn(move || elsewhere.wake()).join().expect("it does not panic");
            old.wake();
            crate::next_turn().await;
            yield_now().await;
        });
        assert_eq!(polls.get(), 1);
    }

    #[test]
    fn a_waker_that_nobody_has_goes_on_and_wakes_the_next_task() {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            for _ in 0..3 {
                spawn(yield_now()).await.expect("it was woken");
                assert_eq!(runtime.driver().spare_wakers.0.borrow().len(), 1);
            }
        });
    }

    #[test]
    fn no_more_wakers_are_kept_than_are_worth_it() {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let tasks: Vec<_> = (0..2 * SPARE_WAKERS).map(|_| spawn(async {})).collect();
            for task in tasks {
                task.await.expect("it does not panic");
            }
            drop(spawn(pending::<()>()));
            assert_eq!(runtime.driver().spare_wakers.0.borrow().len(), SPARE_WAKERS - 1);
        });
    }
}
