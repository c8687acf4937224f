//! `tasks`: what the executors cost.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::child::{tell, told};
use crate::options::Options;
use crate::report::{Report, Target};
use crate::rounds::{Row, Subject, by_turns};
use crate::runtimes;

/// How often each thing is done.
const NUMBER: u64 = 200_000;
/// How many operations are cancelled together.
pub(crate) const CANCELLED: usize = 10_000;

pub(crate) fn run(options: &Options) -> Result<Report, String> {
    let wanted = runtimes::ALL.iter().filter(|peer| peer.has_tasks && options.wants(peer.name));
    let subjects =
        wanted.map(|peer| Subject { peer: peer.name, variant: "", param: format!("{NUMBER} times") });
    let rows = by_turns(subjects.collect(), options.rounds, |subject| told(subject, "tasks", NUMBER))?;
    let (targets, machine) = (targets(&rows), String::new());
    Ok(Report { workload: "tasks", rounds: options.rounds, rows, targets, machine })
}

fn targets(rows: &[Row]) -> Vec<Target> {
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
        Target::most("cancel ns".into(), median(CANCEL), 1_000.0),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(crate) const SPAWN: &str = "spawn+join ns";
pub(crate) const SELF_WAKE: &str = "self-wake ns";
pub(crate) const REMOTE_WAKE: &str = "remote wake ns";
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
