//! A loop of which all is known, on a thread of its own.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use punctual::net::TcpListener;
use punctual::{Instant, Runtime, debug, interval_at, sleep_until, spawn, yield_now};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 20;
const TIMERS: usize = 100;
/// How many timers fire late, all in all.
pub(crate) const LATE_TIMERS: usize = ROUNDS * TIMERS;
/// How far their deadlines are apart.
const APART: Duration = Duration::from_micros(400);
/// How long the loop is held in a round: from before the first deadline until after the last.
const HELD: Duration = Duration::from_millis(45);

/// What waits: for what, how many, and whether that lacks a deadline that it ought to have.
pub(crate) const WAITS: [(&str, usize, bool); 4] =
    [("accept", 3, false), ("join", 5, false), ("interval", 7, false), ("unknown", 5, true)];

pub(crate) struct Subject {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    late_ns: Vec<u64>,
}

#[derive(Default)]
struct Shared {
    ends: AtomicBool,
    stops: AtomicBool,
    turns: AtomicBool,
    /// When each turn was over.
    turns_ns: Mutex<Vec<u64>>,
}

impl Subject {
    /// Returns when its timers have fired and everything that waits does.
    pub(crate) fn start() -> Subject {
        let shared = Arc::new(Shared::default());
        let (says, hears) = channel();
        let of_thread = shared.clone();
        let thread = std::thread::spawn(move || run(&of_thread, says));
        let (address, late_ns) = hears.recv().expect("the subject runs");
        Subject { address, shared, thread: Some(thread), late_ns }
    }

    /// How late its timers were, by the stamps of their wakers; the least first.
    pub(crate) fn late_ns(&self) -> &[u64] {
        &self.late_ns
    }

    /// How many turns were over at `at_ns`, of the monotonic clock.
    pub(crate) fn turns_before(&self, at_ns: u64) -> u64 {
        self.turns_ns().partition_point(|turn_ns| *turn_ns <= at_ns) as u64
    }

    /// How many turns there were in the quietest and in the busiest stretch of this length.
    pub(crate) fn turns_in_any(&self, stretch_ns: u64) -> (f64, f64) {
        let turns_ns = self.turns_ns();
        let last_ns = *turns_ns.last().expect("there were turns");
        let from = turns_ns.iter().take_while(|from_ns| **from_ns + stretch_ns <= last_ns);
        let counts = from.enumerate().map(|(index, from_ns)| {
            turns_ns.partition_point(|turn_ns| *turn_ns <= from_ns + stretch_ns) - index - 1
        });
        let (least, most) = counts.fold((usize::MAX, 0), |(least, most), n| (least.min(n), most.max(n)));
        assert!(most > 0, "it turned for less than {stretch_ns} ns");
        (least as f64, most as f64)
    }

    fn turns_ns(&self) -> Vec<u64> {
        self.shared.turns_ns.lock().expect("nobody panics with it").clone()
    }

    /// Has the loop turn by timers of its own, at an uneven pace.
    pub(crate) fn turns(&self) {
        self.shared.turns.store(true, SeqCst);
    }

    /// Has the loop stand still until it [goes on](Subject::goes_on).
    pub(crate) fn stops(&self) {
        self.shared.stops.store(true, SeqCst);
    }

    pub(crate) fn goes_on(&self) {
        self.shared.stops.store(false, SeqCst);
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.shared.ends.store(true, SeqCst);
        self.shared.stops.store(false, SeqCst);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The tests' own clock: the one the kernel's timers run on, read without the help of the code under test.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn run(shared: &Shared, says: Sender<(SocketAddr, Vec<u64>)>) {
    let runtime = Runtime::new().expect("a runtime");
    let (address, mut late_ns) = runtime.block_on(async {
        let late_ns = late_timers().await;
        spawn_waits();
        let endpoint = debug::Server::builder().bind("127.0.0.1:0").expect("a port").spawn();
        (endpoint.local_addr(), late_ns)
    });
    late_ns.sort_unstable();
    // Turns that nobody counted by hand: those of block_on.
    let before = runtime.metrics().turns;
    shared.turns_ns.lock().expect("nobody panics with it").extend((0..before).map(|_| 0));
    says.send((address, late_ns)).expect("the test waits");
    while !shared.ends.load(SeqCst) {
        runtime.turn(Some(Duration::from_millis(20))).expect("a turn");
        shared.turns_ns.lock().expect("nobody panics with it").push(now_ns());
        if shared.turns.swap(false, SeqCst) {
            drop(runtime.spawn(turning()));
        }
        while shared.stops.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

async fn turning() {
    for n in 0.. {
        sleep_until(Instant::now() + Duration::from_millis(1 + n % 7)).await;
    }
}

fn spawn_waits() {
    for (what, count, _) in WAITS {
        for _ in 0..count {
            drop(match what {
                "accept" => spawn(async {
                    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
                    drop(listener.accept().await);
                }),
                "join" => spawn(async { drop(spawn(std::future::pending::<()>()).await) }),
                "interval" => spawn(async {
                    let hour = Duration::from_secs(3_600);
                    interval_at(Instant::now() + hour, hour).tick().await;
                }),
                // Those that are joined.
                "unknown" => continue,
                _ => unreachable!("{what} is made nowhere"),
            });
        }
    }
}

/// Timers that come due while the loop is held by a task, and how late each was when its waker was woken.
async fn late_timers() -> Vec<u64> {
    let mut late_ns = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let armed = (1..=TIMERS).map(|n| spawn(stamped(began + APART * n as u32))).collect::<Vec<_>>();
        // Each is polled once, and filed.
        while punctual::metrics().live_timers < TIMERS {
            yield_now().await;
        }
        let held_until = began + HELD;
        std::thread::sleep(held_until.saturating_duration_since(Instant::now()));
        for timer in armed {
            late_ns.push(timer.await.expect("it was not aborted"));
        }
    }
    late_ns
}

/// How late the wheel woke it: stamped by the waker, not by the task, which has its turn later.
async fn stamped(deadline: Instant) -> u64 {
    let mut sleep = pin!(sleep_until(deadline));
    let stamp = std::future::poll_fn(|cx| {
        Poll::Ready(Arc::new(Stamp { woken_ns: AtomicU64::new(0), task: cx.waker().clone() }))
    })
    .await;
    let waker = Waker::from(stamp.clone());
    std::future::poll_fn(|_| sleep.as_mut().poll(&mut Context::from_waker(&waker))).await;
    stamp.woken_ns.load(SeqCst) - deadline.as_nanos()
}

struct Stamp {
    woken_ns: AtomicU64,
    task: Waker,
}

impl Wake for Stamp {
    fn wake(self: Arc<Stamp>) {
        self.woken_ns.store(now_ns(), SeqCst);
        self.task.wake_by_ref();
    }
}
