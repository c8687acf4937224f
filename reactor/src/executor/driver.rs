//! [`Driver`]: the reactor, the tasks and the run queue of one runtime. Its turn is in `turn.rs`.

mod life;
mod turn;

pub(super) use life::end_contained;

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use slab::Slab;

use crate::arena::{Arena, Id};
use crate::budget::Budget;
use crate::builder::BlockingLimits;
use crate::clock::Clock;
use crate::executor::account::TaskWakers;
use crate::executor::context;
use crate::executor::laps::Laps;
use crate::executor::locals::Locals;
use crate::executor::observer::Observer;
use crate::executor::stage::TaskFuture;
use crate::executor::task::{MAIN, Main, SpareWakers, Task, TaskWaker};
use crate::executor::task_info::TaskId;
use crate::executor::tasks::Tasks;
use crate::reactor::Reactor;
use crate::remote::Shared;
use crate::source::NEVER;
use crate::token::ReactorId;
use crate::waiters::{self, Note, Poller, Waiters, WakerName, Wakeup};
use crate::waits::{CurrentFrame, OtherWait};

pub(crate) struct Driver {
    pub(crate) clock: Clock,
    pub(crate) remote: Arc<Shared>,
    /// The poll's own, so that sources are registered while nothing is borrowed.
    pub(crate) registry: mio::Registry,
    /// Borrowed only for the length of a call into it: no waker and no future is run meanwhile.
    pub(crate) reactor: RefCell<Reactor>,
    /// Of the reactor.
    pub(crate) id: ReactorId,
    pub(crate) budget: Budget,
    turn_number: Cell<u32>,
    pub(crate) tasks: Rc<Tasks>,
    pub(super) spare_wakers: SpareWakers,
    pub(crate) counts: Counts,
    /// Whether the length of every poll is accounted.
    pub(super) accounts: bool,
    /// From which length on it is noted who it was.
    pub(super) floor_ns: u64,
    pub(super) laps: Laps,
    /// When what was accounted last had ended.
    pub(super) lap_ns: Cell<u64>,
    /// The total of what was noted.
    pub(super) noted_ns: Cell<u64>,
    pub(super) task_wakers: TaskWakers,
    pub(super) observer: Observer,
    /// The future of `block_on`, within that.
    pub(super) main: RefCell<Option<Main>>,
    /// Who has had its share of this turn, and is to be woken after it.
    next_turn: RefCell<Vec<Waker>>,
    /// Who waits for a shutdown to be asked for.
    pub(crate) shutdown_waiters: RefCell<Slab<(Waker, Option<Note>)>>,
    /// The scope and the task whose future is being polled.
    scope: Cell<Option<Id>>,
    pub(super) task: Cell<Id>,
    /// Whether one is being polled at all.
    pub(super) polling: Cell<bool>,
    /// The waker it is polled with.
    pub(super) polled_by: Cell<WakerName>,
    /// What bounds or names all that is being polled.
    pub(crate) frame: CurrentFrame,
    /// Tasks of scopes that were dropped, to be dropped one after the other: one holds scopes with tasks of
    /// their own, and so on, deeper than the stack may be.
    dropped: RefCell<Vec<(Id, TaskFuture)>>,
    dropping: Cell<bool>,
    /// What waits that is no operation on a source.
    pub(crate) waits: RefCell<Slab<OtherWait>>,
    /// Set when the runtime is being dropped: what is spawned then is dropped at once.
    closing: Cell<bool>,
    /// What is built on top, as the pool of threads that may block.
    pub(crate) locals: Locals,
    pub(crate) blocking_limits: BlockingLimits,
}

/// What is counted of tasks.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) spawned: Cell<u64>,
    pub(crate) polls: Cell<u64>,
}

pub(super) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl Driver {
    pub(crate) fn new(mut reactor: Reactor, blocking_limits: BlockingLimits) -> io::Result<Rc<Driver>> {
        reactor.serves_tasks = true;
        reactor.inbox.serve_tasks();
        reactor.remote.serves_tasks();
        let id = reactor.id;
        let registry = reactor.poll.registry().try_clone()?;
        Ok(Rc::new_cyclic(|driver| Driver {
            registry,
            clock: reactor.clock.clone(),
            remote: reactor.remote.clone(),
            id,
            budget: reactor.budget,
            turn_number: Cell::new(0),
            accounts: reactor.accounts,
            floor_ns: reactor.ledger.floor_ns,
            laps: Laps::new(&reactor.clock),
            lap_ns: Cell::new(0),
            noted_ns: Cell::new(0),
            task_wakers: TaskWaker::tables(reactor.remote.clone()),
            reactor: RefCell::new(reactor),
            tasks: Rc::new(Tasks::new(id, driver.clone())),
            observer: Observer::default(),
            main: RefCell::new(None),
            spare_wakers: SpareWakers::default(),
            counts: Counts::default(),
            next_turn: RefCell::new(Vec::new()),
            shutdown_waiters: RefCell::new(Slab::new()),
            scope: Cell::new(None),
            task: Cell::new(MAIN),
            polling: Cell::new(false),
            polled_by: Cell::default(),
            frame: CurrentFrame::default(),
            dropped: RefCell::new(Vec::new()),
            dropping: Cell::new(false),
            waits: RefCell::new(Slab::new()),
            closing: Cell::new(false),
            locals: Locals::default(),
            blocking_limits,
        }))
    }

    pub(crate) fn is_reached_by(&self, remote: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.remote, remote)
    }

    pub(crate) fn queue(&self, task: Id) {
        self.tasks.run_queue.borrow_mut().push(task);
    }

    /// How whoever waits with `waker` is to be woken: if it is that of the task that is polled, as it nearly always is, by the
    /// name of that.
    pub(crate) fn wakeup(&self, waker: &Waker) -> Wakeup {
        if self.is_polled_with(waker) {
            return Wakeup::Task(self.task.get());
        }
        Wakeup::Waker(waker.clone())
    }

    /// Whether it is that of the task that is polled.
    #[inline]
    pub(crate) fn is_polled_with(&self, waker: &Waker) -> bool {
        self.polled_by.get() == WakerName::of(waker)
    }

    /// Queues a task of this runtime, unless it is queued.
    #[inline]
    pub(crate) fn wake_task(&self, task: Id) {
        if self.is_to_be_queued(task) {
            self.queue(task);
        }
    }

    #[inline]
    fn is_to_be_queued(&self, task: Id) -> bool {
        self.is_to_be_queued_of(&mut self.tasks.borrow_mut(), task)
    }

    /// The same for whoever has the tasks in hand.
    #[inline]
    fn is_to_be_queued_of(&self, tasks: &mut Arena<Task>, task: Id) -> bool {
        match tasks.get_mut(task) {
            Some(task) => task.is_to_be_queued(),
            None => self.main_is_to_be_queued(task),
        }
    }

    /// The same for what is no task that lives: it may be the future of `block_on`.
    #[inline(never)]
    fn main_is_to_be_queued(&self, task: Id) -> bool {
        let main = self.main.borrow();
        task == MAIN && main.as_ref().is_some_and(|main| main.flag.is_to_be_queued_here())
    }

    /// Wakes, from wherever this is called: the loop may be asleep in somebody else's poll.
    pub(crate) fn wake_up(&self, wakeup: Wakeup) {
        match wakeup {
            Wakeup::Waker(waker) => waiters::wake(waker),
            Wakeup::Task(task) if self.is_to_be_queued(task) => {
                let runs = context::with(|current| current.is_some_and(|current| self.is(current)));
                if runs { self.queue(task) } else { self.remote.wake_task(task) }
            }
            Wakeup::Task(_) => {}
        }
    }

    fn is(&self, other: &Rc<Driver>) -> bool {
        std::ptr::eq(self, &raw const **other)
    }

    /// Wakes all of them, as [`wake_up`](Driver::wake_up) does.
    pub(crate) fn wake_all(&self, waiters: Waiters) {
        waiters.into_wakeups().for_each(|wakeup| self.wake_up(wakeup));
    }

    /// The lower half of the number of the turn.
    #[inline]
    pub(crate) fn turn_number(&self) -> u32 {
        self.turn_number.get()
    }

    /// The scope whose future is being polled.
    #[inline]
    pub(crate) fn scope(&self) -> Option<Id> {
        self.scope.get()
    }

    /// Makes `scope` the current one; returns the one before.
    pub(crate) fn replace_scope(&self, scope: Option<Id>) -> Option<Id> {
        self.scope.replace(scope)
    }

    /// Who polls now: the task, or [`MAIN`], also while none is polled.
    #[inline]
    pub(crate) fn poller(&self) -> Poller {
        Poller { task: self.task.get(), frame: self.frame.get() }
    }

    /// What the audit is to say of one that begins to wait now.
    pub(crate) fn note(&self) -> Note {
        let since_ns = self.reactor.borrow().now_ns;
        Note { since_ns, until_ns: NEVER, poller: self.poller(), scope: self.scope() }
    }

    /// The task whose future is being polled, if one is.
    pub(crate) fn polled_task(&self) -> Option<TaskId> {
        self.polling.get().then(|| TaskId { id: self.task.get(), reactor: self.id })
    }

    /// Wakes whomever the end of a scope concerns.
    pub(crate) fn wake_ended(&self) {
        loop {
            let woken = std::mem::take(&mut self.reactor.borrow_mut().scopes.woken);
            if woken.is_empty() {
                return;
            }
            woken.into_iter().for_each(|wakeup| self.wake_up(wakeup));
        }
    }

    /// Wakes `waker` when this turn is over.
    pub(crate) fn wake_next_turn(&self, waker: Waker) {
        self.next_turn.borrow_mut().push(waker);
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.reactor.borrow().is_shut_down()
    }

    /// Wakes `waker` when a shutdown is asked for, instead of the one kept under `key`; returns the key.
    pub(crate) fn wait_for_shutdown(
        &self,
        key: Option<usize>,
        waker: Waker,
        note: Option<Note>,
    ) -> usize {
        let waiter = (waker, note);
        let mut waiters = self.shutdown_waiters.borrow_mut();
        let Some(key) = key.filter(|key| waiters.contains(*key)) else { return waiters.insert(waiter) };
        let before = std::mem::replace(&mut waiters[key], waiter);
        drop(waiters);
        drop(before);
        key
    }

    pub(crate) fn forget_shutdown_waiter(&self, key: usize) {
        let waker = self.shutdown_waiters.borrow_mut().try_remove(key);
        drop(waker);
    }

    /// Whether the runtime has been dropped.
    pub(crate) fn is_closed(&self) -> bool {
        self.closing.get()
    }

    /// Drops every task, on this thread, also those that the drops themselves spawn.
    pub(crate) fn close(&self) {
        self.closing.set(true);
        // First, so that whoever learns that its task was aborted finds the door closed.
        let inbox = self.reactor.borrow_mut().inbox.close();
        drop_contained(inbox);
        // No task is added from here on, so those that live now are all.
        let tasks: Vec<Id> = self.tasks.borrow_mut().iter_mut().map(|(id, _)| id).collect();
        for id in tasks {
            let future = self.take_to_drop(id);
            future.into_iter().for_each(|future| self.end_task(id, future));
        }
        self.tasks.run_queue.borrow_mut().clear();
        let waiters = self.reactor.borrow_mut().shut_down();
        self.wake_all(waiters);
        self.wake_ended();
        self.wake_shutdown_waiters();
        // None is added from here on.
        while self.run_hook().is_some() {}
        self.locals.clear();
    }

    fn wake_shutdown_waiters(&self) {
        self.shutdown_waiters.take().into_iter().for_each(|(_, (waker, _))| waiters::wake(waker));
    }

    pub(crate) fn live_tasks(&self) -> usize {
        self.tasks.live()
    }

    /// Where the tasks that live now were spawned.
    pub(crate) fn spawn_locations(&self) -> Vec<&'static Location<'static>> {
        let mut tasks = self.tasks.borrow_mut();
        let live = tasks.iter_mut().filter(|(_, task)| !task.is_over());
        live.map(|(_, task)| task.origin.spawned_at).collect()
    }
}

/// Drops what is somebody else's, and keeps the loop alive if that panics.
pub(crate) fn drop_contained<T>(theirs: T) {
    if catch_unwind(AssertUnwindSafe(|| drop(theirs))).is_err() {
        tracing::error!("the drop of a future or a call panicked");
    }
}
