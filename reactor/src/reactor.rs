//! [`Reactor`]: registrations, deadlines and timers. How a turn goes is in `turn.rs`.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Source as MioSource;

use crate::alarm::AlarmClock;
use crate::arena::{Arena, Id};
use crate::blame::Ledger;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::drift::{Drift, Wait};
use crate::event::Cause;
use crate::instant::Instant;
use crate::leeway::Leeway;
use crate::metrics::Metrics;
use crate::numbers::Numbers;
use crate::pending::Pending;
use crate::phases::Phases;
use crate::plain_timer::PlainTimer;
use crate::precise::Spinner;
use crate::readiness::{Direction, Readiness};
use crate::remote::{Handle, Inbox, Shared};
use crate::scope::ScopeEnd;
use crate::scope::tree::Scopes;
use crate::source::{Interrupt, NEVER, Source};
use crate::sys;
use crate::timers::Timers;
use crate::token::{ReactorId, StaleToken, Token};
use crate::wait::Prepared;
use crate::waiters::Waiters;

/// One event loop, turn by turn: I/O sources, their deadlines, timers and remote messages.
///
/// Drive it with [`turn`](Reactor::turn) and [`next_event`](Reactor::next_event), or let the
/// [`Runtime`](crate::Runtime) do so. It is `!Send`: only its [`Handle`] crosses threads.
///
/// ```
/// use std::time::Duration;
/// use punctual_reactor::{Event, Leeway, Reactor};
///
/// let mut reactor = Reactor::new()?;
/// let deadline = reactor.now() + Duration::from_micros(300);
/// let timer = reactor.insert_timer(deadline, Leeway::NONE);
/// let firing = 'fired: loop {
///     reactor.turn(None)?;
///     while let Some(event) = reactor.next_event() {
///         match event {
///             Event::Timer { timer: fired, firing } if fired == timer => break 'fired firing,
///             other => println!("{other:?}"),
///         }
///     }
/// };
/// assert!(firing.fired >= deadline);
/// # std::io::Result::Ok(())
/// ```
pub struct Reactor {
    pub(crate) id: ReactorId,
    pub(crate) clock: Clock,
    pub(crate) budget: Budget,
    pub(crate) poll: mio::Poll,
    pub(crate) events: mio::Events,
    pub(crate) alarm: AlarmClock,
    pub(crate) spinner: Option<Spinner>,
    pub(crate) remote: Arc<Shared>,
    pub(crate) inbox: Inbox,
    pub(crate) sources: Arena<Rc<Source>>,
    pub(crate) numbers: Numbers,
    pub(crate) plain: Arena<PlainTimer>,
    pub(crate) timers: Timers,
    pub(crate) scopes: Scopes,
    /// Counts all that ends an operation, so that of two causes it is known which came first.
    pub(crate) order: u64,
    /// The time of the last clock read. Only ever used where late is harmless: no deadline is set by it.
    pub(crate) now_ns: u64,
    pub(crate) wait: Wait,
    pub(crate) pending: Pending,
    /// Set by [`prepare`](Reactor::prepare): when somebody else's sleep began, and when it was going to end.
    pub(crate) prepared: Option<Prepared>,
    /// How many sides have an operation that waits for a real socket, and how many tasks for another thread.
    pub(crate) waiting_sides: usize,
    pub(crate) shut_down: bool,
    /// Whether it is a runtime's: what waits on its sources are operations, and who waits are mostly tasks.
    pub(crate) serves_tasks: bool,
    /// The last turn after which no task was left to run.
    pub(crate) all_ran_in_turn: u64,
    /// Whether the time of what it runs is accounted.
    pub(crate) accounts: bool,
    /// Whether the clock was read when the last turn ended, and the next follows at once.
    pub(crate) clock_is_fresh: bool,
    pub(crate) ledger: Ledger,
    pub(crate) leeway: Leeway,
    pub(crate) built_at_ns: u64,
    pub(crate) phases: Phases,
    /// What is counted on the way; [`Reactor::metrics`] adds the rest.
    pub(crate) metrics: Metrics,
    /// One loop, one thread: a runtime's wakers and futures rely on it.
    pub(crate) not_send: PhantomData<Rc<()>>,
}

pub(crate) const ALARM: mio::Token = mio::Token(usize::MAX);
pub(crate) const WAKER: mio::Token = mio::Token(usize::MAX - 1);

impl Reactor {
    /// Reads the reactor's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The one way in from other threads.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { shared: self.remote.clone() }
    }

    /// Watches `source` and names the registration. Readiness is edge-triggered: after an event, work
    /// until `WouldBlock`.
    ///
    /// # Errors
    /// What the kernel says, as `EPERM` for a regular file or `AlreadyExists` for one that is registered.
    pub fn register(
        &mut self,
        source: &mut impl MioSource,
        interest: mio::Interest,
    ) -> io::Result<Token> {
        self.remote.process.check()?;
        let (token, kept) = self.add(Readiness::NONE);
        if let Err(error) = self.poll.registry().register(source, Token::to_mio(token.id), interest) {
            self.sources.remove(token.id);
            return Err(error);
        }
        kept.raw.set(true);
        for direction in Direction::BOTH {
            kept.side(direction).waiting.set(1);
            self.waiting_sides += 1;
        }
        Ok(token)
    }

    /// Makes room for a source, which is to be registered under this token.
    pub(crate) fn add(&mut self, readiness: Readiness) -> (Token, Rc<Source>) {
        let source = Rc::new(Source::new(self.leeway, readiness));
        if self.shut_down {
            // Nobody waits on it yet.
            let _ = source.interrupt(Interrupt::Shutdown, self.order);
        }
        (Token { id: self.sources.insert(source.clone()), reactor: self.id }, source)
    }

    /// Watches `source` for `interest` instead, under the same token.
    ///
    /// # Errors
    /// [`StaleToken`] inside an `io::Error`, or what the kernel says.
    pub fn reregister(
        &mut self,
        source: &mut impl MioSource,
        token: Token,
        interest: mio::Interest,
    ) -> io::Result<()> {
        self.source(token)?;
        self.remote.process.check()?;
        self.poll.registry().reregister(source, Token::to_mio(token.id), interest)
    }

    /// Ends a registration: its deadlines are gone, and no event of it, also none of those already
    /// taken from the kernel, is delivered any more. Do it before the descriptor is closed.
    ///
    /// # Errors
    /// [`StaleToken`] inside an `io::Error`, or what the kernel says; the token has ended all the same.
    pub fn deregister(&mut self, source: &mut impl MioSource, token: Token) -> io::Result<()> {
        // Nobody waits for what is used like this.
        self.forget(token)?;
        // In a child it would be taken from the parent.
        self.remote.process.check()?;
        self.poll.registry().deregister(source)
    }

    /// Ends what is kept of `token`, whoever has it too. Whoever waits for it is to be told.
    pub(crate) fn forget(&mut self, token: Token) -> Result<Rc<Source>, StaleToken> {
        self.source(token)?;
        let source = self.sources.remove(token.id).ok_or(StaleToken::Ended)?;
        source.unfile(token.id.index, &mut self.timers);
        source.close(self.next_order());
        self.waiting_sides -= source.sides_waiting_for_the_kernel();
        Ok(source)
    }

    /// Notes that `token` has the descriptor with this number. If another source has it too, its descriptor was closed by
    /// somebody else: it is told, and will not touch what is not its own any more. Returns whom to tell.
    pub(crate) fn owns(&mut self, token: Token, number: RawFd) -> Option<Waiters> {
        self.source(token).ok()?.owns_descriptor.set(true);
        let before = self.numbers.give(number, token.id)?;
        self.sources.get_mut(before)?.lost_descriptor.set(true);
        let cause = "its descriptor was closed by somebody else, and its number is another's now";
        Some(self.cancel(Token { id: before, ..token }, cause.into()).ok()?.unwrap_or_default())
    }

    #[inline]
    pub(crate) fn source(&mut self, token: Token) -> Result<&Rc<Source>, StaleToken> {
        if token.reactor != self.id {
            return Err(StaleToken::Foreign);
        }
        self.sources.get_mut(token.id).map(|source| &*source).ok_or(StaleToken::Ended)
    }

    /// Sets the deadline of one side of `token`, or clears it. It fires once, as
    /// [`Event::Deadline`](crate::Event::Deadline). To move it later, or to clear it, is a store.
    ///
    /// # Errors
    /// [`StaleToken`]; nothing was set.
    pub fn set_deadline(
        &mut self,
        token: Token,
        direction: Direction,
        deadline: Option<Instant>,
    ) -> Result<(), StaleToken> {
        self.put_deadline(token, direction, deadline.map_or(NEVER, Instant::as_nanos), None)
    }

    pub(crate) fn put_deadline(
        &mut self,
        token: Token,
        direction: Direction,
        at_ns: u64,
        set_at: Option<&'static Location<'static>>,
    ) -> Result<(), StaleToken> {
        let source = self.source(token)?.clone();
        if source.put_deadline(direction, at_ns, set_at) {
            self.deadline_is_put(token.id, &source, direction);
        }
        Ok(())
    }

    /// Somebody waits on the side whose deadline has been put.
    pub(crate) fn deadline_is_put(&mut self, id: Id, source: &Source, direction: Direction) {
        let side = source.side(direction);
        let interrupted = source.interrupted().is_some() && !source.raw.get();
        if !interrupted {
            self.want(id, source, direction, side.deadline().min(side.own()));
        }
    }

    /// Sets the widest leeway that the deadlines of `token` may take from now on.
    ///
    /// # Errors
    /// [`StaleToken`]; nothing was set.
    pub fn set_leeway(&mut self, token: Token, leeway: Leeway) -> Result<(), StaleToken> {
        self.source(token)?.sides().for_each(|(_, side)| side.leeway.set(leeway));
        Ok(())
    }

    /// What is known to be possible on `token` now.
    ///
    /// # Errors
    /// [`StaleToken`].
    pub fn readiness(&mut self, token: Token) -> Result<Readiness, StaleToken> {
        self.source(token).map(|source| source.readiness.get())
    }

    #[inline]
    pub(crate) fn want(&mut self, id: Id, source: &Source, direction: Direction, at_ns: u64) {
        if source.want(direction, at_ns, id.index, self.now_ns, &mut self.timers) {
            self.metrics.filed += 1;
        }
    }

    /// The earliest deadline of all timers and sources, or a moment shortly before it.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.timers.next_deadline().map(Instant::from_nanos)
    }

    /// How late everything fired so far, and through whom.
    #[must_use]
    pub fn drift(&self) -> &Drift {
        &self.metrics.drift
    }

    /// What the loop may do in one turn.
    #[must_use]
    pub fn budget(&self) -> Budget {
        self.budget
    }

    /// Whether a shutdown has been asked for.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.shut_down
    }

    /// Ends every operation on `token` with `cause`, unless something else came first. Returns whom to tell.
    pub(crate) fn cancel(&mut self, token: Token, cause: Cause) -> Result<Option<Waiters>, StaleToken> {
        let order = self.next_order();
        let waiters = self.source(token)?.interrupt(Interrupt::Cancelled(cause), order);
        self.metrics.cancelled_sources += u64::from(waiters.is_some());
        Ok(waiters)
    }

    /// Ends every operation with `Shutdown`; returns whom to tell.
    pub(crate) fn shut_down(&mut self) -> Waiters {
        self.shut_down = true;
        let order = self.next_order();
        let mut all = Waiters::default();
        for (_, source) in self.sources.iter_mut() {
            if let Some(waiters) = source.interrupt(Interrupt::Shutdown, order) {
                all.append(waiters);
            }
        }
        self.end_all_scopes(&ScopeEnd::Shutdown);
        all
    }

    /// Reads the clock for the loop's own use; it never goes back.
    pub(crate) fn read_clock(&mut self) -> u64 {
        self.now_ns = self.now_ns.max(self.clock.now().as_nanos());
        self.now_ns
    }

    /// The same, but not if it was read just now, at the end of the last turn.
    pub(crate) fn read_clock_unless_fresh(&mut self) -> u64 {
        if self.clock_is_fresh { self.now_ns } else { self.read_clock() }
    }

    /// The leeway of a guard with this long to go: a hundredth of it, at most the builder's.
    pub(crate) fn guard_leeway(&self, timeout: Duration) -> Leeway {
        self.leeway.for_timeout(crate::instant::nanos(timeout))
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("id", &self.id)
            .field("clock", &self.clock)
            .field("metrics", &self.metrics())
            .finish_non_exhaustive()
    }
}

impl AsRawFd for Reactor {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

impl AsFd for Reactor {
    /// Readable when a turn would find something, once [`prepare`](Reactor::prepare) has been called.
    fn as_fd(&self) -> BorrowedFd<'_> {
        sys::borrow_fd(self.poll.registry())
    }
}
