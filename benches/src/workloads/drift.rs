//! `drift`: random sleeps, one after the other; how late, and what a wake-up costs.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::child::{tell, told};
use crate::options::Options;
use crate::report::{Report, Target};
use crate::rounds::{Row, Subject, by_turns, quantile};
use crate::runtimes;

/// The shortest and the longest sleep.
const RANGE_NS: (u64, u64) = (200_000, 12_000_000);

pub(crate) fn run(options: &Options) -> Result<Report, String> {
    let number = (options.seconds * 1e9 / ((RANGE_NS.0 + RANGE_NS.1) / 2) as f64).ceil() as u64;
    let of = |peer: &'static runtimes::Peer| {
        let param = "0.2–12 ms".to_owned();
        peer.sleeps.iter().map(move |variant| Subject { peer: peer.name, variant, param: param.clone() })
    };
    let wanted = runtimes::ALL.iter().filter(|peer| options.wants(peer.name));
    let rows = by_turns(wanted.flat_map(of).collect(), options.rounds, |subject| {
        told(subject, "sleep", number.max(1))
    })?;
    Ok(Report {
        workload: "drift",
        rounds: options.rounds,
        targets: targets(&rows),
        rows,
        machine: String::new(),
    })
}

fn targets(rows: &[Row]) -> Vec<Target> {
    let of = |peer: &str, variant: &str| {
        rows.iter().find(|row| row.subject.peer == peer && row.subject.variant == variant)
    };
    let (ours, precise, raw) =
        (of("punctual", "sleep"), of("punctual", "precise"), of("raw", "timerfd"));
    let ratio = |figure| ours?.ratio(raw?, figure);
    let early = |row: &Row| row.turns.iter().filter_map(|figures| figures.get("early")).sum::<f64>();
    [
        Target::most("early".into(), ours.zip(precise).map(|(a, b)| early(a) + early(b)), 0.0),
        Target::most("p50 of raw timerfd".into(), ratio("p50 µs"), 1.10),
        Target::most("cpu of raw timerfd".into(), ratio("cpu µs/wake"), 1.15),
        Target::most("precise p50, µs".into(), precise.and_then(|row| row.median("p50 µs")), 5.0),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The sleeps of a peer, the same for all, and what came of them by a clock that is no peer's.
pub(crate) struct Sleeps {
    left: u64,
    random: fastrand::Rng,
    deadline_ns: u64,
    late_ns: Vec<u64>,
    early: u64,
    cpu_before_ns: u64,
}

impl Sleeps {
    pub(crate) fn new(number: u64) -> Sleeps {
        Sleeps {
            left: number,
            random: fastrand::Rng::with_seed(7),
            deadline_ns: 0,
            late_ns: Vec::with_capacity(number as usize),
            early: 0,
            cpu_before_ns: now_ns(ClockId::ProcessCPUTime),
        }
    }

    /// How long to sleep from now on; nothing if that was all.
    pub(crate) fn begin(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let duration = self.random.u64(RANGE_NS.0..=RANGE_NS.1);
        self.deadline_ns = now_ns(ClockId::Monotonic) + duration;
        Some(Duration::from_nanos(duration))
    }

    /// The moment until which the sleep that was begun last is to last.
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }

    /// It is over.
    pub(crate) fn woke(&mut self) {
        let now = now_ns(ClockId::Monotonic);
        self.early += u64::from(now < self.deadline_ns);
        self.late_ns.push(now.saturating_sub(self.deadline_ns));
    }

    /// Tells the process that has started this one.
    pub(crate) fn tell(mut self) {
        let cpu_ns = now_ns(ClockId::ProcessCPUTime) - self.cpu_before_ns;
        self.late_ns.sort_unstable();
        let us = |share| quantile(&self.late_ns, share) as f64 / 1e3;
        tell("early", self.early as f64);
        tell("p50 µs", us(0.5));
        tell("p99 µs", us(0.99));
        tell("cpu µs/wake", cpu_ns as f64 / 1e3 / self.late_ns.len() as f64);
    }
}

pub(crate) fn now_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

pub(crate) fn timespec(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 }
}
