//! How late something was, by a clock that is no peer's, and what it cost.

use rustix::time::ClockId;

use crate::child::tell;
use crate::rounds::quantile;
use crate::workloads::drift::now_ns;

/// What a peer's sleeps, or dials, have come to.
#[derive(Debug)]
pub(crate) struct Lateness {
    /// Below zero if it was early.
    late_ns: Vec<i64>,
    cpu_before_ns: u64,
}

impl Lateness {
    /// Of so many, about.
    pub(crate) fn new(expected: usize) -> Lateness {
        let late_ns = Vec::with_capacity(expected);
        Lateness { late_ns, cpu_before_ns: now_ns(ClockId::ProcessCPUTime) }
    }

    /// What the process costs and does counts from now on: what it took to begin does not.
    pub(crate) fn begin(&mut self) {
        self.late_ns.clear();
        self.cpu_before_ns = now_ns(ClockId::ProcessCPUTime);
    }

    /// What was to last until then is over.
    pub(crate) fn woke(&mut self, deadline_ns: u64) {
        self.late_ns.push(now_ns(ClockId::Monotonic) as i64 - deadline_ns as i64);
    }

    pub(crate) fn len(&self) -> usize {
        self.late_ns.len()
    }

    /// Tells the process that has started this one.
    pub(crate) fn tell(self) {
        let cpu_ns = now_ns(ClockId::ProcessCPUTime) - self.cpu_before_ns;
        Lateness::figures(self.late_ns, cpu_ns).iter().for_each(|(name, value)| tell(name, *value));
    }

    /// What is said of it.
    pub(crate) fn figures(mut late_ns: Vec<i64>, cpu_ns: u64) -> [(&'static str, f64); 5] {
        let early = late_ns.iter().filter(|ns| **ns < 0).count();
        late_ns.sort_unstable();
        let late_ns: Vec<u64> = late_ns.into_iter().map(|ns| ns.max(0) as u64).collect();
        let us = |share| quantile(&late_ns, share) as f64 / 1e3;
        [
            ("early", early as f64),
            ("p50 µs", us(0.5)),
            ("p99 µs", us(0.99)),
            ("cpu µs/wake", cpu_ns as f64 / 1e3 / late_ns.len() as f64),
            ("cpu ms", cpu_ns as f64 / 1e6),
        ]
    }
}

impl Default for Lateness {
    fn default() -> Lateness {
        Lateness::new(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_early_is_counted_and_not_late() {
        let figures = Lateness::figures(vec![2_000, -1, 1_000, 5_000], 8_000_000);
        let [early, p50, p99, each, all] = figures.map(|(_, value)| value);
        assert_eq!((early, p50, p99, each, all), (1.0, 1.0, 5.0, 2_000.0, 8.0));
    }
}
