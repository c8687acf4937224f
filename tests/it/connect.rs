//! Group C: connecting. What needs its own network runs this binary again inside a namespace.

mod caps;
mod namespaces;
mod options;
mod race;

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use punctual::net::{Connect, Error, Kind, Phase, TcpListener, TcpStream};
use punctual::{Instant, sleep, spawn, timeout};

use crate::support::net::*;
use crate::support::{MS, child, now_ns, virtual_runtime};

const ECONNREFUSED: Kind = Kind::Kernel(libc::ECONNREFUSED);

/// Connects in vain, and returns why; never early if it is a timeout.
async fn fails(connect: Connect, bound: Duration) -> Error {
    let armed = now_ns();
    let error = connect.timeout(bound).connect().await.expect_err("nobody answers");
    let passed = Duration::from_nanos(now_ns() - armed);
    if error.is_timeout() {
        assert!(passed >= bound, "early: {passed:?} of {bound:?}: {error}");
        let info = error.deadline().expect("a deadline");
        assert_eq!(info.budget(), Some(bound), "{error}");
        assert!(info.location().is_some_and(|at| at.file().ends_with("connect.rs")), "{error}");
    }
    error
}

/// Nobody tries to connect to it any more.
#[track_caller]
fn assert_no_syns_to(port: u16) {
    assert_released(port, |socket| socket.state == SYN_SENT);
}

/// The accept queue is full: SYNs to it are dropped.
fn syns_to(port: u16) -> Vec<KernelSocket> {
    kernel_sockets(port).into_iter().filter(|socket| socket.state == SYN_SENT).collect()
}

#[test]
fn c01_refused_fast() {
    on_alarms("c01", async |_| {
        let (_held, address) = closed_port();
        let error = fails(Connect::to(address), Duration::from_secs(5)).await;
        assert_eq!((error.kind(), error.phase()), (ECONNREFUSED, Phase::Connect));
        assert_eq!((error.peer(), error.is_retry_safe()), (Some(address), true));
        let io = std::io::Error::from(error);
        assert_eq!(io.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn c02_blackhole_backlog() {
    on_alarms("c02", async |runtime| {
        let (_listener, address, _filler) = deaf_listener();
        let connecting = spawn(fails(Connect::to(address).name("deaf"), 100 * MS));
        while syns_to(address.port()).is_empty() {
            assert!(!connecting.is_finished(), "the SYN was answered");
            sleep(MS).await;
        }
        let error = connecting.await.expect("no panic");
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Connect));
        assert_eq!(error.deadline().and_then(|info| info.name()), Some("deaf"));
        assert_eq!(error.peer(), Some(address));
        // The socket is closed with its deadline.
        assert_no_syns_to(address.port());
        assert_eq!(runtime.metrics().live_sources, 0);
    });
}

#[test]
fn c02_dropped_midway_closes_the_socket() {
    on_alarms("c02 drop", async |_| {
        let (_listener, address, _filler) = deaf_listener();
        let connecting = timeout(50 * MS, TcpStream::connect(address)).await;
        assert!(connecting.is_err());
        assert_no_syns_to(address.port());
    });
}

#[test]
fn c04_slow_synack() {
    on_alarms("c04", async |_| {
        let (listener, address, _filler) = deaf_listener();
        let early = spawn(fails(Connect::to(address), 500 * MS));
        let late = spawn(Connect::to(address).timeout(Duration::from_secs(20)).connect());
        sleep(300 * MS).await;
        listener.set_nonblocking(true).expect("set");
        let (_filled, _) = listener.accept().expect("the one in the queue");
        let error = early.await.expect("no panic");
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Connect));
        let stream = late.await.expect("no panic").expect("the retransmitted SYN is answered");
        let (_server, peer) = listener.accept().expect("accepted");
        assert_eq!(peer, stream.local_addr().expect("its address"), "the late one, and only that");
        assert_eq!(listener.accept().expect_err("no other").kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn c08_cancel_after_success() {
    on_alarms("c08", async |runtime| {
        let (listener, address) = listen();
        let accepting = spawn(async move { listener.accept().await });
        let stream = timeout(MS * 10_000, Connect::to(address).timeout(40 * MS)).await;
        let stream = stream.expect("in time").expect("connected");
        let (server, _) = accepting.await.expect("no panic").expect("accepted");
        assert!(runtime.metrics().live_wheel_entries <= 1, "at most an entry that nobody wishes for");
        sleep(80 * MS).await;
        stream.write_all(b"still").await.expect("sent");
        assert_eq!(server.recv_exactly(5).await, b"still");
        server.write_all(b"here").await.expect("sent");
        assert_eq!(stream.recv_exactly(4).await, b"here");
    });
}

#[test]
fn c11_self_connect() {
    on_alarms("c11", async |runtime| {
        // A free port of an address that nobody else uses here.
        let free = std::net::TcpListener::bind("127.0.11.1:0").and_then(|free| free.local_addr());
        let address = free.expect("a port");
        let error = fails(Connect::to(address).from(address), Duration::from_secs(5)).await;
        assert_eq!((error.kind(), error.phase()), (Kind::SelfConnect, Phase::Connect));
        assert_eq!(std::io::Error::from(error).kind(), ErrorKind::AddrNotAvailable);
        assert_eq!(runtime.metrics().live_sources, 0);
    });
}

#[test]
fn c12_listener_dies() {
    on_alarms("c12", async |_| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let stream = TcpStream::connect(listener.local_addr().expect("its address")).await;
        let stream = stream.expect("connected to its queue");
        drop(listener);
        stream.set_read_timeout(Some(PATIENCE)).expect("open");
        let first = stream.read(&mut [0; 8]).await.expect_err("it was reset");
        assert_eq!((first.kind(), first.phase()), (Kind::Kernel(libc::ECONNRESET), Phase::Read));
    });
}

#[test]
fn c18_past_deadline_no_syn() {
    on_alarms("c18", async |_| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        listener.set_nonblocking(true).expect("set");
        let address = listener.local_addr().expect("its address");
        let past = Connect::to(address).deadline(Instant::now() - Duration::from_secs(5));
        let none = Connect::to(address).timeout(Duration::ZERO);
        let several = Connect::to(vec![address; 3]).timeout(Duration::ZERO);
        for connect in [past, none, several] {
            let error = connect.connect().await.expect_err("its time was over before it began");
            assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Connect));
            let info = error.deadline().expect("a deadline");
            assert!(info.before_it_began() && info.lateness().is_zero(), "{error}");
            assert!(error.to_string().contains(" was not begun: "), "{error}");
            assert!(!error.is_retry_safe(), "it would fail again");
        }
        let named = Connect::to("localhost:9").timeout(Duration::ZERO).connect().await;
        assert_eq!(named.expect_err("over").phase(), Phase::Resolve);
        assert_eq!(listener.accept().expect_err("nobody came").kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn names_resolve_off_the_loop() {
    on_alarms("names", async |_| {
        let (listener, address) = listen();
        let accepting = spawn(async move { listener.accept().await });
        let stream = TcpStream::connect(("localhost", address.port())).await.expect("connected");
        assert_eq!(stream.peer_addr(), address);
        accepting.await.expect("no panic").expect("accepted");
        let error = TcpStream::connect("no-such-name.invalid:80").await.expect_err("RFC 6761");
        assert_eq!((error.kind(), error.phase()), (Kind::Dns, Phase::Resolve));
        let error = TcpStream::connect("bad\0name:80").await.expect_err("a NUL");
        assert_eq!(error.kind(), Kind::InvalidInput);
    });
}

#[test]
fn names_resolve_while_virtual_time_stands_still() {
    let (runtime, _clock) = virtual_runtime();
    runtime.block_on(async {
        let (listener, address) = listen();
        let accepting = spawn(async move { listener.accept().await });
        let began = Instant::now();
        let named = format!("localhost:{}", address.port());
        let stream = TcpStream::connect(named).await.expect("a lookup takes no virtual time");
        assert_eq!(stream.peer_addr(), address);
        assert_eq!(began.elapsed(), Duration::ZERO);
        accepting.await.expect("no panic").expect("accepted");
        // And goes on afterwards.
        sleep(PATIENCE * 1_000).await;
    });
}

#[test]
fn what_is_needed_outside_of_a_runtime_is_said_of_the_caller() {
    // The hook is the whole process's.
    if !child::plays("panics") {
        let test = "connect::what_is_needed_outside_of_a_runtime_is_said_of_the_caller";
        return child::succeed(child::command(test, "panics"));
    }
    let seen = Arc::new(Mutex::new(None));
    let told = seen.clone();
    std::panic::set_hook(Box::new(move |info| {
        eprintln!("{info}");
        *told.lock().expect("whole") = info.location().map(|at| at.file().to_owned());
    }));
    let std_listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let std_stream = std::net::TcpStream::connect(std_listener.local_addr().expect("its address"));
    let std_stream = std_stream.expect("connected");
    let calls: [Box<dyn FnOnce()>; 3] = [
        Box::new(|| drop(TcpListener::bind("127.0.0.1:0"))),
        Box::new(|| drop(TcpStream::from_std(std_stream))),
        Box::new(|| drop(TcpListener::from_std(std_listener))),
    ];
    for (n, call) in calls.into_iter().enumerate() {
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
        let file = seen.lock().expect("whole").take().expect("a place");
        assert!(file.ends_with("connect.rs"), "call {n}: {file}");
    }
}
