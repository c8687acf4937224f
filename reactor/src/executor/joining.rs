//! [`Held`]: a task as its handle has it, and what is known of whoever awaits it.

use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::arena::Id;
use crate::executor::join::JoinError;
use crate::executor::joins::{Join, Listed};
use crate::executor::stage::TaskFuture;
use crate::executor::task::{MAIN, Task};
use crate::executor::tasks::Tasks;
use crate::executor::{Driver, TaskId};
use crate::scope::Waiting;
use crate::token::ReactorId;
use crate::waits::{Label, Subject};

/// A task, until this is dropped.
pub(crate) struct Held {
    /// None once the outcome was given, and of a task that was never started.
    tasks: Option<Rc<Tasks>>,
    pub(crate) task: TaskId,
    more: Option<Box<More>>,
}

/// What few handles have.
enum More {
    /// It is awaited with a waker of somebody else's: this is with the audit and in the scope.
    Waiting(Waiting),
    /// The task was never started.
    Refused(JoinError),
}

impl Held {
    #[inline]
    pub(crate) fn new(tasks: &Rc<Tasks>, task: Id) -> Held {
        let task = TaskId { id: task, reactor: tasks.runtime };
        Held { tasks: Some(tasks.clone()), task, more: None }
    }

    /// One that was never started.
    #[cold]
    pub(crate) fn refused(runtime: ReactorId, error: JoinError) -> Held {
        let task = TaskId { id: MAIN, reactor: runtime };
        Held { tasks: None, task, more: Some(Box::new(More::Refused(error))) }
    }

    pub(crate) fn abort(&self) {
        if let Some(tasks) = &self.tasks {
            tasks.abort(self.task.id);
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.tasks.as_ref().is_none_or(|tasks| tasks.is_over(self.task.id))
    }

    /// The outcome, once the task is over; whoever polls is woken then.
    ///
    /// # Errors
    /// Why there is none: the task was not started, or the current scope has ended.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<TaskFuture, JoinError>> {
        let Some(tasks) = &self.tasks else { return Poll::Ready(Err(self.why_there_is_none())) };
        let mut all = tasks.borrow_mut();
        if let Some(outcome) = tasks.take_outcome(&mut all, self.task.id) {
            drop(all);
            self.tasks = None;
            if self.more.is_some() {
                self.more = None;
            }
            return Poll::Ready(Ok(outcome));
        }
        let Some(task) = all.get_mut(self.task.id) else {
            unreachable!("a task stays as long as somebody has its handle")
        };
        if self.more.is_none() && is_joined_plainly(tasks, task, cx) {
            return Poll::Pending;
        }
        let spawned_at = task.origin.spawned_at;
        drop(all);
        let tasks = tasks.clone();
        self.join_anywhere(&tasks, spawned_at, cx)
    }

    #[cold]
    fn why_there_is_none(&mut self) -> JoinError {
        match self.more.take().map(|more| *more) {
            Some(More::Refused(error)) => error,
            _ => panic!("a JoinHandle was awaited again after it had given its result"),
        }
    }

    #[inline(never)]
    fn join_anywhere(
        &mut self,
        tasks: &Tasks,
        spawned_at: &'static Location<'static>,
        cx: &Context<'_>,
    ) -> Poll<Result<TaskFuture, JoinError>> {
        let before = tasks.forget_join(self.task.id);
        drop(before);
        let mut waiting = match self.more.take().map(|more| *more) {
            Some(More::Waiting(waiting)) => Some(waiting),
            _ => None,
        };
        let subject = Subject::Task(spawned_at);
        if let Err(end) = Waiting::poll(&mut waiting, Label::idle("join"), subject, cx) {
            return Poll::Ready(Err(JoinError::not_awaited(end, spawned_at)));
        }
        self.more = waiting.map(|waiting| Box::new(More::Waiting(waiting)));
        let waker = cx.waker().clone();
        let mut all = tasks.borrow_mut();
        if let Some(task) = all.get_mut(self.task.id).filter(|task| !task.is_over()) {
            task.join = tasks.joins.borrow_mut().insert(Join::Waker(waker));
            return Poll::Pending;
        }
        drop(all);
        // It ended while its waker was cloned, which may be anybody's code.
        waker.wake();
        Poll::Pending
    }
}

/// Has the task that polls await `task`, if it is one of the same runtime, and is polled by its own waker. Returns whether it was
/// done: what is to be given up for it may be anybody's, and is not to be dropped here.
#[inline]
fn is_joined_plainly(tasks: &Tasks, task: &mut Task, cx: &Context<'_>) -> bool {
    // What is polled with a waker of a runtime's is polled by that, here and now.
    match tasks.driver.upgrade().filter(|driver| driver.is_polled_with(cx.waker())) {
        Some(driver) => join_plainly(tasks, task, &driver),
        None => false,
    }
}

#[inline]
fn join_plainly(tasks: &Tasks, task: &mut Task, driver: &Driver) -> bool {
    let (poller, scope) = (driver.poller(), driver.scope());
    let mut joins = tasks.joins.borrow_mut();
    if let Some(known) = joins.get_mut(task.join) {
        let Join::Task(listed) = known else { return false };
        if scope.is_some_and(|scope| driver.reactor.borrow_mut().scopes.ended(scope).is_some()) {
            return false;
        }
        // It may have gone to another task, another frame or another scope.
        (listed.poller, listed.scope) = (poller, scope);
        return true;
    }
    if scope.is_some_and(|scope| driver.reactor.borrow_mut().refuses(scope).is_some()) {
        return false;
    }
    let (spawned_at, since_ns) = (task.origin.spawned_at, driver.reactor.borrow().now_ns);
    task.join = joins.insert(Join::Task(Listed { spawned_at, since_ns, poller, scope }));
    true
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        if let Some(tasks) = &self.tasks {
            let left = tasks.let_go(self.task.id);
            drop(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{Future, pending, poll_fn};
    use std::pin::Pin;
    use std::task::{Poll, Waker};

    use super::*;
    use crate::{JoinHandle, Runtime, Unbounded, next_turn, scope, spawn, waits, yield_now};

    /// Polls it once.
    async fn glance<T>(handle: &mut JoinHandle<T>) -> bool {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *handle).poll(cx).is_ready())).await
    }

    fn joins(runtime: &Runtime) -> usize {
        runtime.driver().tasks.joins.borrow().listed().count()
    }

    #[test]
    fn one_that_waits_is_listed_once_and_forgotten_when_it_is_given_up() {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let mut task = spawn(pending::<()>());
            for _ in 0..3 {
                assert!(!glance(&mut task).await);
                assert_eq!(joins(&runtime), 1);
                assert_eq!(waits().iter().filter(|wait| wait.what() == "join").count(), 1);
            }
            drop(task);
            assert_eq!(joins(&runtime), 0);
        });
    }

    #[test]
    fn whoever_has_awaited_it_last_is_woken_and_nobody_else() {
        let runtime = Runtime::new().expect("a runtime");
        let polls = Rc::new(Cell::new(0));
        runtime.block_on(async {
            let end = Rc::new(Cell::new(None::<Waker>));
            let (told, ended) = (end.clone(), Rc::new(Cell::new(false)));
            let ends = ended.clone();
            let mut task = spawn(poll_fn(move |cx| {
                told.set(Some(cx.waker().clone()));
                if ends.get() { Poll::Ready(7) } else { Poll::Pending }
            }));
            let (give, counted) = (Rc::new(Cell::new(None)), polls.clone());
            let given = give.clone();
            let _first = spawn(async move {
                assert!(!glance(&mut task).await);
                give.set(Some(task));
                poll_fn(|_| {
                    counted.set(counted.get() + 1);
                    Poll::<()>::Pending
                })
                .await;
            });
            yield_now().await;
            let task = given.take().expect("it was handed on");
            let second = spawn(task);
            yield_now().await;
            ended.set(true);
            end.take().expect("it waits").wake();
            assert_eq!(second.await.expect("no panic").expect("no panic"), 7);
            next_turn().await;
        });
        assert_eq!(polls.get(), 1);
        assert_eq!(joins(&runtime), 0);
    }

    #[test]
    fn in_a_scope_that_ends_it_ends_and_can_be_awaited_again() {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let mut task = spawn(async {
                for _ in 0..20 {
                    next_turn().await;
                }
                7
            });
            let ended = scope("join", Unbounded, async |scope| {
                let of = scope.clone();
                drop(spawn(async move {
                    next_turn().await;
                    of.cancel("enough");
                }));
                (&mut task).await.expect_err("the scope ends first").is_cancelled()
            });
            assert!(ended.await.expect("the body has returned"));
            assert_eq!(joins(&runtime), 0);
            assert_eq!(task.await.expect("it went on"), 7);
        });
    }

    #[test]
    fn with_a_waker_of_somebody_elses_it_waits_as_anything_does() {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let mut task = spawn(async { 7 });
            assert!(!glance(&mut task).await);
            let mut cx = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut task).poll(&mut cx).is_pending());
            assert_eq!((joins(&runtime), runtime.driver().waits.borrow().len()), (0, 1));
            assert!(!glance(&mut task).await);
            assert_eq!(task.await.expect("no panic"), 7);
            assert_eq!(runtime.driver().waits.borrow().len(), 0);
        });
    }
}
