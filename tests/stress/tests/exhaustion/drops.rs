//! R06, K14: runtimes dropped with everything pending.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant as StdInstant};

use punctual::net::{Resolver, TcpListener, TcpStream, UdpSocket, UnixStream, duplex};
use punctual::process::Command;
use punctual::reactor::pipe;
use punctual::signal::{SignalKind, signal};
use punctual::{
    Runtime, blocking, fs, http, interval, scope, shutdown_requested, sleep, spawn, timeout, tls,
    yield_now,
};
use punctual_tests_stress::alone;
use punctual_tests_stress::rig::{self, MS, watchdog};

const LONG: Duration = Duration::from_secs(600);
const CYCLES: usize = 2_000;

/// Waits for all there is to wait for, on a peer that says nothing, and returns while it does.
async fn begin_everything(number: usize, silent: SocketAddr, mute: SocketAddr, full: SocketAddr) {
    let (reader, writer) = pipe().expect("a pipe");
    drop(spawn(async move { reader.read(&mut [0; 8]).await.map(drop) }));
    let stream = TcpStream::connect(silent).await.expect("connected");
    stream.set_linger(Some(Duration::ZERO)).expect("open");
    stream.set_timeout(Some(LONG)).expect("open");
    drop(spawn(async move { stream.read(&mut [0; 8]).await.map(drop) }));
    // A connect that is not answered, a handshake that is not, a request that is not.
    drop(spawn(async move { TcpStream::connect_timeout(full, LONG).await.map(drop) }));
    for builder in [http::Client::builder(), http::Client::builder().http2_prior_knowledge()] {
        let client = builder.build();
        drop(spawn(async move { client.get(format!("http://{silent}/")).send().await.map(drop) }));
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    drop(spawn(async move { listener.accept().await.map(drop) }));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let served = listener.local_addr().expect("its address");
    let serve = http::serve(listener, http::service_fn(slow));
    drop(spawn(serve.into_future()));
    let mut client = std::net::TcpStream::connect(served).expect("connected");
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    drop(spawn(async move { udp.recv_from(&mut [0; 8]).await.map(drop) }));
    let (near, far) = UnixStream::pair().expect("a pair");
    drop(spawn(async move { near.read(&mut [0; 8]).await.map(drop) }));
    // A lookup of a name server that is there and says nothing, shared by two.
    if number.is_multiple_of(4) {
        let resolver = Resolver::builder().servers([mute]).build();
        for _ in 0..2 {
            let lookup = resolver.lookup("pending.test");
            drop(spawn(async move { lookup.await.map(drop) }));
        }
    }
    let (left, right) = duplex(64);
    drop(spawn(async move { left.read(&mut [0; 8]).await.map(drop) }));
    drop(spawn(sleep(LONG)));
    drop(spawn(timeout(LONG, std::future::pending::<()>())));
    drop(spawn(async {
        let mut ticks = interval(MS);
        loop {
            ticks.tick().await;
        }
    }));
    drop(spawn(scope("outer", LONG, async |outer| {
        outer.spawn(async { sleep(LONG).await });
        scope("inner", LONG, async |inner| {
            inner.spawn(async { shutdown_requested().await });
            sleep(LONG).await;
        })
        .await
    })));
    let signals = signal(SignalKind::USER1).expect("a listener");
    drop(spawn(async move { signals.recv().await }));
    // What costs the most is not in every cycle: a handshake, threads, processes.
    if number.is_multiple_of(16) {
        let secret = TcpStream::connect(silent).await.expect("connected");
        secret.set_linger(Some(Duration::ZERO)).expect("open");
        drop(spawn(async move { tls::Connector::new().connect(secret, "localhost").await.map(drop) }));
        drop(spawn(blocking(|| std::thread::sleep(MS))));
        drop(spawn(fs::read("Cargo.toml", 1 << 20)));
    }
    if number.is_multiple_of(128) {
        let mut child = Command::new("sleep").arg("600").kill_on_drop(true).spawn().expect("started");
        drop(spawn(async move { child.wait().await.map(drop) }));
    }
    // Several turns: each of them is on its way.
    for _ in 0..1 + number % 5 {
        yield_now().await;
    }
    drop((writer, far, right, client));
}

async fn slow(
    _: ::http::Request<http::Body>,
) -> Result<::http::Response<String>, std::convert::Infallible> {
    sleep(LONG).await;
    Ok(::http::Response::new(String::new()))
}

#[test]
fn r06_two_thousand_runtimes_are_dropped_with_everything_pending() {
    if !alone!() {
        return;
    }
    let _watchdog = watchdog("r06", Duration::from_secs(400));
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    silent.set_nonblocking(true).expect("set");
    let silent_at = silent.local_addr().expect("its address");
    let mute = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mute_at = mute.local_addr().expect("its address");
    let full = full_listener();
    let full_at = full.local_addr().ok().and_then(|at| at.as_socket()).expect("its address");
    let cycle = |number: usize| {
        let runtime = Runtime::new().expect("a runtime");
        // Others hold its handle, ask it for something, and wait for a task that never ends.
        let handle = runtime.handle();
        let asked = handle.spawn(|| async { std::future::pending::<()>().await }).expect("room");
        let joining = number.is_multiple_of(8).then(|| {
            let remote = handle.spawn(|| async { sleep(LONG).await }).expect("room");
            std::thread::spawn(move || remote.join().is_err_and(|error| error.is_aborted()))
        });
        runtime.block_on(begin_everything(number, silent_at, mute_at, full_at));
        drop(runtime);
        assert!(handle.call(|| ()).is_err(), "the loop is gone");
        assert!(asked.join().is_err_and(|error| error.is_aborted()), "whoever joins is told");
        if let Some(joining) = joining {
            assert!(joining.join().expect("no panic"), "whoever waits is told");
        }
        while silent.accept().is_ok() {}
    };
    // What is made once and kept: the pipe of the signals, rustls's roots, rings and slabs of the allocator.
    let warm = CYCLES / 10;
    (0..warm).for_each(&cycle);
    settle();
    let (before, resident) = (rig::descriptors(), rig::resident_kib());
    let began = StdInstant::now();
    (warm..warm + CYCLES).for_each(&cycle);
    settle();
    let grown = rig::resident_kib().saturating_sub(resident);
    println!("{CYCLES} runtimes in {:?}; {resident} KiB, and {grown} more afterwards", began.elapsed());
    assert_eq!(rig::descriptors_beyond(&before), Vec::<String>::new());
    // One of its tasks alone has more than a kilobyte.
    assert!(grown < CYCLES as u64, "{grown} KiB more after {CYCLES} runtimes");
}

/// Threads that slept a millisecond and children that were killed are gone soon after.
fn settle() {
    let threads = || std::fs::read_dir("/proc/self/task").expect("procfs").count();
    let began = StdInstant::now();
    while threads() > 3 && began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(5 * MS);
    }
    assert!(threads() <= 3, "{} threads are left: main, the test's, the watchdog", threads());
}

/// A listener whose backlog is full: who connects is not answered.
fn full_listener() -> socket2::Socket {
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
    socket.listen(0).expect("listening");
    let address = socket.local_addr().expect("its address");
    let filler =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    filler.connect(&address).expect("the one there is room for");
    // For as long as the test lasts.
    std::mem::forget(filler);
    socket
}
