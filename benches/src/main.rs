//! Side by side with the peers, deadlines armed: one command, one machine, one minute.
//!
//! ```text
//! cargo run --release -p punctual-benches -- echo [--rounds 7] [--seconds 2] [--connections 1,64,1000] [--peers raw,tokio] [--json] [--svg FILE]
//! cargo run --release -p punctual-benches -- all --into docs/COMPARE.md    # everything, and the document's figures with it
//! ```
//!
//! Each peer runs in a process of its own, which this one starts, loads and ends; rounds go A B C, A B C, …, and a ratio is the median of
//! the ratios within the rounds. Whatever costs are said to be a peer's are those of its process. The servers have one core to themselves, the load has
//! the other.

mod child;
mod counted;
mod lateness;
mod load;
mod machine;
mod options;
mod report;
mod rounds;
mod runtimes;
mod server;
mod workloads;

use std::process::ExitCode;

use clap::Parser;
use options::{Options, Workload};
use report::Report;

fn main() -> ExitCode {
    if let Some(code) = child::as_child() {
        return code;
    }
    let options = Options::parse();
    // Before this thread is tied to a core, and sees no other.
    let machine = machine::line();
    let mut code = ExitCode::SUCCESS;
    for workload in options.workload.each() {
        let report =
            measured(workload, &options).map(|report| Report { machine: machine.clone(), ..report });
        match report.and_then(|report| report::tell(&report, &options)) {
            Ok(true) => {}
            Ok(false) => code = ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

fn measured(workload: Workload, options: &Options) -> Result<Report, String> {
    match workload {
        Workload::Echo => workloads::echo::run(options),
        Workload::Renew => workloads::renew::run(options),
        Workload::Drift => workloads::drift::run(options),
        Workload::Idle => workloads::idle::run(options),
        Workload::Connect => workloads::connect::run(options),
        Workload::Wheel => workloads::wheel::run(options),
        Workload::Cores => workloads::cores::run(options),
        Workload::Tasks => workloads::tasks::run(options),
        Workload::Size => workloads::size::run(options),
        // It is the others.
        Workload::All => Err("one after the other".into()),
    }
}
