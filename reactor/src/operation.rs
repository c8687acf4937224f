//! One operation on one side of a source: when it tries, when it waits, when it gives up.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use mio::event::Source as MioSource;

use crate::failure::{Bound, Failure, OperationElapsed};
use crate::instant::Instant;
use crate::readiness::Direction;
use crate::registration::Registration;
use crate::source::{NEVER, Side};

/// What one attempt has achieved.
#[derive(Clone, Copy, Debug)]
pub struct Done<T> {
    /// What the operation ends with; `None` if it is to go on.
    value: Option<T>,
    bytes: usize,
    drained: bool,
}

impl<T> Done<T> {
    /// Something other than bytes.
    pub fn new(value: T) -> Done<T> {
        Done { value: Some(value), bytes: 0, drained: false }
    }

    /// A step of an operation of several: moved `bytes` of the `asked` and is to go on, in this turn if
    /// the budget allows.
    #[must_use]
    pub fn step(bytes: usize, asked: usize) -> Done<T> {
        Done { value: None, bytes, drained: 0 < bytes && bytes < asked }
    }

    /// Makes a step the last one: the operation ends with `value`.
    #[must_use]
    pub fn ends_with(self, value: T) -> Done<T> {
        Done { value: Some(value), ..self }
    }
}

impl Done<usize> {
    /// Moved `bytes` of the `asked` that there was room for. Fewer than asked, but not none, means that
    /// the kernel had no more.
    #[must_use]
    pub fn bytes(bytes: usize, asked: usize) -> Done<usize> {
        Done { value: Some(bytes), bytes, drained: 0 < bytes && bytes < asked }
    }
}

/// What is kept of an operation between two polls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    direction: Direction,
    begun: bool,
    /// Whether it is counted among those that wait.
    waiting: bool,
    /// Its own deadline, from the side's timeout.
    own: u64,
    timeout: u64,
}

impl Operation {
    pub(crate) fn new(direction: Direction) -> Operation {
        Operation { direction, begun: false, waiting: false, own: NEVER, timeout: NEVER }
    }

    fn due(&self, side: &Side) -> u64 {
        side.deadline.min(self.own)
    }
}

impl Default for Operation {
    fn default() -> Operation {
        Operation::new(Direction::Read)
    }
}

/// What an operation is to do when it is polled.
enum Step {
    Try,
    TryOnceMore(OperationElapsed),
    Wait,
}

impl<S: MioSource> Registration<S> {
    pub(crate) fn poll_operation<T>(
        &self,
        cx: &mut Context<'_>,
        operation: &mut Operation,
        attempt: &mut impl FnMut(&S) -> io::Result<Done<T>>,
    ) -> Poll<Result<T, Failure>> {
        loop {
            let step = match self.step(cx, operation) {
                Ok(step) => step,
                Err(failure) => return self.failed(operation, failure),
            };
            if !matches!(step, Step::Wait) {
                match self.attempt(operation, attempt) {
                    Some(Ok(Some(value))) => {
                        self.end(operation);
                        return Poll::Ready(Ok(value));
                    }
                    Some(Ok(None)) if matches!(step, Step::Try) => continue,
                    Some(Err(failure)) => return self.failed(operation, failure),
                    Some(Ok(None)) | None => {}
                }
            }
            return match step {
                Step::TryOnceMore(elapsed) => self.failed(operation, Failure::Elapsed(elapsed)),
                Step::Try | Step::Wait => self.wait(cx, operation),
            };
        }
    }

    fn step(&self, cx: &Context<'_>, operation: &mut Operation) -> Result<Step, Failure> {
        let mut reactor = self.driver().reactor.borrow_mut();
        let (turn, budget) = (reactor.metrics.turns, reactor.budget);
        let source = reactor.source(self.token()).map_err(|_| Failure::Closed)?;
        if let Some(why) = &source.interrupt {
            return Err(why.into());
        }
        let ready = source.readiness.allows(operation.direction);
        let side = source.side(operation.direction);
        if !operation.begun {
            operation.begun = true;
            if side.deadline != NEVER || side.timeout != NEVER {
                self.begin(operation, side)?;
            }
        }
        let due = operation.due(side);
        if operation.waiting && due <= side.elapsed_at {
            let elapsed = self.elapsed(operation, side, side.elapsed_at);
            return Ok(Step::TryOnceMore(elapsed));
        }
        let used = &mut side.used;
        if used.turn != turn {
            *used = crate::source::Used { turn, ..Default::default() };
        } else if used.operations >= budget.operations || used.bytes >= budget.bytes {
            // The others first: this one goes on in the next turn.
            cx.waker().wake_by_ref();
            return Ok(Step::Wait);
        }
        Ok(if ready { Step::Try } else { Step::Wait })
    }

    /// Fixes the operation's own deadline, by a clock read now, and sees that none has passed already.
    fn begin(&self, operation: &mut Operation, side: &Side) -> Result<(), Failure> {
        let now_ns = self.driver().clock.now().as_nanos();
        operation.own = now_ns.saturating_add(side.timeout);
        operation.timeout = side.timeout;
        if operation.due(side) <= now_ns {
            return Err(Failure::Elapsed(self.elapsed(operation, side, now_ns)));
        }
        Ok(())
    }

    fn elapsed(&self, operation: &Operation, side: &Side, fired_ns: u64) -> OperationElapsed {
        let bound = if side.deadline <= operation.own {
            Bound::Deadline(self.set_at(operation.direction))
        } else {
            Bound::Timeout(Duration::from_nanos(operation.timeout))
        };
        OperationElapsed {
            deadline: Instant::from_nanos(operation.due(side)),
            fired: Instant::from_nanos(fired_ns),
            bound,
        }
    }

    /// Makes the system call; `None` if it would block, `Some(Ok(None))` after a step.
    fn attempt<T>(
        &self,
        operation: &Operation,
        attempt: &mut impl FnMut(&S) -> io::Result<Done<T>>,
    ) -> Option<Result<Option<T>, Failure>> {
        let result = loop {
            match self.attempt_on(attempt) {
                None => return Some(Err(Failure::Closed)),
                Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Some(result) => break result,
            }
        };
        let mut reactor = self.driver().reactor.borrow_mut();
        let Ok(source) = reactor.source(self.token()) else {
            return Some(result.map(|done| done.value).map_err(Failure::Io));
        };
        match result {
            Ok(done) => {
                let proves = operation.direction == Direction::Write
                    || source.short_reads_drain && source.readiness.short_read_drains();
                if done.drained && proves {
                    source.readiness.clear(operation.direction);
                }
                let used = &mut source.side(operation.direction).used;
                used.operations = used.operations.saturating_add(1);
                used.bytes = used.bytes.saturating_add(u32::try_from(done.bytes).unwrap_or(u32::MAX));
                Some(Ok(done.value))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                source.readiness.clear(operation.direction);
                None
            }
            Err(error) => Some(Err(Failure::Io(error))),
        }
    }

    fn wait<T>(&self, cx: &Context<'_>, operation: &mut Operation) -> Poll<Result<T, Failure>> {
        let mut reactor = self.driver().reactor.borrow_mut();
        let mut newly_waiting = 0;
        let token = self.token();
        let Ok(source) = reactor.source(token) else {
            drop(reactor);
            return self.failed(operation, Failure::Closed);
        };
        let side = source.side(operation.direction);
        side.waiters.add(cx.waker());
        if !operation.waiting {
            operation.waiting = true;
            side.waiting += 1;
            newly_waiting = usize::from(side.waiting == 1);
        }
        let due = operation.due(side);
        let wanted = if side.waiting > 1 { due.min(side.wanted) } else { due };
        reactor.waiting_sides += newly_waiting;
        if wanted != NEVER || newly_waiting == 0 {
            reactor.want(token.id, operation.direction, wanted);
        }
        Poll::Pending
    }

    fn failed<T>(&self, operation: &mut Operation, failure: Failure) -> Poll<Result<T, Failure>> {
        self.end(operation);
        Poll::Ready(Err(failure))
    }

    /// The operation waits no longer; the last to go takes the side's wish and wakers along.
    pub(crate) fn end(&self, operation: &mut Operation) {
        if !std::mem::replace(&mut operation.waiting, false) {
            return;
        }
        let mut reactor = self.driver().reactor.borrow_mut();
        let Ok(source) = reactor.source(self.token()) else { return };
        let side = source.side(operation.direction);
        side.waiting -= 1;
        if side.waiting == 0 {
            side.wanted = NEVER;
            let nobody = side.waiters.take();
            reactor.waiting_sides -= 1;
            drop(reactor);
            drop(nobody);
        }
    }
}
