//! Running tasks, and what each poll has cost.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::arena::{Arena, Id};
use crate::executor::Driver;
use crate::executor::account::PollsOfTurn;
use crate::executor::driver::{count, drop_contained, end_contained};
use crate::executor::join::JoinError;
use crate::executor::stage::TaskFuture;
use crate::executor::task::{MAIN, Main, OwnWaker, Task, TaskWaker};
use crate::executor::task_info::{Origin, Polls, TaskId};
use crate::instant::nanos;
#[cfg(feature = "profile")]
use crate::profile;
use crate::sys::prefetch;
use crate::waiters::{self, WakerName};

/// How many tasks are polled between two looks at the clock.
const POLLS_PER_CLOCK_READ: usize = 8;
/// How many tasks that can run are polled in a turn, however long they take. Of what adds a task to the queue a turn takes
/// as much when the tasks are behind: so it does not grow.
pub(super) const POLLS_AT_LEAST: usize = POLLS_PER_CLOCK_READ;

impl Driver {
    /// Runs tasks within the budget. Returns whether `main` is done.
    pub(super) fn run_tasks(&self, main: &mut dyn FnMut() -> Poll<()>) -> Poll<()> {
        let budgeted_from_ns = self.reactor.borrow().now_ns;
        self.laps.begin();
        let first_ns = self.lap_ns.get();
        let mut polls = PollsOfTurn::from(first_ns);
        let mut done = Poll::Pending;
        let mut polled = 0;
        while let Some((task, next)) = self.next_task() {
            self.poll_begins(task);
            if task == MAIN {
                done = self.poll_main(main, &mut polls);
            } else {
                self.poll_task(task, next, &mut polls);
            }
            self.poll_ends(task);
            polled += 1;
            let looks = polled % POLLS_PER_CLOCK_READ == 0;
            if done.is_ready()
                || polled >= self.budget.tasks
                || looks && self.had_their_time(&polls, budgeted_from_ns)
            {
                break;
            }
        }
        #[cfg(feature = "profile")]
        profile::changes();
        self.task.set(MAIN);
        self.polling.set(false);
        if self.laps.is_reckoned(polls.at_ns) {
            polls.at_ns = self.now_ns();
        }
        self.lap_ns.set(polls.at_ns);
        polls.note_short(self, first_ns);
        done
    }

    /// Takes the next task, and tells the one after it.
    #[inline]
    fn next_task(&self) -> Option<(Id, Option<Id>)> {
        let mut queue = self.tasks.run_queue.borrow_mut();
        let task = queue.pop()?;
        let next = queue.next();
        drop(queue);
        #[cfg(feature = "profile")]
        profile::changes();
        self.task.set(task);
        self.polling.set(true);
        Some((task, next))
    }

    #[inline(never)]
    fn had_their_time(&self, polls: &PollsOfTurn, from_ns: u64) -> bool {
        let now_ns = if self.accounts { polls.at_ns } else { self.now_ns() };
        now_ns.saturating_sub(from_ns) >= nanos(self.budget.task_time)
    }

    /// Polls a task, and drops it if it is done. `next` is the one to be polled after it.
    #[inline(always)]
    fn poll_task(&self, id: Id, next: Option<Id>, polls: &mut PollsOfTurn) {
        let mut tasks = self.tasks.borrow_mut();
        let Some(task) = tasks.get_mut(id) else { return };
        let aborted = task.aborted;
        let Some((mut future, own)) = task.begin_poll(id, &self.spare_wakers, &self.remote) else {
            return;
        };
        prefetch_future(&mut tasks, next);
        drop(tasks);
        let noted_ns = self.noted_ns.get();
        if aborted {
            return self.abort_task(id, future, own, polls, noted_ns);
        }
        if self.poll_future(id, &mut future, &own.waker).is_ready() {
            return self.task_is_over(id, future, own, polls, noted_ns);
        }
        let mut tasks = self.tasks.borrow_mut();
        let Some(task) = tasks.get_mut(id).filter(|task| !task.aborted) else {
            drop(tasks);
            return self.abort_task(id, future, own, polls, noted_ns);
        };
        if task.end_poll(future, own, &self.spare_wakers) {
            self.queue(id);
        }
        let lap = polls.lap(self, id);
        if self.accounts {
            task.polls.add(lap.took_ns, lap.ended_ns);
        }
        if lap.is_long {
            let origin = task.origin.clone();
            drop(tasks);
            self.note_task(id, origin, lap.began_ns, lap.ended_ns, noted_ns);
        }
    }

    /// It was aborted.
    #[cold]
    fn abort_task(
        &self,
        id: Id,
        mut future: TaskFuture,
        own: Box<OwnWaker>,
        polls: &mut PollsOfTurn,
        noted_ns: u64,
    ) {
        self.abort_future(id, &mut future);
        self.task_is_over(id, future, own, polls, noted_ns);
    }

    /// It is done, or was aborted. To drop what nobody can ask for is a part of its last poll, as is the waking of who awaits it.
    #[inline(never)]
    fn task_is_over(
        &self,
        id: Id,
        future: TaskFuture,
        own: Box<OwnWaker>,
        polls: &mut PollsOfTurn,
        noted_ns: u64,
    ) {
        let (mut left, mut is_kept) = (None, true);
        match self.keep_outcome(id, future) {
            Ok(None) => {}
            Ok(Some(waker)) => {
                // Who is woken may let go of the task.
                left = self.origin(TaskId { id, reactor: self.id });
                waiters::wake(waker);
            }
            Err(future) => {
                drop_contained(future);
                is_kept = false;
            }
        }
        // While its name can be looked up.
        #[cfg(feature = "profile")]
        profile::changes();
        let lap = polls.lap(self, id);
        if lap.is_long
            && let Some(origin) = left.or_else(|| self.origin(TaskId { id, reactor: self.id }))
        {
            self.note_task(id, origin, lap.began_ns, lap.ended_ns, noted_ns);
        }
        if !is_kept {
            // Its future and its waker are not there: what is left of it calls nobody.
            self.tasks.borrow_mut().discard(id);
        }
        self.spare_wakers.keep_if_alone(own);
    }

    #[inline(always)]
    fn poll_future(&self, id: Id, future: &mut TaskFuture, waker: &Waker) -> Poll<()> {
        count(&self.counts.polls);
        let mut cx = Context::from_waker(waker);
        self.polled_by.set(WakerName::of(waker));
        let poll = catch_unwind(AssertUnwindSafe(|| future.as_mut().run(&mut cx)));
        self.polled_by.set(WakerName::default());
        poll.unwrap_or_else(|panic| self.panicked(id, future, panic))
    }

    #[cold]
    fn panicked(&self, id: Id, future: &mut TaskFuture, panic: Box<dyn Any + Send>) -> Poll<()> {
        if future.is_over() {
            // It was done, and then its drop panicked.
            tracing::error!("the drop of a future or a call panicked");
            drop_contained(panic);
        } else if let Some(origin) = self.origin(TaskId { id, reactor: self.id }) {
            end_contained(future, JoinError::panicked(panic, origin.spawned_at));
        }
        Poll::Ready(())
    }

    /// Polls the future of `block_on`.
    #[inline(never)]
    fn poll_main(&self, main: &mut dyn FnMut() -> Poll<()>, polls: &mut PollsOfTurn) -> Poll<()> {
        let noted_ns = self.noted_ns.get();
        let done = main();
        self.polled_by.set(WakerName::default());
        let lap = polls.lap(self, MAIN);
        if let Some(main) = self.main.borrow_mut().as_mut().filter(|_| self.accounts) {
            main.polls.add(lap.took_ns, lap.ended_ns);
        }
        if lap.is_long
            && let Some(origin) = self.origin(TaskId { id: MAIN, reactor: self.id })
        {
            self.note_task(MAIN, origin, lap.began_ns, lap.ended_ns, noted_ns);
        }
        done
    }

    /// Makes `flag` and `origin` those of the future of `block_on`, until this is dropped.
    pub(super) fn main_is(&self, flag: Arc<TaskWaker>, origin: Origin) -> MainEntered<'_> {
        *self.main.borrow_mut() = Some(Main { flag, origin, polls: Polls::default() });
        MainEntered(self)
    }
}

/// Has the future of a task fetched, which is polled next.
#[inline]
fn prefetch_future(tasks: &mut Arena<Task>, next: Option<Id>) {
    let next = next.and_then(|next| tasks.get_mut(next));
    if let Some(future) = next.and_then(|next| next.future.as_ref()) {
        prefetch(&**future);
    }
}

/// Within `block_on`.
#[must_use]
pub(super) struct MainEntered<'a>(&'a Driver);

impl Drop for MainEntered<'_> {
    fn drop(&mut self) {
        // Also if it panicked.
        self.0.polling.set(false);
        self.0.polled_by.set(WakerName::default());
        let main = self.0.main.take();
        drop(main);
    }
}
