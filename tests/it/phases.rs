//! The record of phases: what waited, how long, how it ended, and what it had been given.

mod advice;
mod connects;
mod waits;

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

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

/// The results of two futures, once both are ready.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    poll_fn(|cx| {
        if of_a.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(cx)
        {
            of_a = Some(value);
        }
        if of_b.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(cx)
        {
            of_b = Some(value);
        }
        match (of_a.take(), of_b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (of_a, of_b) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}
