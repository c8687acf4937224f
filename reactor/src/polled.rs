//! Operations of poll-based interfaces: what is kept of one between two polls, of which nobody says when the last one was.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::task::{Context, Poll};

use mio::event::Source as MioSource;

use crate::failure::Failure;
use crate::operate::Tried;
use crate::operation::{Done, Operation};
use crate::phases::PhaseEnding;
use crate::readiness::Direction;
use crate::registered::Registered;
use crate::registration::Registration;

/// Room for an operation of the poll-based interface beside the two that a [`Registration`] has by itself, one a side: for
/// what has to wait on a side where somebody else may be polling already, as a read that has something to send first.
///
/// Whoever has it [gives it up](Registration::give_up) when nobody polls it any more.
#[derive(Default)]
pub struct Beside(Polled);

/// The operation of a poll-based interface, between two polls.
#[derive(Default)]
pub(crate) struct Polled {
    held: Cell<Held>,
    operation: Cell<Operation>,
}

/// What there is of it.
#[derive(Clone, Copy, Default)]
enum Held {
    #[default]
    Nothing,
    /// One that [waits alone](Operation::waiting_alone), as nearly all do: all else that is to be known of it is kept with its
    /// side.
    Alone(Direction),
    /// One that is kept here. It is large.
    Here,
}

impl Polled {
    #[inline]
    pub(crate) fn take(&self) -> Option<Operation> {
        match self.held.take() {
            Held::Nothing => None,
            Held::Alone(direction) => Some(Operation::waiting_alone(direction)),
            Held::Here => Some(self.operation.take()),
        }
    }
}

/// The operation of a poll-based interface while it is polled. If it waits then it is put back, also if the attempt panics.
struct Lent<'a> {
    of: &'a Registered,
    slot: &'a Polled,
    operation: Operation,
}

impl Lent<'_> {
    /// The attempt, which may be anybody's code, has polled the same side of the same source, and that has waited.
    #[cold]
    #[inline(never)]
    fn end_another(&self) {
        if let Some(mut another) = self.slot.take() {
            self.of.end(&mut another, PhaseEnding::Dropped);
        }
    }
}

impl Drop for Lent<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.operation.waiting {
            return;
        }
        if !matches!(self.slot.held.get(), Held::Nothing) {
            self.end_another();
        }
        self.slot.operation.set(std::mem::take(&mut self.operation));
        self.slot.held.set(Held::Here);
    }
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Beside")
    }
}

impl<S: MioSource> Registration<S> {
    /// As [`operate`](Registration::operate), for poll-based interfaces. Here nobody says when an
    /// operation is given up: the timeout of a side counts from the first poll since the last one that
    /// ended. One whose time ran out while nobody polled it any more has been given up, and the next begins
    /// anew.
    ///
    /// # Errors
    /// [`Failure`].
    #[inline]
    pub fn poll_operate<T>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut attempt: impl FnMut(&S) -> io::Result<Done<T>>,
    ) -> Poll<Result<T, Failure>> {
        let polled = self.polled(direction);
        self.poll_in(
            polled,
            cx,
            direction,
            &mut attempt,
            |attempt, io| attempt(io),
            |attempt, io| attempt(io),
        )
    }

    /// As [`poll_operate`](Registration::poll_operate), with what the attempt works `on`, and the attempt twice: the `first`, which
    /// most often is the only one, and those that are made `again`. That one is called from one place, and compiled into it.
    ///
    /// # Errors
    /// [`Failure`].
    #[inline]
    pub fn poll_operate_on<C, T>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        on: &mut C,
        first: impl FnOnce(&mut C, &S) -> io::Result<Done<T>>,
        again: impl FnMut(&mut C, &S) -> io::Result<Done<T>>,
    ) -> Poll<Result<T, Failure>> {
        self.poll_in(self.polled(direction), cx, direction, on, first, again)
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
        mut attempt: impl FnMut(&S) -> io::Result<Done<T>>,
    ) -> Poll<Result<T, Failure>> {
        self.poll_in(
            &room.0,
            cx,
            direction,
            &mut attempt,
            |attempt, io| attempt(io),
            |attempt, io| attempt(io),
        )
    }

    /// Gives up what waits [there](Registration::poll_beside), if anything does.
    pub fn give_up(&self, room: &Beside) {
        if let Some(mut operation) = room.0.take() {
            self.of.end(&mut operation, PhaseEnding::Dropped);
        }
    }

    #[inline(always)]
    fn poll_in<C, T>(
        &self,
        slot: &Polled,
        cx: &mut Context<'_>,
        direction: Direction,
        on: &mut C,
        first: impl FnOnce(&mut C, &S) -> io::Result<Done<T>>,
        mut again: impl FnMut(&mut C, &S) -> io::Result<Done<T>>,
    ) -> Poll<Result<T, Failure>> {
        let held = slot.held.get();
        let may_try = match held {
            Held::Nothing => self.of.may_try_at_once(direction),
            Held::Alone(side) => side == direction && self.of.may_try_alone(direction),
            Held::Here => false,
        };
        if may_try {
            let tried = match self.io.borrow().as_ref().map(|io| first(on, io)) {
                Some(Ok(done)) => {
                    self.of.moved(direction, done.bytes, done.drained);
                    Ok(done.value)
                }
                Some(Err(error)) => self.attempt_again(error, direction, &mut |io: &S| again(on, io)),
                None => Err(None),
            };
            return match tried {
                Ok(Some(value)) => {
                    // Unless the attempt, which may be anybody's code, has polled the same side, and that has ended it.
                    if let (Held::Alone(_), Held::Alone(_)) = (held, slot.held.get()) {
                        self.of.done_alone(direction);
                        slot.held.set(Held::Nothing);
                    }
                    Poll::Ready(Ok(value))
                }
                tried => self.poll_held(slot, cx, direction, Some(tried), &mut |io: &S| again(on, io)),
            };
        }
        if let Held::Nothing = held {
            let mut operation = Operation::new(direction);
            if self.of.has_to_wait(&operation) && self.of.wait_at_once(cx.waker(), &mut operation) {
                slot.held.set(Held::Alone(direction));
                return Poll::Pending;
            }
        }
        self.poll_held(slot, cx, direction, None, &mut |io: &S| again(on, io))
    }

    /// The same where it need not be quick; what has been `tried` already comes first.
    #[inline(never)]
    fn poll_held<T>(
        &self,
        slot: &Polled,
        cx: &mut Context<'_>,
        direction: Direction,
        tried: Option<Tried<T>>,
        attempt: &mut impl FnMut(&S) -> io::Result<Done<T>>,
    ) -> Poll<Result<T, Failure>> {
        let waited = slot.take().unwrap_or_else(|| {
            let mut operation = Operation::new(direction);
            // Of one that was tried it is known that nothing but readiness has a say.
            operation.begun = tried.is_some();
            operation
        });
        let mut lent = Lent { of: &self.of, slot, operation: waited };
        let operation = &mut lent.operation;
        if operation.waiting {
            self.of.end_if_given_up(operation);
            if operation.waiting && operation.scope != self.of.scope() {
                // Whoever began it was in another scope, and has left it.
                self.of.end(operation, PhaseEnding::Dropped);
                *operation = Operation::new(direction);
            }
        }
        self.poll_operation(cx, operation, tried, attempt, &mut |failure| failure)
    }
}

#[cfg(test)]
mod tests;
