//! Running tasks, and what each poll has cost.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::arena::Id;
use crate::executor::Driver;
use crate::executor::account::ShortPolls;
use crate::executor::driver::{count, drop_contained};
use crate::executor::task::{Body, MAIN, Main, TaskWaker};
use crate::executor::task_info::{Origin, Polls, TaskId};
use crate::instant::nanos;
#[cfg(feature = "profile")]
use crate::profile;
use crate::waiters::WakerName;

/// How many tasks are polled between two looks at the clock.
const POLLS_PER_CLOCK_READ: usize = 8;
/// How many tasks that can run are polled in a turn, however long they take. Of what adds a task to the queue a turn takes
/// as much when the tasks are behind: so it does not grow.
pub(super) const POLLS_AT_LEAST: usize = POLLS_PER_CLOCK_READ;

impl Driver {
    /// Runs tasks within the budget. Returns whether `main` is done.
    pub(super) fn run_tasks(&self, main: &mut dyn FnMut() -> Poll<()>) -> Poll<()> {
        let (budget, budgeted_from_ns) = {
            let reactor = self.reactor.borrow();
            (reactor.budget, reactor.now_ns)
        };
        // The end of one poll is the beginning of the next.
        self.laps.begin();
        let first_ns = self.lap_ns.get();
        let mut at_ns = first_ns;
        let mut short = ShortPolls::default();
        let mut done = Poll::Pending;
        for polled in 1..=budget.tasks {
            let Some(task) = self.run_queue.borrow_mut().pop() else { break };
            #[cfg(feature = "profile")]
            profile::changes();
            self.task.set(task);
            self.polling.set(true);
            self.poll_begins(task);
            let began_ns = at_ns;
            at_ns = if task == MAIN {
                let noted_ns = self.noted_ns.get();
                done = main();
                self.account_main(began_ns, noted_ns)
            } else {
                self.poll_task(task, began_ns)
            };
            self.poll_ends(task);
            #[cfg(feature = "profile")]
            profile::changes();
            self.task.set(MAIN);
            self.polling.set(false);
            let took_ns = at_ns.saturating_sub(began_ns);
            if self.accounts && took_ns < self.floor_ns {
                short.add(task, took_ns);
            }
            if done.is_ready() {
                break;
            }
            if polled.is_multiple_of(POLLS_PER_CLOCK_READ) {
                let now_ns = if self.accounts { at_ns } else { self.now_ns() };
                if now_ns.saturating_sub(budgeted_from_ns) >= nanos(budget.task_time) {
                    break;
                }
            }
        }
        let ended_ns = if self.laps.is_reckoned(at_ns) { self.now_ns() } else { at_ns };
        short.note(self, first_ns, ended_ns);
        self.lap_ns.set(ended_ns);
        done
    }

    /// Polls a task, and drops it if it is done. Returns when that was over, if polls are accounted.
    fn poll_task(&self, id: Id, began_ns: u64) -> u64 {
        let (body, aborted) = match self.tasks.borrow_mut().get_mut(id) {
            None => return began_ns,
            Some(task) => {
                task.flag.about_to_poll();
                (task.body.take(), task.aborted)
            }
        };
        let Some(mut body) = body else { return began_ns };
        let noted_ns = self.noted_ns.get();
        if !aborted && self.poll_body(&mut body).is_pending() {
            let ended_ns = self.end_lap(began_ns);
            let mut tasks = self.tasks.borrow_mut();
            if let Some(task) = tasks.get_mut(id).filter(|task| !task.aborted) {
                task.body = Some(body);
                if self.accounts {
                    task.polls.add(began_ns, ended_ns);
                    if ended_ns.saturating_sub(began_ns) >= self.floor_ns {
                        let origin = task.origin.clone();
                        drop(tasks);
                        self.note_task(id, origin, began_ns, ended_ns, noted_ns);
                    }
                }
                return ended_ns;
            }
        }
        drop_contained(body.future);
        // While its name can be looked up.
        #[cfg(feature = "profile")]
        profile::changes();
        let task = self.tasks.borrow_mut().remove(id);
        let ended_ns = self.end_lap(began_ns);
        if let Some(task) = task {
            self.spare_wakers.keep(task.flag, body.waker);
            if ended_ns.saturating_sub(began_ns) >= self.floor_ns {
                self.note_task(id, task.origin, began_ns, ended_ns, noted_ns);
            }
        }
        ended_ns
    }

    fn poll_body(&self, body: &mut Body) -> Poll<()> {
        count(&self.counts.polls);
        let mut cx = Context::from_waker(&body.waker);
        self.polled_by.set(WakerName::of(&body.waker));
        let poll = catch_unwind(AssertUnwindSafe(|| body.future.as_mut().poll(&mut cx)));
        self.polled_by.set(WakerName::default());
        // The task's own panics are caught inside it; this one came from what it left behind.
        poll.unwrap_or(Poll::Ready(()))
    }

    /// Accounts a poll of the future of `block_on`, which is over now. Returns when that is.
    fn account_main(&self, began_ns: u64, noted_ns: u64) -> u64 {
        if !self.accounts {
            return began_ns;
        }
        let ended_ns = self.end_lap(began_ns);
        if let Some(main) = &mut *self.main.borrow_mut() {
            main.polls.add(began_ns, ended_ns);
        }
        if ended_ns.saturating_sub(began_ns) >= self.floor_ns
            && let Some(origin) = self.origin(TaskId { id: MAIN, reactor: self.id })
        {
            self.note_task(MAIN, origin, began_ns, ended_ns, noted_ns);
        }
        ended_ns
    }

    /// Makes `flag` and `origin` those of the future of `block_on`, until this is dropped.
    pub(super) fn main_is(&self, flag: Arc<TaskWaker>, origin: Origin) -> MainEntered<'_> {
        *self.main.borrow_mut() = Some(Main { flag, origin, polls: Polls::default() });
        MainEntered(self)
    }
}

/// Within `block_on`.
#[must_use]
pub(super) struct MainEntered<'a>(&'a Driver);

impl Drop for MainEntered<'_> {
    fn drop(&mut self) {
        // Also if it panicked.
        self.0.polling.set(false);
        let main = self.0.main.take();
        drop(main);
    }
}
