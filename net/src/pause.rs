//! [`Pause`] and [`operate`]: operations that the kernel refuses for now, and does not say when to repeat.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use punctual_reactor::{
    Direction, Done, Failure, Instant, Readiness, Registration, Sleep, Source, sleep_until,
};

/// A pause that doubles with every failure in a row.
#[derive(Debug)]
pub(crate) struct Pause {
    first: Duration,
    longest: Duration,
    length: Cell<Option<Duration>>,
    retry_at: Cell<Option<Instant>>,
}

impl Pause {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Pause {
        Pause { first, longest, length: Cell::new(None), retry_at: Cell::new(None) }
    }

    /// Whether it may be tried now.
    pub(crate) fn is_over(&self) -> bool {
        self.retry_at.get().is_none_or(|at| at <= Instant::now())
    }

    pub(crate) fn succeeded(&self) {
        self.retry_at.set(None);
        self.length.set(None);
    }

    /// Begins the next pause, and says how long it is.
    pub(crate) fn begin(&self) -> Duration {
        let length = self.length.get().map_or(self.first, |length| (length * 2).min(self.longest));
        self.length.set(Some(length));
        self.retry_at.set(Some(Instant::now() + length));
        length
    }
}

/// As [`Registration::operate`], for an `attempt` that begins `pause` and says `WouldBlock` where the kernel
/// would never tell when to try again. When the pause is over, the operation tries again, and not before: a
/// send that failed may itself make the kernel say that there is room. When its time has run out it is tried
/// once more. Deadlines, cancels and the like are those of the registration.
pub(crate) async fn operate<S: Source, T>(
    io: &Registration<S>,
    direction: Direction,
    pause: &Pause,
    mut attempt: impl FnMut(&S) -> io::Result<Done<T>> + Unpin,
) -> Result<T, Failure> {
    match operate_paused(io, direction, pause, &mut attempt).await {
        Err(Failure::Elapsed(elapsed)) if !elapsed.before_it_began && !pause.is_over() => {
            let source = io.get_ref().ok_or(Failure::Closed)?;
            match attempt(&source).map(Done::into_value) {
                Ok(Some(value)) => Ok(value),
                Err(error)
                    if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
                {
                    Err(Failure::Io(error))
                }
                _ => Err(Failure::Elapsed(elapsed)),
            }
        }
        result => result,
    }
}

async fn operate_paused<S: Source, T>(
    io: &Registration<S>,
    direction: Direction,
    pause: &Pause,
    mut attempt: impl FnMut(&S) -> io::Result<Done<T>> + Unpin,
) -> Result<T, Failure> {
    let unless_paused = |source: &S| {
        if pause.is_over() { attempt(source) } else { Err(ErrorKind::WouldBlock.into()) }
    };
    let mut operation = pin!(io.operate(direction, unless_paused));
    let mut waiting: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(result) = operation.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            let Some(retry_at) = pause.retry_at.get() else {
                waiting = None;
                return Poll::Pending;
            };
            let sleep =
                waiting.get_or_insert_with(|| Box::pin(sleep_until(retry_at).named("retry-pause")));
            if sleep.deadline() != retry_at {
                sleep.reset(retry_at);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // The kernel said once that it was ready, and will not say it again.
            waiting = None;
            pause.retry_at.set(None);
            let ready = match direction {
                Direction::Read => Readiness::READABLE,
                Direction::Write => Readiness::WRITABLE,
            };
            if let Err(closed) = io.assume(ready) {
                return Poll::Ready(Err(closed));
            }
        }
    })
    .await
}
