//! A million jobs, each at its own time: a third of them is cancelled, a third is put off, and all that are left
//! run, none of them early.
//!
//! ```text
//! cargo run --release --example scheduler                               # 1 000 000 jobs over 3 s
//! cargo run --release --example scheduler -- --timers 100000 --over 1s
//! ```
//!
//! ```text
//! 1000000 jobs over 3s: inserted in 129 ms, cancelled 333334 in 24 ms, put off 333333 in 18 ms
//! fired 666666 of 666666, 0 early; late by p50 10.24 µs, p99 50.2 µs, max 0.31 ms
//! longest batch 0.2 ms in 189328 turns; 2.72 s of CPU while they fired, 4.09 µs a job; 184 bytes a job
//! ```

use std::error::Error;
use std::time::{Duration, Instant as Stopwatch};

use clap::Parser;
use punctual::Leeway;
use punctual::reactor::{Event, Reactor};
use rustix::time::{ClockId, clock_gettime};

/// Schedules many jobs and says how punctual they were.
#[derive(Parser)]
struct Options {
    /// How many jobs.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    timers: u32,
    /// The time over which they are spread.
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration)]
    over: Duration,
    /// Of the times that are drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<usize>().ok()? * 1024)
}

fn main() -> Result<(), Box<dyn Error>> {
    let Options { timers, over, seed } = Options::parse();
    let over_ns = u64::try_from(over.as_nanos())?.max(1);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut reactor = Reactor::new()?;
    let before = resident_bytes();

    // The first is due only when all are inserted, so that what is measured below is the firing.
    let setting_up = Duration::from_micros(u64::from(timers)).max(Duration::from_millis(1));
    let first = reactor.now() + setting_up;
    let stopwatch = Stopwatch::now();
    let mut jobs = Vec::with_capacity(timers as usize);
    for _ in 0..timers {
        let due = first + Duration::from_nanos(rng.u64(..over_ns));
        jobs.push(reactor.insert_timer(due, Leeway::NONE));
    }
    let inserted_in = stopwatch.elapsed();
    let bytes =
        before.zip(resident_bytes()).map(|(before, after)| after.saturating_sub(before) / jobs.len());

    let stopwatch = Stopwatch::now();
    let cancelled = jobs.iter().step_by(3).filter(|job| reactor.cancel_timer(**job)).count();
    let cancelled_in = stopwatch.elapsed();
    let stopwatch = Stopwatch::now();
    let mut put_off = 0;
    for job in jobs.iter().skip(1).step_by(3) {
        let due = first + Duration::from_nanos(rng.u64(..over_ns));
        put_off += u32::from(reactor.reset_timer(*job, due).is_ok());
    }
    println!(
        "{timers} jobs over {over:?}: inserted in {} ms, cancelled {cancelled} in {} ms, put off {put_off} in {} ms",
        inserted_in.as_millis(),
        cancelled_in.as_millis(),
        stopwatch.elapsed().as_millis(),
    );

    let left = jobs.len() - cancelled;
    let (cpu_before, turns_before) = (cpu_time(), reactor.metrics().turns);
    let (mut fired, mut early, mut longest) = (0, 0u64, Duration::ZERO);
    while fired < left {
        reactor.turn(None)?;
        let turn = Stopwatch::now();
        let now = reactor.now();
        while let Some(event) = reactor.next_event() {
            if let Event::Timer { firing, .. } = event {
                fired += 1;
                early += u64::from(now.max(firing.fired) < firing.deadline);
            }
        }
        longest = longest.max(turn.elapsed());
    }
    let cpu = cpu_time() - cpu_before;
    let drift = reactor.drift();
    let us = |q| drift.total.quantile(q).as_nanos() as f64 / 1e3;
    let max_ms = drift.total.max().as_secs_f64() * 1e3;
    println!(
        "fired {fired} of {left}, {} early; late by p50 {:.2} µs, p99 {:.1} µs, max {max_ms:.2} ms",
        early + drift.early,
        us(0.5),
        us(0.99),
    );
    println!(
        "longest batch {:.1} ms in {} turns; {:.2} s of CPU while they fired, {:.2} µs a job; {} bytes a job",
        longest.as_secs_f64() * 1e3,
        reactor.metrics().turns - turns_before,
        cpu.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / left.max(1) as f64,
        bytes.map_or("unknown".into(), |bytes| bytes.to_string()),
    );
    if early + drift.early > 0 { Err("a job ran early".into()) } else { Ok(()) }
}
