//! What the processes report, and the table of it.

use std::collections::BTreeMap;
use std::time::Duration;

use punctual::{Histogram, Runtime};
use punctual_tests_stress::rig;
use serde::{Deserialize, Serialize};

use crate::ledger::Ledger;

/// How late firings were, in nanoseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct DriftFigures {
    pub(crate) fired: u64,
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
    pub(crate) max_ns: u64,
    pub(crate) early: u64,
}

impl DriftFigures {
    fn new(total: &Histogram, early: u64) -> DriftFigures {
        let at = |quantile| total.quantile(quantile).as_nanos() as u64;
        DriftFigures {
            fired: total.count(),
            p50_ns: at(0.5),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            max_ns: total.max().as_nanos() as u64,
            early,
        }
    }
}

/// What one process with a runtime has to say.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Side {
    /// By kind and ending.
    pub(crate) operations: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) drift: DriftFigures,
    /// Whatever else was counted.
    pub(crate) counters: BTreeMap<String, u64>,
    pub(crate) resident_kib: Vec<u64>,
    /// Who held the loop longest.
    pub(crate) culprits: Vec<String>,
    /// What must not have been, and what is left.
    pub(crate) violations: Vec<String>,
}

impl Side {
    /// After everything has ended.
    pub(crate) fn new(runtime: &Runtime, ledger: Ledger, mut resident_kib: Vec<u64>) -> Side {
        let (operations, mut violations) = ledger.into_parts();
        violations.extend(rig::left_in(runtime));
        let metrics = runtime.metrics();
        let drift = DriftFigures::new(&metrics.drift.total, metrics.early);
        let counted = [
            ("turns", metrics.turns),
            ("events", metrics.events),
            ("fired", metrics.fired),
            ("stale", metrics.stale_events),
            ("messages", metrics.messages),
            ("tasks", metrics.tasks_spawned),
            ("stalls", metrics.stalls),
        ];
        let counters = counted.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        if let Some(growth) = growth(&resident_kib) {
            violations.push(growth);
        }
        // One of ten is enough to be looked at.
        let every = resident_kib.len().div_ceil(60).max(1);
        resident_kib = resident_kib.into_iter().step_by(every).collect();
        let worst = runtime.blame().worst;
        let culprits = worst.iter().take(3).map(ToString::to_string).collect();
        Side { operations, drift, counters, resident_kib, culprits, violations }
    }

    pub(crate) fn total(&self) -> u64 {
        self.operations.values().flat_map(BTreeMap::values).sum()
    }
}

/// From this many samples on, a second apart, memory is held to what it was.
const SAMPLES: usize = 60;

/// What grows, if it does.
fn growth(resident_kib: &[u64]) -> Option<String> {
    if resident_kib.len() < SAMPLES {
        return None;
    }
    let quarter = resident_kib.len() / 4;
    let [early, late] = [&resident_kib[quarter..2 * quarter], &resident_kib[3 * quarter..]].map(median);
    let bound = early + early / 10 + 4_096;
    (late > bound)
        .then(|| format!("memory grows: {early} KiB in the second quarter, {late} in the last"))
}

fn median(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values[values.len() / 2]
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    pub(crate) connections: u32,
    /// Live at once, at the end of the ramp and later: the median of a sample a second, and the most.
    pub(crate) live_median: u64,
    pub(crate) live_most: u64,
    pub(crate) clients: Side,
    pub(crate) server: Side,
    /// By kind, really done.
    pub(crate) faults: BTreeMap<String, u64>,
    pub(crate) violations: Vec<String>,
}

impl Report {
    pub(crate) fn print(&self) {
        println!(
            "seed {}; {:.0} s; {} connections wanted, {} live at once (median), {} at most; {} operations",
            self.seed,
            self.seconds,
            self.connections,
            self.live_median,
            self.live_most,
            self.clients.total()
        );
        for (name, side) in [("clients", &self.clients), ("server", &self.server)] {
            side.print(name);
        }
        let faults: Vec<_> = self.faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        println!("faults done: {}", faults.join(", "));
        if self.violations.is_empty() {
            println!("no leak, nothing early, nothing astray, nothing lost");
        }
        self.violations.iter().for_each(|what| println!("VIOLATION: {what}"));
    }
}

impl Side {
    fn print(&self, name: &str) {
        println!("{name}:");
        for (kind, endings) in &self.operations {
            let all: u64 = endings.values().sum();
            let endings: Vec<_> =
                endings.iter().map(|(ending, count)| format!("{ending} {count}")).collect();
            println!("  {kind:<24} {all:>9}  {}", endings.join(", "));
        }
        let counters: Vec<_> =
            self.counters.iter().map(|(what, count)| format!("{what} {count}")).collect();
        println!("  {}", counters.join(", "));
        let us = |ns: u64| Duration::from_nanos(ns).as_secs_f64() * 1e6;
        println!(
            "  drift: {} fired, p50 {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs, max {:.0} µs, early {}",
            self.drift.fired,
            us(self.drift.p50_ns),
            us(self.drift.p99_ns),
            us(self.drift.p999_ns),
            us(self.drift.max_ns),
            self.drift.early
        );
        self.culprits.iter().for_each(|culprit| println!("  held by {culprit}"));
        let most = self.resident_kib.iter().max().copied().unwrap_or(0);
        println!("  resident: {} MiB at most", most / 1_024);
    }
}
