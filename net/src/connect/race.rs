//! The race of several addresses: which attempt starts when, and what becomes of the losers.
//!
//! ```text
//! 6a ────────────────────────────▶ closed     RFC 8305, section 5
//!    delay  4a ──✕ failed                     a failure starts the next at once
//!              6b ───────▶ connected          wins: the others are dropped in the same poll
//! ```
//!
//! One after the other is the same race with room for one.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use punctual_reactor::{Instant, Sleep, WaitGuard, sleep_until};

use super::eyeballs::Pace;
use super::split;
use crate::error::{Error, Phase};

/// Starts in one poll; then it is the others' turn. Those that fail at once are as many as a name server likes.
const STARTS_MAX: u32 = 4;

/// How an attempt ended in vain.
pub(super) enum Vain {
    /// This address is of no use, another may be.
    Address(Error),
    /// It was ended from outside, and the others with it.
    All(Error),
}

/// How the race ended in vain.
pub(super) enum Lost {
    /// From outside.
    Ended(Error),
    Failed(Failures),
}

/// What became of the addresses when none connected.
pub(super) struct Failures {
    /// In the order in which they started.
    pub(super) causes: Vec<Error>,
    /// How many there were.
    pub(super) addresses: usize,
    /// When it was found that no time was left for the next.
    pub(super) out_of_time: Option<Instant>,
}

/// Attempts at one or several addresses. They live in here: dropping it ends them all.
pub(super) struct Race<A, F, R> {
    pace: Pace,
    deadline: Instant,
    /// Starts an attempt at an address, to end by an instant.
    attempt: A,
    waiting: VecDeque<SocketAddr>,
    /// Addresses to come, and until when they are waited for.
    late: Option<(R, WaitGuard, Sleep)>,
    running: Vec<Running<F>>,
    failed: Vec<(usize, Error)>,
    started: Vec<SocketAddr>,
    addresses: usize,
    /// When the next may start beside those that run; `None` is at once.
    next_at: Option<Instant>,
    next: Option<Sleep>,
    out_of_time: Option<Instant>,
}

struct Running<F> {
    /// Its place among those that started.
    place: usize,
    future: Pin<Box<F>>,
}

impl<T, A, F, R> Race<A, F, R>
where
    A: FnMut(SocketAddr, Instant) -> F,
    F: Future<Output = Result<T, Vain>>,
    R: Future<Output = Result<Vec<SocketAddr>, Error>> + Unpin,
{
    pub(super) fn new(addresses: Vec<SocketAddr>, pace: Pace, deadline: Instant, attempt: A) -> Self {
        Race {
            addresses: addresses.len(),
            waiting: pace.order(addresses),
            pace,
            deadline,
            attempt,
            late: None,
            running: Vec::new(),
            failed: Vec::new(),
            started: Vec::new(),
            next_at: None,
            next: None,
            out_of_time: None,
        }
    }

    /// Of how many addresses it knows.
    pub(super) fn addresses(&self) -> usize {
        self.addresses
    }

    /// Takes in more addresses if they come by `until`; an error ends it all.
    pub(super) fn with_late(mut self, late: Option<R>, until: Instant) -> Self {
        let guard = WaitGuard::new();
        let until = || sleep_until(until.min(self.deadline)).bounding(guard, Phase::Resolve.as_str());
        self.late = late.map(|late| (late, guard, until()));
        self
    }

    /// Runs it to its end.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Lost>> {
        let mut starts = 0;
        loop {
            let end = self.poll_running(cx);
            if let Some(end) = end.or_else(|| self.poll_late(cx).map(|error| Err(Lost::Ended(error)))) {
                // Whoever is still on the way has lost: closed here, and not when the caller lets go of the race.
                self.running.clear();
                return Poll::Ready(end);
            }
            if !self.may_start(cx) {
                break;
            }
            if starts == STARTS_MAX {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            starts += 1;
            self.start();
        }
        if self.running.is_empty() && self.waiting.is_empty() && self.late.is_none() {
            return Poll::Ready(Err(Lost::Failed(self.failures())));
        }
        Poll::Pending
    }

    /// There are few: to ask all is cheaper than to know who woke us.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Option<Result<T, Lost>> {
        let mut at = 0;
        while let Some(running) = self.running.get_mut(at) {
            match running.future.as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(connected)) => return Some(Ok(connected)),
                Poll::Ready(Err(Vain::All(error))) => return Some(Err(Lost::Ended(error))),
                Poll::Ready(Err(Vain::Address(error))) => {
                    self.failed.push((running.place, error));
                    drop(self.running.remove(at));
                    // It need not wait for its turn any more.
                    self.next_at = None;
                }
            }
        }
        None
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Option<Error> {
        let (late, guard, until) = self.late.as_mut()?;
        match guard.poll(|| Pin::new(late).poll(cx)) {
            Poll::Ready(Err(error)) => return Some(error),
            Poll::Ready(Ok(late)) => {
                self.late = None;
                self.addresses += late.len();
                let waiting = std::mem::take(&mut self.waiting);
                let last = self.started.last().copied();
                self.waiting = self.pace.order_late(waiting, late, self.started.len(), last);
            }
            Poll::Pending if Pin::new(until).poll(cx).is_ready() => self.late = None,
            Poll::Pending => {}
        }
        None
    }

    fn may_start(&mut self, cx: &mut Context<'_>) -> bool {
        if self.waiting.is_empty() || self.running.len() >= self.pace.in_flight_max {
            return false;
        }
        let Some(next_at) = self.next_at else { return true };
        let next = self.next.get_or_insert_with(|| sleep_until(next_at).named("next-address"));
        if next.deadline() != next_at {
            next.reset(next_at);
        }
        Pin::new(next).poll(cx).is_ready()
    }

    fn start(&mut self) {
        let now = Instant::now();
        let rounds = self.waiting.len().div_ceil(self.pace.in_flight_max);
        let deadline = split::partial_deadline(now, self.deadline, rounds);
        let (Some(address), Some(deadline)) = (self.waiting.pop_front(), deadline) else {
            self.out_of_time = Some(now);
            self.waiting.clear();
            self.late = None;
            return;
        };
        let future = Box::pin((self.attempt)(address, deadline));
        self.running.push(Running { place: self.started.len(), future });
        self.started.push(address);
        self.next_at = Some(now + self.pace.delay);
    }

    fn failures(&mut self) -> Failures {
        self.failed.sort_by_key(|(place, _)| *place);
        let causes = self.failed.drain(..).map(|(_, error)| error).collect();
        Failures { causes, addresses: self.addresses, out_of_time: self.out_of_time }
    }
}

#[cfg(test)]
mod tests;
