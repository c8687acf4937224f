//! A thousand that sleep at once, again and again.

use std::cell::RefCell;
use std::time::Duration;

use rustix::time::ClockId;

use super::now_ns;
use crate::child::Lateness;

pub(crate) const NAME: &str = "1 000 sleepers, 1–50 ms";

const SLEEPERS: u64 = 1_000;
const RANGE_NS: (u64, u64) = (1_000_000, 50_000_000);

thread_local! {
    /// What came of the sleeps, by a clock that is no peer's. Of the thread, so that a sleeper is `Send`: some runtimes' cheaper way to
    /// spawn wants that.
    static SEEN: RefCell<Option<Lateness>> = const { RefCell::new(None) };
}

/// The sleepers of a peer.
pub(crate) struct Crowd {
    until_ns: u64,
}

/// One of them.
pub(crate) struct Sleeper {
    random: fastrand::Rng,
    until_ns: u64,
    deadline_ns: u64,
}

impl Crowd {
    /// They sleep from now on, for so many milliseconds.
    pub(crate) fn new(ms: u64) -> Crowd {
        SEEN.set(Some(Lateness::new((SLEEPERS * ms) as usize / 20)));
        Crowd { until_ns: now_ns(ClockId::Monotonic) + ms * 1_000_000 }
    }

    pub(crate) fn sleepers(&self) -> impl Iterator<Item = Sleeper> + use<> {
        let until_ns = self.until_ns;
        let sleeper = move |seed| {
            let random = fastrand::Rng::with_seed(seed);
            Sleeper { random, until_ns, deadline_ns: 0 }
        };
        (0..SLEEPERS).map(sleeper)
    }

    /// Tells the process that has started this one; all have slept.
    pub(crate) fn tell(self) {
        if let Some(seen) = SEEN.take() {
            seen.tell();
        }
    }
}

impl Sleeper {
    /// How long to sleep from now on; nothing if the time is over.
    pub(crate) fn begin(&mut self) -> Option<Duration> {
        let now = now_ns(ClockId::Monotonic);
        if now >= self.until_ns {
            return None;
        }
        let duration = self.random.u64(RANGE_NS.0..=RANGE_NS.1);
        self.deadline_ns = now + duration;
        Some(Duration::from_nanos(duration))
    }

    pub(crate) fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }

    /// It is over.
    pub(crate) fn woke(&self) {
        SEEN.with_borrow_mut(|seen| seen.as_mut().map(|seen| seen.woke(self.deadline_ns)));
    }
}
