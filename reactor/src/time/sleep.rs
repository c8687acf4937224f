//! [`Sleep`]: a future that is ready at a deadline.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::drift::Firing;
use crate::executor::{Driver, context};
use crate::instant::Instant;
use crate::leeway::Leeway;
use crate::source::NEVER;
use crate::token::Timer;
use crate::waiters::Note;

/// Waits until a deadline; never ends early. Made by [`sleep`] and [`sleep_until`].
///
/// Cancel-safe: dropped, it leaves nothing behind. It takes no leeway unless
/// [told to](Sleep::with_leeway).
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    driver: Rc<Driver>,
    deadline: Instant,
    leeway: Leeway,
    /// What the audit calls it.
    what: &'static str,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    New,
    Waiting(Timer),
    Fired(Firing),
}

/// Waits for `duration`, counted from this call. [`Duration::MAX`] waits for ever.
///
/// # Panics
/// Outside of a runtime: `block_on(async { sleep(duration).await })`, not `block_on(sleep(duration))`. When
/// polled after its runtime was dropped.
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    let driver = context::current("sleep");
    let deadline = driver.clock.now() + duration;
    Sleep::new(driver, deadline)
}

/// Waits until `deadline`. One in the past is ready in the next turn of the loop.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn sleep_until(deadline: impl Into<Instant>) -> Sleep {
    Sleep::new(context::current("sleep_until"), deadline.into())
}

impl Sleep {
    pub(crate) fn new(driver: Rc<Driver>, deadline: Instant) -> Sleep {
        Sleep { driver, deadline, leeway: Leeway::NONE, what: "sleep", state: State::New }
    }

    /// Has the audit call it `what`.
    pub(crate) fn called(mut self, what: &'static str) -> Sleep {
        self.what = what;
        self
    }

    /// Lets it end up to `leeway` later, in order to share a wake-up with others.
    pub fn with_leeway(mut self, leeway: Leeway) -> Sleep {
        self.cancel();
        self.leeway = leeway;
        self
    }

    /// Reads the clock it lives by.
    pub(crate) fn now(&self) -> Instant {
        self.driver.clock.now()
    }

    /// When it is to end.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether it has ended, as seen by a poll.
    #[must_use]
    pub fn is_elapsed(&self) -> bool {
        matches!(self.state, State::Fired(_))
    }

    /// When it fired, and how late, once it has ended.
    #[must_use]
    pub fn firing(&self) -> Option<Firing> {
        match self.state {
            State::Fired(firing) => Some(firing),
            _ => None,
        }
    }

    /// Whether it has fired and nobody came to look, though everything that could run since has run: what
    /// waited for it has been given up. Poll-based interfaces, which are told of no end, see by it that an
    /// operation is a new one.
    #[must_use]
    pub fn was_left(&self) -> bool {
        let State::Waiting(timer) = self.state else { return false };
        let mut reactor = self.driver.reactor.borrow_mut();
        let all_ran_in = reactor.all_ran_in_turn;
        reactor
            .plain
            .get_mut(timer.id)
            .is_some_and(|plain| plain.fired.is_some() && plain.fired_in_turn <= all_ran_in)
    }

    /// Moves it to `deadline`, also if it has ended. To move it later is a store. Whoever waits on it is
    /// woken at the new deadline; one who has been woken for the old one must poll it again.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if let State::Waiting(timer) = self.state {
            let moved = self.driver.reactor.borrow_mut().reset_timer(timer, deadline);
            if moved.is_ok() {
                return;
            }
        }
        self.rearm(deadline);
    }

    /// Starts over: it had fired, though perhaps nobody had looked yet.
    fn rearm(&mut self, deadline: Instant) {
        let waiters = match self.state {
            State::Waiting(timer) => {
                let mut reactor = self.driver.reactor.borrow_mut();
                let fired = reactor.plain.remove(timer.id);
                fired.map(|fired| fired.waiters)
            }
            _ => None,
        };
        let was_waiting = matches!(self.state, State::Waiting(_));
        self.state = State::New;
        if was_waiting {
            let mut reactor = self.driver.reactor.borrow_mut();
            let timer = reactor.add_timer(deadline, self.leeway, true);
            if let (Some(plain), Some(waiters)) = (reactor.plain.get_mut(timer.id), waiters) {
                plain.waiters = waiters;
            }
            self.state = State::Waiting(timer);
        }
    }

    fn cancel(&mut self) {
        if let State::Waiting(timer) = std::mem::replace(&mut self.state, State::New) {
            let cancelled = self.driver.reactor.borrow_mut().remove_timer(timer);
            drop(cancelled);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.is_elapsed() {
            return Poll::Ready(());
        }
        assert!(!this.driver.is_closed(), "the runtime of this sleep has been dropped");
        let waker = cx.waker().clone();
        let (task, scope) = (this.driver.task(), this.driver.scope());
        let mut reactor = this.driver.reactor.borrow_mut();
        let now_ns = reactor.now_ns;
        let timer = match this.state {
            State::Fired(_) => return Poll::Ready(()),
            State::Waiting(timer) => timer,
            State::New => reactor.add_timer(this.deadline, this.leeway, true),
        };
        this.state = State::Waiting(timer);
        let Some(plain) = reactor.plain.get_mut(timer.id) else { return Poll::Pending };
        match plain.fired {
            None => {
                let since_ns = plain.waiters.notes().next().map_or(now_ns, |note| note.since_ns);
                let note = Note { since_ns, until_ns: NEVER, task, scope };
                plain.what = this.what;
                let before = plain.waiters.set(0, waker, note);
                drop(reactor);
                drop(before);
                Poll::Pending
            }
            Some(firing) => {
                reactor.plain.remove(timer.id);
                this.state = State::Fired(firing);
                Poll::Ready(())
            }
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("deadline", &self.deadline)
            .field("leeway", &self.leeway)
            .field("state", &self.state)
            .finish()
    }
}
