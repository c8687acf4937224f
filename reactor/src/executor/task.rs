//! [`Task`] and its waker.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::task::{RawWakerVTable, Wake, Waker};

use crate::arena::Id;
use crate::executor::context;
use crate::executor::task_info::{Origin, Polls};
use crate::remote::Shared;

/// The id of the future that `block_on` was given: no arena gives it out.
pub(crate) const MAIN: Id = Id { index: u32::MAX, generation: NonZeroU32::MAX };

/// One spawned future. What it returns goes to its `JoinHandle`, not through here.
pub(crate) struct Task {
    /// Away while it is being polled, so that it may spawn, wake and abort as it likes.
    pub(crate) future: Option<TaskFuture>,
    /// The waker that it was polled with, if somebody has kept a clone of it. Away while it is being polled.
    waker: Option<Box<OwnWaker>>,
    pub(crate) origin: Origin,
    pub(crate) polls: Polls,
    /// Whether it is in the run queue, as long as it has no waker; of one that is being polled, whether it was woken
    /// by its name meanwhile.
    queued: bool,
    pub(crate) aborted: bool,
}

pub(crate) type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;

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
    /// One that is queued already.
    pub(crate) fn new(origin: Origin) -> Task {
        let (future, waker, polls) = (None, None, Polls::default());
        Task { future, waker, origin, polls, queued: true, aborted: false }
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
mod tests {
    use std::future::{pending, poll_fn};
    use std::rc::Rc;
    use std::task::Poll;

    use super::*;
    use crate::{JoinHandle, Runtime, spawn, yield_now};

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
                assert_eq!(runtime.driver().spare_wakers.len(), 1);
            }
        });
    }

    #[test]
    fn no_more_wakers_are_kept_than_are_worth_it() {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let wakers = Rc::new(RefCell::new(Vec::new()));
            let keeping = |kept: Rc<RefCell<Vec<Waker>>>| {
                poll_fn(move |cx| {
                    kept.borrow_mut().push(cx.waker().clone());
                    Poll::<()>::Pending
                })
            };
            let tasks: Vec<_> = (0..2 * SPARE_WAKERS).map(|_| spawn(keeping(wakers.clone()))).collect();
            yield_now().await;
            crate::next_turn().await;
            while wakers.borrow().len() < tasks.len() {
                crate::next_turn().await;
            }
            assert_eq!(runtime.driver().spare_wakers.len(), 0, "each has one of its own");
            wakers.take();
            tasks.iter().for_each(JoinHandle::abort);
            for task in tasks {
                assert!(task.await.expect_err("it was aborted").is_aborted());
            }
            assert_eq!(runtime.driver().spare_wakers.len(), SPARE_WAKERS + 1);
        });
    }

    #[test]
    fn a_task_that_keeps_no_waker_has_none() {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let tasks: Vec<_> = (0..10).map(|_| spawn(pending::<()>())).collect();
            yield_now().await;
            assert_eq!(runtime.driver().spare_wakers.len(), 1, "one does for all");
            let without = |task: &Task| task.waker.is_none() && task.is_waiting();
            let driver = runtime.driver();
            assert!(driver.tasks.borrow_mut().iter_mut().all(|(_, task)| without(task)));
            drop(tasks);
        });
    }

    #[test]
    fn one_that_is_woken_while_it_is_polled_is_polled_once_more() {
        let runtime = Runtime::new().expect("a runtime");
        for (by_name, by_waker, keeps) in [
            (true, false, false),
            (false, true, false),
            (true, true, false),
            (true, true, true),
            (true, false, true),
        ] {
            let polls = Rc::new(Cell::new(0));
            let (counted, kept) = (polls.clone(), RefCell::new(None));
            runtime.block_on(async {
                let task = spawn(poll_fn(move |cx| {
                    counted.set(counted.get() + 1);
                    if counted.get() == 1 {
                        kept.replace(keeps.then(|| cx.waker().clone()));
                        context::with(|driver| {
                            let driver = driver.expect("it is within a runtime");
                            let name = driver.wakeup(cx.waker());
                            if by_name {
                                driver.wake_up(name);
                            }
                        });
                        if by_waker {
                            cx.waker().wake_by_ref();
                        }
                    }
                    Poll::<()>::Pending
                }));
                for _ in 0..3 {
                    crate::next_turn().await;
                }
                assert_eq!(polls.get(), 2, "{by_name} {by_waker} {keeps}");
                task.abort();
            });
        }
    }
}
