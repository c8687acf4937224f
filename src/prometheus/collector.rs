//! [`RuntimeCollector`]: a runtime in a registry.

use std::fmt;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{LabelPair, MetricFamily};

use super::family::{Family, Kind, Sample, Value, label};
use super::table::FAMILIES;
use crate::{Handle, Metrics, RuntimeId, SendError};

/// How long the loop may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_millis(100);

/// A runtime as a collector, for a registry of one's own: `registry.register(Box::new(collector))`.
///
/// A runtime belongs to its thread, and a registry is gathered on any. So to gather is to ask the loop through its
/// [`Handle`], and to wait for its answer, at most 100 ms unless [said otherwise](RuntimeCollector::answer_within):
/// gather on a thread that may block. On the loop's own thread nobody is asked and nothing waits.
///
/// A loop that does not answer in time, because it is held up or its inbox is full, is shown as it last was, and
/// `punctual_snapshot_age_seconds` says how long ago that was; it is 0 for an answer. One that has never answered, or is
/// gone, is not shown at all.
pub struct RuntimeCollector {
    handle: Handle,
    answer_within: Duration,
    common: Vec<LabelPair>,
    described: Vec<Desc>,
    last: Mutex<Option<Snapshot>>,
}

#[derive(Clone)]
struct Snapshot {
    taken: Instant,
    metrics: Metrics,
}

const AGE: Family<Duration> = Family::new(
    Kind::Gauge,
    "punctual_snapshot_age_seconds",
    "How old the other figures are: 0 unless the loop did not answer.",
    &[],
    |age| vec![Sample { labels: Vec::new(), value: Value::Number(age.as_secs_f64()) }],
);

impl RuntimeCollector {
    /// A collector of the runtime that `handle` reaches.
    ///
    /// # Panics
    /// Never: the names of the metrics are valid.
    #[must_use]
    pub fn new(handle: &Handle) -> RuntimeCollector {
        match RuntimeCollector::with_labels(handle, &[]) {
            Ok(collector) => collector,
            Err(error) => unreachable!("the names of the metrics are valid: {error}"),
        }
    }

    /// The same with `labels` on each series, as `[("runtime", "worker-3")]`: two runtimes in one registry need
    /// labels of the same names and with different values.
    ///
    /// # Errors
    /// A label whose name is not one, or is that of a label of the metrics themselves.
    pub fn with_labels(
        handle: &Handle,
        labels: &[(&str, &str)],
    ) -> prometheus::Result<RuntimeCollector> {
        let taken = FAMILIES.iter().flat_map(|family| family.labels).chain(&["le"]);
        if let Some(taken) = taken.into_iter().find(|own| labels.iter().any(|(name, _)| name == *own)) {
            let message = format!("{taken} is a label of the metrics themselves");
            return Err(prometheus::Error::Msg(message));
        }
        let common: Vec<LabelPair> = labels.iter().map(|(name, value)| label(name, value)).collect();
        let described = FAMILIES.iter().map(|family| family.describe(&common));
        let described = described.chain([AGE.describe(&common)]).collect::<Result<_, _>>()?;
        let (handle, last) = (handle.clone(), Mutex::new(None));
        Ok(RuntimeCollector { handle, answer_within: ANSWER_WITHIN, common, described, last })
    }

    /// How long a gathering thread waits for the loop; default 100 ms.
    #[must_use]
    pub fn answer_within(mut self, limit: Duration) -> RuntimeCollector {
        self.answer_within = limit;
        self
    }

    /// The figures of now, or those of before if the loop does not answer in time.
    fn snapshot(&self) -> Option<Snapshot> {
        let fresh = self.ask();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match fresh {
            Ok(Some(metrics)) => *last = Some(Snapshot { taken: Instant::now(), metrics }),
            Ok(None) => {}
            Err(Gone) => *last = None,
        }
        last.clone()
    }

    /// `None` if the loop did not answer in time.
    fn ask(&self) -> Result<Option<Metrics>, Gone> {
        if RuntimeId::current().is_some_and(|here| self.handle.runtime_id() == here) {
            return Ok(Some(crate::metrics()));
        }
        let (tell, told) = sync_channel(1);
        let asked = self.handle.call(move || {
            if RuntimeId::current().is_some() {
                // Nobody listens any more if it took too long.
                let _ = tell.try_send(crate::metrics());
            }
        });
        match asked {
            Ok(()) => Ok(told.recv_timeout(self.answer_within).ok()),
            Err(SendError::Closed(())) => Err(Gone),
            Err(_) => Ok(None),
        }
    }
}

/// The runtime has been dropped.
struct Gone;

impl Collector for RuntimeCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.described.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let asked = Instant::now();
        let Some(Snapshot { taken, metrics }) = self.snapshot() else { return Vec::new() };
        let age = asked.saturating_duration_since(taken);
        let families = FAMILIES.iter().filter_map(|family| family.collect(&metrics, &self.common));
        families.chain(AGE.collect(&age, &self.common)).collect()
    }
}

impl fmt::Debug for RuntimeCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeCollector").field("handle", &self.handle).finish_non_exhaustive()
    }
}
