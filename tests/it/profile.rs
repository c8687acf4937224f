//! CPU profiles. Each test has a process of its own: the timer and its signal are the whole process'.

mod formats;
mod labels;
mod sampling;

use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use punctual::profile::{Place, Profile, Profiler, Share};
use punctual::{Instant, Runtime};
use punctual_reactor::profile::signals;
use rustix::time::{ClockId, clock_gettime};

use crate::support::{child, cpu_time, watchdog};

/// Runs `body` in a process of its own, which is this test run again.
fn alone(test: &str, body: impl FnOnce()) {
    if child::plays("profile") {
        let _over = watchdog("a profile", Duration::from_secs(20));
        return body();
    }
    child::succeed(child::command(&format!("profile::{test}"), "profile"));
}

/// As many as the kernel gives.
fn profiler() -> Profiler {
    Profiler::new().frequency(997)
}

fn clock(id: ClockId) -> Duration {
    let now = clock_gettime(id);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Whether enough was sampled since this call to tell shares. How long that takes is the kernel's to say.
fn enough() -> impl Fn() -> bool + Clone {
    let goal = signals() + 160;
    move || signals() >= goal
}

/// Arithmetic of some tens of microseconds: next to it a look at the clock is little. A sample that falls into that is lost, as in all of the C
/// library.
#[inline(never)]
fn churn(mut state: u64) -> u64 {
    for step in 0..10_000 {
        state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step));
    }
    state
}

/// Uses the CPU for about `time` of this thread's own; adds to `used` what it was.
#[inline(never)]
fn burn(time: Duration, used: &Cell<Duration>) {
    let began = cpu_time();
    let mut state = 1;
    loop {
        state = churn(state);
        let spent = cpu_time() - began;
        if spent >= time {
            used.set(used.get() + spent);
            return;
        }
    }
}

/// The same under another name: stacks tell the two apart.
#[inline(never)]
fn burn_otherwise(time: Duration, used: &Cell<Duration>) {
    burn(time, used);
    black_box(());
}

fn samples(shares: &[Share], which: impl Fn(&Share) -> bool) -> u64 {
    shares.iter().filter(|share| which(share)).map(|share| share.samples).sum()
}

/// Whether it is of the task spawned in this line of this directory's files.
fn of_line(share: &Share, line: u32) -> bool {
    matches!(&share.place, Place::Task(task) if task.spawned_at.line() == line)
}

fn is_named(share: &Share, name: &str) -> bool {
    matches!(&share.place, Place::Task(task) if task.name.as_deref() == Some(name))
}

/// Five standard deviations of what chance makes of a share of `all` samples (binomial): one wrong alarm in 1.7 million.
fn margin(all: u64, share: f64) -> f64 {
    assert!(all >= 100, "{all} samples are too few to tell");
    // One sample may fall on the edge.
    5.0 * (share * (1.0 - share) / all as f64).sqrt() + 1.0 / all as f64
}

/// Holds how many of `all` samples were `found` against the share of the time that was measured.
fn assert_share(what: &str, found: u64, all: u64, measured: f64) {
    let (share, margin) = (found as f64 / all as f64, margin(all, measured));
    println!(
        "{what}: {found} of {all} samples, {share:.3}; by the thread's clock {measured:.3} ± {margin:.3}"
    );
    assert!(
        (share - measured).abs() <= margin,
        "{what}: {share:.3} of the samples, {measured:.3} of the time"
    );
}

/// The same for what was measured without all that belongs to it, as what it takes to yield.
fn assert_no_less(what: &str, found: u64, all: u64, measured: f64) {
    let (share, margin) = (found as f64 / all as f64, margin(all, measured));
    println!(
        "{what}: {found} of {all} samples, {share:.3}; by the thread's clock no less than {measured:.3} - {margin:.3}"
    );
    assert!(share >= measured - margin, "{what}: {share:.3} of the samples, {measured:.3} of the time");
}

/// Profiles `body` on a runtime of its own.
fn profiled<T>(body: impl Future<Output = T>) -> (Profile, T) {
    Runtime::new().expect("a runtime").block_on(async {
        let recording = profiler().start().await.expect("the first profile of this process");
        let began = Instant::now();
        let result = body.await;
        println!("profiled for {:?}", Instant::now() - began);
        (recording.finish().await.expect("a profile"), result)
    })
}
