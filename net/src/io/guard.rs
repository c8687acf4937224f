//! [`Guard`]: the time of one side of a [`Bounded`](super::Bounded) stream.

use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use punctual_reactor::{Failure, Instant, Leeway, Sleep, WaitGuard, sleep_until};

use crate::error::{DeadlineInfo, Error, Phase};
use crate::io::scoped::Scoped;
use crate::io::throughput::Meter;

/// One timer for all bounds of one side, there only while an operation waits.
#[derive(Debug)]
pub(super) struct Guard {
    phase: Phase,
    pub(super) deadline: Option<(Instant, &'static Location<'static>)>,
    pub(super) timeout: Option<(Duration, &'static Location<'static>)>,
    pub(super) meter: Option<Meter>,
    /// When the operation that waits began.
    began: Option<Instant>,
    /// Whether whoever began it is known to hold it still, however late it is polled.
    held: bool,
    sleep: Option<Sleep>,
    guard: Option<WaitGuard>,
    scoped: Scoped,
}

impl Guard {
    pub(super) fn new(phase: Phase) -> Guard {
        let scoped = Scoped::default();
        let (deadline, timeout, meter) = (None, None, None);
        Guard {
            phase,
            deadline,
            timeout,
            meter,
            began: None,
            held: false,
            sleep: None,
            guard: None,
            scoped,
        }
    }

    /// An operation begins that says when it is given up. What waits from before has been.
    pub(super) fn hold(&mut self) {
        self.forget();
        self.held = true;
    }

    /// Runs one poll of an operation, which says how much it has moved, under the bounds.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        moved: impl FnOnce(&T) -> usize,
        operation: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if !self.held && self.was_left() {
            self.forget();
        }
        let began = match self.began {
            Some(began) => began,
            None => self.begin()?,
        };
        // What a cancel has ended is not tried again.
        let ended = match self.began.map(|_| self.poll_scope(cx)) {
            Some(Poll::Ready(failure @ Failure::Elapsed(_))) => Some(failure),
            Some(Poll::Ready(failure)) => return Poll::Ready(self.fail(failure)),
            Some(Poll::Pending) | None => None,
        };
        let guard = self.guard();
        if let Poll::Ready(result) = guard.poll(|| operation(cx)) {
            self.give_up();
            if let (Some(meter), Ok(value)) = (&mut self.meter, &result) {
                meter.moved(moved(value) as u64);
            }
            return Poll::Ready(result);
        }
        self.wait(began);
        if let Some(failure) = ended {
            return Poll::Ready(self.fail(failure));
        }
        if let Poll::Ready(failure) = self.poll_scope(cx) {
            return Poll::Ready(self.fail(failure));
        }
        let info = ready!(self.poll_over(cx, began));
        self.give_up();
        Poll::Ready(Err(Error::timeout(self.phase, info).tell().into()))
    }

    /// As the audit knows it; made within the runtime.
    fn guard(&mut self) -> WaitGuard {
        *self.guard.get_or_insert_with(WaitGuard::new)
    }

    /// Whether what waits is known to have been given up by whoever polled it.
    fn was_left(&self) -> bool {
        self.sleep.as_ref().is_some_and(Sleep::was_left)
            || self.began.is_some() && self.scoped.has_moved()
    }

    /// Some of the time of what was given up was waited for by nobody: it counts for nothing.
    fn forget(&mut self) {
        if self.began.is_some() {
            self.give_up();
            if let Some(meter) = &mut self.meter {
                meter.restart();
            }
        }
    }

    fn poll_scope(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let guard = self.guard();
        self.scoped.poll(cx, self.phase.as_str(), guard)
    }

    /// The scope has ended what waited.
    fn fail<T>(&mut self, failure: Failure) -> io::Result<T> {
        self.give_up();
        Err(Error::failed(self.phase, failure).tell().into())
    }

    /// An operation begins: one that is out of time touches nothing.
    fn begin(&self) -> Result<Instant, Error> {
        Scoped::check().map_err(|failure| Error::failed(self.phase, failure).tell())?;
        if self.deadline.is_none() && self.timeout.is_none() {
            // Nothing counts from here.
            return Ok(Instant::FAR_FUTURE);
        }
        let now = Instant::now();
        match self.limit(now, now) {
            None => Ok(now),
            Some(info) => {
                let info = DeadlineInfo { before_it_began: true, ..info };
                Err(Error::timeout(self.phase, info).tell())
            }
        }
    }

    fn wait(&mut self, began: Instant) {
        if self.began.is_none() {
            self.began = Some(began);
            if let Some(meter) = &mut self.meter {
                meter.run(Instant::now());
            }
        }
    }

    /// The operation has ended, or is not polled any more: its time goes with it.
    pub(super) fn give_up(&mut self) {
        self.held = false;
        if self.began.take().is_some() {
            self.sleep = None;
            self.scoped.leave();
            if let Some(meter) = &mut self.meter {
                meter.pause(Instant::now());
            }
        }
    }

    /// Ready when a bound has been reached; which is said.
    fn poll_over(&mut self, cx: &mut Context<'_>, began: Instant) -> Poll<DeadlineInfo> {
        loop {
            let due = self.due(began);
            if due == Instant::FAR_FUTURE {
                self.sleep = None;
                return Poll::Pending;
            }
            let (leeway, guard, phase) = (self.leeway(), self.guard(), self.phase.as_str());
            let make = || sleep_until(due).with_leeway(leeway).bounding(guard, phase);
            let sleep = self.sleep.get_or_insert_with(make);
            if due < sleep.deadline() || sleep.is_elapsed() {
                sleep.reset(due);
            }
            ready!(Pin::new(sleep).poll(cx));
            let firing = self.sleep.as_ref().and_then(Sleep::firing);
            let now = Instant::now();
            let slow = self.meter.as_mut().and_then(|meter| meter.judge(now));
            let over = [self.limit(began, now), slow].into_iter().flatten();
            if let Some(info) = over.min_by_key(DeadlineInfo::deadline) {
                // Where another bound is the one that counts, the firing is not of it.
                let firing = firing.filter(|firing| firing.deadline == info.deadline);
                return Poll::Ready(DeadlineInfo { firing, ..info });
            }
        }
    }

    fn due(&self, began: Instant) -> Instant {
        let deadline = self.deadline.map(|(at, _)| at);
        let timeout = self.timeout.map(|(within, _)| began + within);
        let meter = self.meter.as_ref().map(Meter::due);
        [deadline, timeout, meter].into_iter().flatten().min().unwrap_or(Instant::FAR_FUTURE)
    }

    /// The deadline or the timeout, if it is over at `now`.
    fn limit(&self, began: Instant, now: Instant) -> Option<DeadlineInfo> {
        let deadline = self.deadline.map(|(at, set_at)| DeadlineInfo {
            budget: None,
            ..DeadlineInfo::over(at, now, Duration::ZERO, set_at)
        });
        let timeout = self.timeout.map(|(within, set_at)| DeadlineInfo {
            idle: self.phase == Phase::Read,
            ..DeadlineInfo::over(began + within, now, within, set_at)
        });
        let over = [deadline, timeout].into_iter().flatten().filter(|info| info.deadline <= now);
        over.min_by_key(DeadlineInfo::deadline)
    }

    /// A guard takes a hundredth of its time, at most a millisecond.
    fn leeway(&self) -> Leeway {
        let within = self.timeout.map_or(Duration::ZERO, |(within, _)| within);
        Leeway::at_most(within / 100).min(Leeway::MILLISECOND)
    }
}
