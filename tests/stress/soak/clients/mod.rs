//! The process of the clients: all connections on one loop.

mod disturbed;
mod drawn;
mod endings;
mod foreign;
mod life;
mod monitor;
mod operations;
mod requests;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant as StdInstant};

use punctual::{Runtime, sleep, spawn};
use punctual_tests_stress::rig;

use crate::ledger::Ledger;
use crate::options::Options;
use crate::report::{Report, Side};
use crate::server::{Addresses, sum_of};
use crate::talk::{Order, Other};
use foreign::{Foreign, Shot};
use monitor::Monitor;

/// So many connections may be dialled at once: a listener's backlog holds them all.
const DIALLING: u32 = 256;
/// One HTTP client task for so many connections.
const PER_HTTP: u32 = 100;

/// What all clients share.
struct Stage {
    ledger: Rc<Ledger>,
    seed: u64,
    slots: u32,
    /// Between two operations of a client, on average.
    pause: Cell<Duration>,
    /// Straight to the server, and through the proxy.
    direct: Vec<SocketAddr>,
    proxied: Vec<SocketAddr>,
    /// HTTP, straight and through the proxy.
    http: [SocketAddr; 2],
    /// Nobody listens there.
    closed: SocketAddr,
    dialling: Cell<u32>,
    live: Cell<u64>,
    /// From here on nobody gives up.
    patient: Cell<bool>,
    /// All faults have ended; each client has one connection left to make.
    healed: Cell<bool>,
    threads: RefCell<Vec<Sender<Shot>>>,
    monitor: Arc<Monitor>,
}

impl Stage {
    /// Has one of the four threads do something.
    fn shoot(&self, slot: u32, shot: Shot) {
        let threads = self.threads.borrow();
        threads[slot as usize % threads.len()].send(shot).expect("they end last");
    }
}

/// What was sampled, once a second.
#[derive(Default)]
struct Samples {
    live: Vec<u64>,
    resident: Vec<u64>,
}

pub(crate) fn run(options: &Options) -> Report {
    let options = &within_limits(options);
    // Threads and descriptors of the standard library are made before they are counted.
    let (mut server, mut proxy, addresses, proxied) = others(options);
    let before = rig::descriptors();
    let began = StdInstant::now();
    let runtime = Runtime::new().expect("a runtime");
    let deaf =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    deaf.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
    let closed = deaf.local_addr().ok().and_then(|address| address.as_socket()).expect("its address");
    let (proxied_http, proxied_frames) = proxied.split_last().expect("the last is that of HTTP");
    let (foreign, threads) = Foreign::start(&runtime.handle(), options.seed());
    let watched = options.connections + options.connections / PER_HTTP;
    let (monitor, watching) = Monitor::start(watched, runtime.handle());
    let stage = Rc::new(Stage {
        ledger: Rc::default(),
        seed: options.seed(),
        slots: options.connections,
        pause: Cell::new(Duration::from_millis(options.pause_ms)),
        direct: addresses.frames.clone(),
        proxied: proxied_frames.to_vec(),
        http: [addresses.http, *proxied_http],
        closed,
        dialling: Cell::new(0),
        live: Cell::new(0),
        patient: Cell::new(false),
        healed: Cell::new(false),
        threads: RefCell::new(threads),
        monitor,
    });
    let tell = |order| {
        proxy.order(order);
        server.order(order);
        if order == Order::Heal {
            proxy.hear::<String>();
        }
    };
    let samples = runtime.block_on(async {
        let samples = play(stage.clone(), options, tell).await;
        stage.threads.take();
        foreign.ended().await;
        samples
    });
    let told = foreign.finish();
    let faults: std::collections::BTreeMap<String, u64> = proxy.finish();
    let server: Side = server.finish();
    let ledger = match Rc::try_unwrap(stage) {
        Ok(stage) => Rc::into_inner(stage.ledger).expect("no operation runs"),
        Err(_) => panic!("somebody still holds the stage"),
    };
    let mut clients = Side::new(&runtime, ledger, samples.resident);
    watching.join().expect("no panic");
    drop((runtime, deaf));
    clients.violations.extend(rig::descriptors_beyond(&before));
    told.add_to(&mut clients);
    let (live_median, live_most) = figures(samples.live);
    let mut report = Report {
        seed: options.seed(),
        seconds: began.elapsed().as_secs_f64(),
        connections: options.connections,
        live_median,
        live_most,
        clients,
        server,
        faults,
        violations: Vec::new(),
    };
    report.violations = violations(&report);
    report
}

/// The server and the proxy; where the server is, and where the proxy.
fn others(options: &Options) -> (Other, Other, Addresses, Vec<SocketAddr>) {
    let words = |more: &[String]| {
        let seed = options.seed().to_string();
        let own = ["--seed".into(), seed, "--connections".into(), options.connections.to_string()];
        own.into_iter().chain(more.iter().cloned()).collect::<Vec<_>>()
    };
    let mut server = Other::start("server", &words(&[]));
    let addresses: Addresses = server.hear();
    let upstreams = addresses.frames.iter().chain([&addresses.http]).map(ToString::to_string);
    let upstreams: Vec<String> = upstreams.collect();
    let mut proxy = Other::start("proxy", &words(&["--upstreams".into(), upstreams.join(",")]));
    let proxied = proxy.hear();
    (server, proxy, addresses, proxied)
}

/// As many connections as the descriptors of the three processes allow.
fn within_limits(options: &Options) -> Options {
    let allowed = u32::try_from(rig::raise_descriptors()).unwrap_or(u32::MAX);
    // The proxy has two for three quarters of them, duplicates, and those of HTTP.
    let room = (allowed.saturating_sub(500) / 18 * 10).max(40);
    if room < options.connections {
        eprintln!("RLIMIT_NOFILE leaves room for {room} connections, not {}", options.connections);
    }
    Options { connections: options.connections.min(room), ..options.clone() }
}

/// The load, and its end.
async fn play(stage: Rc<Stage>, options: &Options, mut tell: impl FnMut(Order)) -> Samples {
    let slots: Vec<_> = (0..stage.slots).map(|slot| spawn(life::live(slot, stage.clone()))).collect();
    let web = (0..stage.slots / PER_HTTP).map(|number| spawn(requests::live(number, stage.clone())));
    let web: Vec<_> = web.collect();
    let governor = spawn(govern(stage.clone(), stage.pause.get()));
    let mut samples = Samples::default();
    let (began, mut ramped) = (StdInstant::now(), false);
    while began.elapsed() < options.duration() {
        sleep(Duration::from_secs(1)).await;
        if !ramped && stage.live.get() >= u64::from(stage.slots) * 95 / 100 {
            ramped = true;
            tell(Order::Measure);
        }
        if ramped {
            samples.live.push(stage.live.get());
            samples.resident.push(rig::resident_kib());
        }
    }
    // What hangs when the network heals is to be seen.
    stage.patient.set(true);
    sleep(Duration::from_secs(1)).await;
    tell(Order::Heal);
    stage.healed.set(true);
    governor.abort();
    for task in slots.into_iter().chain(web) {
        if let Err(error) = task.await {
            stage.ledger.violation(format!("a client: {error}"));
        }
    }
    samples
}

/// Has the clients rest for longer while the machine is behind: what is to be seen are faults, and not its limits.
async fn govern(stage: Rc<Stage>, least: Duration) {
    const STEP: Duration = Duration::from_millis(100);
    const LATE: Duration = Duration::from_millis(40);
    loop {
        let began = StdInstant::now();
        sleep(STEP).await;
        let late = began.elapsed().saturating_sub(STEP);
        let pause = stage.pause.get();
        stage
            .pause
            .set(if late > LATE { pause * 5 / 4 } else { pause * 31 / 32 }.clamp(least, 20 * least));
    }
}

fn figures(mut live: Vec<u64>) -> (u64, u64) {
    live.sort_unstable();
    (live.get(live.len() / 2).copied().unwrap_or(0), live.last().copied().unwrap_or(0))
}

/// What must not have been, of all processes together.
fn violations(report: &Report) -> Vec<String> {
    let mut all = Vec::new();
    for (who, side) in [("clients", &report.clients), ("server", &report.server)] {
        all.extend(side.violations.iter().map(|what| format!("{who}: {what}")));
    }
    let damaged =
        sum_of(&report.clients.operations, "damaged") + sum_of(&report.server.operations, "damaged");
    let corrupted = report.faults.get("corrupt").copied().unwrap_or(0);
    if damaged > corrupted {
        all.push(format!(
            "{damaged} frames and bodies came damaged, and the proxy corrupted {corrupted}"
        ));
    }
    if report.live_median < u64::from(report.connections) * 9 / 10 {
        all.push(format!("of {} connections {} were live", report.connections, report.live_median));
    }
    // A load that met no fault, or saw no effect of one, has shown nothing.
    let missing = report.faults.iter().filter(|(_, count)| **count == 0).map(|(kind, _)| kind);
    all.extend(missing.map(|kind| format!("the proxy never did this: {kind}")));
    for ending in ["ok", "timeout", "cancelled", "closed", "end", "reset", "damaged", "dropped"] {
        if sum_of(&report.clients.operations, ending) == 0 {
            all.push(format!("no operation of the clients ever ended like this: {ending}"));
        }
    }
    all
}

/// How long a step may take that nothing disturbs.
const GENEROUS: Duration = Duration::from_secs(120);
