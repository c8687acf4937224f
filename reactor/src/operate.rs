//! Operations as their owner runs them: the system call, the waking, the giving up. The reactor's part is in
//! `operation.rs`.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use mio::event::Source as MioSource;

use crate::failure::Failure;
use crate::operation::{Done, Operation, Step};
use crate::phases::PhaseEnding;
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

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Operate { registration, operation, attempt } = &mut *self;
        registration.poll_operation(cx, operation, attempt)
    }
}

impl<S: MioSource, F> Drop for Operate<'_, S, F> {
    #[inline]
    fn drop(&mut self) {
        self.registration.of.end(&mut self.operation, PhaseEnding::Dropped);
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
        self.of.end(&mut room.0.take(), PhaseEnding::Dropped);
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
            self.of.end_if_given_up(&mut operation);
            if operation.waiting && operation.scope != self.of.driver.scope() {
                // Whoever began it was in another scope, and has left it.
                self.of.end(&mut operation, PhaseEnding::Dropped);
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

    #[inline(always)]
    pub(crate) fn poll_operation<T>(
        &self,
        cx: &mut Context<'_>,
        operation: &mut Operation,
        attempt: &mut impl FnMut(&S) -> io::Result<Done<T>>,
    ) -> Poll<Result<T, Failure>> {
        loop {
            match self.of.step(operation) {
                Step::Try => match self.attempt(operation.direction, attempt) {
                    Ok(Some(value)) => {
                        self.of.done(operation);
                        return Poll::Ready(Ok(value));
                    }
                    Ok(None) => {}
                    Err(Some(failure)) => return self.failed(operation, failure),
                    Err(None) => break,
                },
                Step::Wait => break,
                rarely => return self.poll_rarely(cx, operation, rarely, attempt),
            }
        }
        operation.blocked = true;
        self.wait(cx, operation)
    }

    /// What seldom has to be done.
    #[cold]
    #[inline(never)]
    fn poll_rarely<T>(
        &self,
        cx: &mut Context<'_>,
        operation: &mut Operation,
        step: Step,
        attempt: &mut impl FnMut(&S) -> io::Result<Done<T>>,
    ) -> Poll<Result<T, Failure>> {
        if step == Step::Yield {
            self.of.driver.wake_next_turn(cx.waker().clone());
            return self.wait(cx, operation);
        }
        let once_more = if step == Step::TryOnceMore {
            self.attempt(operation.direction, attempt)
        } else {
            Err(None)
        };
        match once_more {
            Ok(Some(value)) => {
                self.of.done(operation);
                Poll::Ready(Ok(value))
            }
            Ok(None) | Err(None) => {
                let failure = self.of.failure(operation);
                self.failed(operation, failure)
            }
            Err(Some(failure)) => self.failed(operation, failure),
        }
    }

    /// Makes the system call. `Ok(None)`: it is to go on; `Err(None)`: it would block.
    #[inline]
    fn attempt<T>(
        &self,
        direction: Direction,
        attempt: &mut impl FnMut(&S) -> io::Result<Done<T>>,
    ) -> Result<Option<T>, Option<Failure>> {
        loop {
            let result = self.io.borrow().as_ref().map(&mut *attempt);
            let error = match result {
                Some(Ok(done)) => {
                    self.of.moved(direction, done.bytes, done.drained);
                    return Ok(done.value);
                }
                Some(Err(error)) => error,
                None => return Err(Some(Failure::Closed)),
            };
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => {
                    self.of.source.blocked(direction);
                    return Err(None);
                }
                _ => return Err(Some(Failure::Io(error))),
            }
        }
    }

    #[inline]
    fn wait<T>(&self, cx: &mut Context<'_>, operation: &mut Operation) -> Poll<Result<T, Failure>> {
        if self.of.wait(cx.waker(), operation) {
            return Poll::Pending;
        }
        let failure = self.of.failure(operation);
        self.failed(operation, failure)
    }

    #[cold]
    fn failed<T>(&self, operation: &mut Operation, failure: Failure) -> Poll<Result<T, Failure>> {
        self.of.failed(operation, &failure);
        Poll::Ready(Err(failure))
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
