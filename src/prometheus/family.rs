//! [`Family`]: one metric as Prometheus sees it, and where its samples come from.

use prometheus::core::Desc;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

/// One line of the table: a name with its help, and how it is read from a `T`.
pub(super) struct Family<T> {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) read: for<'a> fn(&'a T) -> Vec<Sample<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One series: the values of the labels, in their order, and its own.
pub(super) struct Sample<'a> {
    pub(super) labels: Vec<&'a str>,
    pub(super) value: Value<'a>,
}

pub(super) enum Value<'a> {
    Number(f64),
    /// In seconds.
    Histogram(&'a crate::Histogram),
}

/// The bounds of the buckets: the last nanosecond before each power of two from 1.024 µs to 17.2 s, at which
/// buckets of [`Histogram`](crate::Histogram) end. So no count is split, and none is interpolated.
const BOUNDS_AS_POWERS: std::ops::RangeInclusive<u32> = 10..=34;

pub(super) fn bounds_ns() -> impl Iterator<Item = u64> {
    BOUNDS_AS_POWERS.map(|power| (1 << power) - 1)
}

impl<T> Family<T> {
    pub(super) const fn new(
        kind: Kind,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        read: for<'a> fn(&'a T) -> Vec<Sample<'a>>,
    ) -> Family<T> {
        Family { name, help, kind, labels, read }
    }

    /// As the crate has it, with `common` labels on each series; `None` if there is no series yet.
    pub(super) fn collect(&self, from: &T, common: &[LabelPair]) -> Option<MetricFamily> {
        let series = (self.read)(from).into_iter().map(|sample| self.series(&sample, common));
        let series: Vec<Metric> = series.collect();
        if series.is_empty() {
            return None;
        }
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(match self.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Histogram => MetricType::HISTOGRAM,
        });
        family.set_metric(series);
        Some(family)
    }

    fn series(&self, sample: &Sample<'_>, common: &[LabelPair]) -> Metric {
        let own = self.labels.iter().zip(&sample.labels).map(|(name, value)| label(name, value));
        let mut metric = Metric::from_label(common.iter().cloned().chain(own).collect());
        match (self.kind, &sample.value) {
            (Kind::Counter, Value::Number(number)) => {
                let mut counter = Counter::default();
                counter.set_value(*number);
                metric.set_counter(counter);
            }
            (_, Value::Number(number)) => {
                let mut gauge = Gauge::default();
                gauge.set_value(*number);
                metric.set_gauge(gauge);
            }
            (_, Value::Histogram(recorded)) => metric.set_histogram(histogram(recorded)),
        }
        metric
    }

    pub(super) fn describe(&self, common: &[LabelPair]) -> prometheus::Result<Desc> {
        let labels = self.labels.iter().map(|name| (*name).to_owned()).collect();
        let common = common.iter().map(|pair| (pair.name().to_owned(), pair.value().to_owned()));
        Desc::new(self.name.to_owned(), self.help.to_owned(), labels, common.collect())
    }
}

pub(super) fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

pub(super) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// The counts below each bound, which are those of whole buckets.
fn histogram(recorded: &crate::Histogram) -> Histogram {
    let mut full = recorded.buckets().peekable();
    let mut below = 0;
    let buckets = bounds_ns().map(|bound_ns| {
        while let Some((_, count)) =
            full.next_if(|(longest, _)| longest.as_nanos() <= u128::from(bound_ns))
        {
            below += count;
        }
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(seconds(bound_ns));
        bucket.set_cumulative_count(below);
        bucket
    });
    let buckets = buckets.collect();
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(recorded.count());
    histogram.set_sample_sum(recorded.sum().as_secs_f64());
    histogram
}
