//! T22, W05: floods of timers and of messages, which starve nobody and keep no memory.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use punctual::net::UnixStream;
use punctual::reactor::Direction;
use punctual::{Instant, JoinHandle, Runtime, SendError, metrics, sleep, sleep_until, spawn};
use punctual_tests_stress::alone;
use punctual_tests_stress::rig::{self, MS, assert_baseline, now_ns, since, watchdog};

/// Asks and is answered until it is told to stop; how often.
fn echo(stop: Rc<Cell<bool>>) -> (JoinHandle<u64>, JoinHandle<()>) {
    let (near, far) = UnixStream::pair().expect("a pair");
    let answers = spawn(async move {
        let mut byte = [0];
        while let Ok(1) = far.read(&mut byte).await {
            far.write_all(&byte).await.expect("room");
        }
    });
    let asks = spawn(async move {
        let mut rounds = 0;
        while !stop.get() {
            near.write_all(b"x").await.expect("room");
            near.read_exact(&mut [0]).await.expect("an answer");
            rounds += 1;
        }
        rounds
    });
    (asks, answers)
}

/// Counts how often it wakes, and how often before it was due.
struct Counts {
    due_ns: u64,
    woken: AtomicU64,
    early: AtomicU64,
}

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.early.fetch_add(u64::from(now_ns() < self.due_ns), Ordering::Relaxed);
        self.woken.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn t22_a_million_timers_due_at_once_fire_once_and_not_early_starve_no_io_and_leave_nothing() {
    if !alone!() {
        return;
    }
    let _watchdog = watchdog("t22", Duration::from_secs(240));
    let runtime = Runtime::new().expect("a runtime");
    let mut resident = vec![rig::resident_kib()];
    for _ in 0..2 {
        runtime.block_on(a_million_timers());
        assert_baseline(&runtime);
        resident.push(rig::resident_kib());
    }
    println!("resident before, and after each: {resident:?} KiB");
    assert!(resident[2] <= resident[1] + resident[1] / 10 + 1_024, "it grows: {resident:?} KiB");
}

async fn a_million_timers() {
    const TIMERS: u64 = 1_000_000;
    let due = Instant::now() + Duration::from_secs(2);
    let due_ns = due.as_nanos();
    let counts = Arc::new(Counts { due_ns, woken: AtomicU64::new(0), early: AtomicU64::new(0) });
    let waker = Waker::from(counts.clone());
    // In one poll: no turn comes between, however long it takes.
    let mut sleeps: Vec<_> = (0..TIMERS).map(|_| sleep_until(due)).collect();
    for sleep in &mut sleeps {
        assert!(Pin::new(sleep).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(metrics().live_timers as u64, TIMERS);
    while now_ns() < due_ns {
        punctual::yield_now().await;
    }
    let stop = Rc::new(Cell::new(false));
    let (asks, answers) = echo(stop.clone());
    let (fired_before, turns_before) = (metrics().fired, metrics().turns);
    while counts.woken.load(Ordering::Relaxed) < TIMERS {
        punctual::yield_now().await;
    }
    let (fired, turns) = (metrics().fired - fired_before, metrics().turns - turns_before);
    stop.set(true);
    let rounds = asks.await.expect("no panic");
    answers.await.expect("no panic");
    println!("{fired} fired in {turns} turns, {rounds} round trips meanwhile");
    assert_eq!(counts.early.load(Ordering::Relaxed), 0, "early");
    assert_eq!(counts.woken.load(Ordering::Relaxed), TIMERS, "each once");
    for sleep in &mut sleeps {
        assert!(Pin::new(sleep).poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
    // A turn fires 512, and a round trip takes a few turns.
    assert!(turns >= fired / 512, "{fired} fired in {turns} turns");
    assert!(rounds >= turns / 8, "{rounds} round trips in {turns} turns");
}

#[test]
fn w05_four_threads_that_never_stop_sending_fill_no_memory_and_starve_nobody() {
    if !alone!() {
        return;
    }
    let _watchdog = watchdog("w05", Duration::from_secs(120));
    let runtime = Runtime::new().expect("a runtime");
    let (sent, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    // What was taken in and has a result, and what has run.
    let (taken, ran) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let over = Arc::new(AtomicBool::new(false));
    let (rounds, resident) = runtime.block_on(async {
        let (target, _other) = UnixStream::pair().expect("a pair");
        let token = target.token();
        // What it is flooded with ends nothing of it.
        let threads: Vec<_> = (0..4_u64)
            .map(|number| {
                let handle = runtime.handle();
                let (sent, refused, over) = (sent.clone(), refused.clone(), over.clone());
                let (taken, ran) = (taken.clone(), ran.clone());
                std::thread::spawn(move || {
                    for turn in number.. {
                        if over.load(Ordering::Relaxed) {
                            break;
                        }
                        let mine = ran.clone();
                        let far = Some(handle.now() + Duration::from_secs(3_600));
                        let result = match turn % 4 {
                            0 => handle.set_deadline(token, Direction::Read, far),
                            1 => handle.call(move || _ = mine.fetch_add(1, Ordering::Relaxed)),
                            2 => {
                                let task = || async move {
                                    sleep(MS / 10).await;
                                    mine.fetch_add(1, Ordering::Relaxed);
                                };
                                handle.spawn(task).map(drop).map_err(|_| SendError::Full(()))
                            }
                            _ => handle.set_deadline(token, Direction::Write, far),
                        };
                        let count = if result.is_ok() { &sent } else { &refused };
                        count.fetch_add(1, Ordering::Relaxed);
                        let runs = result.is_ok() && matches!(turn % 4, 1 | 2);
                        taken.fetch_add(u64::from(runs), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let stop = Rc::new(Cell::new(false));
        let (asks, answers) = echo(stop.clone());
        let mut resident = Vec::new();
        for _ in 0..100 {
            let armed_ns = now_ns();
            sleep(20 * MS).await;
            assert!(since(armed_ns) >= 20 * MS, "early");
            assert!(metrics().inbox_depth <= metrics().inbox_capacity, "the inbox has a bound");
            resident.push(rig::resident_kib());
        }
        over.store(true, Ordering::Relaxed);
        stop.set(true);
        let rounds = asks.await.expect("no panic");
        answers.await.expect("no panic");
        for thread in threads {
            thread.join().expect("no panic");
        }
        // Nothing of what was taken in is lost: if it were, this would not end.
        while ran.load(Ordering::Relaxed) < taken.load(Ordering::Relaxed) {
            sleep(MS).await;
        }
        (rounds, resident)
    });
    let (sent, refused) = (sent.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    let (taken, ran) = (taken.load(Ordering::Relaxed), ran.load(Ordering::Relaxed));
    assert_eq!(ran, taken, "each once");
    assert_eq!(runtime.metrics().messages_refused, refused, "those who were refused were told");
    let (early, late) = (resident[20], resident[99]);
    println!(
        "{sent} sent, {refused} refused; {ran} ran; {rounds} round trips; {early} KiB at a fifth, {late} at the end"
    );
    assert!(sent > 1_000 && refused > 0, "{sent} sent, {refused} refused");
    // A round trip takes a few turns, of which each has 250 µs of calls, or a call, to run.
    assert!(rounds >= 20, "{rounds} round trips in 100 sleeps");
    assert!(late <= early + early / 4 + 8_192, "it grows: {resident:?} KiB");
    assert_baseline(&runtime);
}
