//! The samples of one strategy, and the row of figures made of them.

use serde::Serialize;

use crate::strategies::{Account, Firing};

/// Every firing of one strategy at one kind of wait.
pub(crate) struct Tally {
    pub(crate) name: &'static str,
    lateness_ns: Vec<i64>,
    cpu_ns: u64,
    waits: u64,
    timers: u64,
    accounts: Vec<Account>,
}

impl Tally {
    pub(crate) fn new(name: &'static str) -> Tally {
        Tally { name, lateness_ns: Vec::new(), cpu_ns: 0, waits: 0, timers: 0, accounts: Vec::new() }
    }

    pub(crate) fn add(&mut self, firing: Firing) {
        self.lateness_ns.push(firing.lateness_ns);
        self.cpu_ns += firing.cpu_ns;
        self.waits += firing.waits;
        self.timers += firing.timers;
        self.accounts.extend(firing.account);
    }

    pub(crate) fn lateness_ns(&self) -> &[i64] {
        &self.lateness_ns
    }

    /// Timers that the strategy itself caught firing early.
    pub(crate) fn confessed_early(&self) -> u64 {
        self.accounts.iter().map(|account| account.early).sum()
    }

    /// The parts of the lateness, if the strategy accounted for every firing.
    pub(crate) fn parts(&self) -> Option<Parts> {
        let both = |part: &dyn Fn(&Account, i64) -> i64| {
            let mut sorted: Vec<_> = self
                .accounts
                .iter()
                .zip(&self.lateness_ns)
                .map(|(account, &ns)| part(account, ns))
                .collect();
            sorted.sort_unstable();
            [quantile(&sorted, 0.5), quantile(&sorted, 0.99)]
        };
        let fired = |a: &Account| (a.quantisation_ns + a.kernel_ns + a.loop_ns) as i64;
        (!self.accounts.is_empty() && self.accounts.len() == self.lateness_ns.len()).then(|| Parts {
            name: self.name,
            total_ns: both(&|_, ns| ns),
            quantisation_ns: both(&|a, _| a.quantisation_ns as i64),
            kernel_ns: both(&|a, _| a.kernel_ns as i64),
            loop_ns: both(&|a, _| a.loop_ns as i64),
            task_ns: both(&|a, ns| ns - fired(a)),
        })
    }

    /// The figures. A tally without samples has none.
    pub(crate) fn row(&self) -> Row {
        let mut sorted = self.lateness_ns.clone();
        sorted.sort_unstable();
        Row {
            name: self.name,
            samples: sorted.len(),
            early: sorted.partition_point(|&ns| ns < 0),
            p50_ns: quantile(&sorted, 0.5),
            p90_ns: quantile(&sorted, 0.9),
            p99_ns: quantile(&sorted, 0.99),
            p999_ns: quantile(&sorted, 0.999),
            max_ns: quantile(&sorted, 1.0),
            cpu_ns_per_wake: self.cpu_ns.checked_div(self.timers).unwrap_or(0),
            waits_per_timer: self.waits as f64 / self.timers.max(1) as f64,
        }
    }
}

/// Lateness of a strategy that accounts for it, whole and by part: median and 99th percentile of each.
pub(crate) struct Parts {
    pub(crate) name: &'static str,
    pub(crate) total_ns: [i64; 2],
    pub(crate) quantisation_ns: [i64; 2],
    pub(crate) kernel_ns: [i64; 2],
    pub(crate) loop_ns: [i64; 2],
    /// What is left: arming the timer, and waking the task once it had fired.
    pub(crate) task_ns: [i64; 2],
}

/// The figures of one strategy, as `--json` prints them.
#[derive(Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) samples: usize,
    pub(crate) early: usize,
    pub(crate) p50_ns: i64,
    pub(crate) p90_ns: i64,
    pub(crate) p99_ns: i64,
    pub(crate) p999_ns: i64,
    pub(crate) max_ns: i64,
    pub(crate) cpu_ns_per_wake: u64,
    pub(crate) waits_per_timer: f64,
}

impl Row {
    /// More than three system waits for one timer is a loop that spins; waking once for nothing is not.
    pub(crate) fn spins(&self) -> bool {
        self.waits_per_timer > 3.0
    }
}

/// The smallest sample that at least a share `q` of all samples do not exceed (the nearest rank, nothing interpolated).
fn quantile(sorted: &[i64], q: f64) -> i64 {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(0)
}
