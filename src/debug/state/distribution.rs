//! [`Distribution`]: a histogram as a document has it, and what lies between two of them.

use punctual_reactor::{Drift, Histogram};
use serde::{Deserialize, Serialize};

use super::ns;

/// Durations, counted in buckets of at most 3.2 % width.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Distribution {
    /// How many.
    pub count: u64,
    /// Half of them took no longer.
    pub p50_ns: u64,
    /// Nine of ten took no longer.
    pub p90_ns: u64,
    /// 99 of 100 took no longer.
    pub p99_ns: u64,
    /// 999 of 1000 took no longer.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// Their mean.
    pub mean_ns: u64,
    /// The buckets that are not empty, the shortest first: the longest duration each can hold, and its count.
    pub buckets_ns: Vec<(u64, u64)>,
}

impl Distribution {
    /// The smallest bucket bound that at least the share `q` (0 to 1) of the durations does not exceed, and no more
    /// than the longest of them; zero if there is none.
    #[must_use]
    pub fn quantile_ns(&self, q: f64) -> u64 {
        let count = self.counted();
        let rank = ((q.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1);
        let mut seen = 0u64;
        for (to_ns, count) in &self.buckets_ns {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                return (*to_ns).min(self.max_ns);
            }
        }
        0
    }

    /// What was recorded after `before`, an earlier state of the same histogram.
    ///
    /// Its longest is known by its bucket only, unless it is the longest of all time; its mean is that of the
    /// difference. If `before` is no earlier state of this one (the process was started anew), all of this one is
    /// returned.
    #[must_use]
    pub fn since(&self, before: &Distribution) -> Distribution {
        let mut earlier = before.buckets_ns.iter().copied().peekable();
        let mut buckets_ns = Vec::new();
        for (to_ns, count) in &self.buckets_ns {
            let had = earlier.next_if(|(earlier_ns, _)| earlier_ns == to_ns).map_or(0, |(_, had)| had);
            match count.checked_sub(had) {
                Some(0) => {}
                Some(more) => buckets_ns.push((*to_ns, more)),
                None => return self.clone(),
            }
        }
        if earlier.next().is_some() {
            return self.clone();
        }
        let mut between = Distribution { buckets_ns, ..Distribution::default() };
        between.count = between.counted();
        between.max_ns = between.buckets_ns.last().map_or(0, |(to_ns, _)| (*to_ns).min(self.max_ns));
        let sum = |of: &Distribution| u128::from(of.mean_ns) * u128::from(of.count);
        let mean = sum(self).saturating_sub(sum(before)).checked_div(u128::from(between.count));
        between.mean_ns =
            mean.and_then(|mean| u64::try_from(mean).ok()).unwrap_or(0).min(between.max_ns);
        between.fill_quantiles();
        between
    }

    fn counted(&self) -> u64 {
        self.buckets_ns.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    fn fill_quantiles(&mut self) {
        self.p50_ns = self.quantile_ns(0.5);
        self.p90_ns = self.quantile_ns(0.9);
        self.p99_ns = self.quantile_ns(0.99);
        self.p999_ns = self.quantile_ns(0.999);
    }
}

impl From<&Histogram> for Distribution {
    fn from(histogram: &Histogram) -> Distribution {
        let mut distribution = Distribution {
            count: histogram.count(),
            max_ns: ns(histogram.max()),
            mean_ns: ns(histogram.mean()),
            buckets_ns: histogram.buckets().map(|(to, count)| (ns(to), count)).collect(),
            ..Distribution::default()
        };
        distribution.fill_quantiles();
        distribution
    }
}

/// How late everything fired so far: see [`Drift`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct DriftState {
    /// Lateness as a whole.
    pub total: Distribution,
    /// Chosen lateness: leeway and the unit of the alarm.
    pub quantisation: Distribution,
    /// The kernel's wake-up.
    pub kernel: Distribution,
    /// The loop's own backlog.
    pub in_loop: Distribution,
    /// Firings before their deadline. Anything but zero is a bug of this crate.
    pub early: u64,
}

impl From<&Drift> for DriftState {
    fn from(drift: &Drift) -> DriftState {
        DriftState {
            total: Distribution::from(&drift.total),
            quantisation: Distribution::from(&drift.quantisation),
            kernel: Distribution::from(&drift.kernel),
            in_loop: Distribution::from(&drift.in_loop),
            early: drift.early,
        }
    }
}
