//! [`Advice`]: which deadlines the recorded phases call for, and what to think of those in use.

mod curve;
mod display;
mod humane;
mod judge;
mod options;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use super::{BudgetCounts, PhaseRecord, phases};
use crate::executor::Runtime;

pub use options::AdviceOptions;

/// A deadline for each phase, and a verdict on each that is in use, with the numbers behind them.
///
/// The proposal is the p99.9 of what the phase takes, twice, rounded up to a number that people write
/// ([`AdviceOptions`] has other choices). What a deadline cut off would have taken longer, and is reckoned with so:
/// the quantile is never one of the survivors alone. Where too much was cut off it is not known, only that it is not
/// below some time; the proposal is then a step on the way.
///
/// It speaks of what it was shown. Where connections are kept open a `read` also waits for as long as the peer has
/// nothing to say, and the advice is on that: record a request under a name of its own
/// ([`set_phase`](crate::Registration::set_phase), [`record_phase`](crate::record_phase)) to have advice on it.
///
/// Its `Display` is a paragraph for each phase:
///
/// ```text
/// read: 4853 waits, 4831 done, 22 timed out; p99.9 is 48.2 ms, the longest was 61 ms; proposed: 100 ms
///   20 ms   TOO TIGHT  22 of 2000 timed out (1.1 %), 3.1 % of all take longer; raise it to 100 ms
///   5 s     fine       0 of 2812 timed out; 104 times the p99.9
///   none    USELESS    41 waited without any deadline; give them 100 ms
/// resolve: 12 waits, 12 done, 0 timed out; too few for a p99.9: 2988 more are needed
///   10 s    too few    0 of 12 timed out
/// ```
///
/// ```
/// use std::time::Duration;
/// use punctual_reactor::{Advice, AdviceOptions, PhaseEnding, Runtime, Verdict, phases, record_phase};
///
/// Runtime::new()?.block_on(async {
///     for ms in 0..1_000 {
///         let took = Duration::from_millis(ms % 10);
///         record_phase("request", PhaseEnding::Done, took, Some(Duration::from_secs(600)));
///     }
///     let options = AdviceOptions::new().quantile(0.99);
///     let advice = Advice::of(&phases(), &options)?;
///     assert_eq!(advice.phases[0].proposal, Some(Duration::from_millis(20)));
///     assert_eq!(advice.phases[0].budgets[0].verdict, Verdict::Useless);
///     println!("{advice}");
///     std::io::Result::Ok(())
/// })
/// # ?; std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Advice {
    /// What was asked for.
    pub options: AdviceOptions,
    /// Each phase that has ended at least once, by name.
    pub phases: Vec<PhaseAdvice>,
}

/// What is advised on one phase.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PhaseAdvice {
    /// Its name.
    pub phase: &'static str,
    /// How many were looked at: all that ended, but for those that failed before they could wait.
    pub samples: u64,
    /// How many of them were done.
    pub done: u64,
    /// How many a bound of ours ended.
    pub timed_out: u64,
    /// How many samples it takes to speak of the quantile.
    pub needed: u64,
    /// How long all but a few of them take.
    pub quantile: PhaseQuantile,
    /// The longest that was done.
    pub longest: Duration,
    /// The deadline that is proposed; `None` without enough samples.
    pub proposal: Option<Duration>,
    /// What to think of those in use, from the shortest to the longest; that of what had none comes last.
    pub budgets: Vec<BudgetAdvice>,
}

/// What is known of a quantile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PhaseQuantile {
    /// It is this, within a bucket of the [`Histogram`](crate::Histogram), and not above.
    Known(Duration),
    /// It is not below this: too many were cut off by then to say more.
    AtLeast(Duration),
    /// There are too few samples to speak of it.
    TooFewSamples,
}

/// What to think of a deadline in use.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BudgetAdvice {
    /// The time that was given, from the shortest to the longest that are taken together; `None` is no deadline.
    pub budget: Option<(Duration, Duration)>,
    /// How those fared that were given it.
    pub counts: BudgetCounts,
    /// Which share of the phase takes longer than the longest of it, by all that was seen; `None` if that is not
    /// known.
    pub longer: Option<f64>,
    /// What to think of it.
    pub verdict: Verdict,
}

/// What to think of a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// It ends more than it ought to: either more of the phase than the share beyond the quantile takes longer, or
    /// more timed out than chance explains.
    TooTight,
    /// It protects nothing: there is none, or it is a hundred times what is proposed.
    Useless,
    /// Neither.
    Fine,
    /// Nothing can be said yet.
    TooFewSamples,
}

impl Advice {
    /// What `records` call for.
    ///
    /// # Errors
    /// `InvalidInput` for options that make no sense, as a quantile of 1 or a margin below 1.
    pub fn of(records: &[PhaseRecord], options: &AdviceOptions) -> io::Result<Advice> {
        options.validate()?;
        let phases = records.iter().map(|record| judge::phase(record, options)).collect();
        Ok(Advice { options: *options, phases })
    }

    fn by_default(records: &[PhaseRecord]) -> Advice {
        let options = AdviceOptions::default();
        let phases = records.iter().map(|record| judge::phase(record, &options)).collect();
        Advice { options, phases }
    }
}

/// What the phases on the runtime of this thread call for: see [`Advice`]. Nothing outside of a runtime.
#[must_use]
pub fn advise() -> Advice {
    Advice::by_default(&phases())
}

impl Runtime {
    /// What the phases recorded so far call for; other choices are made by [`Advice::of`]. It costs a walk over
    /// two histograms a phase. From another thread have the loop do it: `handle.call(|| tell(advise()))`.
    #[must_use]
    pub fn advise(&self) -> Advice {
        Advice::by_default(&self.phases())
    }
}
