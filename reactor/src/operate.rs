//! Operations as their owner runs them: the system call, the waking, the giving up. The reactor's part is in
//! `operation.rs`, poll-based interfaces are in `polled.rs`.

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

/// One operation; made by [`Registration::operate`] and [`Registration::operate_or`].
#[must_use = "an operation does nothing unless it is awaited"]
pub struct Operate<'a, S: MioSource, F, E = fn(Failure) -> Failure> {
    registration: &'a Registration<S>,
    operation: Operation,
    attempt: F,
    failed: E,
}

impl<S, T, F, E, Error> Future for Operate<'_, S, F, E>
where
    S: MioSource,
    F: FnMut(&S) -> io::Result<Done<T>> + Unpin,
    E: FnMut(Failure) -> Error + Unpin,
{
    type Output = Result<T, Error>;

    /// The system call and its success are worth being compiled into whoever awaits it; all else is not.
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Operate { registration, operation, attempt, failed } = &mut *self;
        if registration.of.has_to_wait(operation) && registration.of.wait_at_once(cx.waker(), operation)
        {
            return Poll::Pending;
        }
        if !operation.waiting || !registration.of.may_try(operation) {
            return registration.poll_apart(cx, operation, None, attempt, failed);
        }
        match registration.attempt(operation.direction, attempt) {
            Ok(Some(value)) => {
                registration.of.done(operation);
                Poll::Ready(Ok(value))
            }
            tried => registration.poll_apart(cx, operation, Some(tried), attempt, failed),
        }
    }
}

impl<S: MioSource, F, E> Operate<'_, S, F, E> {
    /// Whether there is nothing to be moved: then it waits for nothing, but a deadline that has passed ends it all the same.
    pub fn trivial(mut self, trivial: bool) -> Self {
        self.operation.trivial = trivial;
        self
    }
}

impl<S: MioSource, F, E> Drop for Operate<'_, S, F, E> {
    #[inline]
    fn drop(&mut self) {
        self.registration.of.end(&mut self.operation, PhaseEnding::Dropped);
    }
}

impl<S: MioSource, F, E> fmt::Debug for Operate<'_, S, F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operate").field("operation", &self.operation).finish_non_exhaustive()
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
        self.operate_or(direction, attempt, |failure| failure)
    }

    /// As [`operate`](Registration::operate), and makes an error of one's own of a failure, where it happens: one that is
    /// smaller costs the operations less that do not fail.
    #[inline]
    pub fn operate_or<T, F, Error, E>(
        &self,
        direction: Direction,
        attempt: F,
        failed: E,
    ) -> Operate<'_, S, F, E>
    where
        F: FnMut(&S) -> io::Result<Done<T>> + Unpin,
        E: FnMut(Failure) -> Error + Unpin,
    {
        Operate { registration: self, operation: Operation::new(direction), attempt, failed }
    }

    /// Makes the system call of an operation at once, if only readiness has a say in that; nothing where it has to be
    /// [operated](Registration::operate), which tells why: it is to wait, or there is a deadline or a scope. For what nearly
    /// always need not wait, as most writes.
    ///
    /// # Errors
    /// What the kernel says, as a [`Failure`].
    #[inline]
    pub fn operate_at_once<T>(
        &self,
        direction: Direction,
        mut attempt: impl FnMut(&S) -> io::Result<Done<T>>,
    ) -> Option<Result<T, Failure>> {
        if !self.of.may_try_at_once(direction) {
            return None;
        }
        match self.attempt(direction, &mut attempt) {
            Ok(value) => value.map(Ok),
            Err(None) => None,
            Err(Some(error)) => Some(Err(self.failed_at_once(direction, error))),
        }
    }

    #[cold]
    fn failed_at_once(&self, direction: Direction, error: io::Error) -> Failure {
        let failure = Failure::Io(error);
        self.of.failed(&mut Operation::new(direction), &failure);
        failure
    }

    /// As [`poll_operation`](Registration::poll_operation), where it need not be quick; what has been `tried` already comes first.
    #[inline(never)]
    fn poll_apart<T, Error>(
        &self,
        cx: &mut Context<'_>,
        operation: &mut Operation,
        tried: Option<Tried<T>>,
        attempt: &mut impl FnMut(&S) -> io::Result<Done<T>>,
        failed: &mut impl FnMut(Failure) -> Error,
    ) -> Poll<Result<T, Error>> {
        self.poll_operation(cx, operation, tried, attempt, failed)
    }

    #[inline(always)]
    pub(crate) fn poll_operation<T, Error>(
        &self,
        cx: &mut Context<'_>,
        operation: &mut Operation,
        mut tried: Option<Tried<T>>,
        attempt: &mut impl FnMut(&S) -> io::Result<Done<T>>,
        failed: &mut impl FnMut(Failure) -> Error,
    ) -> Poll<Result<T, Error>> {
        loop {
            let tried = match tried.take() {
                Some(tried) => tried,
                None => match self.of.step(operation) {
                    Step::Try => self.attempt(operation.direction, attempt),
                    Step::Wait => break,
                    Step::Yield => {
                        self.of.driver.wake_next_turn(cx.waker().clone());
                        return self.wait(cx, operation, failed);
                    }
                    Step::TryOnceMore => return self.poll_last(operation, attempt, failed),
                    Step::Fail => return self.failed(operation, Failed::Ended, failed),
                },
            };
            match tried {
                Ok(Some(value)) => {
                    self.of.done(operation);
                    return Poll::Ready(Ok(value));
                }
                Ok(None) => {}
                Err(None) => break,
                Err(Some(error)) => return self.failed(operation, Failed::Attempt(error), failed),
            }
        }
        operation.blocked = true;
        self.wait(cx, operation, failed)
    }

    /// Tries once more, since its time is over.
    #[cold]
    #[inline(never)]
    fn poll_last<T, Error>(
        &self,
        operation: &mut Operation,
        attempt: &mut impl FnMut(&S) -> io::Result<Done<T>>,
        failed: &mut impl FnMut(Failure) -> Error,
    ) -> Poll<Result<T, Error>> {
        match self.attempt(operation.direction, attempt) {
            Ok(Some(value)) => {
                self.of.done(operation);
                Poll::Ready(Ok(value))
            }
            Ok(None) | Err(None) => self.failed(operation, Failed::Ended, failed),
            Err(Some(error)) => self.failed(operation, Failed::Attempt(error), failed),
        }
    }

    /// Makes the system call.
    #[inline(always)]
    fn attempt<T>(
        &self,
        direction: Direction,
        attempt: &mut impl FnMut(&S) -> io::Result<Done<T>>,
    ) -> Tried<T> {
        match self.io.borrow().as_ref().map(&mut *attempt) {
            Some(Ok(done)) => {
                self.of.moved(direction, done.bytes, done.drained);
                Ok(done.value)
            }
            Some(Err(error)) => self.attempt_again(error, direction, attempt),
            None => Err(None),
        }
    }

    /// What becomes of a system call that has not succeeded: one that was interrupted is made again.
    #[inline(never)]
    pub(crate) fn attempt_again<T>(
        &self,
        mut error: io::Error,
        direction: Direction,
        attempt: &mut impl FnMut(&S) -> io::Result<Done<T>>,
    ) -> Tried<T> {
        loop {
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => {
                    self.of.source.blocked(direction);
                    return Err(None);
                }
                _ => return Err(Some(error)),
            }
            match self.io.borrow().as_ref().map(&mut *attempt) {
                Some(Ok(done)) => {
                    self.of.moved(direction, done.bytes, done.drained);
                    return Ok(done.value);
                }
                Some(Err(again)) => error = again,
                None => return Err(None),
            }
        }
    }

    /// Whatever cannot wait, as on a source that was closed meanwhile, has failed.
    #[inline]
    fn wait<T, Error>(
        &self,
        cx: &mut Context<'_>,
        operation: &mut Operation,
        failed: &mut impl FnMut(Failure) -> Error,
    ) -> Poll<Result<T, Error>> {
        if self.of.wait(cx.waker(), operation) {
            return Poll::Pending;
        }
        self.failed(operation, Failed::Ended, failed)
    }

    #[cold]
    #[inline(never)]
    fn failed<T, Error>(
        &self,
        operation: &mut Operation,
        why: Failed,
        failed: &mut impl FnMut(Failure) -> Error,
    ) -> Poll<Result<T, Error>> {
        let failure = match why {
            Failed::Attempt(error) => Failure::Io(error),
            Failed::Ended => self.of.failure(operation),
        };
        self.of.failed(operation, &failure);
        Poll::Ready(Err(failed(failure)))
    }
}

/// What a system call has come to. `Ok(None)`: the operation is to go on; `Err(None)`: it would block, or there is no source any
/// more.
pub(crate) type Tried<T> = Result<Option<T>, Option<io::Error>>;

/// Why an operation has failed.
enum Failed {
    Attempt(io::Error),
    /// Its time, its scope or its source has ended: the reactor knows.
    Ended,
}

#[cfg(test)]
mod tests;
