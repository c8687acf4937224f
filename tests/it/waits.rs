//! What waits: bounded by what, in which phase, and whether it ought to be.

mod bounds;
mod inventory;
mod lists;

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use punctual::{
    Runtime, Wait, WaitBound, WaitClass, Waits, sleep, spawn, timeout, timeout_at, yield_now,
};

use crate::support::net::{assert_baseline, tcp_pair};
use crate::support::{MS, poll_once, virtual_runtime};

/// Long enough for whatever is not to end by itself.
const LONG: Duration = Duration::from_secs(3_600);

/// The only wait called so.
#[track_caller]
fn only(waits: &Waits, what: &str) -> Wait {
    let mut found = waits.iter().filter(|wait| wait.what() == what);
    match (found.next(), found.next()) {
        (Some(wait), None) => wait.clone(),
        _ => panic!("not one {what}:\n{waits}"),
    }
}

/// Runs what can run.
fn run(runtime: &Runtime) {
    for _ in 0..10 {
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
    }
}
