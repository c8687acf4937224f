//! [`Waiting`]: what waits in a scope, and is no operation on a source.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;

use crate::arena::Id;
use crate::executor::{Driver, context};
use crate::remote::{Handle, Shared};
use crate::scope::ScopeEnd;
use crate::scope::tree::Member;
use crate::source::NEVER;
use crate::waiters::Note;
use crate::waits::{Frame, Label, OtherWait, Subject};

/// Something that waits in the current scope: it is told of the end, and the audit sees it. With an `Arc<Shared>` it may be
/// dropped on another thread than it began on.
pub(crate) struct Waiting<K: Keeper = Rc<Driver>> {
    runtime: K,
    since_ns: u64,
    frame: Frame,
    scope: Option<Id>,
    place: Place,
}

/// Where it is noted.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    note: usize,
    member: Option<(Id, usize)>,
}

/// By what something that waits knows its runtime.
pub(crate) trait Keeper: Sized {
    fn of(driver: Rc<Driver>) -> Self;

    fn is_of(&self, driver: &Driver) -> bool;

    fn forget(&self, place: Place);
}

impl Keeper for Rc<Driver> {
    #[inline]
    fn of(driver: Rc<Driver>) -> Rc<Driver> {
        driver
    }

    #[inline]
    fn is_of(&self, driver: &Driver) -> bool {
        std::ptr::eq(&raw const **self, driver)
    }

    #[inline]
    fn forget(&self, place: Place) {
        place.forget(self);
    }
}

impl Keeper for Arc<Shared> {
    fn of(driver: Rc<Driver>) -> Arc<Shared> {
        driver.remote.clone()
    }

    fn is_of(&self, driver: &Driver) -> bool {
        driver.is_reached_by(self)
    }

    fn forget(&self, place: Place) {
        match context::try_current() {
            Some(driver) if self.is_of(&driver) => place.forget(&driver),
            _ => {
                // On another thread, or between two runs of the loop, which then does it.
                let handle = Handle { shared: self.clone() };
                handle.tell(move || context::try_current().iter().for_each(|here| place.forget(here)));
            }
        }
    }
}

impl Place {
    fn forget(self, driver: &Driver) {
        // What it waits for may be anybody's: dropped while nothing is borrowed.
        let wait = driver.waits.borrow_mut().try_remove(self.note);
        drop(wait);
        if let Some((scope, member)) = self.member {
            let member = driver.reactor.borrow_mut().scopes.leave(scope, member);
            drop(member);
        }
    }
}

impl<K: Keeper> Waiting<K> {
    /// `label` is how the audit calls it, and `subject` for what it waits.
    ///
    /// # Errors
    /// That of the scope, if it has ended: nothing may begin in it.
    #[inline]
    pub(super) fn begin(
        driver: Rc<Driver>,
        label: Label,
        subject: Option<Subject>,
        frame: Option<Frame>,
    ) -> Result<Waiting<K>, ScopeEnd> {
        let scope = driver.scope();
        let refused = scope.and_then(|scope| driver.reactor.borrow_mut().refuses(scope));
        if let Some(end) = refused {
            driver.wake_ended();
            return Err(end);
        }
        let since_ns = driver.reactor.borrow().now_ns;
        let note = Note { since_ns, until_ns: NEVER, poller: driver.poller(), scope };
        let frame = frame.unwrap_or_else(|| driver.frame.make());
        let note = driver.waits.borrow_mut().insert(OtherWait { label, subject, frame, note });
        let place = Place { note, member: None };
        Ok(Waiting { runtime: K::of(driver), since_ns, frame, scope, place })
    }

    /// As a member of the current scope, which begins to wait if it did not wait there already. Outside of a
    /// runtime nothing is done.
    ///
    /// # Errors
    /// The end of the scope, once it has ended; then it waits no longer.
    pub(crate) fn poll(
        slot: &mut Option<Waiting<K>>,
        label: Label,
        subject: Subject,
        cx: &Context<'_>,
    ) -> Result<(), ScopeEnd> {
        let Some(driver) = context::try_current() else { return Ok(()) };
        let stays =
            |waiting: &Waiting<K>| waiting.runtime.is_of(&driver) && waiting.scope == driver.scope();
        if !slot.as_ref().is_some_and(stays) {
            // First, so that it is forgotten where it was.
            *slot = None;
            *slot = Some(Waiting::begin(driver.clone(), label, Some(subject), None)?);
        } else if let Some(waiting) = slot {
            waiting.polled_again(&driver);
        }
        let end = slot.as_mut().and_then(|waiting| waiting.poll_end(&driver, cx));
        match end {
            None => Ok(()),
            Some(end) => {
                *slot = None;
                Err(end)
            }
        }
    }

    /// When it began.
    pub(crate) fn since_ns(&self) -> u64 {
        self.since_ns
    }

    /// That of what is polled in it.
    pub(super) fn frame(&self) -> Frame {
        self.frame
    }

    /// It is ended by itself then.
    pub(super) fn until(&self, driver: &Driver, until_ns: u64) {
        if let Some(wait) = driver.waits.borrow_mut().get_mut(self.place.note) {
            wait.note.until_ns = until_ns;
        }
    }

    /// It may have gone to another task, or another frame.
    pub(super) fn polled_again(&self, driver: &Driver) {
        if let Some(wait) = driver.waits.borrow_mut().get_mut(self.place.note) {
            wait.note.poller = driver.poller();
        }
    }

    /// What ended the scope, if it has ended; whoever polls is woken when it does.
    pub(super) fn poll_end(&mut self, driver: &Driver, cx: &Context<'_>) -> Option<ScopeEnd> {
        let scope = self.scope?;
        // First: it may be anybody's code, and end the scope.
        let waker = cx.waker().clone();
        let end = driver.reactor.borrow_mut().scopes.end_of(scope);
        if let Some((_, end)) = end {
            return Some(end);
        }
        let before = {
            let scopes = &mut driver.reactor.borrow_mut().scopes;
            match self.place.member {
                Some((_, member)) => scopes.set_member_waker(scope, member, waker),
                None => {
                    let member = scopes.join(scope, Member::Waker(waker));
                    self.place.member = member.map(|member| (scope, member));
                    None
                }
            }
        };
        drop(before);
        None
    }
}

impl<K: Keeper> Drop for Waiting<K> {
    #[inline]
    fn drop(&mut self) {
        self.runtime.forget(self.place);
    }
}
