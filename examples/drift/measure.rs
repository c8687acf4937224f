//! The two measurements: short waits, every strategy in turn on this thread, and long waits, side by side.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use crate::{
    options::Options,
    stats::Tally,
    strategies::{Kind, Load, Strategy},
};

/// Rounds without `--samples`: enough for a 99.9th percentile, if the machine manages them in [`SHORT_TIME`].
pub(crate) const SAMPLES_DEFAULT: u32 = 1_000;
const SHORT_TIME: Duration = Duration::from_secs(38);

/// Waits of 1 ms that each strategy makes before it is measured, so that nothing is cold and precise mode has learned.
const WARM_UP: u32 = 32;

/// Length of the long waits, how many of each, and the time from one to the next.
pub(crate) const LONG: [LongWait; 2] = [
    LongWait { wait: Duration::from_secs(1), samples: 10, every: Duration::from_millis(1_500) },
    LongWait { wait: Duration::from_secs(5), samples: 3, every: Duration::from_millis(5_500) },
];

/// Long waits start this much apart, so that no two strategies wake at the same moment and wait for each other's core.
const STAGGER: Duration = Duration::from_millis(15);

pub(crate) struct LongWait {
    pub(crate) wait: Duration,
    samples: u32,
    every: Duration,
}

/// Draws a wait, lets every strategy wait it once, in an order drawn anew; and again. So every strategy sees the same
/// waits in the same weather, and none always runs in the wake of the same other.
pub(crate) fn short(
    options: &Options,
    kinds: &[Kind],
    mut progress: impl FnMut(u64),
) -> io::Result<Vec<Tally>> {
    let load = load(options);
    let mut rng = fastrand::Rng::with_seed(options.seed);
    let mut strategies = Vec::new();
    for kind in kinds {
        strategies.push(warm(kind, &load)?);
    }
    let mut tallies: Vec<_> = kinds.iter().map(|kind| Tally::new(kind.name)).collect();
    let mut order: Vec<_> = (0..kinds.len()).collect();
    let started = Instant::now();
    for round in 0..options.samples.unwrap_or(SAMPLES_DEFAULT) {
        if options.samples.is_none() && round > 0 && started.elapsed() > SHORT_TIME {
            break;
        }
        let wait = log_uniform(&mut rng, options.min, options.max);
        rng.shuffle(&mut order);
        for &i in &order {
            tallies[i].add(strategies[i].run(wait)?);
        }
        progress(1);
    }
    Ok(tallies)
}

/// Waits of each length in [`LONG`]: a list of tallies for each. Every strategy and length has its own thread, started
/// [`STAGGER`] apart. With a load the strategy that spins would keep a core from the others, so it runs after them.
pub(crate) fn long(
    options: &Options,
    kinds: &[Kind],
    progress: impl Fn(u64) + Sync,
) -> io::Result<Vec<Vec<Tally>>> {
    let (spins, waits): (Vec<_>, Vec<_>) =
        kinds.iter().partition(|kind| options.load > 0 && spins(kind));
    let mut tallies: Vec<_> = LONG.iter().map(|_| Vec::new()).collect();
    for group in [waits, spins] {
        let start = Instant::now() + Duration::from_millis(500);
        let progress = &progress;
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for kind in group {
                for (j, long) in LONG.iter().enumerate() {
                    let start = start + STAGGER * threads.len() as u32;
                    threads
                        .push((j, scope.spawn(move || wait_long(kind, options, long, start, progress))));
                }
            }
            for (j, thread) in threads {
                let tally = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                tallies[j].push(tally);
            }
            io::Result::Ok(())
        })?;
    }
    for tallies in &mut tallies {
        tallies.sort_by_key(|tally| kinds.iter().position(|kind| kind.name == tally.name));
    }
    Ok(tallies)
}

/// Long waits there will be, over all strategies: the length of the progress bar.
pub(crate) fn long_total(options: &Options, kinds: &[Kind]) -> u64 {
    LONG.iter().map(|long| u64::from(samples(options, long))).sum::<u64>() * kinds.len() as u64
}

fn wait_long(
    kind: &Kind,
    options: &Options,
    long: &LongWait,
    start: Instant,
    progress: &impl Fn(u64),
) -> io::Result<Tally> {
    let mut strategy = warm(kind, &load(options))?;
    let mut tally = Tally::new(kind.name);
    for sample in 0..samples(options, long) {
        let slot = start + long.every * sample;
        thread::sleep(slot.saturating_duration_since(Instant::now()));
        tally.add(strategy.run(long.wait)?);
        progress(1);
    }
    Ok(tally)
}

fn warm(kind: &Kind, load: &Load) -> io::Result<Box<dyn Strategy>> {
    let mut strategy = (kind.build)(load)?;
    for _ in 0..WARM_UP {
        strategy.run(Duration::from_millis(1))?;
    }
    Ok(strategy)
}

fn load(options: &Options) -> Load {
    Load { timers: options.load as usize, seed: options.seed }
}

/// A few, and no more than the short waits.
fn samples(options: &Options, long: &LongWait) -> u32 {
    long.samples.min(options.samples.unwrap_or(SAMPLES_DEFAULT))
}

fn spins(kind: &Kind) -> bool {
    kind.name == "epoll_wait_truncated"
}

fn log_uniform(rng: &mut fastrand::Rng, min: Duration, max: Duration) -> Duration {
    let (low, high) = (min.as_secs_f64().ln(), max.as_secs_f64().ln());
    Duration::from_secs_f64((low + (high - low) * rng.f64()).exp()).clamp(min, max)
}
