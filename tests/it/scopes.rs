//! Group K: scopes and cancellation.

mod ends;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use punctual::net::Kind;
use punctual::reactor::{Bound, Direction, Failure};
use punctual::{
    Instant, JoinHandle, Runtime, Unbounded, VirtualClock, current_scope, scope, sleep, sleep_until,
    spawn,
};

use crate::support::net::*;
use crate::support::wire::{self, Wire};
use crate::support::{MS, NS, now_ns, virtual_runtime};

/// Turns that do not wait, until a loop whose clock stands still has done all that it can.
fn run(runtime: &Runtime) {
    for _ in 0..10 {
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
    }
}

/// What a task ended with; it must have ended.
#[track_caller]
fn end_of<T>(runtime: &Runtime, task: JoinHandle<T>) -> T {
    assert!(task.is_finished(), "it still waits");
    runtime.block_on(task).expect("no panic")
}

/// The deadline that `failure` is, of a scope: its name and when it was.
#[track_caller]
fn elapsed_of_scope(failure: &Failure) -> (String, Instant) {
    match failure {
        Failure::Elapsed(elapsed) => match &elapsed.bound {
            Bound::Scope(deadline) => {
                assert!(elapsed.fired >= elapsed.deadline, "early: {elapsed:?}");
                (deadline.name().to_owned(), elapsed.deadline)
            }
            other => panic!("not a scope's deadline: {other:?}"),
        },
        other => panic!("not a deadline: {other:?}"),
    }
}

/// The cause that `failure` is, and the scope that was cancelled.
#[track_caller]
fn cause_of(failure: &Failure) -> (String, Option<String>) {
    match failure {
        Failure::Cancelled(cause) => (cause.to_string(), cause.scope().map(str::to_owned)),
        other => panic!("not cancelled: {other:?}"),
    }
}
