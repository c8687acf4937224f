//! The record of phases: what waited, how long, how it ended, and what it had been given.

mod advice;
mod connects;
mod waits;

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use futures_lite::future::zip;
use punctual::net::Kind;
use punctual::{
    Instant, PhaseEnding, PhaseRecord, TimeoutBy, phases, scope, sleep, spawn, timeout, yield_now,
};

use crate::support::net::*;
use crate::support::{MS, poll_once};

/// What is known of the phase `name` on the runtime of this thread.
fn record_of(name: &str) -> Option<PhaseRecord> {
    phases().into_iter().find(|record| record.phase == name)
}

/// The endings of the phase `name` that occurred.
fn endings_of(name: &str) -> Vec<(PhaseEnding, u64)> {
    let record = record_of(name);
    let endings = record.map(|record| record.endings.iter().filter(|(_, count)| *count > 0).collect());
    endings.unwrap_or_default()
}
