//! Scenarios over many seeds.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use punctual_tests_sim::runner::Run;
use punctual_tests_sim::scenarios::ALL;
use punctual_tests_sim::world::Tally;

/// How many seeds are run unless `PUNCTUAL_SEEDS` says so: few where nothing is optimized.
const SEEDS: u64 = if cfg!(debug_assertions) { 3_000 } else { 100_000 };

/// With so many failures there is no need for more.
const FAILURES_MAX: usize = 20;

fn number(name: &str) -> Option<u64> {
    let set = std::env::var(name).ok()?;
    Some(set.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[derive(Default)]
struct Sum {
    tally: Tally,
    points: u64,
    calls: u64,
    faults: u64,
    simulated: Duration,
    failures: Vec<String>,
}

#[test]
fn every_seed_holds() {
    let (first, count) = match number("PUNCTUAL_SEED") {
        Some(seed) => (seed, 1),
        None => (number("PUNCTUAL_FIRST").unwrap_or(0), number("PUNCTUAL_SEEDS").unwrap_or(SEEDS)),
    };
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let sum = Mutex::<Sum>::default();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count
                        || sum.lock().expect("no panic").failures.len() >= FAILURES_MAX
                    {
                        return;
                    }
                    let ended = Run::of_seed(seed).simulate();
                    sum.lock().expect("no panic").add(ended);
                }
            });
        }
    });
    let Sum { tally, points, calls, faults, simulated, failures } = sum.into_inner().expect("no panic");
    assert!(failures.is_empty(), "failed:\n{}", failures.join("\n"));
    println!(
        "{count} seeds of {} scenarios in {:.1} s on {threads} threads: {points} points of loops, {calls} system calls, {faults} \
         faults, {:.0} hours of virtual time; {tally:?}",
        ALL.len(),
        began.elapsed().as_secs_f64(),
        simulated.as_secs_f64() / 3_600.0,
    );
}

impl Sum {
    fn add(&mut self, ended: Result<punctual::test::Report<punctual_tests_sim::runner::Ended>, String>) {
        match ended {
            Ok(report) => {
                self.tally.add(report.value.tally);
                self.points += report.points;
                self.calls += report.counts.calls;
                let counts = report.counts;
                self.faults += counts.interrupted + counts.would_block + counts.short_reads;
                self.faults += counts.short_writes + counts.spurious + counts.stale + counts.partial;
                self.faults += counts.descriptors + counts.aborted + counts.resets + counts.lost;
                self.faults += counts.duplicated + counts.late + counts.jumps;
                self.simulated += report.simulated;
            }
            Err(failure) => {
                self.failures.push(failure);
            }
        }
    }
}

#[test]
fn t26_one_seed_is_one_trace() {
    for seed in 0..if cfg!(debug_assertions) { 200 } else { 2_000 } {
        let trace = || {
            let report = Run::of_seed(seed).simulate().unwrap_or_else(|failure| panic!("{failure}"));
            (report.trace, report.points, report.counts)
        };
        assert_eq!(trace(), trace(), "{}", Run::of_seed(seed));
    }
}
