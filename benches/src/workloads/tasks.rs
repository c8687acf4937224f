//! `tasks`: what the executors cost.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::time::ClockId;

use super::drift::now_ns;
use crate::child::{tell, told};
use crate::counted::system_calls;
use crate::options::Options;
use crate::report::{Report, Target};
use crate::rounds::{Row, Subject, by_turns, quantile};
use crate::runtimes;

/// How often each thing is done.
const NUMBER: u64 = 200_000;
/// How often a busy loop is woken while its system calls are counted.
const COUNTED: u64 = 20_000;
/// How often an idle loop is woken.
pub(crate) const IDLE_WAKES: u64 = 2_000;
/// How long it is left alone before.
const REST: Duration = Duration::from_micros(100);
/// How many operations are cancelled together.
pub(crate) const CANCELLED: usize = 10_000;

pub(crate) fn run(options: &Options) -> Result<Report, String> {
    let peers = runtimes::wanted(options);
    let subjects = peers.iter().filter(|peer| peer.has_tasks);
    let subjects =
        subjects.map(|peer| Subject { peer: peer.name, variant: "", param: format!("{NUMBER} times") });
    let mut rows =
        by_turns(subjects.collect(), options.rounds, |subject| told(subject, "tasks", NUMBER))?;
    if !options.uncounted {
        rows.iter_mut().for_each(count_system_calls);
    }
    let (targets, machine) = (targets(&rows), String::new());
    Ok(Report { workload: "tasks", rounds: options.rounds, rows, targets, machine })
}

/// Notes how many system calls a wake-up of a busy loop takes the thread that wakes: writes to what the loop sleeps on.
fn count_system_calls(row: &mut Row) {
    let peer = row.subject.peer;
    match system_calls("write", peer, "busy-wakes", [COUNTED, 3 * COUNTED]) {
        Ok(each) => row.turns.iter_mut().for_each(|turn| _ = turn.insert(CALLS.into(), each)),
        Err(why) => eprintln!("SKIPPED: {CALLS} of {peer}: {why}"),
    }
}

pub(crate) fn targets(rows: &[Row]) -> Vec<Target> {
    let of = |peer: &str| rows.iter().find(|row| row.subject.peer == peer);
    let ours = of("punctual");
    let median = |figure| ours?.median(figure);
    let ratio = |peer, figure| ours?.ratio(of(peer)?, figure);
    [
        Target::most("spawn+join ns".into(), median(SPAWN), 80.0),
        Target::most("self-wake ns".into(), median(SELF_WAKE), 30.0),
        Target::most("spawn+join of tokio".into(), ratio("tokio", SPAWN), 1.0),
        Target::most("spawn+join of smol".into(), ratio("smol", SPAWN), 1.0),
        Target::most("self-wake of tokio".into(), ratio("tokio", SELF_WAKE), 1.0),
        Target::most("self-wake of smol".into(), ratio("smol", SELF_WAKE), 1.0),
        Target::most("wake of a busy loop ns".into(), median(REMOTE_WAKE), 50.0),
        Target::most("system calls of a busy loop's wake".into(), median(CALLS), 0.001),
        Target::most("cancel ns".into(), median(CANCEL), 1_000.0),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(crate) const SPAWN: &str = "spawn+join ns";
pub(crate) const SELF_WAKE: &str = "self-wake ns";
pub(crate) const REMOTE_WAKE: &str = "remote wake ns";
pub(crate) const IDLE_WAKE: &str = "idle wake µs";
pub(crate) const CALLS: &str = "busy wake, calls";
pub(crate) const CANCEL: &str = "cancel ns";

/// Tells how long one of `number` took.
pub(crate) fn tell_each(name: &str, number: u64, began: Instant) {
    tell(name, began.elapsed().as_nanos() as f64 / number as f64);
}

/// Wakes itself so often.
pub(crate) struct WakesItself(pub(crate) u64);

impl Future for WakesItself {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Wakes the loop of `waker`, which is busy all the while, from another thread, so often, and tells how long each took
/// that thread.
pub(crate) fn wake_from_elsewhere(waker: Waker, number: u64) -> f64 {
    let began = Instant::now();
    for _ in 0..number {
        waker.wake_by_ref();
    }
    began.elapsed().as_nanos() as f64 / number as f64
}

/// Is polled again and again until the other thread has done with its waker.
pub(crate) struct BusyUntilWoken {
    number: u64,
    thread: Option<std::thread::JoinHandle<f64>>,
}

impl BusyUntilWoken {
    pub(crate) fn new(number: u64) -> BusyUntilWoken {
        BusyUntilWoken { number, thread: None }
    }
}

impl Future for BusyUntilWoken {
    type Output = f64;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<f64> {
        let (waker, number) = (cx.waker().clone(), self.number);
        let thread = self.thread.get_or_insert_with(|| {
            std::thread::spawn(move || {
                crate::child::pin(crate::child::LOAD_CORE);
                wake_from_elsewhere(waker, number)
            })
        });
        if !thread.is_finished() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let took = self.thread.take().and_then(|thread| thread.join().ok());
        Poll::Ready(took.unwrap_or(f64::NAN))
    }
}

/// Waits for another thread, which lets the loop fall asleep before it wakes it, so often; the median of how long it took from there to
/// here, in microseconds.
pub(crate) struct IdleUntilWoken {
    number: u64,
    /// When the wake that is under way was sent; zero when it has come.
    sent_ns: Arc<AtomicU64>,
    is_begun: bool,
    took_ns: Vec<u64>,
}

impl IdleUntilWoken {
    pub(crate) fn new(number: u64) -> IdleUntilWoken {
        IdleUntilWoken { number, sent_ns: Arc::default(), is_begun: false, took_ns: Vec::new() }
    }
}

impl Future for IdleUntilWoken {
    type Output = f64;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<f64> {
        if !self.is_begun {
            self.is_begun = true;
            let (waker, number, sent_ns) = (cx.waker().clone(), self.number, self.sent_ns.clone());
            std::thread::spawn(move || wake_idle(&waker, number, &sent_ns));
        }
        let now = now_ns(ClockId::Monotonic);
        let sent = self.sent_ns.swap(0, Ordering::AcqRel);
        if sent > 0 {
            self.took_ns.push(now - sent);
        }
        if (self.took_ns.len() as u64) < self.number {
            return Poll::Pending;
        }
        self.took_ns.sort_unstable();
        Poll::Ready(quantile(&self.took_ns, 0.5) as f64 / 1e3)
    }
}

fn wake_idle(waker: &Waker, number: u64, sent_ns: &AtomicU64) {
    crate::child::pin(crate::child::LOAD_CORE);
    for _ in 0..number {
        std::thread::sleep(REST);
        sent_ns.store(now_ns(ClockId::Monotonic), Ordering::Release);
        waker.wake_by_ref();
        while sent_ns.load(Ordering::Acquire) != 0 {
            std::thread::yield_now();
        }
    }
}
