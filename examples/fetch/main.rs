//! Fetches URLs as curl does, and shows where the time went: of each phase what it took, what it had, and what was left.
//!
//! ```text
//! cargo run --release --features http,tls --example fetch -- URL…
//! cargo run --release --features http,tls --example fetch -- -L -O http://localhost:8080/big.iso    # a file, a progress bar
//! cargo run --release --features http,tls --example fetch -- --json http://localhost:8080/ | jq
//! cargo run --release --features http,tls --example fetch -- --svg where.svg --repeat 2 http://localhost:8080/
//! ```
//!
//! A server that takes the request and says nothing:
//!
//! ```text
//! GET http://localhost:7914/ → no answer
//!   127.0.0.1:7914, new connection
//!               took  budget    left  0                                         303 ms
//!   resolve   215 µs     5 s     5 s  ▏
//!   connect   544 µs    30 s    30 s  ▏
//!   write     229 µs    30 s    30 s  ▏
//! ✗ wait      301 ms  300 ms    none  ████████████████████████████████████████████████
//!   total     303 ms   5m00s   4m59s
//! ✗ wait was ended by its own deadline of 300 ms, 1.1 ms late
//!   first byte from http://localhost:7914/ (127.0.0.1:7914) timed out after 300 ms
//!   (first_byte timeout set at examples/fetch/fetch.rs:129:14; peer silent for 301 ms,
//!   all of ours acknowledged), fired 1.1 ms late, 1 ms of it chosen, to share a wake-up
//! ```
//!
//! The body goes to `-o FILE`, to a file of its own name with `-O`, to stdout with `-o -` or if that is a pipe; else it is read
//! to its end and dropped. The report never mixes with it: it goes to stdout, or to stderr if the body goes there.
//!
//! Every phase has a deadline, and there are options for all of them; `--help` tells which. If one passes, the waterfall shows
//! how far it got, which it was, and why.
//!
//! Exit code: 0 if all went well, 1 if something failed, 2 for a command line that makes no sense, 3 if a deadline of ours
//! ended it, 4 for a status of 400 or more with `--fail`. Of several fetches, that of the first that did not go well.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

mod fetch;
mod options;
mod output;
mod picture;
mod progress;
mod report;
mod run;
mod terminal;
mod waterfall;
mod words;

use options::Options;
use report::Report;

fn main() -> ExitCode {
    let options = Options::from_args(io::stdout().is_terminal());
    match run::all(&options).and_then(|report| finish(&options, &report).map(|()| report)) {
        Ok(report) => ExitCode::from(report.exit_code()),
        Err(error) => {
            eprintln!("fetch: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is made of all fetches together. The waterfalls have been printed, each when it ended.
fn finish(options: &Options, report: &Report) -> io::Result<()> {
    if let Some(path) = &options.svg {
        std::fs::write(path, picture::draw(report)?)?;
    }
    if options.json {
        let mut text = serde_json::to_string_pretty(report)?;
        text.push('\n');
        match options.stdout_is_taken() {
            true => io::stderr().write_all(text.as_bytes())?,
            false => io::stdout().write_all(text.as_bytes())?,
        }
    }
    Ok(())
}
