//! A terminal view of a running loop, through its debug endpoint.
//!
//! ```text
//! cargo run -p punctual-top -- 127.0.0.1:7070
//! cargo run -p punctual-top -- 127.0.0.1:7070 --once     one screen as text, for scripts
//! cargo run -p punctual-top -- 127.0.0.1:7070 --json     the document itself, a line each interval
//! ```
//!
//! ```text
//!  fetch ──▶ Message ──▶ Model ──▶ view ──▶ terminal
//!  keys  ──▶    │       (pure)    (pure)
//!  time  ──▶ Mailbox
//! ```
//!
//! It is a program on punctual itself: nothing of it waits without a deadline, so that a loop that does not turn is
//! shown as one, and not imitated.

mod arguments;
mod fetch;
mod keys;
mod live;
mod mailbox;
mod model;
mod once;
mod rates;
mod screen;
mod view;

use std::process::ExitCode;

use clap::Parser;
use punctual::Runtime;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    let ended = runtime.block_on(async {
        match (arguments.json, arguments.once) {
            (true, _) => once::json(&arguments).await,
            (false, true) => once::text(&arguments).await,
            (false, false) => live::run(&arguments).await,
        }
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => failed(&why),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("top: {}", view::harmless(why));
    ExitCode::FAILURE
}
