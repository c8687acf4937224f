//! [`Meter`]: how much of a time the loop's thread ran on a CPU.
//!
//! To ask costs two system calls, which a poll cannot afford. So they are made once in a millisecond of the loop's work,
//! and once more after something took long: what the thread ran between the two is what it ran in the long time, and a
//! millisecond more at the most. Where system calls are slow, as under a tracer, it is up to 32: the looks are to
//! take no more than a thousandth of the work.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::sys;

/// How much work passes between two looks at the least, and at the most.
const EVERY_NS: RangeInclusive<u64> = 1_000_000..=32_000_000;

/// So many times what a look takes passes between two.
const LOOKS_PART: u64 = 1_000;

/// What the kernel has counted of this thread since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThreadTime {
    pub(crate) cpu_ns: u64,
    /// How often it was taken off its CPU though it could have run on.
    pub(crate) preempted: u64,
}

/// How much the thread ran in a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    /// As a rule a millisecond more than it did, at the most.
    pub(crate) cpu: Duration,
    /// Whether the kernel took it off its CPU, which may have been shortly before as well.
    pub(crate) preempted: bool,
}

#[derive(Debug)]
pub(crate) struct Meter {
    last: Option<ThreadTime>,
    /// When that was, on the loop's clock.
    looked_at_ns: u64,
    /// How much work there has been since.
    work_ns: u64,
    /// How much there is to be until the next look.
    every_ns: u64,
    /// How long the last look took.
    look_took_ns: u64,
}

impl Meter {
    /// `reads` is false on a virtual clock, whose time no thread runs.
    pub(crate) fn new(reads: bool) -> Meter {
        Meter {
            last: if reads { sys::thread_time() } else { None },
            looked_at_ns: 0,
            work_ns: 0,
            every_ns: *EVERY_NS.start(),
            look_took_ns: 0,
        }
    }

    /// The loop has worked for so long, until now.
    #[inline]
    pub(crate) fn worked(&mut self, took_ns: u64, now_ns: u64) {
        self.work_ns += took_ns;
        if self.work_ns >= self.every_ns && self.last.is_some() {
            self.look(now_ns);
        }
    }

    /// How much the thread ran in a time that is over now; not known if there was a look within it.
    #[cold]
    pub(crate) fn ran(&mut self, began_ns: u64, now_ns: u64, took_ns: u64) -> Option<Ran> {
        let (before, looked_at_ns) = (self.last?, self.looked_at_ns);
        let now = self.look(now_ns)?;
        if looked_at_ns > began_ns {
            return None;
        }
        let cpu_ns = now.cpu_ns.saturating_sub(before.cpu_ns).min(took_ns);
        Some(Ran { cpu: Duration::from_nanos(cpu_ns), preempted: now.preempted > before.preempted })
    }

    fn look(&mut self, now_ns: u64) -> Option<ThreadTime> {
        (self.work_ns, self.looked_at_ns) = (0, now_ns);
        let began_ns = sys::clock_now(sys::MONOTONIC);
        self.last = sys::thread_time();
        let took_ns = sys::clock_now(sys::MONOTONIC).saturating_sub(began_ns);
        // The shorter of two: in one of them the thread may have been taken off its CPU.
        let usual_ns = took_ns.min(std::mem::replace(&mut self.look_took_ns, took_ns));
        let (least_ns, most_ns) = EVERY_NS.into_inner();
        self.every_ns = usual_ns.saturating_mul(LOOKS_PART).clamp(least_ns, most_ns);
        self.last
    }
}
