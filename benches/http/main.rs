//! Requests a second of a server of ours with all its deadlines armed, and of hyper on tokio's `current_thread` runtime as
//! hyper's documentation advises, side by side.
//!
//! ```text
//! cargo bench -p punctual-benches --bench http -- [--rounds 27] [--seconds 1] [--only LOAD] [--json] [--no-instructions]
//! ```
//!
//! Both servers are processes of their own, pinned to the first CPU; wrk or h2load is pinned to the second. They take
//! their rounds by turns, and who goes first changes as well: a machine that changes its speed changes both, the
//! more so the shorter the rounds are. The ratio is the median of those of neighbouring rounds. hyper is the same crate of the same version in both, with the same service: the
//! runtimes and the deadlines are what differs. A third server is hyper on tokio with its timer installed, and so with one
//! deadline (headers, 30 s), for information.
//!
//! Instructions are those of user space by valgrind's callgrind, driven by a fixed number of requests: one connection that
//! asks and waits, 64 that ask at once, as wrk's do, and h2load's. What the start and the connecting take is subtracted, as the
//! difference of two runs. valgrind has no vDSO and so makes a system call of a clock read; the clock reads are counted, and
//! [`count::CLOCK_READ`] instructions added for each. The same run counts the other system calls. `--profile SERVER [--http2]`
//! leaves the file of callgrind in the working directory, for `callgrind_annotate --inclusive=yes`.

mod count;
mod load;
mod servers;

use std::process::ExitCode;

use count::Asked;
use load::Load;
use serde_json::{Value, json};
use servers::Kind;

/// What a second of load has to be worth against tokio's, and what a request may cost.
const LEAST_RATE: f64 = 1.0;
const MOST_INSTRUCTIONS: f64 = 0.9;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let has = |flag: &str| words.iter().any(|word| word == flag);
    let word_after = |flag: &str| {
        let at = words.iter().position(|word| word == flag)?;
        words.get(at + 1).cloned()
    };
    if let Some(name) = word_after("--serve") {
        return servers::serve(&name, has("--http2"));
    }
    if let Some(name) = word_after("--profile") {
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == name) else {
            eprintln!("error: --profile takes the name of a server");
            return ExitCode::from(2);
        };
        let asked = if has("--http2") { Asked::Http2 } else { Asked::Http1 { connections: 64 } };
        return match count::profile(kind, asked, &format!("callgrind.{name}")) {
            Ok(requests) => {
                println!("callgrind.{name}: {requests} requests");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let number = |flag: &str, default: u32| {
        let given =
            if has(flag) { word_after(flag).and_then(|word| word.parse().ok()) } else { Some(default) };
        given.filter(|number| *number > 0)
    };
    let (Some(rounds), Some(seconds)) = (number("--rounds", 27), number("--seconds", 1)) else {
        eprintln!("error: --rounds and --seconds take a number above zero");
        return ExitCode::from(2);
    };
    let only = word_after("--only");
    let chosen = |name: &str| only.as_deref().is_none_or(|only| name == only);
    let mut report = Report { quiet: has("--json"), good: true, rows: Vec::new() };
    for load in Load::ALL.iter().filter(|load| chosen(load.name)) {
        report.measure(load, rounds, seconds);
    }
    if !has("--no-instructions") {
        for asked in Asked::ALL {
            report.count(asked);
        }
    }
    if report.quiet {
        println!("{}", Value::Array(report.rows));
    }
    if report.good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Report {
    quiet: bool,
    good: bool,
    rows: Vec<Value>,
}

impl Report {
    fn say(&self, line: &str) {
        if !self.quiet {
            println!("{line}");
        }
    }

    /// Prints and keeps whether `ratio` is good enough, and by what.
    fn judge(&mut self, what: &str, ratio: f64, passes: bool, target: &str) -> bool {
        self.good &= passes;
        self.say(&format!(
            "{}: {what} {ratio:.3} x, target {target}",
            if passes { "PASS" } else { "FAIL" }
        ));
        passes
    }

    /// Requests a second and processor time of each request, under `load`.
    fn measure(&mut self, load: &Load, rounds: u32, seconds: u32) {
        self.say(&format!(
            "\n{} ({}), {rounds} rounds of {seconds} s",
            load.name,
            load.command_line(seconds)
        ));
        let measured = match load::compare(load, rounds, seconds) {
            Ok(measured) => measured,
            Err(error) => {
                eprintln!("skipped {}: {error}", load.name);
                return;
            }
        };
        self.say(&format!(
            "{:14} {:>12} {:>10} {:>14} {:>10}",
            "", "requests/s", "ratio", "CPU us/request", "ratio"
        ));
        for (kind, one) in Kind::ALL.iter().zip(&measured) {
            self.say(&format!(
                "{:14} {:12.0} {:10.3} {:14.2} {:10.3}",
                kind.name(),
                one.rate,
                one.rate_ratio,
                one.cpu_us,
                one.cpu_ratio
            ));
            self.rows.push(json!({
                "load": load.name, "server": kind.name(), "requests_per_second": one.rate,
                "rate_ratio": one.rate_ratio, "cpu_us_per_request": one.cpu_us, "cpu_ratio": one.cpu_ratio,
            }));
        }
        let ours = &measured[Kind::Punctual as usize];
        let ratio = ours.rate_ratio;
        let passes = ratio >= LEAST_RATE;
        let what = format!("requests/s under {}", load.name);
        self.judge(&what, ratio, passes, ">= 1.00 x in paired medians");
        self.say(&format!(
            "      quartiles of the ratio {:.3} .. {:.3}",
            ours.quartiles.0, ours.quartiles.1
        ));
    }

    /// Instructions and system calls of a request.
    fn count(&mut self, asked: Asked) {
        self.say(&format!("\n{}, by callgrind", asked.name()));
        let mut totals = Vec::new();
        self.say(&format!(
            "{:14} {:>12} {:>11} {:>8}  system calls a request",
            "", "instructions", "clock reads", "total"
        ));
        for kind in Kind::ALL {
            let cost = match count::cost(kind, asked) {
                Ok(cost) => cost,
                Err(error) => {
                    eprintln!("skipped the instructions: {error}");
                    return;
                }
            };
            let calls: Vec<String> =
                cost.calls.iter().map(|(name, calls)| format!("{name} {calls:.2}")).collect();
            self.say(&format!(
                "{:14} {:12.0} {:11.2} {:8.0}  {}",
                kind.name(),
                cost.instructions,
                cost.clock_reads,
                cost.total(),
                calls.join(", ")
            ));
            self.rows.push(json!({
                "asked": asked.name(), "server": kind.name(), "instructions": cost.instructions,
                "clock_reads": cost.clock_reads, "instructions_with_clock_reads": cost.total(),
                "calls": cost.calls,
            }));
            totals.push(cost.total());
        }
        let ratio = totals[Kind::Punctual as usize] / totals[Kind::Tokio as usize];
        if asked == Asked::Http2 {
            self.say(&format!("      instructions a request {ratio:.3} x"));
            return;
        }
        self.judge("instructions a request", ratio, ratio <= MOST_INSTRUCTIONS, "<= 0.90 x");
    }
}
