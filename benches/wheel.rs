//! Criterion benchmarks of the wheel and its peers.
//!
//! ```text
//! cargo bench -p punctual-benches --bench wheel                       # everything: an hour
//! cargo bench -p punctual-benches --bench wheel -- 'hot/.*/1000000'   # one operation at one size
//! cargo bench -p punctual-benches --bench wheel -- punctual           # one peer
//! ```
//!
//! For a verdict in minutes, side by side: `cargo run --release -p punctual-benches -- wheel`.

use std::cell::OnceCell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};

use punctual_benches::queues::Queue;
use punctual_benches::queues::hashed::HashWheel;
use punctual_benches::queues::nexus::Nexus;
use punctual_benches::queues::ours::Punctual;
use punctual_benches::queues::slabbed::SlabWheel;
use punctual_benches::queues::tokio_queue::TokioQueue;
use punctual_benches::queues::trees::{Heap, Tree};
use punctual_benches::queues::workload::{self, MINUTE, Random};

/// A queue with so many live timers, and their keys.
struct Live<Q: Queue> {
    queue: Q,
    keys: Vec<Option<Q::Key>>,
    times: Vec<u64>,
    random: Random,
}

impl<Q: Queue> Live<Q> {
    fn new(size: usize) -> Live<Q> {
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        let mut queue = Q::new(size);
        let times: Vec<u64> = (0..size).map(|_| random.deadline()).collect();
        let keys = times.iter().map(|&at| Some(queue.insert(at, 0))).collect();
        Live { queue, keys, times, random }
    }

    fn pick(&mut self) -> usize {
        self.random.below(self.keys.len() as u64) as usize
    }

    /// Inserts and cancels in batches; what is timed is `insert` or `cancel`.
    fn batch(&mut self, iterations: u64, timed: Timed) -> Duration {
        let mut total = Duration::ZERO;
        let mut left = iterations;
        while left > 0 {
            let count = left.min(10_000);
            let times: Vec<u64> = (0..count).map(|_| self.random.deadline()).collect();
            let start = Instant::now();
            let keys: Vec<Q::Key> = times.iter().map(|&at| self.queue.insert(at, 0)).collect();
            let inserted = start.elapsed();
            let start = Instant::now();
            keys.into_iter().for_each(|key| assert!(self.queue.cancel(key)));
            total += if timed == Timed::Insert { inserted } else { start.elapsed() };
            left -= count;
        }
        total
    }

    fn churn(&mut self) {
        let victim = self.pick();
        let at = self.random.deadline();
        if let Some(key) = self.keys[victim].take() {
            assert!(self.queue.cancel(key));
        }
        self.times[victim] = at;
        self.keys[victim] = Some(self.queue.insert(at, 0));
    }

    fn rearm(&mut self) {
        let victim = self.pick();
        self.times[victim] += self.random.below(MINUTE) / 32;
        let key = self.keys[victim].take().expect("armed");
        self.keys[victim] = Some(self.queue.rearm(key, self.times[victim]));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Timed {
    Insert,
    Cancel,
}

/// All operations for one peer at one size. The queue is built when the first of them is selected.
fn operations<Q: Queue>(criterion: &mut Criterion, size: usize) {
    let live = OnceCell::new();
    let built = || std::cell::RefCell::new(Live::<Q>::new(size));
    let mut bench = |operation: &str, run: &dyn Fn(&mut Live<Q>, u64) -> Duration| {
        criterion.benchmark_group(operation).bench_function(
            BenchmarkId::new(Q::NAME, size),
            |bencher| {
                bencher.iter_custom(|iterations| {
                    run(&mut live.get_or_init(built).borrow_mut(), iterations)
                });
            },
        );
    };
    bench("insert", &|live, iterations| live.batch(iterations, Timed::Insert));
    bench("cancel", &|live, iterations| live.batch(iterations, Timed::Cancel));
    bench("hot", &|live, iterations| {
        let start = Instant::now();
        for i in 0..iterations {
            let key = live.queue.insert(MINUTE / 2 + i % 4096 * 250_000, 0);
            assert!(live.queue.cancel(black_box(key)));
        }
        start.elapsed()
    });
    bench("churn", &|live, iterations| {
        let start = Instant::now();
        (0..iterations).for_each(|_| live.churn());
        start.elapsed()
    });
    bench("rearm", &|live, iterations| {
        let start = Instant::now();
        (0..iterations).for_each(|_| live.rearm());
        start.elapsed()
    });
    bench("next", &|live, iterations| {
        let start = Instant::now();
        (0..iterations).for_each(|_| _ = black_box(live.queue.next()));
        start.elapsed()
    });
}

/// The drain per timer, and its slowest call. Each sample is at least one whole drain.
fn drains<Q: Queue>(criterion: &mut Criterion, size: usize) {
    criterion.benchmark_group("drain").bench_function(BenchmarkId::new(Q::NAME, size), |bencher| {
        bencher.iter_custom(|iterations| {
            let (mut nanos, mut fired) = (0, 0);
            while fired < iterations {
                workload::drain(&mut workload::filled::<Q>(size), size, |took| nanos += u64::from(took));
                fired += size as u64;
            }
            Duration::from_nanos((u128::from(nanos) * u128::from(iterations) / u128::from(fired)) as u64)
        });
    });
    criterion.benchmark_group("worst_expire").bench_function(
        BenchmarkId::new(Q::NAME, size),
        |bencher| {
            bencher.iter_custom(|iterations| {
                let mut worst = 0;
                workload::drain(&mut workload::filled::<Q>(size), size, |took| worst = worst.max(took));
                Duration::from_nanos(u64::from(worst) * iterations)
            });
        },
    );
}

fn main() {
    let base = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300));
    let mut criterion = base.measurement_time(Duration::from_secs(1)).configure_from_args();
    for size in [1_000, 100_000, 1_000_000, 10_000_000] {
        operations::<Punctual>(&mut criterion, size);
        operations::<Nexus>(&mut criterion, size);
        operations::<SlabWheel>(&mut criterion, size);
        operations::<HashWheel>(&mut criterion, size);
        operations::<TokioQueue>(&mut criterion, size);
        operations::<Tree>(&mut criterion, size);
        operations::<Heap>(&mut criterion, size);
        drains::<Punctual>(&mut criterion, size);
        drains::<SlabWheel>(&mut criterion, size);
        drains::<Tree>(&mut criterion, size);
        drains::<Heap>(&mut criterion, size);
        if size <= 1_000_000 {
            drains::<HashWheel>(&mut criterion, size);
            drains::<TokioQueue>(&mut criterion, size);
        }
        // Over a minute a drain of a million takes it more than a minute.
        if size <= 100_000 {
            drains::<Nexus>(&mut criterion, size);
        }
    }
    criterion.final_summary();
}
