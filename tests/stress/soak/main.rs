//! The soak: ten thousand connections through a proxy that does what networks do, while four threads cancel, move deadlines and
//! spawn from outside.
//!
//! ```text
//!  clients: one loop, ten thousand connections ── a quarter straight ──▶ server: one loop
//!     ▲ ▲ ▲ ▲           └────────── the others ──▶ proxy ──────────────────▲
//!   four threads
//! ```
//!
//! Three processes, because one may have 20 000 descriptors. What is done to a connection follows from the seed and the number of the
//! connection, so that every ending is held against what was asked for and what was done: a timeout that is early, a cause that is
//! another's, a byte that is another's, an end that nothing explains, each is a violation, and so is all that is left at the end.
//!
//! ```text
//! cargo run --release -p punctual-tests-stress -- --minutes 10 --seed 7
//! ```

mod clients;
mod ledger;
mod options;
mod proxying;
mod report;
mod server;
mod talk;
mod wire;

use clap::Parser;

use options::{Options, Role};

fn main() -> std::process::ExitCode {
    let mut options = Options::parse();
    options.seed.get_or_insert_with(|| fastrand::u64(..1 << 32));
    match options.role {
        Role::Server => server::run(&options),
        Role::Proxy => proxying::run(&options),
        Role::Clients => {
            let report = clients::run(&options);
            if options.json {
                println!("{}", serde_json::to_string(&report).expect("plain data"));
            } else {
                report.print();
            }
            if !report.violations.is_empty() {
                return std::process::ExitCode::FAILURE;
            }
        }
    }
    std::process::ExitCode::SUCCESS
}
