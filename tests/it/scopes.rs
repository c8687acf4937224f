//! Group K: scopes and cancellation.

mod audit;
mod drops;
mod edges;
mod ends;
mod every_operation;
mod latency;
mod model;
mod nesting;
mod tasks;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use punctual::net::Kind;
use punctual::reactor::{Bound, Direction, Failure};
use punctual::{
    Canceller, Instant, JoinHandle, Runtime, Scope, ScopeEnd, Unbounded, VirtualClock, current_scope,
    in_scope, scope, shield, sleep, sleep_until, spawn, timeout, waits, yield_now,
};

use crate::support::net::*;
use crate::support::wire::{self, Wire};
use crate::support::{MS, NS, cpu_time, now_ns, poll_once, seeds, virtual_runtime, watchdog};

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

/// A runtime on a virtual clock with one end of a silent pair, and the other.
fn silent() -> (Runtime, VirtualClock, Rc<Wire>, Wire) {
    let (runtime, clock) = virtual_runtime();
    let (near, far) = runtime.block_on(async { wire::pair() });
    (runtime, clock, Rc::new(near), far)
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

/// Counts its drops, and sees that they happen on the thread it was made on.
struct Dropped {
    count: Rc<Cell<usize>>,
    thread: std::thread::ThreadId,
}

impl Dropped {
    fn counts(count: &Rc<Cell<usize>>) -> Dropped {
        Dropped { count: count.clone(), thread: std::thread::current().id() }
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        assert_eq!(self.thread, std::thread::current().id(), "dropped on another thread");
        self.count.set(self.count.get() + 1);
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;
