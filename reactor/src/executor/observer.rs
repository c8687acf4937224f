//! An observer of every poll, as a profiler is.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::arena::Id;
use crate::executor::{Driver, Runtime, TaskId, context};

/// One of the two edges of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollEdge {
    /// This task is polled from now on.
    Begin(TaskId),
    /// It was, until now; if it is done, it has been dropped too.
    End(TaskId),
}

type Observe = Rc<dyn Fn(PollEdge)>;

/// Who is told of every poll. Nobody, as a rule: that costs a branch a poll.
#[derive(Default)]
pub(crate) struct Observer {
    set: Cell<bool>,
    observe: RefCell<Option<Observe>>,
}

impl Observer {
    fn replace(&self, observe: Option<Observe>) {
        self.set.set(observe.is_some());
        let before = self.observe.replace(observe);
        drop(before);
    }

    #[cold]
    fn tell(&self, edge: PollEdge) {
        // It may set another, or none.
        let observe = self.observe.borrow().clone();
        if let Some(observe) = observe {
            observe(edge);
        }
    }
}

impl Driver {
    #[inline]
    pub(crate) fn poll_begins(&self, task: Id) {
        if self.observer.set.get() {
            self.observer.tell(PollEdge::Begin(TaskId { id: task, reactor: self.id }));
        }
    }

    #[inline]
    pub(crate) fn poll_ends(&self, task: Id) {
        if self.observer.set.get() {
            self.observer.tell(PollEdge::End(TaskId { id: task, reactor: self.id }));
        }
    }

    pub(crate) fn observe_polls(&self, observe: Option<Observe>) {
        self.observer.replace(observe);
    }
}

impl Runtime {
    /// Has `observe` called at the beginning and the end of every poll of a task, on the loop's thread; `None`
    /// stops it. What it does is part of the loop's time: it is to be as short as storing a number. It must not panic,
    /// and may not drive the runtime.
    pub fn set_poll_observer(&self, observe: Option<Rc<dyn Fn(PollEdge)>>) {
        self.driver().observe_polls(observe);
    }
}

/// [`Runtime::set_poll_observer`] for the runtime of this thread.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn set_poll_observer(observe: Option<Rc<dyn Fn(PollEdge)>>) {
    context::current("set_poll_observer").observe_polls(observe);
}
