//! A million connects that succeed, are refused, run out of time or are called off, on loopback; in the end
//! everything is as before: descriptors, sources, timers, wheel entries, tasks, memory.
//!
//! ```text
//! cargo test --release --test stress_connect -- --nocapture        # a million
//! PUNCTUAL_CONNECTS=200000 PUNCTUAL_SEED=7 cargo test --test stress_connect -- --nocapture
//! ```
//!
//! No connection leaves a TIME_WAIT behind: those that stand are reset, the others never stood.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant as StdInstant};

use fastrand::Rng;
use peak_alloc::PeakAlloc;
use punctual::net::{Connect, Error, HappyEyeballs, Kind, TcpListener, TcpOptions};
use punctual::{Instant, Runtime, spawn, timeout, yield_now};
use socket2::{Domain, Socket, Type};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Connects under way at the same time.
const WORKERS: u64 = 200;
/// A hang must not hang the suite.
const WATCHDOG: Duration = Duration::from_secs(570);
const PATIENCE: Duration = Duration::from_secs(30);
/// What the capacity of a queue or a slab may differ by.
const MEMORY_SLACK: usize = 64 * 1024;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn a_million_connects_leave_nothing() {
    // Unoptimised, a million take too long for every day.
    let wanted = setting("PUNCTUAL_CONNECTS", if cfg!(debug_assertions) { 60_000 } else { 1_000_000 });
    let seed = setting("PUNCTUAL_SEED", fastrand::u64(..));
    println!("PUNCTUAL_SEED={seed} PUNCTUAL_CONNECTS={wanted}");
    std::thread::spawn(move || {
        std::thread::sleep(WATCHDOG);
        eprintln!("watchdog: still running after {WATCHDOG:?}; PUNCTUAL_SEED={seed}");
        std::process::abort();
    });
    let runtime = Runtime::new().expect("a runtime");
    let stage = runtime.block_on(async { Rc::new(Stage::new()) });
    let mut rng = Rng::with_seed(seed);
    // Until queues and slabs have the size that they need.
    run(&runtime, &stage, wanted / 10, &mut rng);
    let before = Baseline::of(&runtime);
    let began = StdInstant::now();
    run(&runtime, &stage, wanted - wanted / 10, &mut rng);
    let passed = began.elapsed();
    let after = Baseline::of(&runtime);
    println!(
        "{wanted} connects, the last nine tenths of them in {passed:?}, {WORKERS} at a time: {stage}"
    );
    println!("before {before:?}\nafter  {after:?}");
    assert_eq!(stage.total(), wanted, "seed {seed}");
    for kind in &stage.counts {
        assert!(kind.get() > 0, "every kind has happened: {stage}; seed {seed}");
    }
    assert_eq!(after.live, (1, 0, 0, 0), "the listener, and nothing else; seed {seed}");
    assert_eq!((after.descriptors, after.live), (before.descriptors, before.live), "seed {seed}");
    assert!(
        after.bytes <= before.bytes + MEMORY_SLACK,
        "memory: {before:?}, then {after:?}; seed {seed}"
    );
    assert_eq!(runtime.metrics().early, 0, "seed {seed}");
}

/// What is to be as it was.
#[derive(Debug)]
struct Baseline {
    descriptors: usize,
    /// Sources, timers, wheel entries, tasks.
    live: (usize, usize, usize, usize),
    bytes: usize,
}

impl Baseline {
    fn of(runtime: &Runtime) -> Baseline {
        // What was woken last needs a turn to end.
        for _ in 0..100 {
            runtime.turn(Some(Duration::ZERO)).expect("a turn");
        }
        let metrics = runtime.metrics();
        let live =
            (metrics.live_sources, metrics.live_timers, metrics.live_wheel_entries, metrics.live_tasks);
        let descriptors = std::fs::read_dir("/proc/self/fd").expect("/proc").count();
        Baseline { descriptors, live, bytes: ALLOCATOR.current_usage() }
    }
}

/// How a connect can end here.
#[derive(Clone, Copy)]
enum End {
    Connected,
    Refused,
    TimedOut,
    /// Its time was over before it began.
    NotBegun,
    Dropped,
    Aborted,
    /// By the second or third of several addresses.
    Raced,
}

const ENDS: [&str; 7] =
    ["connected", "refused", "timed out", "not begun", "dropped", "aborted", "raced"];

/// Who is dialled, and what came of it.
struct Stage {
    listener: TcpListener,
    open: SocketAddr,
    closed: SocketAddr,
    deaf: SocketAddr,
    /// What keeps the last two so.
    _held: (Socket, std::net::TcpListener, std::net::TcpStream),
    counts: [Cell<u64>; ENDS.len()],
    next: Cell<u64>,
}

impl Stage {
    fn new() -> Stage {
        let socket = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
            socket
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let open = listener.local_addr().expect("its address");
        let held = socket();
        let closed = held.local_addr().ok().and_then(|address| address.as_socket());
        let deaf = socket();
        deaf.listen(0).expect("listening");
        let deaf: std::net::TcpListener = deaf.into();
        let address = deaf.local_addr().expect("its address");
        let filler = std::net::TcpStream::connect(address).expect("the first is taken");
        Stage {
            listener,
            open,
            closed: closed.expect("its address"),
            deaf: address,
            _held: (held, deaf, filler),
            counts: Default::default(),
            next: Cell::new(0),
        }
    }

    fn total(&self) -> u64 {
        self.counts.iter().map(Cell::get).sum()
    }

    fn count(&self, end: End) {
        let count = &self.counts[end as usize];
        count.set(count.get() + 1);
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        ENDS.iter()
            .zip(&self.counts)
            .try_for_each(|(name, count)| write!(f, "\n  {name}: {}", count.get()))
    }
}

/// Makes `count` connects.
fn run(runtime: &Runtime, stage: &Rc<Stage>, count: u64, rng: &mut Rng) {
    let until = stage.next.get() + count;
    runtime.block_on(async {
        let accepting = spawn(accept_all(stage.clone()));
        let working: Vec<_> =
            (0..WORKERS).map(|_| spawn(work(stage.clone(), until, rng.fork()))).collect();
        for worker in working {
            worker.await.unwrap_or_else(|error| panic!("{error}"));
        }
        accepting.abort();
        assert!(accepting.await.is_err());
    });
}

/// Accepts and lets go: whoever connected resets it.
async fn accept_all(stage: Rc<Stage>) {
    loop {
        stage.listener.accept().await.expect("it listens");
    }
}

async fn work(stage: Rc<Stage>, until: u64, mut rng: Rng) {
    while stage.next.get() < until {
        stage.next.set(stage.next.get() + 1);
        let end = match rng.u16(..1_000) {
            0..300 => connected(&stage).await,
            300..500 => refused(&stage).await,
            500..700 => timed_out(&stage, &mut rng).await,
            700..730 => not_begun(&stage).await,
            730..900 => dropped(&stage, &mut rng).await,
            900..985 => aborted(&stage, &mut rng).await,
            _ => raced(&stage, &mut rng).await,
        };
        stage.count(end);
    }
}

async fn fails(connect: Connect) -> Error {
    connect.connect().await.expect_err("nobody answers")
}

fn reset() -> TcpOptions {
    TcpOptions::new().reset_on_close(true)
}

async fn connected(stage: &Stage) -> End {
    let stream = Connect::to(stage.open).timeout(PATIENCE).options(reset()).connect().await;
    let stream = stream.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(stream.peer_addr(), stage.open);
    End::Connected
}

async fn refused(stage: &Stage) -> End {
    let error = fails(Connect::to(stage.closed).timeout(PATIENCE)).await;
    assert_eq!(error.kind(), Kind::Kernel(libc::ECONNREFUSED), "{error}");
    End::Refused
}

async fn timed_out(stage: &Stage, rng: &mut Rng) -> End {
    let budget = Duration::from_nanos(rng.u64(1..3_000_000));
    let armed = StdInstant::now();
    let error = fails(Connect::to(stage.deaf).timeout(budget)).await;
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    assert!(armed.elapsed() >= budget, "early: {:?} of {budget:?}", armed.elapsed());
    End::TimedOut
}

async fn not_begun(stage: &Stage) -> End {
    let error = fails(Connect::to(stage.deaf).deadline(Instant::from_nanos(1))).await;
    assert!(error.deadline().is_some_and(|info| info.before_it_began()), "{error}");
    End::NotBegun
}

async fn dropped(stage: &Stage, rng: &mut Rng) -> End {
    let bound = Duration::from_nanos(rng.u64(1..2_000_000));
    let ended = timeout(bound, Connect::to(stage.deaf).timeout(PATIENCE).connect()).await;
    assert!(ended.is_err(), "nobody answers: {ended:?}");
    End::Dropped
}

async fn aborted(stage: &Stage, rng: &mut Rng) -> End {
    let address = if rng.bool() { stage.deaf } else { stage.open };
    let connecting = spawn(Connect::to(address).timeout(PATIENCE).options(reset()).connect());
    for _ in 0..rng.u8(..3) {
        yield_now().await;
    }
    connecting.abort();
    // Perhaps it was quicker.
    let _ = connecting.await;
    End::Aborted
}

async fn raced(stage: &Stage, rng: &mut Rng) -> End {
    let open = stage.open;
    let addresses = match rng.bool() {
        true => vec![stage.deaf, stage.closed, open],
        false => vec![stage.closed, stage.deaf, open],
    };
    let rules = HappyEyeballs::default().delay(Duration::from_millis(10));
    let racing = Connect::to(addresses).timeout(PATIENCE).happy_eyeballs(rules).options(reset());
    let stream = racing.connect().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(stream.peer_addr(), open);
    End::Raced
}
