//! [`Drain`]: the end of a server, in order.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use punctual_reactor::Instant;

/// What became of the connections of a server that was told to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Had nothing under way, and were closed at once.
    pub idle: usize,
    /// Finished what was under way in time.
    pub finished: usize,
    /// Did not, and were cut.
    pub cut: usize,
}

/// How far a server is on the way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Serves,
    /// Nothing new is begun.
    Drains,
    /// All is cut.
    Cuts,
}

/// The course of a server, and who is to hear of it: each connection tells once which task is its own.
pub(super) struct Drain {
    course: Cell<Course>,
    until: Cell<Instant>,
    listeners: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
    main: RefCell<Option<Waker>>,
    pub(super) report: Cell<Drained>,
}

impl Drain {
    pub(super) fn new() -> Rc<Drain> {
        Rc::new(Drain {
            course: Cell::new(Course::Serves),
            until: Cell::new(Instant::FAR_FUTURE),
            listeners: RefCell::default(),
            free: RefCell::default(),
            main: RefCell::default(),
            report: Cell::default(),
        })
    }

    #[inline]
    pub(super) fn course(&self) -> Course {
        self.course.get()
    }

    pub(super) fn until(&self) -> Instant {
        self.until.get()
    }

    fn begin(&self, within: Duration) {
        match self.course() {
            Course::Serves => {
                self.until.set(Instant::now() + within);
                self.set(Course::Drains);
            }
            Course::Drains => self.set(Course::Cuts),
            Course::Cuts => {}
        }
    }

    pub(super) fn cut(&self) {
        if self.course() != Course::Cuts {
            self.set(Course::Cuts);
        }
    }

    fn set(&self, course: Course) {
        self.course.set(course);
        // Cloned first: a waker is anybody's code.
        let wakers: Vec<Waker> = self.listeners.borrow().iter().flatten().cloned().collect();
        wakers.into_iter().for_each(Waker::wake);
        self.wake_main();
    }

    fn wake_main(&self) {
        let main = self.main.borrow_mut().take();
        if let Some(main) = main {
            main.wake();
        }
    }

    /// The task of the server itself is to hear.
    pub(super) fn listen_as_main(&self, cx: &Context<'_>) {
        let before = self.main.borrow_mut().replace(cx.waker().clone());
        drop(before);
    }

    /// For the task whose waker it is. Must be the one that is polled later.
    pub(super) fn listen(self: &Rc<Self>, waker: Waker) -> Listening {
        let place = self.free.borrow_mut().pop();
        let mut listeners = self.listeners.borrow_mut();
        let place = place.unwrap_or_else(|| {
            listeners.push(None);
            listeners.len() - 1
        });
        listeners[place] = Some(waker);
        Listening { drain: self.clone(), place }
    }

    pub(super) fn count(&self, one: impl FnOnce(&mut Drained)) {
        let mut report = self.report.get();
        one(&mut report);
        self.report.set(report);
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.listeners.borrow().len() - self.free.borrow().len()
    }
}

/// That a connection hears, until dropped.
pub(super) struct Listening {
    drain: Rc<Drain>,
    place: usize,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let waker = self.drain.listeners.borrow_mut()[self.place].take();
        drop(waker);
        self.drain.free.borrow_mut().push(self.place);
        if self.drain.course() != Course::Serves && self.drain.connections() == 0 {
            self.drain.wake_main();
        }
    }
}

/// Ends a server in order; made by [`Serve::drainer`](super::Serve::drainer).
#[derive(Clone)]
pub struct Drainer {
    pub(super) drain: Rc<Drain>,
}

impl Drainer {
    /// Has the server stop accepting, close what is idle, finish what is under way for at most `within`, and cut the
    /// rest. Called again, it cuts at once.
    pub fn drain(&self, within: Duration) {
        self.drain.begin(within);
    }

    /// Has the server cut all connections.
    pub fn cut(&self) {
        self.drain.cut();
    }
}

impl fmt::Debug for Drainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drainer").field("course", &self.drain.course()).finish_non_exhaustive()
    }
}
