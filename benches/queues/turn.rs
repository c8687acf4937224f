//! All there is to do to a queue, once: nanoseconds of processor time an operation.

use std::hint::black_box;

use super::Queue;
use super::workload::{self, MINUTE, Random};

/// What was measured, by name.
pub type Figures = Vec<(&'static str, f64)>;

/// An insert.
pub const INSERT: &str = "insert ns";
/// An insert and its cancel, while all the others live.
pub const PAIR: &str = "insert+cancel ns";
/// The next deadline, asked for again and again.
pub const NEXT: &str = "next ns";
/// A random timer moved later.
pub const REARM: &str = "re-arm ns";
/// A random timer cancelled and another armed.
pub const CHURN: &str = "churn ns";
/// A random timer cancelled.
pub const CANCEL: &str = "cancel ns";
/// Sleeping until the next deadline, firing, and so on: of a firing.
pub const WAKE: &str = "wake ns";
/// Letting the minute pass in steps of a millisecond: of a firing.
pub const FIRING: &str = "firing ns";
/// The slowest call of that.
pub const WORST: &str = "worst turn ms";
/// Memory, above 10 000 timers: what the process has got from the kernel.
pub const BYTES: &str = "bytes/timer";

/// How often the minute passes. It does the same each time, call by call, so the slowest call is taken over the best time of each: what
/// another process stole is not the queue's.
const DRAINS: usize = 3;
/// A drain that took so many nanoseconds is not repeated.
const TOO_LONG: f64 = 10e9;

/// Nanoseconds of this thread's processor time an operation, so that a busy machine does not count.
fn per<R>(count: usize, work: impl FnOnce() -> R) -> f64 {
    let start = workload::cpu_time();
    black_box(work());
    (workload::cpu_time() - start).as_nanos() as f64 / count as f64
}

/// Does it all to `size` timers whose deadlines are uniform over a minute; drains no more than `most_drained`.
///
/// # Panics
/// If the queue loses a timer.
#[must_use]
pub fn turn<Q: Queue>(size: usize, most_drained: usize) -> Figures {
    let mut figures = operations::<Q>(size);
    if let Some(ns) = workload::sleep_and_wake(&mut workload::filled::<Q>(size), size) {
        figures.push((WAKE, ns));
    }
    if size <= most_drained {
        figures.extend(drained::<Q>(size));
    }
    figures
}

fn operations<Q: Queue>(size: usize) -> Figures {
    let mut figures = Figures::new();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut times: Vec<u64> = (0..size).map(|_| random.deadline()).collect();
    let mut keys: Vec<Option<Q::Key>> = Vec::with_capacity(size);
    let before = memory();
    let mut queue = Q::new(size);
    figures.push((
        INSERT,
        per(size, || {
            let each = times.iter().enumerate();
            keys.extend(each.map(|(value, &at)| Some(queue.insert(at, value as u64))));
        }),
    ));
    if size >= 10_000 {
        // The keys are the caller's.
        let keys = (size * size_of::<Option<Q::Key>>()) as f64;
        figures.push((BYTES, (memory() - before - keys) / size as f64));
    }

    let count = 200_000;
    let hot: Vec<u64> = (0..4096).map(|_| MINUTE / 2 + random.below(1_000_000_000)).collect();
    figures.push((
        PAIR,
        per(count, || {
            for i in 0..count {
                let key = queue.insert(hot[i % hot.len()], 0);
                assert!(queue.cancel(black_box(key)));
            }
        }),
    ));

    // Enough for garbage that is collected lazily to be collected: it is part of the price.
    let count = (2 * size).clamp(300_000, 2_000_000);
    let mut later = || {
        let victim = random.below(size as u64) as usize;
        times[victim] += random.below(MINUTE) / 32;
        (victim, times[victim])
    };
    let later: Vec<(usize, u64)> = (0..count).map(|_| later()).collect();
    figures.push((
        REARM,
        per(count, || {
            for &(victim, at) in &later {
                let key = keys[victim].take().expect("armed");
                keys[victim] = Some(queue.rearm(key, at));
            }
        }),
    ));
    let mut victim = || (random.below(size as u64) as usize, random.deadline());
    let victims: Vec<(usize, u64)> = (0..count).map(|_| victim()).collect();
    figures.push((
        CHURN,
        per(count, || {
            for &(victim, at) in &victims {
                assert!(queue.cancel(keys[victim].take().expect("armed")));
                keys[victim] = Some(queue.insert(at, victim as u64));
            }
        }),
    ));
    let count = 100_000;
    let asked = || (0..count).map(|_| black_box(&mut queue).next()).fold(0, u64::wrapping_add);
    figures.push((NEXT, per(count, asked)));
    for at in (1..size).rev() {
        keys.swap(at, random.below(at as u64 + 1) as usize);
    }
    let cancelled = || keys.drain(..).filter_map(|key| queue.cancel(key?).then_some(())).count();
    figures.push((CANCEL, per(size, cancelled)));
    figures
}

fn drained<Q: Queue>(size: usize) -> Figures {
    let (mut best, mut least) = (Vec::new(), f64::INFINITY);
    for _ in 0..DRAINS {
        let mut queue = workload::filled::<Q>(size);
        let mut calls = 0;
        let ns = per(size, || {
            workload::drain(&mut queue, size, |ns| {
                match best.get_mut(calls) {
                    Some(best) => *best = ns.min(*best),
                    None => best.push(ns),
                }
                calls += 1;
            });
        });
        least = least.min(ns);
        if ns * size as f64 > TOO_LONG {
            break;
        }
    }
    let worst = best.into_iter().max().unwrap_or(0);
    vec![(FIRING, least), (WORST, f64::from(worst) / 1e6)]
}

/// Memory of this process that is not shared with others, in bytes.
fn memory() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix("kB"));
    line.and_then(|kib| kib.trim().parse().ok()).map_or(f64::NAN, |kib: f64| kib * 1024.0)
}
