//! Group X: half-close, resets, and what is left in the kernel; and accepting when things go wrong.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::process::Command;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use punctual::net::{Kind, Phase, Socket, TcpListener, TcpStream};
use punctual::reactor::{Interest, Readiness, Registration, tcp_interest};
use punctual::{Instant, Runtime, sleep, spawn, yield_now};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;

use crate::support::net::*;
use crate::support::{MS, child, now_ns, poll_once, skip, wire};

const ECONNRESET: Kind = Kind::Kernel(libc::ECONNRESET);
const EPIPE: Kind = Kind::Kernel(libc::EPIPE);

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n / 7 + n) as u8).collect()
}

/// Reads until the end or an error; what had come by then, and the error.
async fn read_all<T: Pair>(stream: &Socket<T>) -> (Vec<u8>, Option<Kind>) {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 32 * 1024]);
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return (all, None),
            Ok(received) => all.extend_from_slice(&buffer[..received]),
            Err(error) => return (all, Some(error.kind())),
        }
    }
}

/// Resets the connection.
fn reset(stream: TcpStream) {
    stream.set_linger(Some(Duration::ZERO)).expect("set");
    drop(stream);
}

#[test]
fn x01_half_close_round() {
    async fn body<T: Pair>(_: &Runtime) {
        let (client, server) = T::pair().await;
        let answer = pattern(1 << 20);
        let serving = spawn({
            let answer = answer.clone();
            async move {
                assert_eq!(read_all(&server).await, (b"request".to_vec(), None));
                sleep(50 * MS).await;
                server.write_all(&answer).await.expect("the other half is open");
            }
        });
        client.write_all(b"request").await.expect("sent");
        client.shutdown(Shutdown::Write).expect("ended");
        let (received, ended) = read_all(&client).await;
        assert_eq!((received.len(), ended), (answer.len(), None), "all, then the end");
        assert!(received == answer);
        assert_eq!(client.write(b"x").await.expect_err("its own half is ended").kind(), EPIPE);
        serving.await.expect("no panic");
    }
    on_streams!(body);
}

#[test]
fn x02_close_read() {
    async fn body<T: Pair>(_: &Runtime) {
        let (left, right) = T::pair().await;
        let left = Rc::new(left);
        let reader = left.clone();
        let reading = spawn(async move { reader.read(&mut [0; 8]).await.map_err(|e| e.kind()) });
        sleep(10 * MS).await;
        left.shutdown(Shutdown::Read).expect("ended");
        assert_eq!(reading.await.expect("no panic"), Ok(0), "what waits sees the end");
        assert_eq!(left.read(&mut [0; 8]).await.expect("the end"), 0);
        left.write_all(b"still open").await.expect("sent");
        assert_eq!(right.recv_exactly(10).await, b"still open");
    }
    on_streams!(body);
}

#[test]
fn x03_fin_wait2() {
    on_alarms("x03", async |_| {
        let (left, _silent) = tcp_pair().await;
        let port = left.local_addr().expect("its address").port();
        let peer = left.peer_addr().port();
        left.shutdown(Shutdown::Write).expect("ended");
        let armed = now_ns();
        left.set_read_deadline(Some(Instant::now() + 50 * MS)).expect("open");
        let error = left.read(&mut [0; 8]).await.expect_err("the peer neither sends nor ends");
        assert!(error.is_timeout() && now_ns() - armed >= 50_000_000, "{error}");
        drop(left);
        // One local port may serve connections to several peers.
        let one = |s: &KernelSocket| (s.local_port, s.peer_port) == (port, peer);
        let ours: Vec<_> = kernel_sockets(port).into_iter().filter(one).collect();
        let [orphan] = &ours[..] else { panic!("one socket in FIN_WAIT2: {ours:?}") };
        assert_eq!((orphan.state, orphan.inode), (FIN_WAIT2, 0), "the kernel's, and nobody else's");
    });
}

#[test]
fn x04_close_wait_no_leak() {
    on_alarms("x04", async |runtime| {
        let (listener, address) = listen();
        for _ in 0..20 {
            let clients: Vec<_> =
                (0..50).map(|_| std::net::TcpStream::connect(address).expect("connected")).collect();
            let mut served = Vec::new();
            for _ in 0..50 {
                served.push(listener.accept().await.expect("accepted"));
            }
            drop(clients);
            yield_now().await;
            drop(served);
        }
        assert_eq!(runtime.metrics().live_sources, 1, "the listener");
        let waiting = kernel_sockets(address.port()).into_iter().filter(|s| s.state == CLOSE_WAIT);
        assert_eq!(waiting.count(), 0);
    });
}

#[test]
fn x05_rst_wakes_both() {
    on_alarms("x05", async |_| {
        let (left, right) = small_tcp_pair().await;
        let left = Rc::new(left);
        left.fill().await;
        left.set_deadline(Some(Instant::now() + PATIENCE)).expect("open");
        let (reader, writer) = (left.clone(), left.clone());
        let reading = spawn(async move { read_all(&reader).await.1 });
        let writing = spawn(async move { writer.write_all(&[0; 1 << 20]).await.map_err(|e| e.kind()) });
        sleep(20 * MS).await;
        reset(right);
        assert_eq!(reading.await.expect("no panic"), Some(ECONNRESET));
        assert_eq!(writing.await.expect("no panic"), Err(ECONNRESET));
        // And it stays so, though the kernel says it only once.
        assert_eq!(left.read(&mut [0; 1]).await.expect_err("broken").kind(), ECONNRESET);
        assert_eq!(left.write(&[0; 1]).await.expect_err("broken").kind(), ECONNRESET);
    });
}

#[test]
fn x06_data_before_eof_and_rst() {
    on_alarms("x06", async |_| {
        let data = pattern(64 * 1024);
        let (left, right) = tcp_pair().await;
        right.write_all(&data).await.expect("sent");
        right.shutdown(Shutdown::Write).expect("ended");
        let (received, ended) = read_all(&left).await;
        assert!(received == data && ended.is_none(), "{} bytes, {ended:?}", received.len());

        let (left, right) = tcp_pair().await;
        right.write_all(&data).await.expect("sent");
        reset(right);
        let (received, ended) = read_all(&left).await;
        assert!(data.starts_with(&received), "no byte is invented");
        assert_eq!(ended, Some(ECONNRESET), "a reset is no end");
    });
}

#[test]
fn x07_write_half_open() {
    if !child::plays("default SIGPIPE") {
        let test = "half_close::x07_write_half_open";
        return child::succeed(child::command(test, "default SIGPIPE"));
    }
    punctual_reactor::rig::default_sigpipe().expect("set");
    async fn body<T: Pair>(_: &Runtime) {
        for way in 0..3 {
            let (left, right) = T::pair().await;
            drop(right);
            let slices = [std::io::IoSlice::new(b"to "), std::io::IoSlice::new(b"nobody")];
            let mut ended = None;
            // The first is answered by a reset, which may take a turn to come.
            for _ in 0..1_000 {
                let written = match way {
                    0 => left.write(b"to nobody").await.map(drop),
                    1 => left.write_vectored(&slices).await.map(drop),
                    _ => left.write_all(b"to nobody").await,
                };
                if let Err(error) = written {
                    ended = Some(error.kind());
                    break;
                }
                yield_now().await;
            }
            assert!(matches!(ended, Some(EPIPE | ECONNRESET)), "{ended:?}");
            let again = left.write(b"again").await.expect_err("nobody is there");
            assert!(matches!(again.kind(), EPIPE | ECONNRESET), "{again}");
        }
    }
    on_streams!(body);
}

#[test]
fn x08_shutdown_idempotent() {
    on_alarms("x08", async |_| {
        let (left, right) = tcp_pair().await;
        for _ in 0..3 {
            left.shutdown(Shutdown::Write).expect("again");
        }
        right.shutdown(Shutdown::Both).expect("at the same time");
        assert_eq!(read_all(&left).await, (vec![], None));
        for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
            left.shutdown(how).expect("also after both ends have ended");
        }
        let (left, right) = tcp_pair().await;
        reset(right);
        assert_eq!(read_all(&left).await.1, Some(ECONNRESET));
        left.shutdown(Shutdown::Both).expect("after a reset");
        left.close();
        assert_eq!(left.shutdown(Shutdown::Both).expect_err("closed").kind(), Kind::Closed);
    });
}

#[test]
fn x10_lingering_close() {
    on_alarms("x10", async |_| {
        let (listener, address) = listen();
        // A client that sends all of its request before it looks for the answer.
        let client = std::thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(address).expect("connected");
            let mut refused = false;
            for _ in 0..64 {
                refused |= stream.write_all(&[b'u'; 64 * 1024]).is_err();
            }
            stream.shutdown(Shutdown::Write).expect("ended");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("the answer, not a reset");
            (refused, answer)
        });
        let (server, _) = listener.accept().await.expect("accepted");
        server.read(&mut [0; 1024]).await.expect("the start of the request");
        server.write_all(b"413 too large").await.expect("sent");
        let discarded = server.close_in_order(PATIENCE).await.expect("the client ends");
        assert!(discarded >= 63 * 64 * 1024, "{discarded}");
        assert_eq!(server.read(&mut [0; 1]).await.expect_err("closed").kind(), Kind::Closed);
        assert_eq!(client.join().expect("no panic"), (false, "413 too large".to_owned()));

        // One that never ends is not waited for.
        let (server, _silent) = tcp_pair().await;
        let armed = now_ns();
        let error = server.close_in_order(50 * MS).await.expect_err("the peer never ends");
        assert!(now_ns() - armed >= 50_000_000);
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Shutdown));
        assert_eq!(server.read(&mut [0; 1]).await.expect_err("closed").kind(), Kind::Closed);
    });
}

#[test]
fn closing_in_order_gives_the_peer_its_time_whatever_was_set_before() {
    on_alarms("close in order", async |_| {
        for case in ["a deadline that has passed", "a timeout of zero"] {
            let (server, client) = tcp_pair().await;
            let ending = punctual::spawn(async move {
                sleep(30 * MS).await;
                client.write_all(b"late").await.expect("sent");
                sleep(30 * MS).await;
                client.shutdown(Shutdown::Write).expect("ended");
                client
            });
            match case {
                "a timeout of zero" => server.set_read_timeout(Some(Duration::ZERO)).expect("open"),
                _ => server.set_read_deadline(Some(Instant::now() - MS)).expect("open"),
            }
            let closing = server.close_in_order(PATIENCE);
            assert!(size_of_val(&closing) < 1024, "{} bytes in every future", size_of_val(&closing));
            assert_eq!(closing.await.expect("the peer ends"), 4, "{case}");
            drop(ending.await.expect("no panic"));
        }

        let (server, client) = tcp_pair().await;
        let error = server.close_in_order(20 * MS).await.expect_err("the peer never ends");
        let info = error.deadline().expect("a deadline");
        assert_eq!(info.budget(), Some(20 * MS));
        assert!(info.location().is_some_and(|at| at.file().ends_with("half_close.rs")), "{error}");
        assert!(error.to_string().contains("timed out after 20 ms (deadline set at "), "{error}");
        drop(client);
        let (server, client) = tcp_pair().await;
        reset(client);
        let error = server.close_in_order(PATIENCE).await.expect_err("it was reset");
        assert_eq!(error.phase(), Phase::Shutdown);
    });
}

#[test]
fn x12_accept_aborted() {
    on_alarms("x12", async |_| {
        let (listener, address) = listen();
        let gone = std::net::TcpStream::connect(address).expect("queued");
        SockRef::from(&gone).set_linger(Some(Duration::ZERO)).expect("set");
        drop(gone);
        let mut good = std::net::TcpStream::connect(address).expect("queued");
        good.write_all(b"here").expect("sent");
        listener.set_deadline(Some(Instant::now() + PATIENCE)).expect("open");
        loop {
            // Some kernels hand out the dead connection, others do not.
            let (server, peer) = listener.accept().await.expect("the listener is well");
            if peer == good.local_addr().expect("its address") {
                assert_eq!(server.recv_exactly(4).await, b"here");
                break;
            }
            assert_eq!(server.read(&mut [0; 1]).await.expect_err("reset").kind(), ECONNRESET);
        }
    });
}

/// Runs the test with this path again, once for each error that the first three accepts are made to fail
/// with; `false` in the parent.
fn under_strace(test: &str, errors: &[&str]) -> bool {
    if errors.iter().any(|error| child::plays(error)) {
        return true;
    }
    let works = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        skip("system calls are made to fail with strace: install it, and allow ptrace");
        return false;
    }
    for error in errors {
        let inject = format!("inject=accept4:error={error}:when=1..3");
        let wrapper = ["strace", "-f", "-o", "/dev/null", "-e", "trace=accept4", "-e", &inject];
        child::succeed(child::wrapped(&wrapper, test, error));
    }
    false
}

/// Three accepts fail, the fourth succeeds; returns how often the listener had to pause.
async fn accept_after_faults() -> (u64, Duration) {
    let (listener, address) = listen();
    let _client = std::net::TcpStream::connect(address).expect("queued");
    listener.set_deadline(Some(Instant::now() + PATIENCE)).expect("open");
    let start = Instant::now();
    listener.accept().await.expect("the connection is still there");
    (listener.exhaustions(), start.elapsed())
}

#[test]
fn x12_accept_aborted_by_fault() {
    let test = "half_close::x12_accept_aborted_by_fault";
    if under_strace(test, &["ECONNABORTED", "EPROTO"]) {
        // Faults are counted for each thread apart: one alarm, one thread.
        let runtime = punctual::Runtime::new().expect("a runtime");
        let (pauses, _) = runtime.block_on(accept_after_faults());
        assert_eq!(pauses, 0, "the next connection is taken at once");
        assert_baseline(&runtime);
    }
}

#[test]
fn pol11_accept_backs_off_and_is_not_deaf() {
    let test = "half_close::pol11_accept_backs_off_and_is_not_deaf";
    if under_strace(test, &["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]) {
        let runtime = punctual::Runtime::new().expect("a runtime");
        let (pauses, passed) = runtime.block_on(accept_after_faults());
        assert_eq!(pauses, 3);
        assert!(passed >= 35 * MS, "5, 10 and 20 ms: {passed:?}");
        assert!(runtime.metrics().turns < 40, "no spinning: {:?}", runtime.metrics());
        assert_baseline(&runtime);
    }
}

#[test]
fn pol11_out_of_descriptors_for_real() {
    if !child::plays("out of descriptors") {
        let test = "half_close::pol11_out_of_descriptors_for_real";
        return child::succeed(child::command(test, "out of descriptors"));
    }
    let runtime = punctual::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (listener, address) = listen();
        let listener = Rc::new(listener);
        let mut client = std::net::TcpStream::connect(address).expect("queued");
        client.write_all(b"patience").expect("sent");
        let limit = Rlimit { current: Some(64), maximum: getrlimit(Resource::Nofile).maximum };
        setrlimit(Resource::Nofile, limit).expect("lowered");
        let mut hoard = Vec::new();
        let full = loop {
            match std::fs::File::open("/dev/null") {
                Ok(file) => hoard.push(file),
                Err(error) => break error,
            }
        };
        assert_eq!(full.raw_os_error(), Some(libc::EMFILE));

        // Its deadline bounds the pauses, and an accept that was given up leaves the listener able to hear.
        listener.set_deadline(Some(Instant::now() + 100 * MS)).expect("open");
        let armed = now_ns();
        let error = listener.accept().await.map(drop).expect_err("there is no descriptor");
        assert!(error.is_timeout() && now_ns() - armed >= 100_000_000, "{error}");
        let pauses = listener.exhaustions();
        assert!((2..=6).contains(&pauses), "{pauses} pauses of 5 ms and more in 100 ms");

        // Several wait; one of them is dropped in the midst of its pause.
        listener.set_deadline(None).expect("open");
        let accepts: Vec<_> = (0..3)
            .map(|_| {
                let listener = listener.clone();
                spawn(async move { listener.accept().await })
            })
            .collect();
        let (before, cpu_before) = (runtime_turns(&runtime), cpu_time());
        sleep(300 * MS).await;
        let (turns, cpu) = (runtime_turns(&runtime) - before, cpu_time() - cpu_before);
        assert!(turns < 100 && cpu < 60 * MS, "spinning: {turns} turns, {cpu:?} of CPU");
        let mut accepts = accepts.into_iter();
        let first = accepts.next().expect("one of three");
        first.abort();
        let _ = first.await;
        hoard.clear();
        let mut waiting: Vec<_> = accepts.collect();
        while !waiting.iter().any(|accept| accept.is_finished()) {
            sleep(MS).await;
        }
        let index = waiting.iter().position(|accept| accept.is_finished()).expect("one of two");
        let accepted = waiting.swap_remove(index).await.expect("no panic");
        let (server, peer) = accepted.expect("accepted once there are descriptors again");
        assert_eq!(peer, client.local_addr().expect("its address"));
        assert_eq!(server.recv_exactly(8).await, b"patience");
        listener.close();
        let last = waiting.pop().expect("the other").await.expect("no panic");
        assert_eq!(last.map(drop).expect_err("closed").kind(), Kind::Closed);
    });
    assert_baseline(&runtime);
}

fn runtime_turns(runtime: &punctual::Runtime) -> u64 {
    runtime.metrics().turns
}

/// CPU time of this process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn accepting_is_fair_to_the_rest_of_the_loop() {
    on_alarms("accept budget", async |runtime| {
        let (listener, address) = listen();
        let clients: Vec<_> =
            (0..100).map(|_| std::net::TcpStream::connect(address).expect("queued")).collect();
        let before = runtime.metrics().turns;
        let mut served: Vec<(TcpStream, _)> = Vec::new();
        for _ in &clients {
            served.push(listener.accept().await.expect("accepted"));
        }
        let turns = runtime.metrics().turns - before;
        assert!(turns >= 100 / 32, "at most 32 in a turn: {turns} turns for 100");
    });
}

#[test]
fn a_listener_is_refused_what_it_cannot_have() {
    on_alarms("bind", async |_| {
        let (_taken, address) = listen();
        let error = TcpListener::bind(address).expect_err("it is taken");
        assert_eq!((error.kind(), error.phase()), (Kind::Kernel(libc::EADDRINUSE), Phase::Bind));
        assert_eq!(std::io::Error::from(error).kind(), ErrorKind::AddrInUse);
        let error = TcpListener::bind("localhost:0").expect_err("a name");
        assert_eq!(error.kind(), Kind::InvalidInput);
    });
}

/// A read is cut short where a descriptor was sent along, though more has come.
#[test]
fn a_short_read_of_a_unix_stream_leaves_nothing_waiting() {
    for interest in [Interest::READABLE, Interest::READABLE | Interest::WRITABLE, tcp_interest()] {
        let runtime = punctual::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let (near, mut far) = mio::net::UnixStream::pair().expect("a pair");
            let io = Registration::new(near, interest, Readiness::NONE).expect("registered");
            let near = wire::Wire { io };
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut along = SendAncillaryBuffer::new(&mut space);
            let stdin = std::io::stdin();
            let descriptors = [stdin.as_fd()];
            assert!(along.push(SendAncillaryMessage::ScmRights(&descriptors)));
            let sent = sendmsg(&far, &[IoSlice::new(b"a")], &mut along, SendFlags::empty());
            assert_eq!(sent.expect("room"), 1);
            far.write_all(b"bcd").expect("room");
            let mut buffer = [0; 64];
            assert_eq!(near.read(&mut buffer).await.expect("it has come"), 1, "cut short");
            // No event follows: what is there now must be had now.
            match poll_once(near.read(&mut buffer)) {
                Poll::Ready(Ok(bytes)) => assert_eq!(&buffer[..bytes], b"bcd"),
                other => panic!("{interest:?}: three bytes wait in the kernel: {other:?}"),
            }
            assert!(poll_once(near.read(&mut buffer)).is_pending());
        });
    }
}
