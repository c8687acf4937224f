//! [`Histogram`]: durations in buckets whose width grows with their value.

use std::time::Duration;

use crate::instant::nanos;

/// Sub-buckets of an octave, as a power of two: 32 of them, so a bucket is at most 1/32 wide.
const SUB_BITS: u32 = 5;
const SUBS: u64 = 1 << SUB_BITS;
const BUCKETS: usize = ((64 - SUB_BITS as usize) + 1) << SUB_BITS;

/// Counts of durations in log-linear buckets: exact below 32 ns, within 3.2 % above, of fixed size
/// (15 KiB, none while it is empty), and recorded in a few nanoseconds without allocation but for the first.
#[derive(Clone, Default)]
pub struct Histogram {
    counts: Box<[u64]>,
    count: u64,
    sum: u64,
    max: u64,
}

impl Histogram {
    /// An empty one.
    #[must_use]
    pub fn new() -> Histogram {
        Histogram::default()
    }

    /// Counts one more duration.
    pub fn add(&mut self, duration: Duration) {
        self.record(nanos(duration));
    }

    #[inline]
    pub(crate) fn record(&mut self, ns: u64) {
        let Some(count) = self.counts.get_mut(bucket_of(ns)) else { return self.record_first(ns, 1) };
        *count += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(ns);
        self.max = self.max.max(ns);
    }

    /// Counts so many that are equally long.
    #[inline]
    pub(crate) fn record_alike(&mut self, ns: u64, many: u64) {
        let Some(count) = self.counts.get_mut(bucket_of(ns)) else { return self.record_first(ns, many) };
        *count += many;
        self.count += many;
        self.sum = self.sum.saturating_add(ns.saturating_mul(many));
        self.max = self.max.max(ns);
    }

    #[cold]
    fn record_first(&mut self, ns: u64, many: u64) {
        self.counts = vec![0; BUCKETS].into();
        self.record_alike(ns, many);
    }

    /// How many durations were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest, exactly.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// Their mean.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.sum.checked_div(self.count).unwrap_or(0))
    }

    /// The smallest bucket bound that at least the share `q` (0 to 1) of the durations does not exceed;
    /// zero if none was recorded.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Duration {
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(last_of(bucket).min(self.max));
            }
        }
        Duration::ZERO
    }

    /// The counts of each bucket here and in `other`, from the shortest durations to the longest, but for those that
    /// are empty in both.
    pub(crate) fn pairs(&self, other: &Histogram) -> impl Iterator<Item = (usize, (u64, u64))> {
        let of = |counts: &[u64], bucket| counts.get(bucket).copied().unwrap_or(0);
        let pairs = (0..BUCKETS)
            .map(move |bucket| (bucket, (of(&self.counts, bucket), of(&other.counts, bucket))));
        pairs.filter(|(_, pair)| *pair != (0, 0))
    }

    /// The longest duration that shares a bucket with `duration`.
    #[must_use]
    pub fn bucket_end(duration: Duration) -> Duration {
        Duration::from_nanos(last_of(bucket_of(nanos(duration))))
    }

    /// The buckets that are not empty: the longest duration each can hold, and its count.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let full = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        full.map(|(bucket, count)| (Duration::from_nanos(last_of(bucket)), *count))
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count)
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish()
    }
}

#[inline]
pub(crate) fn bucket_of(ns: u64) -> usize {
    if ns < SUBS {
        return ns as usize;
    }
    let octave = ns.ilog2() - SUB_BITS;
    ((octave as usize) << SUB_BITS) + (ns >> octave) as usize
}

/// The shortest duration that `bucket` holds.
pub(crate) fn first_of(bucket: usize) -> u64 {
    bucket.checked_sub(1).map_or(0, |before| last_of(before) + 1)
}

/// The longest duration that `bucket` holds.
pub(crate) fn last_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * SUBS {
        return bucket;
    }
    let octave = (bucket >> SUB_BITS) - 1;
    let sub = SUBS + (bucket & (SUBS - 1));
    (sub << octave) | ((1 << octave) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_within_a_thirty_second_of_its_bucket() {
        let values = (0..64).flat_map(|bit| [0, 1, 3].map(|low| (1u64 << bit) | (low << (bit / 2))));
        for value in values.chain([u64::MAX, u64::MAX - 1]) {
            let last = last_of(bucket_of(value));
            assert!(last >= value && last - value <= value / 32, "{value} is put with {last}");
            assert_eq!(bucket_of(last), bucket_of(value));
            assert_eq!(bucket_of(first_of(bucket_of(value))), bucket_of(value));
            assert!(first_of(bucket_of(value)) <= value);
            if last < u64::MAX {
                assert_eq!(bucket_of(last + 1), bucket_of(value) + 1);
            }
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.5), Duration::ZERO);
        (1..=20).for_each(|ns| histogram.record(ns));
        let ns = |q| histogram.quantile(q).as_nanos();
        assert_eq!([0.0, 0.05, 0.5, 0.95, 1.0].map(ns), [1, 1, 10, 19, 20]);
        assert_eq!((histogram.count(), histogram.max().as_nanos()), (20, 20));
        assert_eq!(histogram.mean().as_nanos(), 10);
    }
}
