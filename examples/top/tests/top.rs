//! The program as its users have it: from its command line, in a terminal, at endpoints that do as they please.

#[path = "top/culprit.rs"]
mod culprit;
#[path = "top/endpoint.rs"]
mod endpoint;
#[path = "top/figures.rs"]
mod figures;
#[path = "top/live.rs"]
mod live;
#[path = "top/once.rs"]
mod once;
#[path = "top/subject.rs"]
mod subject;
#[path = "top/terminal.rs"]
mod terminal;

const TOP: &str = env!("CARGO_BIN_EXE_top");

/// Says that a test cannot run here, and what would run it.
fn skip(reason: &str) {
    use std::io::Write;
    // Past the capture of the test runner, which shows nothing of a test that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}
