//! The command line. Anything wrong with it is said in one line, before anything is measured, with exit code 2.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use clap::{Parser, error::ErrorKind};

/// More rounds than this would be a mistake rather than a measurement.
const SAMPLES_MAX: u32 = 10_000_000;
/// Waits beyond this do not fit the run anybody has the patience for.
const WAIT_MAX: Duration = Duration::from_secs(60);
const LOAD_MAX: u32 = 1_000_000;

#[derive(Parser)]
#[command(
    name = "drift",
    about = "Measures how late the timers of this machine fire, and that none is early."
)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Options {
    /// Short waits per strategy [default: 1000, or what fits in a minute].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=SAMPLES_MAX as i64))]
    pub(crate) samples: Option<u32>,
    /// Shortest of the short waits.
    #[arg(long, value_name = "DUR", default_value = "200us", value_parser = wait)]
    pub(crate) min: Duration,
    /// Longest of the short waits, which are spread evenly over the logarithm.
    #[arg(long, value_name = "DUR", default_value = "12ms", value_parser = wait)]
    pub(crate) max: Duration,
    /// Seed of the waits, of the order of the strategies in each round, and of the load.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Other timers alive on each strategy's loop, each firing once a second on average, at random.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=LOAD_MAX as i64))]
    pub(crate) load: u32,
    /// Print one JSON object instead of the report.
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the distributions into this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

impl Options {
    /// Reads the command line; ends the process if it asks for help or makes no sense.
    pub(crate) fn from_args() -> Options {
        let options = Options::try_parse().unwrap_or_else(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
            _ => refuse(
                error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: "),
            ),
        });
        if options.min > options.max {
            let (min, max) =
                (humantime::format_duration(options.min), humantime::format_duration(options.max));
            refuse(&format!("--min {min} is longer than --max {max}"));
        }
        if let Some(path) = &options.svg {
            check_writable(path);
        }
        options
    }
}

/// Says what is wrong in one line and ends the process.
pub(crate) fn refuse(why: &str) -> ! {
    eprintln!("drift: {why}");
    process::exit(2)
}

fn wait(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match duration {
        Duration::ZERO => Err("a wait of zero is no wait".to_owned()),
        d if d > WAIT_MAX => {
            Err(format!("the longest wait is {}", humantime::format_duration(WAIT_MAX)))
        }
        d => Ok(d),
    }
}

/// A minute of measuring should not end in "permission denied". A file that was not there before is not left behind.
fn check_writable(path: &Path) {
    let existed = path.exists();
    match OpenOptions::new().append(true).create(true).open(path) {
        Ok(_) if !existed => drop(std::fs::remove_file(path)),
        Ok(_) => {}
        Err(error) => refuse(&format!("cannot write --svg {}: {error}", path.display())),
    }
}
