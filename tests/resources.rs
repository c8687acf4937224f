//! R: what connections, timers, deadlines and whole runtimes cost, and that all of it comes back. Alone in its process:
//! an allocator counts.
//!
//! ```text
//! cargo test --test resources -- --nocapture
//! cargo test --release --test resources -- --nocapture       the sizes of the table
//! ```

use std::io::{Read, Write};
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

/// How often R05 and R07 do the same. The first round grows what is kept for the next: slabs, queues, rings.
const ROUNDS: usize = 5;

/// Judges what each round after the first has kept. Room is kept at its highest mark, and that of the run queue is how many
/// tasks were ready at once, which a later round may raise when the machine holds the loop up. A leak grows in every round.
fn assert_comes_back(kept: &[isize]) {
    const ROOM_BYTES: isize = 128 * 1024;
    assert!(kept.contains(&0), "no round gave back every byte: {kept:?}");
    assert!((0..=ROOM_BYTES).contains(&kept.iter().sum()), "more than room was kept: {kept:?}");
}

#[test]
fn r05_a_million_timers_and_deadlines_leave_not_a_byte() {
    let _alone = alone();
    let timers = 1_000_000 / ROUNDS;
    let connections = 100_000 / ROUNDS / SCALE;
    let began = StdInstant::now();
    let runtime = Runtime::new().expect("a runtime");
    let mut after_each = Vec::new();
    for _ in 0..ROUNDS {
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
        "R05: {ROUNDS} x ({timers} timers, {timers} deadlines, {connections} connections) in {:?}; live bytes and \
         descriptors after each: {after_each:?}",
        began.elapsed()
    );
    assert!(after_each.iter().all(|&(_, open)| open == after_each[0].1), "descriptors are flat");
    assert_comes_back(&after_each.windows(2).map(|two| two[1].0 - two[0].0).collect::<Vec<_>>());
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
    for _ in 0..ROUNDS {
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
    assert_comes_back(&rest[1..]);
}

#[test]
fn r04_a_storm_of_connects_is_accepted_and_an_echo_goes_on() {
    let _alone = alone();
    const CONNECTS: usize = 5_000;
    /// A debug build pays for its checks: some hundred microseconds for the eight connections that one turn may accept.
    const RATIO: f64 = 5.0;
    let (mut ours, mut control) = (Vec::new(), Vec::new());
    // By turns, so that both have the same machine.
    for _ in 0..5 {
        ours.append(&mut under_a_storm(CONNECTS / 5, serve));
        control.append(&mut under_a_storm(CONNECTS / 5, serve_by_hand));
    }
    let decile = |took: &mut Vec<Duration>, tenths: usize| {
        took.sort_unstable();
        took[took.len() * tenths / 10]
    };
    let [ours, control] = [&mut ours, &mut control].map(|took| (decile(took, 5), decile(took, 9)));
    let ratio = ours.1.as_secs_f64() / control.1.as_secs_f64();
    println!(
        "R04: {CONNECTS} connects; echo p50/p90 {:?}/{:?}, control {:?}/{:?}, ratio of p90 {ratio:.2}",
        ours.0, ours.1, control.0, control.1
    );
    assert!(ratio <= RATIO, "the echo's p90 is {ratio:.1} times that of the control");
}

/// Has `serve` accept one connection that it echoes and, meanwhile, `connects` that it closes, from a backlog of 128;
/// returns how long each echo took.
fn under_a_storm(connects: usize, serve: fn(std::net::TcpListener, usize)) -> Vec<Duration> {
    const THREADS: usize = 8;
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
    socket.listen(128).expect("listening");
    let listener: std::net::TcpListener = socket.into();
    let address = listener.local_addr().expect("its address");
    let connect = move || {
        let stream = std::net::TcpStream::connect(address).expect("connected");
        // Reset at its end: a storm would leave no port in TIME_WAIT.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("set");
        stream
    };
    let share = connects / THREADS;
    let asking = std::thread::spawn(move || {
        let mut echo = connect();
        let mut took = Vec::new();
        let mut ask = || {
            let began = StdInstant::now();
            echo.write_all(b"x").and_then(|()| echo.read_exact(&mut [0])).expect("echoed");
            took.push(began.elapsed());
            std::thread::sleep(MS / 4);
        };
        ask();
        let storm: Vec<_> = (0..THREADS)
            .map(|_| {
                std::thread::spawn(move || {
                    for _ in 0..share {
                        // With a full backlog the kernel calls connected what it has not queued yet: whoever leaves before
                        // it was accepted never is.
                        assert_eq!(connect().read(&mut [0]).expect("closed in order"), 0);
                    }
                })
            })
            .collect();
        while !storm.iter().all(std::thread::JoinHandle::is_finished) {
            ask();
        }
        storm.into_iter().for_each(|thread| thread.join().expect("all are accepted"));
        took
    });
    serve(listener, share * THREADS);
    asking.join().expect("no panic")
}

fn serve(listener: std::net::TcpListener, connects: usize) {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).expect("registered");
        let (echo, _) = listener.accept().await.expect("accepted");
        let echoing = spawn(async move {
            let mut byte = [0];
            while let Ok(1) = echo.read(&mut byte).await {
                echo.write_all(&byte).await.expect("sent");
            }
        });
        for _ in 0..connects {
            drop(listener.accept().await.expect("accepted"));
        }
        echoing.await.expect("no panic");
    });
    assert_nothing_lives(&runtime);
}

/// The control: the same by mio alone, as one would write it by hand.
fn serve_by_hand(listener: std::net::TcpListener, connects: usize) {
    let (mut echo, _) = listener.accept().expect("accepted");
    listener.set_nonblocking(true).expect("set");
    echo.set_nonblocking(true).expect("set");
    let mut poll = mio::Poll::new().expect("a poll");
    let mut events = mio::Events::with_capacity(64);
    let mut listener = mio::net::TcpListener::from_std(listener);
    let mut watched = mio::net::TcpStream::from_std(echo.try_clone().expect("a duplicate"));
    let readable = mio::Interest::READABLE;
    poll.registry().register(&mut listener, mio::Token(0), readable).expect("registered");
    poll.registry().register(&mut watched, mio::Token(1), readable).expect("registered");
    let mut accepted = 0;
    loop {
        poll.poll(&mut events, None).expect("a poll");
        while let Ok((stream, _)) = listener.accept() {
            drop(stream);
            accepted += 1;
        }
        let mut byte = [0];
        loop {
            match echo.read(&mut byte) {
                Ok(1) => echo.write_all(&byte).expect("sent"),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                _ => return assert_eq!(accepted, connects),
            }
        }
    }
}
