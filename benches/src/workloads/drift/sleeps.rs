//! Sleeps, one after the other.

use std::time::Duration;

use rustix::time::ClockId;

use super::now_ns;
use crate::child::Lateness;

/// How long they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// Random, from the shortest to the longest.
    Short,
    Second,
    FiveSeconds,
}

/// The shortest and the longest of the short ones.
const SHORT_NS: (u64, u64) = (200_000, 12_000_000);

/// How many short ones come before and are not counted: what a process does but once, as to map its pages, is no sleep's.
const WARM_UPS: usize = 3;
const WARM_UP: Duration = Duration::from_millis(1);

impl Length {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Length::Short => "0.2–12 ms",
            Length::Second => "1 s",
            Length::FiveSeconds => "5 s",
        }
    }

    /// Of the child that is asked to do `what`.
    pub(crate) fn of(what: &str) -> Option<Length> {
        match what {
            "sleep" => Some(Length::Short),
            "sleep-1s" => Some(Length::Second),
            "sleep-5s" => Some(Length::FiveSeconds),
            _ => None,
        }
    }

    pub(crate) fn mean_ns(self) -> f64 {
        match self {
            Length::Short => (SHORT_NS.0 + SHORT_NS.1) as f64 / 2.0,
            Length::Second => 1e9,
            Length::FiveSeconds => 5e9,
        }
    }

    /// So many of them, after those that are not counted, and the same for every peer.
    pub(crate) fn durations(self, number: u64) -> Vec<Duration> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut next = || match self {
            Length::Short => Duration::from_nanos(random.u64(SHORT_NS.0..=SHORT_NS.1)),
            Length::Second => Duration::from_secs(1),
            Length::FiveSeconds => Duration::from_secs(5),
        };
        std::iter::repeat_n(WARM_UP, WARM_UPS).chain((0..number).map(|_| next())).collect()
    }
}

/// The sleeps of a peer, and what came of them by a clock that is no peer's.
pub(crate) struct Sleeps {
    left: std::vec::IntoIter<Duration>,
    deadline_ns: u64,
    is_warm: bool,
    seen: Lateness,
}

impl Sleeps {
    pub(crate) fn new(length: Length, number: u64) -> Sleeps {
        let left = length.durations(number).into_iter();
        Sleeps { left, deadline_ns: 0, is_warm: false, seen: Lateness::new(number as usize) }
    }

    /// How long to sleep from now on; nothing if that was all.
    pub(crate) fn begin(&mut self) -> Option<Duration> {
        let duration = self.left.next()?;
        if self.seen.len() == WARM_UPS && !self.is_warm {
            self.is_warm = true;
            self.seen.begin();
        }
        self.deadline_ns = now_ns(ClockId::Monotonic) + duration.as_nanos() as u64;
        Some(duration)
    }

    /// The moment until which the sleep that was begun last is to last.
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }

    /// It is over.
    pub(crate) fn woke(&mut self) {
        self.seen.woke(self.deadline_ns);
    }

    /// Tells the process that has started this one.
    pub(crate) fn tell(self) {
        self.seen.tell();
    }
}
