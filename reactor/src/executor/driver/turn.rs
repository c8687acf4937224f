//! One turn of the loop of a runtime: sleep, give out what was found, run tasks and hooks.

use std::cell::RefMut;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use super::Driver;
use crate::arena::{Arena, Id};
use crate::blame::{Given, Holder};
use crate::event::Event;
use crate::executor::polling::POLLS_AT_LEAST;
use crate::executor::run_queue::RunQueue;
use crate::executor::task::Task;
use crate::instant::nanos;
use crate::pending::Dispatch;
use crate::scope::tree::HookFn;
use crate::waiters::{self, WakeTasks, Woken};

/// So many events are given out between two looks at the clock: a microsecond's work, or two.
const UNTIMED_EVENTS_MAX: usize = 16;

/// Tasks and run queue, in hand for as long as the kernel is asked and timers fire.
struct Queueing<'a> {
    driver: &'a Driver,
    tasks: RefMut<'a, Arena<Task>>,
    queue: RefMut<'a, RunQueue>,
}

impl WakeTasks for Queueing<'_> {
    #[inline]
    fn wake(&mut self, task: Id) {
        if self.driver.is_to_be_queued_of(&mut self.tasks, task) {
            self.queue.push(task);
        }
    }

    #[inline]
    fn expect(&self, task: Id) {
        self.tasks.prefetch(task.index);
    }
}

impl Driver {
    /// One turn of the loop: sleep, deliver, then run tasks. Returns whether `main` is done.
    pub(crate) fn turn(
        &self,
        max_wait: Option<Duration>,
        main: &mut dyn FnMut() -> Poll<()>,
    ) -> io::Result<Poll<()>> {
        let max_wait = if self.has_work() { Some(Duration::ZERO) } else { max_wait };
        self.take_turn(max_wait)?;
        self.deliver();
        let done = self.run_tasks(main);
        self.run_hooks();
        let all_ran = self.tasks.run_queue.borrow().is_empty();
        self.wake_for_next_turn();
        self.account_turn(all_ran);
        Ok(done)
    }

    /// Sleeps, and queues whoever waits for what the kernel then says.
    fn take_turn(&self, max_wait: Option<Duration>) -> io::Result<()> {
        let mut reactor = self.reactor.borrow_mut();
        let (tasks, queue) = (self.tasks.borrow_mut(), self.tasks.run_queue.borrow_mut());
        reactor.turn_waking(max_wait, &mut Queueing { driver: self, tasks, queue })?;
        self.turn_number.set(reactor.metrics.turns as u32);
        Ok(())
    }

    /// Readies a sleep in somebody else's poll; see [`Reactor::prepare`].
    pub(crate) fn prepare(&self) -> io::Result<Option<Duration>> {
        // A virtual clock is not to jump while a task can run.
        if self.has_work() {
            return Ok(Some(Duration::ZERO));
        }
        self.reactor.borrow_mut().prepare()
    }

    /// Wakes whoever waits for what the turn has found.
    fn deliver(&self) {
        if self.all_is_delivered() {
            return;
        }
        let noted_ns = self.noted_ns.get();
        loop {
            // To wake is to queue: no need to look at the timers in the midst of it.
            let ready = self.reactor.borrow_mut().next_woken();
            let Some((token, woken)) = ready else { break };
            match woken {
                Woken::Nobody => {}
                Woken::One(wakeup) => self.wake_one(wakeup, token),
                Woken::All(waiters) => self.wake(waiters, || Some(Given::Ready(token))),
            }
        }
        let most = self.reactor.borrow().budget.messages;
        if self.tasks.run_queue.borrow().len() >= most {
            // The tasks are behind: let the inbox say Full rather than grow the queue. But what is cancelled or shut down
            // by another thread is not to wait until they have caught up, which may be never.
            self.reactor.borrow_mut().take_few_messages(POLLS_AT_LEAST);
        }
        loop {
            let dispatch = self.reactor.borrow_mut().next_dispatch();
            let Some(Dispatch { event, waiters }) = dispatch else { break };
            self.wake(waiters, || Some(Given::of(&event, None)));
            match event {
                Event::Call(call) => self.call(call),
                Event::Shutdown => {
                    self.wake_shutdown_waiters();
                }
                _ => {}
            }
        }
        self.wake_ended();
        let mut reactor = self.reactor.borrow_mut();
        for _ in 0..reactor.budget.messages {
            let Some(task) = reactor.inbox.next_woken() else { break };
            self.queue(task);
        }
        let now_ns = reactor.now_ns;
        let (began_ns, warning) = (reactor.ledger.turn_began_ns(), reactor.ledger.take_warning(now_ns));
        drop(reactor);
        if let Some(warning) = warning {
            warning.say();
        }
        self.account_delivery(began_ns, noted_ns);
    }

    /// Whether all that the turn has found were a few tasks to be queued, which are. What that took is not worth a look at
    /// the clock: it is laid to the first of them.
    fn all_is_delivered(&self) -> bool {
        let reactor = self.reactor.borrow();
        let few = reactor.pending.delivered <= UNTIMED_EVENTS_MAX;
        let told = reactor.scopes.woken.is_empty() && !reactor.ledger.may_warn();
        let all = few && told && !reactor.has_leftovers();
        if all {
            self.lap_ns.set(reactor.ledger.turn_began_ns());
        }
        all
    }

    /// Runs another thread's call. Calls share the time of the tasks: what is left of them waits for the next
    /// turn, and the timers come first.
    fn call(&self, call: Box<dyn FnOnce() + Send>) {
        let (began_ns, noted_ns) = (self.read_if_accounted(), self.noted_ns.get());
        if catch_unwind(AssertUnwindSafe(call)).is_err() {
            tracing::error!("a call from another thread panicked");
        }
        let ended_ns = self.now_ns();
        if self.accounts && ended_ns - began_ns >= self.floor_ns {
            let from = self.reactor.borrow().pending.called_from;
            self.note_held(from.map_or(Holder::Loop, Holder::Call), began_ns, ended_ns, noted_ns);
        }
        let mut reactor = self.reactor.borrow_mut();
        let spent_ns = ended_ns.saturating_sub(reactor.now_ns);
        if spent_ns >= nanos(reactor.budget.task_time) {
            reactor.take_few_messages(0);
        }
    }

    /// Runs what was to be run at the end of scopes that have ended, in the same bounds as the tasks: the rest
    /// waits for the next turn.
    fn run_hooks(&self) {
        let budget = {
            let reactor = self.reactor.borrow();
            if reactor.scopes.hooks_due.is_empty() {
                return;
            }
            reactor.budget
        };
        let began_ns = self.now_ns();
        let mut at_ns = began_ns;
        for _ in 0..budget.tasks {
            let noted_ns = self.noted_ns.get();
            let Some(set_at) = self.run_hook() else { break };
            let now_ns = self.now_ns();
            if self.accounts && now_ns - at_ns >= self.floor_ns {
                self.note_held(Holder::Hook(set_at), at_ns, now_ns, noted_ns);
            }
            at_ns = now_ns;
            if now_ns - began_ns >= nanos(budget.task_time) {
                break;
            }
        }
        self.lap_ns.set(at_ns);
    }

    /// Runs the next of them, if there is one; returns where that was said.
    pub(super) fn run_hook(&self) -> Option<&'static Location<'static>> {
        let next = self.reactor.borrow_mut().scopes.hooks_due.pop_first();
        let (_, (end, HookFn { run, set_at })) = next?;
        if catch_unwind(AssertUnwindSafe(|| run(&end))).is_err() {
            tracing::error!("what was to be run at the end of a scope panicked");
        }
        Some(set_at)
    }

    fn has_work(&self) -> bool {
        !self.tasks.run_queue.borrow().is_empty() || !self.reactor.borrow().scopes.hooks_due.is_empty()
    }

    fn wake_for_next_turn(&self) {
        if self.next_turn.borrow().is_empty() {
            return;
        }
        let woken = self.next_turn.take();
        let noted_ns = self.noted_ns.get();
        woken.into_iter().for_each(waiters::wake);
        self.account_lap(Holder::Waker(None), noted_ns);
    }
}
