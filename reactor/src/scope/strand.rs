//! One future polled in a scope: its end when the scope has ended.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::arena::Id;
use crate::executor::{Driver, drop_contained};
use crate::scope::ScopeEnd;
use crate::scope::tree::{Begun, Closed, Left, Plan};
use crate::source::NEVER;
use crate::waiters::Note;
use crate::waits::Frame;

/// A node of the tree, closed when this is dropped. What is still in it then is ended and dropped.
pub(crate) struct Opened {
    pub(crate) driver: Rc<Driver>,
    pub(crate) id: Id,
}

/// What became of a future.
pub(crate) enum Outcome<T> {
    Finished(T),
    /// It still waited when its scope had ended, and was dropped.
    Dropped,
    Panicked(Box<dyn Any + Send>),
}

impl<T> Outcome<T> {
    /// `into` may be anybody's code: a panic of it is one of the future.
    pub(crate) fn map<U>(self, into: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Outcome::Finished(value) => match catch_unwind(AssertUnwindSafe(|| into(value))) {
                Ok(value) => Outcome::Finished(value),
                Err(panic) => Outcome::Panicked(panic),
            },
            Outcome::Dropped => Outcome::Dropped,
            Outcome::Panicked(panic) => Outcome::Panicked(panic),
        }
    }
}

/// Makes a scope the current one, or none, until it is dropped, also by a panic.
pub(crate) struct Entered<'a> {
    driver: &'a Driver,
    before: Option<Id>,
}

impl Entered<'_> {
    pub(crate) fn new(driver: &Driver, scope: Option<Id>) -> Entered<'_> {
        Entered { driver, before: driver.replace_scope(scope) }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.driver.replace_scope(self.before);
    }
}

impl Opened {
    pub(crate) fn new(driver: Rc<Driver>, plan: Plan) -> Opened {
        let id = driver.reactor.borrow_mut().open_scope(plan);
        Opened { driver, id }
    }

    fn enter(&self) -> Entered<'_> {
        Entered::new(&self.driver, Some(self.id))
    }

    pub(crate) fn end(&self) -> Option<ScopeEnd> {
        self.driver.reactor.borrow_mut().scopes.end_of(self.id).map(|(_, end)| end)
    }

    /// Has the one that polls woken when something happens to the scope.
    fn keep_waker(&self, waker: &Waker) {
        let waker = waker.clone();
        let before = self.driver.reactor.borrow_mut().scopes.set_waker(self.id, waker);
        drop(before);
    }

    fn begin_poll(&self, frame: Frame, waker: &Waker) -> Begun {
        let begun = self.driver.reactor.borrow_mut().scopes.begin_poll(self.id, frame, waker);
        if !begun.knows_poller {
            self.keep_waker(waker);
        }
        begun
    }

    /// Polls `body`, which must be there until this is ready, in the scope. Once the scope has ended, `body` is
    /// polled to see it; if it then waits for anything but its own shields and scopes, it is dropped.
    pub(crate) fn poll<F: Future>(
        &self,
        cx: &mut Context<'_>,
        mut body: Pin<&mut Option<F>>,
    ) -> Poll<Outcome<F::Output>> {
        let frame = self.driver.poller().frame;
        loop {
            let begun = self.begin_poll(frame, cx.waker());
            let Some(future) = body.as_mut().as_pin_mut() else { return Poll::Pending };
            let entered = self.enter();
            let polled = catch_unwind(AssertUnwindSafe(|| future.poll(cx)));
            drop(entered);
            let outcome = match polled {
                Err(panic) => Outcome::Panicked(panic),
                Ok(Poll::Ready(value)) => Outcome::Finished(value),
                Ok(Poll::Pending) => {
                    let mut reactor = self.driver.reactor.borrow_mut();
                    if reactor.scopes.ended(self.id).is_none() {
                        return Poll::Pending;
                    }
                    if !begun.ended {
                        // It ended in the midst of the poll: once more, from the beginning.
                        continue;
                    }
                    if reactor.scopes.waits_for_its_own(self.id, begun.at) {
                        drop(reactor);
                        // The end took the waker along.
                        self.keep_waker(cx.waker());
                        return Poll::Pending;
                    }
                    Outcome::Dropped
                }
            };
            self.discard(body);
            return Poll::Ready(outcome);
        }
    }

    /// Drops the future, in the scope; a panic of the drop is contained.
    fn discard<F>(&self, mut body: Pin<&mut Option<F>>) {
        let entered = self.enter();
        if catch_unwind(AssertUnwindSafe(|| body.set(None))).is_err() {
            tracing::error!("the drop of a future in a scope panicked");
        }
        drop(entered);
    }

    /// Whether no task of the scope is left; if not, whoever polls is woken when the last has gone.
    pub(crate) fn poll_tasks(&self, cx: &mut Context<'_>) -> Poll<()> {
        let poller = self.driver.poller();
        self.begin_poll(poller.frame, cx.waker());
        let mut reactor = self.driver.reactor.borrow_mut();
        let now_ns = reactor.now_ns;
        let node = reactor.scopes.nodes.get_mut(self.id);
        let Some(node) = node.filter(|node| node.tasks > 0) else { return Poll::Ready(()) };
        let joins = &mut node.rare().joins;
        let since_ns = joins.map_or(now_ns, |note| note.since_ns);
        *joins = Some(Note { since_ns, until_ns: NEVER, poller, scope: Some(self.id) });
        Poll::Pending
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let Closed { tasks, left } = self.driver.reactor.borrow_mut().close_scope(self.id);
        self.driver.wake_ended();
        self.driver.drop_tasks(tasks);
        if let Some(left) = left {
            drop_left(*left);
        }
    }
}

/// One by one: if two panicked in one drop, the process would be aborted.
#[cold]
fn drop_left(left: Left) {
    let Left { waker, mut members, rare } = left;
    drop_contained(waker);
    members.take().for_each(drop_contained);
    rare.into_iter().flat_map(|rare| rare.hooks).for_each(drop_contained);
}
