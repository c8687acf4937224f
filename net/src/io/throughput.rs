//! [`Throughput`]: how slow is too slow.

use std::borrow::Cow;
use std::panic::Location;
use std::time::Duration;

use punctual_reactor::Instant;

use crate::error::{DeadlineInfo, Short};

/// The least that must move: so many bytes per so much time, judged over windows of [`grace`](Throughput::grace).
///
/// An idle timeout is kept alive by a byte now and then, which is how a slot is held for nothing (Slowloris,
/// RUDY, slow read). Here a trickle does not count as life: each window in which fewer bytes moved than the
/// rate asks of it ends the operation, at the end of the window and never before. The next window begins when the
/// last has passed, so one who stops is found out after at most two of them.
///
/// ```
/// use std::time::Duration;
/// use punctual_net::io::Throughput;
///
/// // 500 bytes a second, judged every 5 seconds: 2500 bytes must move in each.
/// let floor = Throughput::per_second(500);
/// assert_eq!(floor.required(), 2500);
/// assert_eq!(floor.grace(Duration::from_secs(20)).required(), 10_000);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Throughput {
    bytes: u64,
    per: Duration,
    grace: Duration,
    set_at: &'static Location<'static>,
}

const GRACE: Duration = Duration::from_secs(5);

impl Throughput {
    /// At least `bytes` a second, judged every 5 s.
    #[must_use]
    #[track_caller]
    pub fn per_second(bytes: u64) -> Throughput {
        Throughput::new(bytes, Duration::from_secs(1), GRACE)
    }

    /// At least `bytes` in each `per`, judged every `grace`. A `per` of zero asks for any byte at all.
    #[must_use]
    #[track_caller]
    pub fn new(bytes: u64, per: Duration, grace: Duration) -> Throughput {
        Throughput { bytes, per, grace, set_at: Location::caller() }
    }

    /// Judges every `grace`: what a sender may take to get going, and how long a slow one is put up with.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Throughput {
        Throughput { grace, ..self }
    }

    /// How many bytes each window asks for, rounded up; at least one.
    #[must_use]
    pub fn required(&self) -> u64 {
        let asked = u128::from(self.bytes).saturating_mul(self.grace.as_nanos());
        let asked = asked.div_ceil(self.per.as_nanos().max(1));
        if self.per.is_zero() { 1 } else { u64::try_from(asked).unwrap_or(u64::MAX).max(1) }
    }

    /// Why a window with `moved` bytes is too little, in words.
    fn verdict(&self, moved: u64) -> Cow<'static, str> {
        let Throughput { bytes, per, grace, .. } = self;
        let unit = if *per == Duration::from_secs(1) { "s".to_owned() } else { Short(*per).to_string() };
        format!("fewer than {bytes} B/{unit} for {} (got {moved})", Short(*grace)).into()
    }
}

/// Measures one flow against its floor.
#[derive(Debug)]
pub(crate) struct Meter {
    floor: Throughput,
    window: Window,
    moved: u64,
}

#[derive(Debug)]
enum Window {
    /// Runs, and ends then.
    Until(Instant),
    /// Stands still: so much of it is left.
    Paused(Duration),
}

impl Meter {
    /// Its first window is to begin.
    pub(crate) fn new(floor: Throughput) -> Meter {
        Meter { floor, window: Window::Paused(floor.grace), moved: 0 }
    }

    pub(crate) fn moved(&mut self, bytes: u64) {
        self.moved = self.moved.saturating_add(bytes);
    }

    /// Time counts from `now` on, if it did not already.
    pub(crate) fn run(&mut self, now: Instant) {
        if let Window::Paused(left) = self.window {
            self.window = Window::Until(now + left);
        }
    }

    /// Time does not count from `now` on: nobody is waited for.
    pub(crate) fn pause(&mut self, now: Instant) {
        if let Window::Until(end) = self.window {
            self.window = Window::Paused(end - now);
        }
    }

    /// What has counted so far does not.
    pub(crate) fn restart(&mut self) {
        *self = Meter::new(self.floor);
    }

    /// When the window that runs ends.
    pub(crate) fn due(&self) -> Instant {
        match self.window {
            Window::Until(end) => end,
            Window::Paused(_) => Instant::FAR_FUTURE,
        }
    }

    /// Judges the window if it has ended by `now`: why it is too little, or the next one begins.
    pub(crate) fn judge(&mut self, now: Instant) -> Option<DeadlineInfo> {
        let Window::Until(end) = self.window else { return None };
        if now < end {
            return None;
        }
        let Throughput { grace, set_at, .. } = self.floor;
        if self.moved < self.floor.required() {
            let said = self.floor.verdict(self.moved);
            return Some(DeadlineInfo::over(end, now, grace, set_at).described(said));
        }
        self.moved = 0;
        self.window = Window::Until(now + grace);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_window_asks_for_its_share_rounded_up() {
        let required = |bytes, per, grace| Throughput::new(bytes, per, grace).required();
        assert_eq!(required(500, S, 5 * S), 2500);
        assert_eq!(required(1, 3 * S, S), 1);
        assert_eq!(required(7, 2 * S, 3 * S), 11);
        assert_eq!(required(0, S, S), 1, "a floor of nothing still asks for life");
        assert_eq!(required(u64::MAX, Duration::from_nanos(1), Duration::MAX), u64::MAX);
        assert_eq!(required(5, Duration::ZERO, S), 1);
    }

    #[test]
    fn a_window_is_judged_when_it_has_passed_and_not_before() {
        let mut meter = Meter::new(Throughput::per_second(500));
        assert_eq!(meter.due(), Instant::FAR_FUTURE);
        meter.run(at(1000));
        meter.moved(2499);
        assert!(meter.judge(at(6000) - Duration::from_nanos(1)).is_none());
        let info = meter.judge(at(6000)).expect("one byte too few");
        assert_eq!((info.deadline(), info.fired(), info.budget()), (at(6000), at(6000), Some(5 * S)));
        assert_eq!(info.description(), Some("fewer than 500 B/s for 5 s (got 2499)"));
        meter.moved(1);
        assert!(meter.judge(at(6500)).is_none());
        assert_eq!(meter.due(), at(11_500), "the next begins when the last was judged");
        assert!(meter.judge(at(11_500)).is_some(), "what moved before does not count again");
    }

    #[test]
    fn only_time_spent_waiting_counts() {
        let mut meter = Meter::new(Throughput::new(10, S, 2 * S));
        meter.run(at(0));
        meter.pause(at(1500));
        assert!(meter.due() == Instant::FAR_FUTURE && meter.judge(at(100_000)).is_none());
        meter.run(at(100_000));
        meter.run(at(100_100));
        assert_eq!(meter.due(), at(100_500));
        meter.pause(at(200_000));
        meter.run(at(300_000));
        assert_eq!(meter.due(), at(300_000), "a window that was over stays over");
    }
}
