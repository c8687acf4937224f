//! R01: as many connections as a process may have, on one loop at each end.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use punctual::http::{self, Limits, ServerTimeouts, service_fn};
use punctual::net::{Connect, Kind, Listen, TcpListener, TcpStream};
use punctual::{Instant, Runtime, spawn};
use punctual_tests_stress::child;
use punctual_tests_stress::rig::{self, MS, assert_baseline, skip, watchdog};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// One process may have 20 000 descriptors here.
const CONNECTIONS: usize = 19_000;
/// So many are begun at once.
const AT_ONCE: usize = 200;
const LONG: Duration = Duration::from_secs(600);
/// In the second process: where the first one is.
const SERVER: &str = "PUNCTUAL_SERVER";

fn enough_descriptors() -> bool {
    let allowed = rig::raise_descriptors();
    if allowed < CONNECTIONS as u64 + 100 {
        skip(&format!("{allowed} descriptors: a hard limit of 20 000 would run it"));
    }
    allowed >= CONNECTIONS as u64 + 100
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = Listen::on("127.0.0.1:0").backlog(4_096).bind().expect("a listener");
    let address = listener.local_addr().expect("its address");
    (listener, address)
}

/// Runs this test again, as the clients of the server at `address`; whether it succeeded.
async fn clients(test: &str, address: SocketAddr) {
    let mut command = child::command(&[], test);
    command.env(SERVER, address.to_string());
    let mut command = punctual::process::Command::from(command);
    let mut clients = command.spawn().expect("they start");
    clients.set_exit_timeout(Some(LONG));
    let status = clients.wait().await.expect("they end");
    assert!(status.success(), "the clients failed: {status}");
}

fn server() -> Option<SocketAddr> {
    std::env::var(SERVER).ok().map(|address| address.parse().expect("an address"))
}

/// Sends back whatever comes, each read under a deadline of its own.
async fn echo(stream: TcpStream) {
    let mut buffer = [0; 16];
    stream.set_deadline(Some(Instant::now() + LONG)).expect("open");
    stream.set_timeout(Some(LONG)).expect("open");
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[test]
fn r01_nineteen_thousand_connections_with_deadlines_are_answered_and_the_next_dial_says_why_not() {
    let test = "connections::r01_nineteen_thousand_connections_with_deadlines_are_answered_and_the_next_dial_says_why_not";
    if !child::alone(test, || &[]) || !enough_descriptors() {
        return;
    }
    let _watchdog = watchdog("r01", LONG);
    let runtime = Runtime::new().expect("a runtime");
    if let Some(address) = server() {
        runtime.block_on(dials(address));
        return assert_baseline(&runtime);
    }
    // A few more than are kept: it is the server that has no more first, and then the clients.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(CONNECTIONS as u64 + 50);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).expect("fewer");
    runtime.block_on(async {
        let (listener, address) = listen();
        let listener = Rc::new(listener);
        let accepts = listener.clone();
        let (now, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let counted = (now.clone(), most.clone());
        let accepting = spawn(async move {
            while let Ok((stream, _)) = accepts.accept().await {
                counted.0.set(counted.0.get() + 1);
                counted.1.set(counted.0.get().max(counted.1.get()));
                let now = counted.0.clone();
                drop(spawn(async move {
                    echo(stream).await;
                    now.set(now.get() - 1);
                }));
            }
        });
        clients(test, address).await;
        listener.close();
        accepting.await.expect("no panic");
        let (most, pauses) = (most.get(), listener.exhaustions());
        println!("{most} connections at once; the listener has paused {pauses} times");
        assert!(most >= CONNECTIONS, "{most} connections at once");
        // It looks again after 5 ms, and then ever more seldom, up to once a second.
        assert!((1..10_000).contains(&pauses), "{pauses} pauses");
    });
    assert_baseline(&runtime);
}

/// All connections of one loop, and then one too many.
async fn dials(address: SocketAddr) {
    let mut streams = Vec::with_capacity(CONNECTIONS);
    while streams.len() < CONNECTIONS {
        let batch: Vec<_> =
            (0..AT_ONCE).map(|_| spawn(Connect::to(address).timeout(LONG).connect())).collect();
        for dial in batch {
            streams.push(dial.await.expect("no panic").expect("connected"));
        }
    }
    for round in 0..2_u32 {
        ask_all(&streams, round).await;
    }
    // The rest of the descriptors.
    let mut more = Vec::new();
    let error = loop {
        match Connect::to(address).timeout(LONG).await {
            Ok(stream) => more.push(stream),
            Err(error) => break error,
        }
        assert!(more.len() < 1_100, "the limit of descriptors is beyond reach");
    };
    assert_eq!(error.kind(), Kind::Kernel(EMFILE), "{error}");
    assert!(error.to_string().contains("Too many open files") && error.is_retry_safe(), "{error}");
    println!("{} connections; the next: {error}", streams.len() + more.len());
    ask_all(&streams[..AT_ONCE], 2).await;
    // The server has none either: the last are connected, and wait to be accepted. Where there is room again, they are.
    for stream in streams.drain(..more.len() + 1) {
        stream.set_linger(Some(Duration::ZERO)).expect("open");
    }
    let again = Connect::to(address).timeout(LONG).await.expect("there is a descriptor again");
    more.push(again);
    ask_all(&more, 3).await;
    for stream in streams.iter().chain(&more) {
        stream.set_linger(Some(Duration::ZERO)).expect("open");
    }
}

const EMFILE: i32 = rustix::io::Errno::MFILE.raw_os_error();

/// Each is asked something that only it is asked, all at once, and answers under its own deadline.
async fn ask_all(streams: &[TcpStream], round: u32) {
    for (number, stream) in streams.iter().enumerate() {
        stream.set_read_timeout(Some(LONG)).expect("open");
        let word = number as u64 | u64::from(round) << 32;
        stream.write_all(&word.to_le_bytes()).await.expect("sent");
    }
    for (number, stream) in streams.iter().enumerate() {
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).await.unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_eq!(
            u64::from_le_bytes(answer),
            number as u64 | u64::from(round) << 32,
            "another's answer"
        );
    }
}

#[test]
fn r01_nineteen_thousand_clients_of_http_are_answered_and_the_next_ones_told_503() {
    let test =
        "connections::r01_nineteen_thousand_clients_of_http_are_answered_and_the_next_ones_told_503";
    if !child::alone(test, || &[]) || !enough_descriptors() {
        return;
    }
    let _watchdog = watchdog("r01 http", LONG);
    if let Some(address) = server() {
        return asks(address);
    }
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (listener, address) = listen();
        let hello = service_fn(async |_: ::http::Request<http::Body>| {
            Ok::<_, std::convert::Infallible>(::http::Response::new("hello".to_owned()))
        });
        let (mut limits, mut timeouts) = (Limits::default(), ServerTimeouts::default());
        limits.connections = CONNECTIONS;
        limits.connections_per_ip = CONNECTIONS;
        // As on any server, but for a machine that has other things to do.
        (timeouts.first_byte, timeouts.header, timeouts.keep_alive) = (LONG, LONG, LONG);
        let serve = http::serve(listener, hello).limits(limits).timeouts(timeouts);
        let drainer = serve.drainer();
        let serving = spawn(serve.into_future());
        clients(test, address).await;
        drainer.drain(100 * MS);
        serving.await.expect("no panic").expect("no error");
    });
    assert_baseline(&runtime);
}

/// Blocking clients, which know nothing of what is tested.
fn asks(address: SocketAddr) {
    let connect = || {
        let stream = std::net::TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(LONG)).expect("set");
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("set");
        stream
    };
    let ask = |mut stream: &std::net::TcpStream| {
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (mut answer, mut room) = (Vec::new(), [0; 1_024]);
        while !answer.ends_with(b"hello") {
            match stream.read(&mut room) {
                Ok(0) | Err(_) => break,
                Ok(read) => answer.extend_from_slice(&room[..read]),
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    };
    let mut streams = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        let stream = connect();
        let answer = ask(&stream);
        assert!(answer.starts_with("HTTP/1.1 200"), "{number}: {answer:?}");
        streams.push(stream);
    }
    for number in 0..50 {
        let answer = ask(&connect());
        assert!(answer.starts_with("HTTP/1.1 503"), "{number} too many: {answer:?}");
    }
    for (number, stream) in streams.iter().enumerate() {
        let answer = ask(stream);
        assert!(answer.starts_with("HTTP/1.1 200"), "{number}, once more: {answer:?}");
    }
    // Where there is room again, the next is let in.
    streams.truncate(CONNECTIONS - 10);
    let again = (0..1_000).find_map(|_| {
        std::thread::sleep(5 * MS);
        ask(&connect()).starts_with("HTTP/1.1 200").then_some(())
    });
    assert_eq!(again, Some(()), "ten have gone, and nobody is let in");
}
