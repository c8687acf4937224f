//! The loop and its surroundings, with nothing in them but what threads see of each other.

use std::collections::VecDeque;

#[cfg(loom)]
pub(super) use loom::{
    sync::{Arc, Condvar, Mutex},
    thread,
};
#[cfg(shuttle)]
pub(super) use shuttle::{
    sync::{Arc, Condvar, Mutex},
    thread,
};

use crate::parking::Parking;
use crate::room::{NoRoom, Room};
use crate::sync::{AtomicBool, AtomicUsize, Ordering};

/// What is sent to the loop.
pub(super) enum Item {
    Message,
    /// A task was woken.
    Woken,
    Shutdown,
    /// Somebody waits for what becomes of it.
    Join(Sender),
}

/// As a `RemoteJoinHandle` has it: says by its drop that there will be no result.
pub(super) struct Sender(pub(super) Arc<Exchange>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ran,
    Aborted,
}

#[derive(Default)]
pub(super) struct Exchange {
    outcome: Mutex<Option<Outcome>>,
    done: Condvar,
}

impl Exchange {
    pub(super) fn complete(&self, outcome: Outcome) {
        self.outcome.lock().unwrap().get_or_insert(outcome);
        self.done.notify_all();
    }

    /// For ever (which the tools call a deadlock) if nobody completes it.
    pub(super) fn join(&self) -> Outcome {
        let mut outcome = self.outcome.lock().unwrap();
        loop {
            if let Some(outcome) = *outcome {
                return outcome;
            }
            outcome = self.done.wait(outcome).unwrap();
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.complete(Outcome::Aborted);
    }
}

/// The loop's side of the world: a bounded inbox, and a poll that sleeps until it is signalled.
pub(super) struct World {
    parking: Parking,
    pub(super) room: Room,
    /// `None` once its receiver is gone, and what was in it with that: as the unbounded flavour of crossbeam's channels.
    queue: Mutex<Option<VecDeque<Item>>>,
    signal: (Mutex<bool>, Condvar),
    pub(super) signals: AtomicUsize,
    pub(super) sleeps: AtomicUsize,
}

impl World {
    pub(super) fn new(capacity: usize) -> Arc<World> {
        Arc::new(World {
            parking: Parking::new(),
            room: Room::new(capacity),
            queue: Mutex::new(Some(VecDeque::new())),
            signal: (Mutex::new(false), Condvar::new()),
            signals: AtomicUsize::new(0),
            sleeps: AtomicUsize::new(0),
        })
    }

    /// As `Shared::send`.
    pub(super) fn send(&self, item: Item) -> Result<(), NoRoom> {
        self.room.take()?;
        self.put(item)
    }

    /// As `Shared::put` and `Shared::wake_task`.
    pub(super) fn put(&self, item: Item) -> Result<(), NoRoom> {
        let mut queue = self.queue.lock().unwrap();
        // Refused, the item is dropped once nothing is locked.
        let refused = match queue.as_mut() {
            Some(queue) => {
                queue.push_back(item);
                None
            }
            None => Some(item),
        };
        drop(queue);
        if refused.is_some() {
            return Err(NoRoom::Closed);
        }
        if self.parking.notify() {
            self.signals.fetch_add(1, Ordering::Relaxed);
            self.event();
        }
        Ok(())
    }

    /// Something ends the sleep: the signal of `put`, or by itself what a loop is there for, a socket or an alarm.
    pub(super) fn event(&self) {
        *self.signal.0.lock().unwrap() = true;
        self.signal.1.notify_one();
    }

    /// Takes one command out, as `Inbox::next_command`.
    pub(super) fn take(&self) -> Option<Item> {
        let item = self.queue.lock().unwrap().as_mut()?.pop_front()?;
        self.room.leave();
        Some(item)
    }

    /// Sleeps until it is told of something: for ever if the protocol loses that. Returns whether to look at the queue.
    pub(super) fn sleep(&self) -> bool {
        if self.parking.park() {
            self.sleeps.fetch_add(1, Ordering::Relaxed);
            let mut signalled = self.signal.0.lock().unwrap();
            while !*signalled {
                signalled = self.signal.1.wait(signalled).unwrap();
            }
        }
        *self.signal.0.lock().unwrap() = false;
        self.parking.unpark()
    }

    /// One turn, and all that was in the inbox.
    pub(super) fn turn(&self) -> Vec<Item> {
        let notified = self.sleep();
        let items = || if notified { self.take() } else { None };
        std::iter::from_fn(items).collect()
    }

    /// As the drop of an `Inbox`.
    pub(super) fn close(&self) {
        self.room.close();
        loop {
            let item = self.queue.lock().unwrap().as_mut().and_then(VecDeque::pop_front);
            match item {
                Some(item) => drop(item),
                None => break,
            }
        }
        let left = self.queue.lock().unwrap().take();
        drop(left);
    }
}

/// A task's waker: its flag keeps it from being queued twice, and is taken back before the task is polled.
pub(super) struct Task {
    pub(super) world: Arc<World>,
    queued: AtomicBool,
    data: AtomicUsize,
}

impl Task {
    pub(super) fn new(world: Arc<World>) -> Arc<Task> {
        Arc::new(Task { world, queued: AtomicBool::new(false), data: AtomicUsize::new(0) })
    }

    pub(super) fn wake(&self) {
        self.data.fetch_add(1, Ordering::Relaxed);
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.world.room.take_beyond();
            let _ = self.world.put(Item::Woken);
        }
    }

    /// The same on the loop's thread, as of what `block_on` runs. Returns whether it is to be polled for that.
    #[cfg(loom)]
    pub(super) fn wake_here(&self) -> bool {
        self.data.fetch_add(1, Ordering::Relaxed);
        !self.queued.load(Ordering::Relaxed) && !self.queued.swap(true, Ordering::Relaxed)
    }

    /// Returns what all that have woken it so far have left.
    pub(super) fn poll(&self) -> usize {
        self.queued.swap(false, Ordering::AcqRel);
        self.data.load(Ordering::Relaxed)
    }
}
