//! Ten thousand connections opened, closed, re-armed and cancelled over reused descriptors, each message
//! tagged with its connection, while another thread fires at tokens that have ended. Nothing may reach the
//! wrong connection, nothing may be early, and in the end nothing may be left.
//!
//! ```text
//! PUNCTUAL_SEED=7 cargo test --release --test stress -- --nocapture
//! ```

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant as StdInstant};

use fastrand::Rng;
use punctual::net::{Connect, Error, Kind, TcpListener, TcpStream};
use punctual::{Handle, Instant, Runtime, Token, sleep, spawn, timeout};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const CONNECTIONS: u64 = 10_000;
/// Sockets at once, of both ends together; fewer where the limit is lower.
const SOCKETS_MAX: u64 = 3_000;
const LISTENERS: u8 = 8;
/// A hang must not hang the suite.
const WATCHDOG: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(30);
const PAST: Instant = Instant::from_nanos(1);

#[test]
fn ten_thousand_connections_and_nothing_astray() {
    let seed = match std::env::var("PUNCTUAL_SEED") {
        Ok(seed) => seed.parse().expect("PUNCTUAL_SEED is a number"),
        Err(_) => fastrand::u64(..),
    };
    println!("PUNCTUAL_SEED={seed}");
    std::thread::spawn(move || {
        std::thread::sleep(WATCHDOG);
        eprintln!("watchdog: still running after {WATCHDOG:?}; PUNCTUAL_SEED={seed}");
        std::process::abort();
    });
    let workers = (sockets_allowed() / 2).min(CONNECTIONS);
    let runtime = Runtime::new().expect("a runtime");
    let descriptors_before = descriptors();
    let start = StdInstant::now();
    let (snipe, targets) = channel();
    let sniper = std::thread::spawn({
        let handle = runtime.handle();
        move || snipe_at(&handle, &targets)
    });
    let report = runtime.block_on(run(seed, workers, snipe));
    let shots = sniper.join().expect("no panic");
    for _ in 0..100 {
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
    }

    let metrics = runtime.metrics();
    println!("{workers} workers, {:?}: {report}", start.elapsed());
    println!("shots at tokens that had ended: {shots}; {metrics:#?}");
    assert_eq!(report.opened.get() + report.refused.get(), CONNECTIONS, "seed {seed}");
    assert_eq!(metrics.early, 0, "seed {seed}");
    assert!(
        metrics.stale_events >= shots,
        "each shot at what has ended is dropped and counted; seed {seed}"
    );
    // Numbers are given out lowest first, so each served several connections.
    assert!(report.most_at_once.get() * 4 < CONNECTIONS, "descriptors were reused; seed {seed}");
    let live =
        (metrics.live_sources, metrics.live_timers, metrics.live_wheel_entries, metrics.live_tasks);
    assert_eq!(live, (0, 0, 0, 0), "sources, timers, wheel entries, tasks left; seed {seed}");
    assert_eq!(descriptors(), descriptors_before, "descriptors left; seed {seed}");
}

/// What has happened.
#[derive(Default)]
struct Report {
    opened: Cell<u64>,
    refused: Cell<u64>,
    messages: Cell<u64>,
    timeouts: Cell<u64>,
    cancels: Cell<u64>,
    resets: Cell<u64>,
    dropped_reads: Cell<u64>,
    rearmed: Cell<u64>,
    served: Cell<u64>,
    most_at_once: Cell<u64>,
    at_once: Cell<u64>,
}

fn add(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

struct Stage {
    report: Report,
    servers: Vec<SocketAddr>,
    closed: SocketAddr,
    next: Cell<u64>,
    dialled: Cell<u64>,
    /// How many may have been dialled and not yet accepted: with more the kernel drops SYNs.
    backlog: u64,
    snipe: Sender<Target>,
}

/// Whom another thread is to fire at.
enum Target {
    /// A live connection that waits to be cancelled.
    Live(Token, u64),
    /// One that has ended: nobody may notice.
    Ended(Token),
    /// It is over.
    CeaseFire,
}

async fn run(seed: u64, workers: u64, snipe: Sender<Target>) -> Rc<Stage> {
    let listeners: Vec<Rc<TcpListener>> = (1..=LISTENERS)
        .map(|n| Rc::new(TcpListener::bind(SocketAddr::from(([127, 0, 0, n], 0))).expect("a listener")))
        .collect();
    // Bound, so that nobody else gets the port, and not listening.
    let deaf =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    deaf.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
    let closed = deaf.local_addr().ok().and_then(|address| address.as_socket()).expect("its address");
    let servers = listeners.iter().map(|listener| listener.local_addr().expect("its address")).collect();
    let report = Report::default();
    let (next, dialled, backlog) = (Cell::new(0), Cell::new(0), backlog() / 2);
    let stage = Rc::new(Stage { report, servers, closed, next, dialled, backlog, snipe });
    let accepting: Vec<_> =
        listeners.iter().map(|listener| spawn(accept_all(listener.clone(), stage.clone()))).collect();
    let mut rng = Rng::with_seed(seed);
    let working: Vec<_> = (0..workers).map(|_| spawn(work(stage.clone(), rng.fork()))).collect();
    for worker in working {
        worker.await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    listeners.iter().for_each(|listener| listener.close());
    for acceptor in accepting {
        for server in acceptor.await.unwrap_or_else(|error| panic!("seed {seed}: {error}")) {
            server.await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
    }
    let _ = stage.snipe.send(Target::CeaseFire);
    stage
}

impl std::ops::Deref for Stage {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.report
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = [
            ("opened", &self.opened),
            ("refused", &self.refused),
            ("served", &self.served),
            ("most at once", &self.most_at_once),
            ("messages", &self.messages),
            ("timeouts", &self.timeouts),
            ("cancelled", &self.cancels),
            ("reset", &self.resets),
            ("reads dropped", &self.dropped_reads),
            ("deadlines moved", &self.rearmed),
        ];
        counts.iter().try_for_each(|(name, count)| write!(f, "\n  {name}: {}", count.get()))
    }
}

// Messages: a header of four words, and a body that only this message of this connection has.

const ANSWER: u64 = 0;
/// The server is not to answer this one.
const SILENCE: u64 = 1;
/// The server is to close after the answer.
const BYE: u64 = 2;
/// The server is to reset the connection.
const RESET: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    connection: u64,
    sequence: u64,
    wish: u64,
    length: u64,
}

impl Header {
    fn to_message(self) -> Vec<u8> {
        let words = [self.connection, self.sequence, self.wish, self.length];
        let mut message: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        message.extend(self.body());
        message
    }

    fn body(self) -> impl Iterator<Item = u8> {
        let key = self.connection.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.sequence;
        (0..self.length).map(move |n| (key.rotate_left(n as u32 % 64) ^ n) as u8)
    }
}

/// Reads a message and holds its body against its header; `None` at the end.
async fn receive(stream: &TcpStream) -> Result<Option<Header>, Error> {
    let mut bytes = [0; 32];
    match stream.read_exact(&mut bytes).await {
        Err(error) if error.kind() == Kind::UnexpectedEof && error.transferred() == 0 => {
            return Ok(None);
        }
        other => other?,
    }
    let word = |n: usize| u64::from_le_bytes(bytes[n * 8..][..8].try_into().expect("eight bytes"));
    let header = Header { connection: word(0), sequence: word(1), wish: word(2), length: word(3) };
    assert!(header.length <= 4_096, "no message: {header:?}");
    let mut body = vec![0; header.length as usize];
    stream.read_exact(&mut body).await?;
    assert!(header.body().eq(body), "the body of another message under {header:?}");
    Ok(Some(header))
}

// The servers' side.

type Serving = Vec<punctual::JoinHandle<()>>;

async fn accept_all(listener: Rc<TcpListener>, stage: Rc<Stage>) -> Serving {
    let mut serving: Serving = Vec::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => serving.push(spawn(serve(stream, stage.clone()))),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Closed, "{error}");
                return serving;
            }
        }
        if serving.len() > 1_000 {
            serving.retain(|server| !server.is_finished());
        }
    }
}

async fn serve(stream: TcpStream, stage: Rc<Stage>) {
    add(&stage.served);
    stream.set_timeout(Some(PATIENCE)).expect("open");
    let mut first = None;
    let ended = loop {
        let header = match receive(&stream).await {
            Ok(Some(header)) => header,
            Ok(None) => break None,
            Err(error) => break Some(error),
        };
        let (connection, expected) = first.unwrap_or((header.connection, header.sequence));
        assert_eq!(header.connection, connection, "a message of another connection");
        assert_eq!(header.sequence, expected, "a message is missing or came twice");
        first = Some((connection, expected + 1));
        if header.wish == RESET {
            stream.set_linger(Some(Duration::ZERO)).expect("set");
            break None;
        }
        if header.wish != SILENCE
            && let Err(error) = stream.write_all(&header.to_message()).await
        {
            break Some(error);
        }
        if header.wish == BYE {
            break None;
        }
    };
    if let Some(error) = ended {
        let gone =
            matches!(error.kind(), Kind::Kernel(libc::ECONNRESET | libc::EPIPE) | Kind::UnexpectedEof);
        assert!(gone, "a server's connection was hit by what was meant for another: {error}");
    }
    let _ = stage.snipe.send(Target::Ended(stream.token()));
}

// The clients' side.

async fn work(stage: Rc<Stage>, mut rng: Rng) {
    while stage.next.get() < CONNECTIONS {
        let connection = stage.next.get();
        stage.next.set(connection + 1);
        if rng.u8(..100) < 3 {
            let error = TcpStream::connect(stage.closed).await.expect_err("nobody listens");
            assert_eq!(error.kind(), Kind::Kernel(libc::ECONNREFUSED), "{error}");
            add(&stage.refused);
            continue;
        }
        while stage.dialled.get() >= stage.served.get() + stage.backlog {
            sleep(Duration::from_millis(1)).await;
        }
        add(&stage.dialled);
        let server = stage.servers[rng.usize(..stage.servers.len())];
        let stream = Connect::to(server).timeout(PATIENCE).connect().await;
        let stream = stream.unwrap_or_else(|error| panic!("connection {connection}: {error}"));
        add(&stage.opened);
        add(&stage.at_once);
        stage.most_at_once.set(stage.most_at_once.get().max(stage.at_once.get()));
        let client = Client {
            stream,
            connection,
            sequence: Cell::new(0),
            doing: Cell::new("nothing"),
            stage: &stage,
        };
        let lived = timeout(PATIENCE, client.live(&mut rng)).await;
        assert!(
            lived.is_ok(),
            "connection {connection} hangs in {:?}: {:?}",
            client.doing.get(),
            client.stream
        );
        stage.at_once.set(stage.at_once.get() - 1);
        let _ = stage.snipe.send(Target::Ended(client.stream.token()));
    }
}

struct Client<'a> {
    stream: TcpStream,
    connection: u64,
    sequence: Cell<u64>,
    /// For whoever finds it hanging.
    doing: Cell<&'static str>,
    stage: &'a Stage,
}

impl Client<'_> {
    async fn live(&self, rng: &mut Rng) {
        for _ in 0..rng.u8(0..6) {
            match rng.u8(..10) {
                0..5 => self.echo(rng).await,
                5 => self.silence(rng).await,
                6 => self.rearm(rng).await,
                7 => self.drop_a_read(rng).await,
                8 => sleep(Duration::from_micros(rng.u64(..20_000))).await,
                _ => self.stream.set_deadline(Some(Instant::now() + PATIENCE)).expect("open"),
            }
        }
        match rng.u8(..10) {
            0..3 => {}
            3 => self.stream.set_linger(Some(Duration::ZERO)).expect("set"),
            4 => self.stream.close(),
            5 | 6 => self.cancelled(rng).await,
            7 => self.reset_by_the_server(rng).await,
            8 => self.closed_by_the_server(rng).await,
            _ => {
                self.doing.set("close_in_order");
                let discarded = self.stream.close_in_order(PATIENCE).await.expect("the server ends too");
                assert_eq!(discarded, 0, "an answer nobody waited for");
            }
        }
    }

    fn next(&self, wish: u64, rng: &mut Rng) -> Header {
        let sequence = self.sequence.get();
        self.sequence.set(sequence + 1);
        Header { connection: self.connection, sequence, wish, length: rng.u64(..2_000) }
    }

    async fn send(&self, wish: u64, rng: &mut Rng) -> Header {
        let header = self.next(wish, rng);
        let sent = self.stream.write_all(&header.to_message()).await;
        sent.unwrap_or_else(|error| panic!("connection {}: {error}", self.connection));
        header
    }

    async fn expect(&self, header: Header) {
        let answer = receive(&self.stream).await;
        let answer = answer.unwrap_or_else(|error| panic!("connection {}: {error}", self.connection));
        assert_eq!(answer, Some(header), "misdelivered");
        add(&self.stage.messages);
    }

    async fn echo(&self, rng: &mut Rng) {
        self.doing.set("echo");
        let header = self.send(ANSWER, rng).await;
        self.expect(header).await;
    }

    /// A read that nobody answers ends at its deadline and not before.
    async fn silence(&self, rng: &mut Rng) {
        self.doing.set("silence");
        self.send(SILENCE, rng).await;
        let bound = Duration::from_nanos(rng.u64(1..20_000_000));
        let armed = StdInstant::now();
        if rng.bool() {
            self.stream.set_read_deadline(Some(Instant::now() + bound)).expect("open");
        } else {
            self.stream.set_read_timeout(Some(bound)).expect("open");
        }
        let error = self.stream.read(&mut [0; 8]).await.expect_err("nobody answers");
        assert!(error.is_timeout(), "connection {}: {error}", self.connection);
        assert!(armed.elapsed() >= bound, "early: {:?} of {bound:?}", armed.elapsed());
        self.stream.set_read_deadline(None).expect("open");
        self.stream.set_read_timeout(None).expect("open");
        add(&self.stage.timeouts);
    }

    /// A deadline that is moved out again and again while a read waits.
    async fn rearm(&self, rng: &mut Rng) {
        self.doing.set("rearm");
        self.stream.set_read_deadline(Some(Instant::now() + Duration::from_millis(500))).expect("open");
        for _ in 0..rng.u8(1..50) {
            let later = Instant::now() + PATIENCE + Duration::from_nanos(rng.u64(..1_000_000));
            self.stream.set_read_deadline(Some(later)).expect("open");
            add(&self.stage.rearmed);
        }
        self.echo(rng).await;
        self.stream.set_read_deadline(None).expect("open");
    }

    /// A read that is dropped takes nothing along, neither bytes nor a deadline.
    async fn drop_a_read(&self, rng: &mut Rng) {
        self.doing.set("drop_a_read");
        let bound = Duration::from_nanos(rng.u64(1..3_000_000));
        let dropped = timeout(bound, self.stream.read(&mut [0; 8])).await;
        assert!(dropped.is_err(), "nobody has written: {dropped:?}");
        add(&self.stage.dropped_reads);
        self.echo(rng).await;
    }

    /// Cancelled from another thread: with its own cause, not with another's.
    async fn cancelled(&self, rng: &mut Rng) {
        self.doing.set("cancelled");
        self.send(SILENCE, rng).await;
        let _ = self.stage.snipe.send(Target::Live(self.stream.token(), self.connection));
        let error = self.stream.read(&mut [0; 8]).await.expect_err("cancelled");
        let cause = format!("connection {} is enough", self.connection);
        assert_eq!(error.cause().map(ToString::to_string), Some(cause), "{error}");
        add(&self.stage.cancels);
    }

    async fn reset_by_the_server(&self, rng: &mut Rng) {
        self.doing.set("reset_by_the_server");
        self.send(RESET, rng).await;
        let error = receive(&self.stream).await.expect_err("reset");
        assert_eq!(
            error.kind(),
            Kind::Kernel(libc::ECONNRESET),
            "connection {}: {error}",
            self.connection
        );
        add(&self.stage.resets);
    }

    async fn closed_by_the_server(&self, rng: &mut Rng) {
        self.doing.set("closed_by_the_server");
        let header = self.send(BYE, rng).await;
        self.expect(header).await;
        let end = receive(&self.stream).await;
        let end = end.unwrap_or_else(|error| panic!("connection {}: {error}", self.connection));
        assert_eq!(end, None, "and nothing after it");
    }
}

/// The other thread: cancels whom it is told to, and fires at tokens that have ended, now and later, when
/// their slots and descriptors belong to somebody else. Returns how many shots of the second kind it made.
fn snipe_at(handle: &Handle, targets: &Receiver<Target>) -> u64 {
    let mut ended: Vec<Token> = Vec::new();
    let mut shots = 0;
    let mut rng = Rng::with_seed(1);
    let mut shoot = |token: Token, rng: &mut Rng| {
        let sent = match rng.bool() {
            true => handle.cancel(token, "meant for one that has ended").is_ok(),
            false => handle.set_deadline(token, punctual::reactor::Direction::Read, Some(PAST)).is_ok(),
        };
        shots += u64::from(sent);
    };
    loop {
        match targets.recv_timeout(Duration::from_millis(1)) {
            Ok(Target::Live(token, connection)) => {
                let cause = format!("connection {connection} is enough");
                while handle.cancel(token, cause.clone()).is_err() {
                    std::thread::yield_now();
                }
            }
            Ok(Target::Ended(token)) => ended.push(token),
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Target::CeaseFire) | Err(RecvTimeoutError::Disconnected) => return shots,
        }
        // Only those that have surely ended: the last few are still being dropped.
        if ended.len() > 200 {
            let token = ended[rng.usize(..ended.len() - 100)];
            shoot(token, &mut rng);
        }
    }
}

/// How many sockets may be open at once: as many as wanted, or what the limit of this process allows.
fn sockets_allowed() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = SOCKETS_MAX + 100;
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let soft = limit.current.unwrap_or(u64::MAX);
    if soft < wanted.min(hard) {
        let raised = Rlimit { current: Some(wanted.min(hard)), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).expect("up to the hard limit it may be raised");
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    allowed.saturating_sub(100).clamp(20, SOCKETS_MAX)
}

/// How many connections wait at one listener without harm.
fn backlog() -> u64 {
    let somaxconn = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
    somaxconn.and_then(|text| text.trim().parse().ok()).unwrap_or(128).clamp(2, 4_096)
}

/// The open descriptors of this process.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc").count()
}
