//! [`Registration`]: a source in the runtime, and the operations on it.

use std::cell::{OnceCell, Ref, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::Location;
use std::time::Duration;

use mio::event::Source as MioSource;

use crate::event::Cause;
use crate::executor::context;
use crate::failure::Failure;
use crate::instant::{Instant, nanos};
use crate::leeway::Leeway;
use crate::phases::PhaseEnding;
use crate::polled::Polled;
use crate::readiness::{Direction, Readiness};
use crate::registered::Registered;
use crate::set_readiness::SetReadiness;
use crate::source::{NEVER, Source};
use crate::sys;
use crate::token::Token;
use crate::waits::{Label, Subject};

/// Owns an I/O source and its registration with the runtime of this thread: what `AsyncFd` is
/// elsewhere, with a deadline on each side.
///
/// Two kinds of bound hold at once, and the earlier ends an operation:
/// - the **deadline** of a side is absolute and sticky; operations that wait observe every change;
/// - the **timeout** of a side is given to each operation anew, from its start.
///
/// An operation that begins after its deadline ends at once and does not touch the source. One that
/// waits when the deadline comes tries once more, so that it never reports a timeout over what has
/// arrived. Several tasks may operate on one side; each is woken.
///
/// Dropping it deregisters before it closes; [`close`](Registration::close) does so while others wait.
pub struct Registration<S: MioSource> {
    pub(crate) of: Registered,
    pub(crate) io: RefCell<Option<S>>,
    /// The operations of the poll-based interface, one a side. Most connections are never used through that.
    polled: OnceCell<Box<[Polled; 2]>>,
}

/// What a TCP stream registers for: both sides, and urgent data where it is told apart; with that,
/// [`trust_short_reads`](Registration::trust_short_reads) holds.
#[must_use]
pub fn tcp_interest() -> mio::Interest {
    let both = mio::Interest::READABLE | mio::Interest::WRITABLE;
    sys::PRIORITY.map_or(both, |priority| both | priority)
}

impl<S: MioSource> Registration<S> {
    /// Registers `source` with the runtime of this thread. `assume` is what may be tried before the
    /// kernel has said anything.
    ///
    /// # Errors
    /// What the kernel says of the registration, or that the runtime belongs to the process which this one was forked off from;
    /// the source is then closed.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn new(source: S, interest: mio::Interest, assume: Readiness) -> io::Result<Self> {
        Registration::try_new(source, interest, assume).map_err(|(error, _closed)| error)
    }

    /// As [`new`](Registration::new), for a source that closes its descriptor itself. If somebody else has closed it first, as
    /// nobody may, no harm is passed on: what is done with it fails as soon as its number is another source's of this runtime, and
    /// the number is not closed again.
    ///
    /// # Errors
    /// As of [`new`](Registration::new).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn owning(source: S, interest: mio::Interest, assume: Readiness) -> io::Result<Self>
    where
        S: AsFd,
    {
        let number = source.as_fd().as_raw_fd();
        let registration = Registration::new(source, interest, assume)?;
        let driver = &registration.of.driver;
        let lost = driver.reactor.borrow_mut().owns(registration.of.token(), number);
        if let Some(waiters) = lost {
            tracing::warn!(
                number,
                "a descriptor was closed by somebody else while the loop had it, and is another source's now"
            );
            driver.wake_all(waiters);
        }
        Ok(registration)
    }

    /// As [`new`](Registration::new), and gives the source back with the error.
    #[track_caller]
    pub(crate) fn try_new(
        mut source: S,
        interest: mio::Interest,
        assume: Readiness,
    ) -> Result<Self, (io::Error, S)> {
        let driver = context::current("registering a source");
        if let Err(error) = driver.remote.process.check() {
            return Err((error, source));
        }
        let (token, kept) = driver.reactor.borrow_mut().add(assume);
        // The source may be anybody's code: nothing is borrowed while it runs.
        let registered = driver.registry.register(&mut source, Token::to_mio(token.id), interest);
        if let Err(error) = registered {
            // Not deregistered: a descriptor that is registered already would lose that registration.
            drop(driver.reactor.borrow_mut().forget(token));
            return Err((error, source));
        }
        Ok(Registration::over(Registered::new(driver, token, kept), source))
    }

    /// Adds a source that the kernel knows nothing of, as one end of a stream in memory. It is not registered with
    /// the poll; what can be done with it is said by the [`SetReadiness`] that comes with it. Everything else holds as
    /// of any other, but for this: an operation that waits on it does not stop [virtual time](crate::VirtualClock).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn in_memory(source: S, assume: Readiness) -> (Self, SetReadiness) {
        let driver = context::current("adding a source");
        let (token, kept) = driver.reactor.borrow_mut().add(assume);
        kept.in_memory.set(true);
        let set_readiness = SetReadiness { driver: driver.clone(), token };
        (Registration::over(Registered::new(driver, token, kept), source), set_readiness)
    }

    fn over(of: Registered, source: S) -> Registration<S> {
        Registration { of, io: RefCell::new(Some(source)), polled: OnceCell::new() }
    }

    /// Takes a short read as proof that nothing more is to be read, which saves the system call that
    /// would say `WouldBlock`. This holds for TCP alone, and only if urgent data is reported apart, as
    /// [`tcp_interest`] asks for: a Unix stream also cuts a read short where a descriptor was sent along, and
    /// the rest would wait for an event that never comes.
    pub fn trust_short_reads(&self) {
        self.of.source.short_reads_drain.set(sys::PRIORITY.is_some());
    }

    /// Has its operations belong to no [scope](crate::scope) from now on, wherever they are begun: for a source whose owner
    /// is a task of its own. They end where that is dropped, and so with its scope, without each having to be entered there
    /// and taken out again. The [audit](crate::waits) says of them that they wait in the scope in which this is called.
    pub fn leave_scopes(&self) {
        self.of.outside_scopes.set(true);
        self.of.source.set_home(self.of.driver.scope());
    }

    /// Sets what the [audit](crate::waits) calls an operation on a side: `read` and `write`, unless told otherwise.
    pub fn set_label(&self, direction: Direction, label: &'static str) {
        self.put_label(direction, Label::new(label));
    }

    /// As [`set_label`](Registration::set_label), for what may well wait for ever, as for the next connection or signal:
    /// without a deadline the audit lists it as [idle](crate::WaitClass::Idle).
    pub fn set_idle_label(&self, direction: Direction, label: &'static str) {
        self.put_label(direction, Label::idle(label));
    }

    fn put_label(&self, direction: Direction, label: Label) {
        self.of.source.side(direction).set_label(label);
    }

    /// Has the operations on a side recorded as [phases](crate::Runtime::phases) called `phase`; `None`, as it is
    /// at first, records none. Recorded is each that has waited for the source, and each that has failed; how long
    /// it took is taken from the turns of the loop, so that no clock is read for it. One that has its result without
    /// waiting is not recorded, and costs nothing.
    pub fn set_phase(&self, direction: Direction, phase: Option<&'static str>) {
        let index = phase.map(|phase| self.of.driver.reactor.borrow_mut().phases.index_of(phase));
        self.of.phases[direction.side()].set(index);
    }

    /// Sets with whom or what its operations wait, for the [audit](crate::waits) to say: a store, put into words when
    /// somebody asks.
    pub fn set_subject(&self, subject: impl Into<Subject>) {
        let subject = subject.into();
        // It may be anybody's, and is dropped while nothing is borrowed.
        let before = self.of.source.set_subject(subject);
        drop(before);
    }

    /// With whom or what its operations wait, if that was [said](Registration::set_subject).
    #[must_use]
    pub fn subject(&self) -> Option<Subject> {
        self.of.source.subject()
    }

    /// Its name, with which a [`Handle`](crate::Handle) reaches it from other threads.
    #[must_use]
    pub fn token(&self) -> Token {
        self.of.token()
    }

    /// The source, unless it was closed. Let go of it soon: [`close`](Registration::close) panics while it is
    /// lent.
    #[must_use]
    pub fn get_ref(&self) -> Option<Ref<'_, S>> {
        Ref::filter_map(self.io.borrow(), Option::as_ref).ok()
    }

    /// Sets the deadline of a side, or clears it; operations that wait observe it. To extend one is a
    /// store. Not even a deadline in the past ends anything before the next turn.
    ///
    /// # Errors
    /// [`Failure::Closed`]; nothing was set.
    #[track_caller]
    #[inline]
    pub fn set_deadline(&self, direction: Direction, deadline: Option<Instant>) -> Result<(), Failure> {
        let Some(source) = self.open() else { return Err(Failure::Closed) };
        let at_ns = deadline.map_or(NEVER, Instant::as_nanos);
        if source.put_deadline(direction, at_ns, Some(Location::caller())) {
            self.of.deadline_is_put(direction);
        }
        Ok(())
    }

    /// The deadline of a side.
    #[must_use]
    pub fn deadline(&self, direction: Direction) -> Option<Instant> {
        let deadline_ns = self.open()?.known_side(direction)?.deadline();
        (deadline_ns != NEVER).then(|| Instant::from_nanos(deadline_ns))
    }

    /// Gives each operation on a side that begins from now on at most `timeout`. Zero lets none begin.
    ///
    /// # Errors
    /// [`Failure::Closed`]; nothing was set.
    #[track_caller]
    pub fn set_timeout(&self, direction: Direction, timeout: Option<Duration>) -> Result<(), Failure> {
        let Some(source) = self.open() else { return Err(Failure::Closed) };
        source.put_timeout(direction, timeout.map_or(NEVER, nanos), Location::caller());
        Ok(())
    }

    /// The timeout of a side's operations.
    #[must_use]
    pub fn timeout(&self, direction: Direction) -> Option<Duration> {
        let timeout_ns = self.open()?.known_side(direction)?.timeout();
        (timeout_ns != NEVER).then(|| Duration::from_nanos(timeout_ns))
    }

    /// The widest leeway of its deadlines.
    #[must_use]
    pub fn leeway(&self) -> Leeway {
        self.of.source.leeway()
    }

    /// Sets the widest leeway of its deadlines.
    ///
    /// # Errors
    /// [`Failure::Closed`]; nothing was set.
    pub fn set_leeway(&self, leeway: Leeway) -> Result<(), Failure> {
        self.of
            .driver
            .reactor
            .borrow_mut()
            .set_leeway(self.of.token(), leeway)
            .map_err(|_| Failure::Closed)
    }

    /// Takes `readiness` for granted, as if the kernel had said it, and has waiting operations try again:
    /// for a source that would not go on for want of something else, which the kernel will not repeat.
    ///
    /// # Errors
    /// [`Failure::Closed`].
    pub fn assume(&self, readiness: Readiness) -> Result<(), Failure> {
        if self.open().is_none() {
            return Err(Failure::Closed);
        }
        self.of.assume(readiness);
        Ok(())
    }

    /// Cancels it, as [`Handle::cancel`](crate::Handle::cancel) does from other threads.
    pub fn cancel(&self, cause: impl Into<Cause>) {
        let cause = cause.into();
        let waiters = {
            let mut reactor = self.of.driver.reactor.borrow_mut();
            reactor.cancel(self.of.token(), cause).ok().flatten()
        };
        waiters.into_iter().for_each(|waiters| self.of.driver.wake_all(waiters));
    }

    /// Deregisters and closes the source. Operations that wait end with [`Failure::Closed`] in the next
    /// turn, as do all later ones; but what came before, a cancel or a deadline that had fired, stays.
    pub fn close(&self) {
        if let Some(source) = self.io.take() {
            self.let_go(source);
        }
    }

    /// Deregisters the source and gives it back.
    #[must_use]
    pub fn into_inner(self) -> Option<S> {
        let mut source = self.io.take()?;
        // That it was closed by somebody else is for whoever has it now to find out.
        let _ = self.deregister(&mut source);
        Some(source)
    }

    /// Deregisters and drops it.
    fn let_go(&self, mut source: S) {
        let Err(error) = self.deregister(&mut source) else { return };
        if self.of.source.owns_descriptor.get() {
            tracing::warn!(%error, "a descriptor was closed by somebody else while the loop had it; its number is left alone");
            // To close what may be another's by now would do to that what was done to this.
            std::mem::forget(source);
        }
    }

    /// Before anything is closed: a description that somebody has dup'd would keep the registration
    /// alive in the kernel and go on to send events under a reused number.
    ///
    /// An error means that the number does not name what was registered: it was closed behind our back, and the kernel has
    /// forgotten the registration.
    fn deregister(&self, source: &mut S) -> io::Result<()> {
        let driver = &self.of.driver;
        let deregistered = if !driver.remote.process.is_this() {
            // It would be taken from the parent.
            Ok(())
        } else if self.of.source.lost_descriptor.get() {
            // It would be taken from whoever has the number now.
            Err(io::Error::other("its number is another source's"))
        } else {
            // Of a source in memory it does nothing.
            driver.registry.deregister(source)
        };
        let forgotten = driver.reactor.borrow_mut().forget(self.of.token());
        if forgotten.is_ok() {
            driver.wake_all(self.of.source.take_waiters());
        }
        deregistered
    }

    /// Room for the operation of the poll-based interface on a side.
    pub(crate) fn polled(&self, direction: Direction) -> &Polled {
        &self.polled.get_or_init(Box::default)[direction.side()]
    }

    /// What is kept of it, unless it was closed.
    fn open(&self) -> Option<&Source> {
        if self.of.source.is_closed() { None } else { Some(&self.of.source) }
    }
}

impl<S: MioSource> Drop for Registration<S> {
    fn drop(&mut self) {
        // Those of the poll-based interface have no owner but this, and a scope may know of them.
        let polled = self.polled.get().into_iter().flat_map(|polled| polled.iter());
        for mut operation in polled.filter_map(Polled::take) {
            self.of.end(&mut operation, PhaseEnding::Dropped);
        }
        self.close();
    }
}

impl<S: MioSource + fmt::Debug> fmt::Debug for Registration<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("token", &self.of.token()).field("io", &self.io).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::rc::Rc;

    use super::*;
    use crate::Runtime;
    use crate::operation::Done;

    #[test]
    fn a_task_learns_of_a_close_also_while_the_loop_sleeps_in_anothers_poll() {
        let runtime = Runtime::new().expect("a runtime");
        let (near, _far) = mio::net::UnixStream::pair().expect("a pair");
        let near = runtime.block_on(async {
            Registration::new(near, mio::Interest::READABLE, Readiness::NONE).expect("registered")
        });
        let near = Rc::new(near);
        let waiting = runtime.spawn({
            let near = near.clone();
            async move {
                let blocks = |_: &_| Err::<Done<()>, _>(io::Error::from(io::ErrorKind::WouldBlock));
                poll_fn(|cx| near.poll_operate(cx, Direction::Read, blocks)).await
            }
        });
        for _ in 0..3 {
            runtime.turn(Some(Duration::ZERO)).expect("a turn");
        }
        runtime.prepare().expect("an alarm");
        let before = runtime.metrics().remote_signals;
        near.close();
        assert_eq!(runtime.metrics().remote_signals, before + 1, "otherwise the other poll sleeps on");
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
        assert!(waiting.is_finished());
    }
}
