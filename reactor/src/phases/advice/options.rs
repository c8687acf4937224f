//! [`AdviceOptions`]: what a good deadline is.

use std::io;
use std::time::Duration;

/// What [`Advice`](super::Advice) takes for a good deadline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdviceOptions {
    pub(super) quantile: f64,
    pub(super) margin: f64,
    pub(super) samples: Option<u64>,
    pub(super) useless_from: f64,
    pub(super) at_least: Duration,
}

impl Default for AdviceOptions {
    /// Twice the p99.9, from 3 000 samples, at least 1 ms; useless is what is more than a hundred times that.
    fn default() -> AdviceOptions {
        AdviceOptions {
            quantile: 0.999,
            margin: 2.0,
            samples: None,
            useless_from: 100.0,
            at_least: Duration::from_millis(1),
        }
    }
}

impl AdviceOptions {
    /// As [`default`](AdviceOptions::default).
    #[must_use]
    pub fn new() -> AdviceOptions {
        AdviceOptions::default()
    }

    /// Which share of what is healthy a deadline must let through, instead of 0.999.
    #[must_use]
    pub fn quantile(mut self, share: f64) -> AdviceOptions {
        self.quantile = share;
        self
    }

    /// How many times that quantile a deadline ought to be, instead of 2: what was measured is the past.
    #[must_use]
    pub fn margin(mut self, factor: f64) -> AdviceOptions {
        self.margin = factor;
        self
    }

    /// How many samples it takes to speak of the quantile, instead of three for each that lies beyond it: 3 000 for
    /// p99.9. The longest of `n` samples falls short of the true quantile `q` with probability qⁿ, which is 5 % then (the
    /// *rule of three*), and still 37 % with 1 000.
    #[must_use]
    pub fn min_samples(mut self, count: u64) -> AdviceOptions {
        self.samples = Some(count);
        self
    }

    /// From how many times the proposal on a deadline protects nothing, instead of 100.
    #[must_use]
    pub fn useless_from(mut self, factor: f64) -> AdviceOptions {
        self.useless_from = factor;
        self
    }

    /// The shortest deadline to propose, instead of 1 ms: below it the lateness of a busy loop counts for more than
    /// what is waited for.
    #[must_use]
    pub fn at_least(mut self, shortest: Duration) -> AdviceOptions {
        self.at_least = shortest;
        self
    }

    /// How many samples are needed.
    pub(super) fn needed(&self) -> u64 {
        // Not rounded up from 2 999.999…: the difference is one of floating point.
        self.samples.unwrap_or_else(|| (3.0 / (1.0 - self.quantile)).round() as u64)
    }

    pub(super) fn validate(&self) -> io::Result<()> {
        let refused = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        let AdviceOptions { quantile, margin, useless_from, .. } = *self;
        if !(quantile > 0.0 && quantile < 1.0) {
            return refused(format!("advice: the quantile is {quantile}, and not between 0 and 1"));
        }
        if !(margin >= 1.0 && margin.is_finite()) {
            return refused(format!(
                "advice: the margin is {margin}: a deadline must not be below the quantile"
            ));
        }
        if useless_from.is_nan() || useless_from < 1.0 {
            return refused(format!(
                "advice: `useless_from` is {useless_from}, which condemns the proposal itself"
            ));
        }
        if self.samples == Some(0) {
            return refused("advice: no samples at all are no ground for advice".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_samples_are_needed_for_each_that_lies_beyond() {
        let needed = |share| AdviceOptions::new().quantile(share).needed();
        assert_eq!([0.9, 0.99, 0.999, 0.9999].map(needed), [30, 300, 3_000, 30_000]);
        assert_eq!(AdviceOptions::new().min_samples(7).needed(), 7);
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        let bad = [
            (AdviceOptions::new().quantile(1.0), "quantile is 1"),
            (AdviceOptions::new().quantile(f64::NAN), "quantile is NaN"),
            (AdviceOptions::new().margin(0.5), "margin is 0.5"),
            (AdviceOptions::new().margin(f64::INFINITY), "margin is inf"),
            (AdviceOptions::new().useless_from(f64::NAN), "`useless_from` is NaN"),
            (AdviceOptions::new().min_samples(0), "no samples"),
        ];
        for (options, word) in bad {
            let error = options.validate().expect_err(word).to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!(AdviceOptions::new().validate().is_ok());
    }
}
