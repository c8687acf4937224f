//! [`Tasks`]: those of a runtime, and who awaits them. Handles share them: an outcome that nobody has taken outlives the runtime.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Weak;

use crate::arena::{Arena, Id};
use crate::executor::Driver;
use crate::executor::joins::{JoinKey, Joins};
use crate::executor::run_queue::RunQueue;
use crate::executor::stage::TaskFuture;
use crate::executor::task::Task;
use crate::token::ReactorId;
use crate::waiters::Wakeup;

pub(crate) struct Tasks {
    pub(crate) runtime: ReactorId,
    pub(super) driver: Weak<Driver>,
    /// Those that live, and those that are over, as long as somebody can ask for their outcome. Borrowed while no code of
    /// anybody's is run.
    all: RefCell<Arena<Task>>,
    /// How many of them are over.
    over: Cell<usize>,
    pub(crate) joins: RefCell<Joins>,
    pub(super) run_queue: RefCell<RunQueue>,
    pub(crate) aborted: Cell<u64>,
}

/// What is left of a task of which nobody has the handle any more; it may be anybody's, and is dropped while nothing is borrowed.
pub(crate) struct Left {
    _joiner: Option<Wakeup>,
    _outcome: Option<TaskFuture>,
}

impl Tasks {
    pub(super) fn new(runtime: ReactorId, driver: Weak<Driver>) -> Tasks {
        Tasks {
            runtime,
            driver,
            all: RefCell::new(Arena::new()),
            over: Cell::new(0),
            joins: RefCell::default(),
            run_queue: RefCell::default(),
            aborted: Cell::new(0),
        }
    }

    #[inline]
    pub(crate) fn borrow_mut(&self) -> RefMut<'_, Arena<Task>> {
        self.all.borrow_mut()
    }

    /// How many are not over.
    pub(super) fn live(&self) -> usize {
        self.all.borrow().len() - self.over.get()
    }

    pub(super) fn abort(&self, task: Id) {
        match self.all.borrow_mut().get_mut(task) {
            Some(task) if !task.aborted && !task.is_over() => task.aborted = true,
            _ => return,
        }
        self.aborted.set(self.aborted.get() + 1);
        self.run_queue.borrow_mut().push(task);
    }

    /// Whether somebody can ask for its outcome.
    pub(crate) fn is_held(&self, task: Id) -> bool {
        self.all.borrow_mut().get_mut(task).is_some_and(|task| task.held)
    }

    pub(super) fn is_over(&self, task: Id) -> bool {
        self.all.borrow_mut().get_mut(task).is_none_or(|task| task.is_over())
    }

    /// It is over, and `outcome` is kept for whoever has its handle; returns who awaits it.
    #[inline(always)]
    pub(super) fn keep_outcome(&self, task: &mut Task, outcome: TaskFuture) -> Option<Wakeup> {
        self.over.set(self.over.get() + 1);
        task.keep_outcome(outcome);
        if task.join == JoinKey::NONE { None } else { self.joins.borrow_mut().remove(&mut task.join) }
    }

    /// Takes the outcome out of a task that is over, and forgets the task.
    #[inline]
    pub(super) fn take_outcome(&self, all: &mut Arena<Task>, id: Id) -> Option<TaskFuture> {
        let outcome =
            all.discard_if(id, |task| if task.is_over() { task.future.take() } else { None })?;
        self.over.set(self.over.get() - 1);
        Some(outcome)
    }

    /// Nobody has its handle any more.
    #[inline]
    pub(super) fn let_go(&self, id: Id) -> Option<Left> {
        let mut all = self.all.borrow_mut();
        let task = all.get_mut(id)?;
        task.held = false;
        let joiner = self.joins.borrow_mut().remove(&mut task.join);
        let outcome = self.take_outcome(&mut all, id);
        Some(Left { _joiner: joiner, _outcome: outcome })
    }

    /// Nobody awaits it any longer.
    pub(super) fn forget_join(&self, id: Id) -> Option<Wakeup> {
        let mut all = self.all.borrow_mut();
        self.joins.borrow_mut().remove(&mut all.get_mut(id)?.join)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::pin::Pin;
    use std::rc::Rc;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::executor::stage::{Plain, Stage};
    use crate::{Runtime, metrics, spawn, task_info, tasks, yield_now};

    /// How many entries there are, those that are over too.
    fn entries(runtime: &Runtime) -> usize {
        runtime.driver().tasks.borrow_mut().len()
    }

    #[test]
    fn an_outcome_outlives_the_runtime_and_is_given_in_another() {
        let runtime = Runtime::new().expect("a runtime");
        let (done, waits) = runtime.block_on(async {
            let tasks = (spawn(async { 7 }), spawn(std::future::pending::<()>()));
            yield_now().await;
            tasks
        });
        drop(runtime);
        assert!(done.is_finished() && waits.is_finished());
        Runtime::new().expect("a runtime").block_on(async {
            assert_eq!(done.await.expect("it was done"), 7);
            assert!(waits.await.expect_err("its runtime went").is_aborted());
        });
    }

    #[test]
    fn a_task_that_is_over_lives_no_more_though_its_outcome_is_kept() {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let kept = Rc::new(());
            let task = spawn({
                let kept = kept.clone();
                async move { kept }
            });
            assert_eq!((metrics().live_tasks, tasks().len()), (1, 2));
            yield_now().await;
            assert!(task.is_finished());
            assert_eq!((metrics().live_tasks, tasks().len()), (0, 1));
            assert!(task_info(task.id()).is_none());
            assert_eq!((entries(&runtime), Rc::strong_count(&kept)), (1, 2));
            task.abort();
            assert_eq!(metrics().aborted_tasks, 0);
            drop(task);
            assert_eq!((entries(&runtime), Rc::strong_count(&kept)), (0, 1));
        });
    }

    #[test]
    fn who_has_its_waker_does_not_poll_a_task_that_is_over() {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let kept: Rc<Cell<Option<Waker>>> = Rc::default();
            let keeps = kept.clone();
            let task = spawn(poll_fn(move |cx| {
                keeps.set(Some(cx.waker().clone()));
                // Also as it ends.
                cx.waker().wake_by_ref();
                Poll::Ready(7)
            }));
            yield_now().await;
            let (polls, waker) = (metrics().task_polls, kept.take().expect("it was polled"));
            waker.wake_by_ref();
            waker.wake();
            yield_now().await;
            assert_eq!(metrics().task_polls, polls + 1, "only this one");
            assert_eq!(task.await.expect("it was done"), 7);
        });
    }

    /// Is ready, and cannot be dropped in peace.
    struct PanicsAsItIsDropped;

    impl Future for PanicsAsItIsDropped {
        type Output = u32;

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u32> {
            Poll::Ready(7)
        }
    }

    impl Drop for PanicsAsItIsDropped {
        fn drop(&mut self) {
            // Without a word of the hook.
            std::panic::resume_unwind(Box::new("on purpose"));
        }
    }

    #[test]
    fn a_panic_of_the_drop_of_a_future_that_is_done_takes_no_outcome_away() {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            assert_eq!(spawn(PanicsAsItIsDropped).await.expect("it was done"), 7);
            let aborted = spawn(PanicsAsItIsDropped);
            aborted.abort();
            assert!(aborted.await.expect_err("it was never polled").is_aborted());
        });
        assert_eq!(entries(&runtime), 0);
    }

    #[test]
    fn a_task_takes_no_more_room_than_its_future_a_word_and_an_entry() {
        type Future = [u64; 8];
        assert_eq!(size_of::<Stage<Plain<Future>, ()>>(), size_of::<Future>() + 8);
        assert!(size_of::<Task>() <= 80, "{}", size_of::<Task>());
    }
}
