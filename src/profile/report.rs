//! [`Profile`]: what was sampled.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use crate::profile::stacks::Stacks;
use crate::profile::{Place, encode, flame};

/// How much was sampled, by clocks and counters read at both ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) began: SystemTime,
    pub(crate) duration: Duration,
    pub(crate) cpu: Duration,
    pub(crate) signals: u64,
}

/// A CPU profile of this process.
#[derive(Clone)]
pub struct Profile {
    pub(crate) stacks: Stacks,
    pub(crate) measured: Measured,
    samples: u64,
}

impl Profile {
    pub(crate) fn new(stacks: Stacks, measured: Measured) -> Profile {
        let samples = stacks.counts.values().sum();
        Profile { stacks, measured, samples }
    }

    /// How many samples were taken.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// How many more would have been, had the stack been one that can be walked, or had not another thread been sampled at the same
    /// moment.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.measured.signals.saturating_sub(self.samples)
    }

    /// When it began.
    #[must_use]
    pub fn began(&self) -> SystemTime {
        self.measured.began
    }

    /// How long it took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.measured.duration
    }

    /// The CPU time that the process used meanwhile, on all threads, by the kernel's account (`CLOCK_PROCESS_CPUTIME_ID`).
    #[must_use]
    pub fn cpu(&self) -> Duration {
        self.measured.cpu
    }

    /// The CPU time that one sample stands for: the process' own, divided by the samples, the lost ones included. Zero if there are none.
    ///
    /// It is a mean: while others had the processor too, a sample stood for more.
    #[must_use]
    pub fn period(&self) -> Duration {
        let signals = self.measured.signals.max(self.samples);
        let period = self.measured.cpu.as_nanos().checked_div(u128::from(signals)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(period).unwrap_or(u64::MAX))
    }

    /// The samples by thread, task and span, the most first.
    #[must_use]
    pub fn by_label(&self) -> Vec<Share> {
        let mut samples = HashMap::<_, u64>::new();
        for (key, count) in &self.stacks.counts {
            *samples.entry((&key.thread, &key.context)).or_default() += count;
        }
        let period = self.period();
        let share = |((thread, context), samples): ((&String, &_), u64)| {
            let punctual_reactor::profile::Context { place, spans } = Clone::clone(context);
            let cpu = period.saturating_mul(u32::try_from(samples).unwrap_or(u32::MAX));
            Share { thread: thread.clone(), place, spans, samples, cpu }
        };
        let mut shares: Vec<Share> = samples.into_iter().map(share).collect();
        shares.sort_by(|a, b| b.samples.cmp(&a.samples).then_with(|| a.to_string().cmp(&b.to_string())));
        shares
    }

    /// The profile in the format of pprof (`profile.proto`, version 3), not compressed, as `go tool pprof` and its like read it.
    ///
    /// Each sample has two values, `samples` in `count` and `cpu` in `nanoseconds`, and the labels `thread`, `place` (`task`, `main`,
    /// `loop`, `outside`), in a task `task` (its name, or where it was spawned), `task_id`, `spawned_at` and, if it was spawned in a span, that span's name as `spawned_in`, and in a span `span` (its path, as
    /// `server/request{id=7}`).
    #[must_use]
    pub fn to_pprof(&self) -> Vec<u8> {
        encode::pprof(self)
    }

    /// The profile as a flame graph, in SVG: at the bottom the threads, on them the tasks, on them the spans, on them the stacks.
    ///
    /// # Errors
    /// What the crate that draws it says of stacks that it cannot read.
    pub fn flamegraph(&self) -> io::Result<Vec<u8>> {
        flame::graph(self)
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("samples", &self.samples)
            .field("lost", &self.lost())
            .field("measured", &self.measured)
            .finish_non_exhaustive()
    }
}

/// What one thread, task and span has of the samples.
///
/// Its `Display` is one line, as `412 samples, 1.6s: request{id=7} of task api in thread worker`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Share {
    /// What the thread is called.
    pub thread: String,
    /// The task, or what else of a loop.
    pub place: Place,
    /// The innermost span, with its fields, and before it those that it is in. Empty without a [`SpanLayer`](crate::profile::SpanLayer).
    pub spans: Vec<String>,
    /// How many samples were taken in it.
    pub samples: u64,
    /// The CPU time for which they stand.
    pub cpu: Duration,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples, {:.1?}: ", self.samples, self.cpu)?;
        if !self.spans.is_empty() {
            write!(f, "{} of ", self.spans.join("/"))?;
        }
        match &self.place {
            Place::Outside => write!(f, "what is no runtime's")?,
            Place::Loop => write!(f, "the loop")?,
            Place::Main => write!(f, "the main future")?,
            Place::Task(task) => write!(f, "task {task}")?,
            _ => write!(f, "others")?,
        }
        write!(f, " in thread {}", self.thread)
    }
}
