//! R: what connections, timers, deadlines and whole runtimes cost, and that all of it comes back. Alone in its process:
//! an allocator counts.
//!
//! ```text
//! cargo test --test resources -- --nocapture
//! cargo test --release --test resources -- --nocapture       the sizes of the table
//! ```

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as StdInstant};

use peak_alloc::PeakAlloc;
use punctual::net::{TcpListener, TcpStream};
use punctual::process::Command;
use punctual::reactor::pipe;
use punctual::signal::{SignalKind, signal};
use punctual::{Instant, Runtime, blocking, sleep, spawn, yield_now};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// A debug build does a tenth, to be done in a minute on a machine that has other things to do.
const SCALE: usize = if cfg!(debug_assertions) { 10 } else { 1 };
const MS: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(30);

/// The tests share the allocator and the process's descriptors: one at a time. A hang must not hang the suite.
fn alone() -> (MutexGuard<'static, ()>, Watchdog) {
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    // As many descriptors as there may be.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .expect("a process may raise its own");
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let limit = Duration::from_secs(180);
        if ended.recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("watchdog: still running after {limit:?}");
            std::process::abort();
        }
    });
    (one, Watchdog { _done: done })
}

struct Watchdog {
    _done: std::sync::mpsc::Sender<()>,
}

/// Bytes allocated and not freed.
fn live_bytes() -> isize {
    ALLOCATOR.current_usage() as isize
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("procfs").count()
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

async fn pair(listener: &TcpListener, address: SocketAddr) -> (TcpStream, TcpStream) {
    let client = std::net::TcpStream::connect(address).expect("connected");
    let client = TcpStream::from_std(client).expect("registered");
    let (server, _) = listener.accept().await.expect("accepted");
    (client, server)
}

/// How many connections there may be at once, both ends in this process.
fn room_for(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(200) / 2;
    if room < wanted {
        println!("RLIMIT_NOFILE leaves room for {room} connections, not {wanted}");
    }
    wanted.min(room)
}

fn assert_nothing_lives(runtime: &Runtime) {
    for _ in 0..100 {
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
    }
    let metrics = runtime.metrics();
    let live =
        (metrics.live_sources, metrics.live_timers, metrics.live_wheel_entries, metrics.live_tasks);
    assert_eq!(live, (0, 0, 0, 0), "sources, timers, wheel entries, tasks left");
    assert_eq!(metrics.early, 0);
}

#[test]
fn r05_a_million_timers_and_deadlines_leave_not_a_byte() {
    let _alone = alone();
    // In four rounds, of which the last two must end alike to the byte.
    let timers = 1_000_000 / 4;
    let connections = 100_000 / 4 / SCALE;
    let began = StdInstant::now();
    let runtime = Runtime::new().expect("a runtime");
    let mut after_each = Vec::new();
    // The first round grows what is kept for the next: slabs, queues, rings. From then on every byte comes back.
    for _ in 0..4 {
        runtime.block_on(async {
            // In portions, so that the baseline is not that of a peak of a million.
            for portion in 0..timers / 1_000 {
                let sleeps: Vec<_> = (0..1_000_u32)
                    .map(|n| {
                        let far = Duration::from_secs(1 + u64::from(n)) + MS * (portion as u32);
                        spawn(sleep(if n % 10 == 0 { Duration::from_micros(u64::from(n)) } else { far }))
                    })
                    .collect();
                yield_now().await;
                for (n, sleeping) in sleeps.into_iter().enumerate() {
                    if n % 10 == 0 {
                        sleeping.await.expect("it fires");
                    } else {
                        sleeping.abort();
                    }
                }
            }
            let (listener, address) = listener();
            let (client, server) = pair(&listener, address).await;
            for round in 0..timers as u64 {
                let deadline = Instant::now() + Duration::from_secs(1 + round % 100);
                client.set_read_deadline(Some(deadline)).expect("open");
                server.set_write_deadline(Some(deadline)).expect("open");
                if round % 3 == 0 {
                    client.set_read_deadline(None).expect("open");
                }
            }
            for _ in 0..connections {
                let (client, server) = pair(&listener, address).await;
                // An RST: a hundred thousand of them would leave no port in TIME_WAIT.
                server.set_linger(Some(Duration::ZERO)).expect("open");
                client.set_read_timeout(Some(PATIENCE)).expect("open");
                let reading = spawn(async move {
                    let mut byte = [0];
                    client.read(&mut byte).await.is_err()
                });
                yield_now().await;
                drop(server);
                assert!(reading.await.expect("no panic"), "it was reset");
            }
        });
        assert_nothing_lives(&runtime);
        after_each.push((live_bytes(), descriptors()));
    }
    println!(
        "R05: 4 x ({timers} timers, {timers} deadlines, {connections} connections) in {:?}; live bytes and \
         descriptors after each: {after_each:?}",
        began.elapsed()
    );
    assert_eq!(after_each[2], after_each[3], "bytes and descriptors are flat");
    assert_eq!(after_each[1], after_each[3], "from the first round on");
}

#[test]
fn r06_runtimes_are_made_and_dropped_with_everything_pending() {
    let _alone = alone();
    let cycles = 2_000 / if SCALE > 1 { 4 } else { 1 };
    let cycle = |number: usize| {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let (reader, writer) = pipe().expect("a pipe");
            reader.set_timeout(Some(PATIENCE)).expect("open");
            drop(spawn(async move { reader.read(&mut [0; 8]).await.map(drop) }));
            let (listener, address) = listener();
            let (client, server) = pair(&listener, address).await;
            server.set_linger(Some(Duration::ZERO)).expect("open");
            client.set_read_deadline(Some(Instant::now() + PATIENCE)).expect("open");
            drop(spawn(async move { client.read(&mut [0; 8]).await.map(drop) }));
            drop(spawn(async move { listener.accept().await.map(drop) }));
            drop(spawn(sleep(PATIENCE)));
            let signals = signal(SignalKind::USER1).expect("a listener");
            drop(spawn(async move { signals.recv().await }));
            // Threads and processes cost the most: not in every cycle.
            if number.is_multiple_of(8) {
                drop(spawn(blocking(|| std::thread::sleep(MS))));
            }
            if number.is_multiple_of(64) {
                let mut child =
                    Command::new("sleep").arg("60").kill_on_drop(true).spawn().expect("started");
                drop(spawn(async move { child.wait().await.map(drop) }));
            }
            yield_now().await;
            drop((writer, server));
        });
    };
    let began = StdInstant::now();
    let settled = || {
        // Threads that slept a millisecond and children that were killed are gone soon after.
        let patience = StdInstant::now() + PATIENCE;
        let threads = || std::fs::read_dir("/proc/self/task").expect("procfs").count();
        while StdInstant::now() < patience && (threads() > 4 || has_children()) {
            std::thread::sleep(5 * MS);
        }
        assert!(!has_children(), "no zombie, no orphan");
        (live_bytes(), descriptors())
    };
    for number in 0..64 {
        cycle(number);
    }
    let before = settled();
    for number in 0..cycles {
        cycle(number);
    }
    let after = settled();
    println!(
        "R06: {cycles} runtimes in {:?}; bytes and descriptors {before:?}, then {after:?}",
        began.elapsed()
    );
    assert_eq!(after.1, before.1, "descriptors");
    // Threads of the harness and of the pool come and go with a few kilobytes; a leak would show in every cycle.
    let grown = after.0 - before.0;
    assert!(grown < cycles as isize, "less than a byte a cycle: {grown}");
}

/// Whether this process has children, zombies included.
fn has_children() -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::All, options).err() != Some(rustix::io::Errno::CHILD)
}

#[test]
fn r07_idle_connections_cost_little_and_give_it_back() {
    let _alone = alone();
    // A page: a task with 256 bytes of buffer, a source with two bounds, a wheel entry and a waker, and in the first round
    // the slabs' room to grow, which is up to as much again. The kernel keeps more for its two sockets.
    const BAR_BYTES: isize = 4_096;
    let connections = room_for(10_000);
    let runtime = Runtime::new().expect("a runtime");
    let (mut costs, mut rest) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let before = live_bytes();
        runtime.block_on(async {
            let (listener, address) = listener();
            let mut clients = Vec::with_capacity(connections);
            let mut tasks = Vec::with_capacity(connections);
            let room = live_bytes();
            for _ in 0..connections {
                let client = std::net::TcpStream::connect(address).expect("connected");
                socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("set");
                let (server, _) = listener.accept().await.expect("accepted");
                server.set_read_timeout(Some(PATIENCE)).expect("open");
                server.set_write_deadline(Some(Instant::now() + PATIENCE)).expect("open");
                tasks.push(spawn(async move {
                    let mut buffer = [0; 256];
                    server.read(&mut buffer).await.is_err()
                }));
                clients.push(client);
            }
            yield_now().await;
            costs.push((live_bytes() - room) / connections as isize);
            drop(clients);
            for task in tasks {
                assert!(task.await.expect("no panic"), "reset");
            }
        });
        assert_nothing_lives(&runtime);
        rest.push(live_bytes() - before);
    }
    println!(
        "R07: {connections} idle connections at {costs:?} bytes each (bar {BAR_BYTES}); kept afterwards {rest:?}"
    );
    assert!(costs.iter().all(|cost| (1..=BAR_BYTES).contains(cost)), "{costs:?} bytes a connection");
    assert_eq!(rest[2], 0, "everything comes back from the second round on");
}

#[test]
fn r04_a_storm_of_connects_is_accepted_and_an_echo_goes_on() {
    let _alone = alone();
    const THREADS: usize = 8;
    let connects = 5_000 / if SCALE > 1 { 2 } else { 1 };
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
        socket.listen(128).expect("listening");
        let listener = TcpListener::from_std(socket.into()).expect("registered");
        let address = listener.local_addr().expect("its address");
        let (client, server) = pair(&listener, address).await;
        drop(spawn(async move {
            let mut byte = [0];
            while let Ok(1) = server.read(&mut byte).await {
                if server.write_all(&byte).await.is_err() {
                    break;
                }
            }
        }));
        // The control: the same echo while the threads connect to somebody else, who only accepts.
        let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let deaf = elsewhere.local_addr().expect("its address");
        std::thread::spawn(move || while let Ok((stream, _)) = elsewhere.accept() { drop(stream) });
        let control = echo_during(&client, storm(deaf, connects, THREADS)).await;

        let accepting = spawn(async move {
            for _ in 0..connects {
                // Closed in order here and reset there, which leaves no port in TIME_WAIT.
                drop(listener.accept().await.expect("accepted"));
            }
        });
        let stormy = echo_during(&client, storm(address, connects, THREADS)).await;
        accepting.await.expect("all are accepted");
        let ratio = stormy.1.as_secs_f64() / control.1.as_secs_f64();
        println!(
            "R04: {connects} connects; echo p50/p90 {:?}/{:?}, control {:?}/{:?}, ratio of p90 {ratio:.2}",
            stormy.0, stormy.1, control.0, control.1
        );
        // A turn accepts 32 at most before the others have theirs.
        assert!(ratio <= 4.0, "the echo's p90 is {ratio:.1} times that of the control");
    });
}

/// Connects that many times from that many threads; true when they have.
fn storm(address: SocketAddr, connects: usize, threads: usize) -> impl Fn() -> bool {
    let threads: Vec<_> = (0..threads)
        .map(|thread| {
            let share = connects / threads + usize::from(thread < connects % threads);
            std::thread::spawn(move || {
                for _ in 0..share {
                    let stream = std::net::TcpStream::connect(address).expect("connected");
                    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("set");
                }
            })
        })
        .collect();
    move || threads.iter().all(std::thread::JoinHandle::is_finished)
}

/// Echoes until it is over; returns the median and the ninth decile.
async fn echo_during(client: &TcpStream, is_over: impl Fn() -> bool) -> (Duration, Duration) {
    let mut took = Vec::new();
    while !is_over() || took.len() < 50 {
        let began = StdInstant::now();
        client.write_all(b"x").await.expect("sent");
        assert_eq!(client.read(&mut [0]).await.expect("echoed"), 1);
        took.push(began.elapsed());
        sleep(MS).await;
    }
    took.sort_unstable();
    (took[took.len() / 2], took[took.len() * 9 / 10])
}
