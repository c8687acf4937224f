//! How late do timers fire on this machine, by each way there is to wait? And is any of them early?
//!
//! ```text
//! cargo run --release --example drift                         # about 50 s
//! cargo run --release --example drift -- --svg drift.svg      # and a picture
//! cargo run --release --example drift -- --load 1000 --json   # 1000 other timers on each loop; JSON on stdout
//! ```
//!
//! A virtual machine with two cores said, among more:
//!
//! ```text
//! Linux 6.18.44-fc-v669, AMD EPYC, 2 cores, clocksource tsc, governor not readable, HZ 250, timer slack 50 µs
//! waits of 200us to 12ms, then 1 s and 5 s; no other timers; seed 1
//!
//! lateness in µs         samples  early      p50      p90      p99    p99.9      max  CPU/wake  waits/timer
//! epoll_wait_truncated      1000      0     0.19     0.86     93.5     2591     2597     444.9      2467.74
//! epoll_wait_ceil           1000      0    649.2    927.6     1091     1129     2508      27.3         1.00
//! epoll_pwait2              1000      0     85.8    127.8    176.2     1088     2283      26.8         1.00
//! timerfd                   1000      0     36.6     79.8    131.6    178.5    319.8      27.7         1.00
//! punctual                  1000      0     42.1     96.1    150.4    387.6     1555      33.9         1.00
//! punctual_precise          1000      0     4.00     14.1     74.8    232.8    343.0      70.1       197.88
//! thread_sleep              1000      0     88.1    125.9    182.7    407.1    941.2      26.2         1.00
//! so_rcvtimeo               1000      0     4817     6933     7694     8964    10775      31.3         1.00
//!
//! p50 / p99 in µs                  total    quantisation          kernel            loop            task
//! punctual                  42.1 / 150.4     0.00 / 0.00    38.7 / 133.9     1.53 / 7.10     2.06 / 9.03
//! punctual_precise           4.00 / 74.8     0.00 / 0.00     0.43 / 55.8     1.45 / 6.62     2.08 / 8.47
//!
//! Early: nobody, in 8104 timers.
//! Rounding up to whole milliseconds costs 563.4 µs at the median: epoll_wait_ceil 649.2 µs, epoll_pwait2 85.8 µs.
//! Timer slack costs 5007 µs at 5 s (0.10 % of the wait): epoll_pwait2 is 5086 µs late, a timerfd, which has none, 78.8 µs.
//! Precise mode takes the median from 42.1 to 4.00 µs (p99 150.4 to 74.8) and costs 36.3 µs of CPU a wake.
//! ```
//!
//! # How it is measured
//! - **Short waits** are drawn at random (evenly over the logarithm of `--min` to `--max`). Each is waited by every
//!   strategy in turn, on one thread, in an order drawn anew for each round; then comes the next.
//! - **Long waits** of 1 s and 5 s run side by side, a thread for each strategy and length, each 15 ms after the one
//!   before, so that no two wake at the same moment.
//! - **Lateness** is the clock right after the wake, less the clock right before arming, less the wait. Below zero is
//!   early. Percentiles are samples (nearest rank), never interpolated.
//! - **CPU/wake** is CPU time of the thread from arming to firing, divided by the timers that fired in it. Reading
//!   that clock costs about 1 µs, which is included.
//! - **Waits/timer** counts the system calls that waited (or would have, but for a timeout of zero), likewise divided.
//! - **`--load N`**: N other timers on the same loop, each firing once a second on average, at random. punctual serves
//!   them as N tasks that sleep; a raw way of waiting is given the plainest loop that can serve them, a binary heap of
//!   deadlines. With a load, lateness is that of the one measured timer; CPU and waits are per timer fired, all counted.
//! - **Parts** are punctual's own account of each measured firing: what it chose (quantisation), the kernel's wake-up, the
//!   loop until it fired; the rest is arming the timer before and waking the task after.
//! - Precise mode may spin for 2 % of the time that passes. Taking turns, it has the time of the others to save up.
//!
//! Exit code: 1 if punctual fired early, be it once; 2 for a command line that makes no sense; else 0.

use std::{
    fs,
    io::{self, Write as _},
    process::ExitCode,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    machine::Machine,
    options::Options,
    results::{LongRow, Results},
    stats::Tally,
};

mod machine;
mod measure;
mod options;
mod picture;
mod results;
mod stats;
mod strategies;
mod table;
mod verdict;

fn main() -> ExitCode {
    let options = Options::from_args();
    match run(&options) {
        Ok(results) if results.punctual_early() > 0 => {
            eprintln!("drift: punctual fired early, which it promises never to do");
            ExitCode::FAILURE
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drift: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<Results> {
    let machine = Machine::probe();
    let kinds = strategies::all();

    let rounds = options.samples.unwrap_or(measure::SAMPLES_DEFAULT);
    let bar = progress(rounds.into(), "short waits, each strategy in turn");
    let short = measure::short(options, &kinds, |n| bar.inc(n))?;
    bar.finish_and_clear();
    let bar = progress(measure::long_total(options, &kinds), "waits of 1 s and 5 s, side by side");
    let long = measure::long(options, &kinds, |n| bar.inc(n))?;
    bar.finish_and_clear();

    let lengths = measure::LONG.iter().zip(&long);
    let results = Results {
        loaded: options.load > 0,
        machine,
        strategies: short.iter().map(Tally::row).collect(),
        long: lengths
            .flat_map(|(long, tallies)| tallies.iter().map(|tally| LongRow::new(tally, long.wait)))
            .collect(),
        parts: short.iter().filter_map(Tally::parts).collect(),
        confessed_early: short.iter().chain(long.iter().flatten()).map(Tally::confessed_early).sum(),
    };
    if let Some(path) = &options.svg {
        fs::write(path, picture::draw(options, &results, &short, &long)?)?;
    }
    let mut text = match options.json {
        true => serde_json::to_string_pretty(&results)?,
        false => report(options, &results),
    };
    text.push('\n');
    io::stdout().write_all(text.as_bytes())?;
    Ok(results)
}

fn report(options: &Options, results: &Results) -> String {
    let mut blocks = vec![format!("{}\n{}\n", results.machine, conditions(options))];
    blocks.push(table::short(&results.strategies));
    blocks.push(table::long(&results.long));
    if !results.parts.is_empty() {
        blocks.push(table::parts(&results.parts));
    }
    blocks.push(verdict::sentences(results).join("\n"));
    blocks.join("\n")
}

/// What was asked for, in a line that repeats the run.
fn conditions(options: &Options) -> String {
    let (min, max) = (humantime::format_duration(options.min), humantime::format_duration(options.max));
    let load = match options.load {
        0 => "no other timers".to_owned(),
        n => format!("{n} other timers on each loop"),
    };
    format!("waits of {min} to {max}, then 1 s and 5 s; {load}; seed {}", options.seed)
}

/// On stderr, and only if that is a terminal.
fn progress(total: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}, {eta} left");
    let bar = ProgressBar::new(total).with_message(what);
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}
