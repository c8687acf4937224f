//! Operations as their owner runs them: the system call, the waking, the giving up. The reactor's part is in
//! `operation.rs`.

use std::cell::{Cell, RefMut};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use mio::event::Source as MioSource;

use crate::failure::Failure;
use crate::instant::Instant;
use crate::operation::{Done, Operation, Step};
use crate::phases::PhaseEnding;
use crate::reactor::Reactor;
use crate::readiness::Direction;
use crate::registration::Registration;

/// One operation; made by [`Registration::operate`].
#[must_use = "an operation does nothing unless it is awaited"]
pub struct Operate<'a, S: MioSource, F> {
    registration: &'a Registration<S>,
    operation: Operation,
    attempt: F,
}

impl<S, T, F> Future for Operate<'_, S, F>
where
    S: MioSource,
    F: FnMut(&S) -> io::Result<Done<T>> + Unpin,
{
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Operate { registration, operation, attempt } = &mut *self;
        registration.poll_operation(cx, operation, attempt)
    }
}

impl<S: MioSource, F> Drop for Operate<'_, S, F> {
    fn drop(&mut self) {
        self.registration.end(&mut self.operation, PhaseEnding::Dropped);
    }
}

impl<S: MioSource, F> fmt::Debug for Operate<'_, S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operate").field("operation", &self.operation).finish_non_exhaustive()
    }
}

/// Room for an operation of the poll-based interface beside the two that a [`Registration`] has by itself, one a side: for
/// what has to wait on a side where somebody else may be polling already, as a read that has something to send first.
///
/// Whoever has it [gives it up](Registration::give_up) when nobody polls it any more.
#[derive(Default)]
pub struct Beside(Cell<Operation>);

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Beside")
    }
}

/// What came of a system call.
enum Attempt<T> {
    Done(T),
    /// It moved something and is to go on.
    Step,
    WouldBlock,
    Failed(Failure),
}

impl<S: MioSource> Registration<S> {
    /// Runs one operation: calls `attempt` whenever the side is ready, until it does not say
    /// `WouldBlock`.
    ///
    /// Cancel-safe if `attempt` is: a dropped operation takes its timeout with it and leaves no trace.
    pub fn operate<T, F>(&self, direction: Direction, attempt: F) -> Operate<'_, S, F>
    where
        F: FnMut(&S) -> io::Result<Done<T>> + Unpin,
    {
        Operate { registration: self, operation: Operation::new(direction), attempt }
    }

    /// As [`operate`](Registration::operate), for poll-based interfaces. Here nobody says when an
    /// operation is given up: the timeout of a side counts from the first poll since the last one that
    /// ended. One whose time ran out while nobody polled it any more has been given up, and the next begins
    /// anew.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn poll_operate<T>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        attempt: impl FnMut(&S) -> io::Result<Done<T>>,
    ) -> Poll<Result<T, Failure>> {
        self.poll_in(&self.polled[direction.side()], cx, direction, attempt)
    }

    /// As [`poll_operate`](Registration::poll_operate), with room of its own: neither takes the other's waker.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn poll_beside<T>(
        &self,
        room: &Beside,
        cx: &mut Context<'_>,
        direction: Direction,
        attempt: impl FnMut(&S) -> io::Result<Done<T>>,
    ) -> Poll<Result<T, Failure>> {
        self.poll_in(&room.0, cx, direction, attempt)
    }

    /// Gives up what waits [there](Registration::poll_beside), if anything does.
    pub fn give_up(&self, room: &Beside) {
        self.end(&mut room.0.take(), PhaseEnding::Dropped);
    }

    fn poll_in<T>(
        &self,
        slot: &Cell<Operation>,
        cx: &mut Context<'_>,
        direction: Direction,
        mut attempt: impl FnMut(&S) -> io::Result<Done<T>>,
    ) -> Poll<Result<T, Failure>> {
        let mut operation = slot.get();
        let waited = operation.waiting;
        if waited {
            self.end_if_given_up(&mut operation);
            if operation.waiting && operation.scope != self.driver().scope() {
                // Whoever began it was in another scope, and has left it.
                self.end(&mut operation, PhaseEnding::Dropped);
                operation = Operation::new(direction);
            }
        } else {
            operation = Operation::new(direction);
        }
        let poll = self.poll_operation(cx, &mut operation, &mut attempt);
        if poll.is_pending() {
            slot.set(operation);
        } else if waited {
            slot.set(Operation::new(direction));
        }
        poll
    }

    pub(crate) fn poll_operation<T>(
        &self,
        cx: &mut Context<'_>,
        operation: &mut Operation,
        attempt: &mut impl FnMut(&S) -> io::Result<Done<T>>,
    ) -> Poll<Result<T, Failure>> {
        loop {
            let step = self.step(operation);
            if matches!(step, Step::Try | Step::TryOnceMore) {
                match self.attempt(operation.direction, attempt) {
                    Attempt::Done(value) => {
                        self.end(operation, PhaseEnding::Done);
                        return Poll::Ready(Ok(value));
                    }
                    Attempt::Failed(failure) => return self.failed(operation, failure),
                    Attempt::Step if step == Step::Try => continue,
                    Attempt::Step | Attempt::WouldBlock => {}
                }
            }
            return match step {
                Step::Try | Step::Wait => {
                    operation.blocked = true;
                    self.wait(cx, operation)
                }
                Step::Yield => {
                    self.driver().wake_next_turn(cx.waker().clone());
                    self.wait(cx, operation)
                }
                Step::TryOnceMore | Step::Fail => {
                    let failure = self.failure(operation);
                    self.failed(operation, failure)
                }
            };
        }
    }

    /// Mostly nothing but readiness has a say, and the reactor need not be asked.
    #[inline]
    fn step(&self, operation: &mut Operation) -> Step {
        let (driver, source) = (self.driver(), self.source());
        let scope = if operation.begun { operation.scope } else { driver.scope() };
        if scope.is_some() || source.is_unusual(operation.direction, operation.waiting) {
            return self.reactor().step(source, operation, scope);
        }
        operation.begun = true;
        source.step(operation.direction, driver.turn_number(), &driver.budget)
    }

    #[inline]
    fn attempt<T>(
        &self,
        direction: Direction,
        attempt: &mut impl FnMut(&S) -> io::Result<Done<T>>,
    ) -> Attempt<T> {
        loop {
            return match self.attempt_on(attempt) {
                None => Attempt::Failed(Failure::Closed),
                Some(Ok(done)) => {
                    let turn = self.driver().turn_number();
                    self.source().moved(direction, turn, done.bytes, done.drained);
                    done.value.map_or(Attempt::Step, Attempt::Done)
                }
                Some(Err(error)) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock => {
                        self.source().blocked(direction);
                        Attempt::WouldBlock
                    }
                    _ => Attempt::Failed(Failure::Io(error)),
                },
            };
        }
    }

    fn wait<T>(&self, cx: &Context<'_>, operation: &mut Operation) -> Poll<Result<T, Failure>> {
        match self.begin_to_wait(cx.waker(), operation) {
            true => Poll::Pending,
            false => {
                let failure = self.failure(operation);
                self.failed(operation, failure)
            }
        }
    }

    /// Returns whether it waits now: otherwise the source is closed, or the scope has ended.
    fn begin_to_wait(&self, waker: &Waker, operation: &mut Operation) -> bool {
        let driver = self.driver();
        let wakeup = driver.wakeup(waker);
        if operation.scope.is_some() && self.has_ended_meanwhile(operation) {
            return false;
        }
        operation.guard_ns = driver.frame.until_ns();
        let poller = driver.poller();
        let before = self.reactor().wait(self.token(), self.source(), operation, wakeup, poller);
        before.is_ok()
    }

    /// Whether the attempt itself, or the clone of the waker, has ended the scope: both may be anybody's code.
    fn has_ended_meanwhile(&self, operation: &Operation) -> bool {
        operation.scope.is_some_and(|scope| self.reactor().scopes.ended(scope).is_some())
    }

    fn failure(&self, operation: &Operation) -> Failure {
        // A scope whose deadline has passed may have ended just now, by being looked at.
        self.driver().wake_ended();
        self.reactor().failure(self.source(), operation)
    }

    /// Sees off an operation of the poll-based interface that nobody polls any more.
    pub(crate) fn end_if_given_up(&self, operation: &mut Operation) {
        let given_up = self.reactor().was_given_up(self.source(), operation);
        if given_up {
            self.end(operation, PhaseEnding::Dropped);
            *operation = Operation::new(operation.direction);
        }
    }

    fn failed<T>(&self, operation: &mut Operation, failure: Failure) -> Poll<Result<T, Failure>> {
        let ending = PhaseEnding::of(&failure, operation.direction);
        let ended_by = match &failure {
            Failure::Elapsed(elapsed) => Some(elapsed.deadline),
            _ => None,
        };
        // A failure is recorded also of one that did not wait.
        self.leave(operation, true, ending, ended_by);
        Poll::Ready(Err(failure))
    }

    /// The operation is done, or was given up. One that did not wait has nothing to end.
    #[inline]
    pub(crate) fn end(&self, operation: &mut Operation, ending: PhaseEnding) {
        if operation.waiting {
            self.leave(operation, operation.blocked, ending, None);
        }
    }

    /// Takes it out of those that wait, and has it be recorded if it is a phase. Not inlined: whoever does not wait
    /// is to carry no more than the branch.
    #[inline(never)]
    fn leave(
        &self,
        operation: &mut Operation,
        recorded: bool,
        ending: PhaseEnding,
        ended_by: Option<Instant>,
    ) {
        let mut reactor = self.reactor();
        let phase = self.phases[operation.direction.side()].get();
        if let Some(phase) = phase.filter(|_| recorded) {
            reactor.record_operation(self.source(), operation, phase, ending, ended_by);
        }
        if std::mem::take(&mut operation.waiting) {
            let wakeup = reactor.leave(self.source(), operation);
            drop(reactor);
            drop(wakeup);
        }
    }

    fn reactor(&self) -> RefMut<'_, Reactor> {
        self.driver().reactor.borrow_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    use crate::readiness::Readiness;
    use crate::{Runtime, Unbounded, scope};

    #[test]
    fn what_waited_on_a_source_that_was_dropped_is_not_kept_by_the_scope() {
        let runtime = Runtime::new().expect("a runtime");
        let members = runtime.block_on(async {
            let ended = scope("long", Unbounded, async |scope| {
                for _ in 0..10 {
                    let (near, _far) = mio::net::UnixStream::pair().expect("a pair");
                    let near = Registration::new(near, mio::Interest::READABLE, Readiness::NONE);
                    let near = near.expect("registered");
                    poll_fn(|cx| {
                        let blocks =
                            |_: &_| Err::<Done<()>, _>(io::Error::from(io::ErrorKind::WouldBlock));
                        assert!(near.poll_operate(cx, Direction::Read, blocks).is_pending());
                        Poll::Ready(())
                    })
                    .await;
                }
                let mut reactor = scope.driver().reactor.borrow_mut();
                reactor.scopes.nodes.get_mut(scope.node()).map(|node| node.members.len())
            });
            ended.await.expect("nothing ended it")
        });
        assert_eq!(members, Some(0));
    }
}
