//! What the hot paths cost in instructions of user space, and the gate that keeps it so: counted by valgrind's callgrind, the same
//! figure each time, whatever else the machine does. A count is the difference of two runs of this program that differ in nothing but how often.
//!
//! ```text
//! cargo bench -p punctual-instructions               # compares with baseline.json; fails if a path grew by more than 5 %
//! cargo bench -p punctual-instructions -- --bless    # writes what is counted now as the baseline
//! cargo bench -p punctual-instructions -- --json
//! ```
//!
//! Client and server of an echo are tasks of one runtime, so a round trip is that of both. valgrind makes a system call of a clock read:
//! add some 60 for each. A request over HTTP is counted by the bench `http`.

mod paths;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Parser;
use paths::{PATHS, Path};
use punctual_instructions::{Baseline, Tools};
use serde_json::json;

/// Each is run so often, and so often again.
const FEW: u32 = 1_000;
const MANY: u32 = 3_000;

/// How often a path that seems to have grown is counted again: where the kernel hands something over later than usual, a socket is
/// asked once more, and the least is the path's own.
const AGAIN: usize = 2;

/// Instructions of the hot paths, and a comparison with the baseline.
#[derive(Debug, Parser)]
struct Options {
    /// Makes what is counted now the baseline.
    #[arg(long)]
    bless: bool,
    /// Prints a JSON document, and compares nothing.
    #[arg(long)]
    json: bool,
    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
    /// Does one path so often, which is what is counted.
    #[arg(long, hide = true, num_args = 2, value_names = ["PATH", "TIMES"])]
    run: Option<Vec<String>>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(words) = &options.run {
        let path = PATHS.iter().find(|path| path.name == words[0]);
        let Some((path, times)) = path.zip(words[1].parse().ok()) else { return ExitCode::from(2) };
        (path.run)(times);
        return ExitCode::SUCCESS;
    }
    let Some(tools) = tools() else {
        println!("SKIPPED: instructions: valgrind is not installed (Debian: apt-get install valgrind)");
        return ExitCode::SUCCESS;
    };
    match judged(&options, tools) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Counts, and says what it makes of that; whether nothing has grown.
fn judged(options: &Options, tools: Tools) -> Result<bool, String> {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.json"));
    let was = if options.bless || options.json { None } else { Some(Baseline::read(&file)?) };
    let held = was.and_then(|was| Some((was.limit(&tools)?, was)));
    let mut now = Baseline::new(tools);
    for path in PATHS {
        let most = held.as_ref().and_then(|(limit, was)| Some(was.of(path.name)? * (1.0 + limit)));
        let count = least(path, most.unwrap_or(f64::INFINITY))?;
        now.set(path.name, count);
        if !options.json {
            println!("{:18} {count:8.1}  {}", path.name, path.what);
        }
    }
    if options.json {
        let row = |(path, count): (&str, f64)| json!({ "path": path, "instructions": count });
        println!("{:#}", now.counts().map(row).collect::<serde_json::Value>());
    }
    if options.bless {
        now.write(&file)?;
        println!("written: {}", file.display());
    }
    let Some((limit, was)) = held else { return Ok(true) };
    let changes = was.changes(&now, limit);
    for change in &changes {
        println!("{change}");
    }
    if changes.is_empty() {
        println!("PASS: no path has grown by more than {:.0} %", limit * 100.0);
    }
    Ok(!changes.iter().any(|change| change.fails))
}

/// Instructions of `path`, counted again while they are above `most`.
fn least(path: &Path, most: f64) -> Result<f64, String> {
    let mut least = count(path)?;
    for _ in 0..AGAIN {
        if least <= most {
            break;
        }
        least = least.min(count(path)?);
    }
    Ok(least)
}

fn count(path: &Path) -> Result<f64, String> {
    let counts = [FEW, MANY].map(|times| instructions(path.name, times));
    let [Some(few), Some(many)] = counts else { return Err(format!("{} does not run", path.name)) };
    Ok((many - few) / f64::from(MANY - FEW))
}

fn instructions(path: &str, times: u32) -> Option<f64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(std::env::current_exe().ok()?).args(["--run", path, &times.to_string()]);
    let output = command.output().ok().filter(|output| output.status.success())?;
    let told = String::from_utf8_lossy(&output.stderr);
    // ==42== Collected : 1234567
    let collected = told.lines().find_map(|line| line.split_once("Collected : "));
    collected.and_then(|(_, count)| count.trim().parse().ok())
}

/// What counts here, and what has compiled it; nothing without valgrind.
fn tools() -> Option<Tools> {
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // cargo has just run it.
    let rustc = version("rustc").unwrap_or_else(|| "an unknown rustc".into());
    Some(Tools { valgrind: version("valgrind")?, rustc, target: std::env::consts::ARCH.into() })
}
