//! [`Watch`]: the time of a copy.

use std::borrow::Cow;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use punctual_reactor::{Instant, Leeway, Sleep, WaitGuard, sleep_until};

use crate::error::{DeadlineInfo, Phase};
use crate::io::copy::options::CopyOptions;
use crate::io::throughput::Meter;

/// Which bounds a copy is under, and when the next of them is over. One timer serves them all: it is moved
/// earlier at once, and later only when it has come, so that a byte costs a clock read and no more.
pub(super) struct Watch {
    options: CopyOptions,
    start: Instant,
    /// When something last moved or ended.
    alive: Instant,
    half_closed: bool,
    /// Of both directions together.
    meter: Option<Meter>,
    /// Of each direction, until it has ended.
    meters: [Option<Meter>; 2],
    sleep: Option<Sleep>,
    guard: WaitGuard,
}

impl Watch {
    pub(super) fn new(options: CopyOptions, start: Instant) -> Watch {
        let meter = |floor: Option<_>| {
            floor.map(|floor| {
                let mut meter = Meter::new(floor);
                meter.run(start);
                meter
            })
        };
        let meters = options.floors.map(meter);
        let meter = meter(options.floor);
        let (half_closed, sleep, guard) = (false, None, WaitGuard::new());
        Watch { options, start, alive: start, half_closed, meter, meters, sleep, guard }
    }

    /// As the audit knows it.
    pub(super) fn guard(&self) -> WaitGuard {
        self.guard
    }

    pub(super) fn options(&self) -> &CopyOptions {
        &self.options
    }

    /// Something moved, or ended: so many bytes in each direction.
    pub(super) fn moved(&mut self, bytes: [u64; 2]) {
        self.alive = Instant::now();
        if let Some(meter) = &mut self.meter {
            meter.moved(bytes[0].saturating_add(bytes[1]));
        }
        for (meter, bytes) in self.meters.iter_mut().zip(bytes) {
            if let Some(meter) = meter {
                meter.moved(bytes);
            }
        }
    }

    /// A direction has ended: the other is bounded by the linger, and nothing more is asked of this one.
    pub(super) fn ended(&mut self, direction: usize) {
        self.half_closed = true;
        self.meters[direction] = None;
    }

    /// A deadline that had passed before anything was begun.
    pub(super) fn over_before_it_began(&self) -> Option<DeadlineInfo> {
        let now = Instant::now();
        let info =
            [self.total(now), self.deadline(now)].into_iter().flatten().min_by_key(by_deadline)?;
        (info.deadline <= now).then_some(DeadlineInfo { before_it_began: true, ..info })
    }

    /// Ready when a bound has been reached; which is said.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<DeadlineInfo> {
        loop {
            let due = self.due();
            if due == Instant::FAR_FUTURE && self.sleep.is_none() {
                return Poll::Pending;
            }
            let leeway = self.leeway();
            let guard = self.guard;
            let make = || sleep_until(due).with_leeway(leeway).bounding(guard, Phase::Copy.as_str());
            let sleep = self.sleep.get_or_insert_with(make);
            if due < sleep.deadline() || sleep.is_elapsed() {
                sleep.reset(due);
            }
            if Pin::new(sleep).poll(cx).is_pending() {
                return Poll::Pending;
            }
            let firing = self.sleep.as_ref().and_then(Sleep::firing);
            if let Some(info) = self.over(Instant::now()) {
                // Where another bound is the one that counts, the firing is not of it.
                let firing = firing.filter(|firing| firing.deadline == info.deadline);
                return Poll::Ready(DeadlineInfo { firing, ..info });
            }
        }
    }

    fn due(&self) -> Instant {
        let now = self.alive;
        let limits = [self.silence(now), self.total(now), self.deadline(now)];
        let limits = limits.into_iter().flatten().map(|info| info.deadline);
        let meters = self.meters.iter().chain([&self.meter]).flatten().map(Meter::due);
        limits.chain(meters).min().unwrap_or(Instant::FAR_FUTURE)
    }

    /// The first of the bounds that are over at `now`, if one is.
    fn over(&mut self, now: Instant) -> Option<DeadlineInfo> {
        let limits = [self.silence(now), self.total(now), self.deadline(now)];
        let limits = limits.into_iter().flatten().filter(|info| info.deadline <= now);
        let [a, b] = &self.options.names;
        let together = self.meter.as_mut().and_then(|meter| meter.judge(now));
        let [there, back] = &mut self.meters;
        let one_way = |meter: &mut Option<Meter>, from: &str, to: &str| {
            let info = meter.as_mut()?.judge(now)?;
            let said = format!("from {from} to {to} {}", info.description().unwrap_or_default());
            Some(info.described(said))
        };
        let slow = [together, one_way(there, a, b), one_way(back, b, a)];
        limits.chain(slow.into_iter().flatten()).min_by_key(by_deadline)
    }

    fn silence(&self, now: Instant) -> Option<DeadlineInfo> {
        let (limit, said) = match self.half_closed {
            true => (self.options.linger, "half-close linger"),
            false => (self.options.idle, "idle timeout"),
        };
        bound(self.alive, limit.within, now, limit.set_at, said)
    }

    fn total(&self, now: Instant) -> Option<DeadlineInfo> {
        let limit = self.options.total;
        bound(self.start, limit.within, now, limit.set_at, "total timeout")
    }

    fn deadline(&self, now: Instant) -> Option<DeadlineInfo> {
        let (deadline, set_at) = self.options.deadline?;
        let mut info = DeadlineInfo::over(deadline, now, Duration::ZERO, set_at);
        info.budget = None;
        Some(info)
    }

    /// A guard takes a hundredth of its time, at most a millisecond.
    fn leeway(&self) -> Leeway {
        let options = &self.options;
        let shortest = options.idle.within.min(options.linger.within).min(options.total.within);
        Leeway::at_most(shortest / 100).min(Leeway::MILLISECOND)
    }
}

fn by_deadline(info: &DeadlineInfo) -> Instant {
    info.deadline
}

fn bound(
    from: Instant,
    within: Duration,
    now: Instant,
    set_at: &'static Location<'static>,
    said: &'static str,
) -> Option<DeadlineInfo> {
    let deadline = from + within;
    let info = || DeadlineInfo::over(deadline, now, within, set_at).described(Cow::Borrowed(said));
    (deadline != Instant::FAR_FUTURE).then(info)
}
