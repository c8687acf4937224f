//! The wheel against its peers, side by side in one run: A B C, A B C, …; medians, ratios, and the targets.
//!
//! ```text
//! cargo bench -p punctual-benches --bench wheel_table -- [--sizes 1000,100000,1000000,10000000] [--rounds 5] [--only NAME,…] [--json]
//! ```
//!
//! Deadlines are uniform over a minute. `hot` is an insert and its cancel while all the others live; `churn` cancels a
//! random timer and arms another; `next` asks again and again; `wake` sleeps until the next deadline, fires, and so on,
//! per firing; `rearm` moves a random timer later; `drain` lets the minute pass in steps of a
//! millisecond; `worst` is the slowest single call of that drain. The drain is the same in every round, call by call,
//! so the slowest call is taken over the best time of each: what another process stole is not the wheel's. A drain that
//! took more than ten seconds is not repeated.

mod peers;
mod workload;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::IsTerminal;

use peak_alloc::PeakAlloc;
use peers::Queue;
use peers::hashed::HashWheel;
use peers::nexus::Nexus;
use peers::ours::Punctual;
use peers::slabbed::SlabWheel;
use peers::tokio_queue::TokioQueue;
use peers::trees::{Heap, Tree};
use workload::{MINUTE, Random};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// One peer, one size, all rounds: nanoseconds per operation by measurement.
#[derive(Default)]
struct Samples {
    by_metric: BTreeMap<&'static str, Vec<f64>>,
    /// The best time of each call of the drain.
    calls: Vec<u32>,
    bytes: f64,
}

impl Samples {
    fn push(&mut self, metric: &'static str, value: f64) {
        self.by_metric.entry(metric).or_default().push(value);
    }

    fn median(&self, metric: &str) -> Option<f64> {
        let mut values = self.by_metric.get(metric)?.clone();
        values.sort_by(f64::total_cmp);
        Some(values[values.len() / 2])
    }

    fn worst(&self) -> Option<f64> {
        self.calls.iter().max().map(|&nanos| f64::from(nanos))
    }
}

/// Nanoseconds of this thread's processor time per operation, so that a busy machine does not count.
fn per<R>(count: usize, work: impl FnOnce() -> R) -> f64 {
    let start = workload::cpu_time();
    black_box(work());
    (workload::cpu_time() - start).as_nanos() as f64 / count as f64
}

fn round<Q: Queue>(size: usize, most_drained: usize, samples: &mut Samples) {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let times: Vec<u64> = (0..size).map(|_| random.deadline()).collect();
    let mut keys: Vec<Option<Q::Key>> = Vec::with_capacity(size);

    let before = ALLOCATOR.current_usage();
    let mut queue = Q::new(size);
    samples.push(
        "insert",
        per(size, || {
            keys.extend(
                times.iter().enumerate().map(|(value, &at)| Some(queue.insert(at, value as u64))),
            );
        }),
    );
    samples.bytes = (ALLOCATOR.current_usage() - before) as f64 / size as f64;

    let count = 200_000;
    let hot: Vec<u64> = (0..4096).map(|_| MINUTE / 2 + random.below(1_000_000_000)).collect();
    samples.push(
        "hot",
        per(count, || {
            for i in 0..count {
                let key = queue.insert(hot[i % hot.len()], 0);
                assert!(queue.cancel(black_box(key)));
            }
        }),
    );

    // Enough for garbage that is collected lazily to be collected: it is part of the price.
    let count = (2 * size).clamp(300_000, 2_000_000);
    let mut times = times;
    let later: Vec<(usize, u64)> = (0..count)
        .map(|_| {
            let victim = random.below(size as u64) as usize;
            times[victim] += random.below(MINUTE) / 32;
            (victim, times[victim])
        })
        .collect();
    samples.push(
        "rearm",
        per(count, || {
            for &(victim, at) in &later {
                let key = keys[victim].take().expect("armed");
                keys[victim] = Some(queue.rearm(key, at));
            }
        }),
    );
    let victims: Vec<(usize, u64)> =
        (0..count).map(|_| (random.below(size as u64) as usize, random.deadline())).collect();
    samples.push(
        "churn",
        per(count, || {
            for &(victim, at) in &victims {
                assert!(queue.cancel(keys[victim].take().expect("armed")));
                keys[victim] = Some(queue.insert(at, victim as u64));
            }
        }),
    );
    let count = 100_000;
    samples.push(
        "next",
        per(count, || (0..count).map(|_| black_box(&mut queue).next()).fold(0, u64::wrapping_add)),
    );
    samples.push(
        "cancel",
        per(size, || keys.drain(..).filter_map(|key| queue.cancel(key?).then_some(())).count()),
    );
    drop(queue);

    if let Some(nanos) = workload::sleep_and_wake(&mut workload::filled::<Q>(size), size) {
        samples.push("wake", nanos);
    }

    let took_too_long = samples.median("drain").is_some_and(|nanos| nanos * size as f64 > 10e9);
    if size <= most_drained && !took_too_long {
        drain::<Q>(size, samples);
    }
}

/// Drains, and keeps the best time of each call.
fn drain<Q: Queue>(size: usize, samples: &mut Samples) {
    let mut queue = workload::filled::<Q>(size);
    let mut calls = 0;
    let nanos = per(size, || {
        workload::drain(&mut queue, size, |nanos| {
            if calls == samples.calls.len() {
                samples.calls.push(nanos);
            }
            samples.calls[calls] = samples.calls[calls].min(nanos);
            calls += 1;
        });
    });
    samples.push("drain", nanos);
}

/// One line on a terminal, nothing elsewhere.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{text:<70}\r");
    }
}

struct Peer {
    name: &'static str,
    /// Larger sizes would take minutes or gigabytes.
    most: usize,
    /// Likewise, for the drain.
    most_drained: usize,
    round: fn(usize, usize, &mut Samples),
}

fn peer<Q: Queue>(most: usize, most_drained: usize) -> Peer {
    Peer { name: Q::NAME, most, most_drained, round: round::<Q> }
}

const METRICS: [&str; 8] = ["insert", "cancel", "hot", "churn", "rearm", "next", "wake", "drain"];

fn main() {
    let options = Options::parse();
    let peers = [
        peer::<Punctual>(usize::MAX, usize::MAX),
        peer::<Nexus>(usize::MAX, 100_000),
        peer::<SlabWheel>(usize::MAX, usize::MAX),
        peer::<HashWheel>(1_000_000, 1_000_000),
        peer::<TokioQueue>(1_000_000, 1_000_000),
        peer::<Tree>(usize::MAX, usize::MAX),
        peer::<Heap>(usize::MAX, usize::MAX),
    ];
    let peers: Vec<Peer> = peers.into_iter().filter(|peer| options.wants(peer.name)).collect();
    let mut table: BTreeMap<usize, Vec<(&str, Samples)>> = BTreeMap::new();
    for &size in &options.sizes {
        let mut row: Vec<_> = peers
            .iter()
            .filter(|peer| size <= peer.most)
            .map(|peer| (peer, Samples::default()))
            .collect();
        for round in 0..options.rounds {
            for (peer, samples) in &mut row {
                progress(&format!(
                    "{size} timers, round {}/{}: {}",
                    round + 1,
                    options.rounds,
                    peer.name
                ));
                (peer.round)(size, peer.most_drained, samples);
            }
        }
        progress("");
        let row: Vec<_> = row.into_iter().map(|(peer, samples)| (peer.name, samples)).collect();
        if !options.json {
            print(size, &row);
        }
        table.insert(size, row);
    }
    let verdicts = verdicts(&table);
    if options.json {
        println!("{}", json(&table, &verdicts));
    } else {
        for verdict in &verdicts {
            println!(
                "{} {}: {}",
                if verdict.pass { "PASS" } else { "FAIL" },
                verdict.target,
                verdict.measured
            );
        }
    }
}

fn print(size: usize, row: &[(&str, Samples)]) {
    println!("\n{size} timers; ns per operation, ratio to punctual");
    print!("{:<30}", "");
    METRICS.iter().for_each(|metric| print!("{metric:>17}"));
    println!("{:>12}{:>9}", "worst µs", "bytes");
    for (name, samples) in row {
        print!("{name:<30}");
        for metric in METRICS {
            let base = row[0].1.median(metric).unwrap_or(f64::NAN);
            let cell = samples.median(metric).map(|own| format!("{own:.1} ({:.1}x)", own / base));
            print!("{:>17}", cell.unwrap_or_else(|| "-".into()));
        }
        let worst = samples.worst().map(|nanos| format!("{:.1}", nanos / 1000.0));
        println!("{:>12}{:>9.1}", worst.unwrap_or_else(|| "-".into()), samples.bytes);
    }
}

struct Verdict {
    target: String,
    measured: String,
    pass: bool,
}

fn verdicts(table: &BTreeMap<usize, Vec<(&str, Samples)>>) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let own = |size: usize| {
        table.get(&size)?.iter().find(|(name, _)| *name == Punctual::NAME).map(|(_, own)| own)
    };
    let best = |size: usize, metric: &str, among: fn(&str) -> bool| {
        let row = table.get(&size)?.iter().filter(|(name, _)| *name != Punctual::NAME && among(name));
        row.filter_map(|(name, peer)| Some((peer.median(metric)?, *name)))
            .min_by(|a, b| a.0.total_cmp(&b.0))
    };
    let mut say = |target: &str, measured: String, pass| {
        verdicts.push(Verdict { target: target.into(), measured, pass });
    };
    if let Some(hot) = own(1_000_000).and_then(|own| own.median("hot")) {
        say("insert+cancel pair <= 25 ns at 1 M", format!("{hot:.1} ns"), hot <= 25.0);
    }
    for size in [100_000, 1_000_000] {
        if let (Some(own), Some((peer, name))) =
            (own(size).and_then(|own| own.median("rearm")), best(size, "rearm", |_| true))
        {
            let measured = format!("{own:.1} ns against {peer:.1} ns ({name}): {:.2}x", peer / own);
            say(
                &format!("re-arm later >= 1.5x faster than the best peer at {size}"),
                measured,
                peer / own >= 1.5,
            );
        }
    }
    let is_wheel = |name: &str| name != Tree::NAME && name != Heap::NAME;
    if let (Some(own), Some((peer, name))) =
        (own(1_000_000).and_then(|own| own.median("drain")), best(1_000_000, "drain", is_wheel))
    {
        let measured = format!("{own:.1} ns against {peer:.1} ns ({name})");
        say("drain per timer at 1 M no slower than the best wheel", measured, own <= peer);
    }
    if let Some(own) = own(10_000_000) {
        let worst = own.worst().unwrap_or(0.0) / 1e6;
        say("worst expire call <= 1 ms at 10 M", format!("{worst:.3} ms"), worst <= 1.0);
        say("bytes per timer <= 40 at 10 M", format!("{:.1}", own.bytes), own.bytes <= 40.0);
    }
    verdicts
}

fn json(table: &BTreeMap<usize, Vec<(&str, Samples)>>, verdicts: &[Verdict]) -> serde_json::Value {
    let mut results = Vec::new();
    for (size, row) in table {
        for (name, samples) in row {
            let mut entry = serde_json::json!({
                "peer": name, "timers": size, "worst_expire_ns": samples.worst(), "bytes_per_timer": samples.bytes,
            });
            for metric in METRICS {
                entry[format!("{metric}_ns")] = samples.median(metric).into();
            }
            results.push(entry);
        }
    }
    let verdicts: Vec<_> = verdicts
        .iter()
        .map(|v| serde_json::json!({ "target": v.target, "measured": v.measured, "pass": v.pass }))
        .collect();
    serde_json::json!({ "results": results, "targets": verdicts })
}

struct Options {
    sizes: Vec<usize>,
    rounds: usize,
    only: Option<String>,
    json: bool,
}

impl Options {
    fn parse() -> Options {
        let mut options =
            Options { sizes: vec![1_000, 100_000, 1_000_000], rounds: 5, only: None, json: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| usage(&argument));
            match argument.as_str() {
                "--sizes" => {
                    let list = value();
                    options.sizes = list
                        .split(',')
                        .map(|size| size.parse().unwrap_or_else(|_| usage(size)))
                        .collect();
                }
                "--rounds" => options.rounds = value().parse().unwrap_or_else(|_| usage(&argument)),
                "--only" => options.only = Some(value()),
                "--json" => options.json = true,
                "--bench" => {}
                other => usage(other),
            }
        }
        options
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.split(',').any(|part| name == part))
    }
}

fn usage(near: &str) -> ! {
    eprintln!(
        "wheel_table: cannot make sense of {near:?}; [--sizes N,…] [--rounds N] [--only NAME,…] [--json]"
    );
    std::process::exit(2)
}
