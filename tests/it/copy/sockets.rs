//! Copies between real sockets: resets, vanished peers, full windows, and what the kernel is left with.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::rc::Rc;

use punctual::net::TcpStream;
use punctual::net::io::read_to_end;

use super::*;
use crate::support::{child, now_ns};

/// A proxy over TCP with small windows: the client's end, the server's end, and the copy between them.
async fn proxied_tcp(options: CopyOptions) -> (TcpStream, TcpStream, JoinHandle<Result<Copied, Error>>) {
    let (client, proxy_client) = small_tcp_pair().await;
    let (proxy_server, server) = small_tcp_pair().await;
    (client, server, spawn(copy_bidirectional(proxy_client, proxy_server, options)))
}

fn reset(stream: TcpStream) {
    stream.set_linger(Some(Duration::ZERO)).expect("set");
    drop(stream);
}

#[test]
fn x03_a_silent_half_closed_peer_is_let_go_after_the_linger_and_not_before() {
    on_alarms("linger on sockets", async |_| {
        let options = unbounded().half_close_linger(50 * MS);
        let (client, server, copying) = proxied_tcp(options).await;
        sleep(60 * MS).await;
        let before = now_ns();
        client.shutdown(Shutdown::Write).expect("ended");
        let error = copying.await.expect("no panic").expect_err("the server neither sends nor ends");
        let passed = Duration::from_nanos(now_ns() - before);
        assert!(error.is_timeout() && passed >= 50 * MS, "{error} after {passed:?}");
        assert!(error.to_string().contains("half-close linger"), "{error}");
        // Both are told by the kernel.
        assert_eq!(server.read(&mut [0; 8]).await.expect("the end"), 0);
        assert_eq!(client.read(&mut [0; 8]).await.expect("the end"), 0);
    });
}

#[test]
fn x05_a_reset_in_the_midst_closes_both_ends_and_the_counts_are_right() {
    on_alarms("reset in the midst", async |_| {
        for client_resets in [true, false] {
            let (client, server, copying) = proxied_tcp(unbounded()).await;
            client.write_all(b"question").await.expect("sent");
            assert_eq!(server.recv_exactly(8).await, b"question");
            server.write_all(b"an answer").await.expect("sent");
            assert_eq!(client.recv_exactly(9).await, b"an answer");
            let (gone, left) = if client_resets { (client, server) } else { (server, client) };
            let there = left.peer_addr().port();
            reset(gone);
            let error = copying.await.expect("no panic").expect_err("a reset");
            assert_eq!((error.kind(), error.phase()), (Kind::Kernel(libc::ECONNRESET), Phase::Read));
            let copied = error.copied().expect("a copy");
            assert_eq!((copied.a_to_b.bytes, copied.b_to_a.bytes, error.transferred()), (8, 9, 17));
            let ends = if client_resets {
                (copied.a_to_b.end, copied.b_to_a.end)
            } else {
                (copied.b_to_a.end, copied.a_to_b.end)
            };
            assert_eq!(ends, (FlowEnd::ReadFailed, FlowEnd::Open));
            assert_eq!(left.read(&mut [0; 8]).await.expect("it is closed"), 0);
            // The proxy holds nothing.
            assert_released(there, |s| s.local_port == there && s.state == CLOSE_WAIT);
        }
    });
}

#[test]
fn b01_a_client_that_does_not_read_stops_its_server() {
    on_alarms("backpressure on sockets", async |_| {
        let (client, server, copying) = proxied_tcp(unbounded()).await;
        let filled = server.fill().await;
        assert!(filled < 2 << 20, "{filled} bytes are on their way to a client that reads nothing");
        let received = client.recv_exactly(filled).await;
        assert!(received.iter().all(|byte| *byte == 0x5a));
        server.write_all(b"and more").await.expect("there is room again");
        assert_eq!(client.recv_exactly(8).await, b"and more");
        drop((client, server));
        let copied = copying.await.expect("no panic").expect("both ended");
        assert_eq!(copied.b_to_a.bytes, filled as u64 + 8);
    });
}

#[test]
fn x10_an_answer_before_the_end_of_the_upload_arrives_if_the_close_is_in_order() {
    on_alarms("lingering close of a copy", async |_| {
        let (listener, address) = listen();
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
        let (proxy_client, _) = listener.accept().await.expect("accepted");
        let (proxy_server, server) = tcp_pair().await;
        let options = unbounded().close_in_order(PATIENCE);
        let copying = spawn(copy_bidirectional(proxy_client, proxy_server, options));
        server.read(&mut [0; 1024]).await.expect("the start of the upload");
        server.write_all(b"413 too large").await.expect("sent");
        server.shutdown(Shutdown::Write).expect("ended");
        // Once its answer is out, the server goes without having read the rest: it resets.
        drop(server);
        let error = copying.await.expect("no panic").expect_err("the upload was not taken");
        assert!(matches!(error.kind(), Kind::Kernel(libc::ECONNRESET | libc::EPIPE)), "{error}");
        let copied = error.copied().expect("a copy");
        let (refused, answer) = client.join().expect("no panic");
        assert!(!refused);
        // The server's reset may overtake its answer; what the proxy had of it, the client has.
        assert_eq!(answer.len() as u64, copied.b_to_a.bytes);
        assert!("413 too large".starts_with(&answer));
    });
}

#[test]
fn a_close_in_order_is_bounded() {
    on_alarms("bounded close", async |_| {
        let options = unbounded().idle_timeout(20 * MS).close_in_order(50 * MS);
        let before = now_ns();
        let (client, server, copying) = proxied_tcp(options).await;
        let error = copying.await.expect("no panic").expect_err("nobody says anything");
        assert!(now_ns() - before >= 70_000_000, "the peers have their time to end");
        assert!(error.to_string().contains("idle timeout"), "{error}");
        drop((client, server));

        let options = unbounded().idle_timeout(20 * MS).close_in_order(PATIENCE);
        let (client, server, copying) = proxied_tcp(options).await;
        assert_eq!(client.read(&mut [0; 8]).await.expect("told"), 0);
        client.write_all(b"too late").await.expect("it is read, and discarded");
        assert_eq!(server.read(&mut [0; 8]).await.expect("told, and told nothing else"), 0);
        drop((client, server));
        assert!(copying.await.expect("no panic").is_err());
    });
}

/// What a peer does until it goes, and how it goes.
#[derive(Clone, Copy, Debug)]
enum Exit {
    /// Closes without a word.
    AtOnce,
    Speaks,
    /// Ends its side, then stays until it is told.
    HalfCloses,
    Resets,
    SpeaksAndResets,
    /// Reads nothing, sends until it may not, and resets.
    Floods,
    /// Does nothing at all.
    Stays,
}

const EXITS: [Exit; 7] = [
    Exit::AtOnce,
    Exit::Speaks,
    Exit::HalfCloses,
    Exit::Resets,
    Exit::SpeaksAndResets,
    Exit::Floods,
    Exit::Stays,
];

async fn leave(stream: TcpStream, exit: Exit) {
    match exit {
        Exit::AtOnce => {}
        Exit::Speaks => drop(stream.write(b"last words").await),
        Exit::HalfCloses => {
            drop(stream.shutdown(Shutdown::Write));
            drop(read_to_end(&stream, 1 << 24).await);
        }
        Exit::Resets => reset(stream),
        Exit::SpeaksAndResets => {
            drop(stream.write(b"last words").await);
            reset(stream);
        }
        Exit::Floods => {
            stream.set_write_timeout(Some(5 * MS)).expect("open");
            drop(stream.write_all(&[0; 512 * 1024]).await);
            reset(stream);
        }
        Exit::Stays => drop(read_to_end(&stream, 1 << 24).await),
    }
}

/// What the descriptors of this process are of.
fn open_descriptors() -> Vec<String> {
    let all = std::fs::read_dir("/proc/self/fd").expect("/proc").flatten();
    let of = |entry: std::fs::DirEntry| std::fs::read_link(entry.path()).ok();
    all.filter_map(of).map(|target| target.to_string_lossy().into_owned()).collect()
}

#[test]
fn x04_a_thousand_proxied_connections_whose_peers_vanish_leave_nothing() {
    if !child::plays("vanishing peers") {
        let test = "copy::sockets::x04_a_thousand_proxied_connections_whose_peers_vanish_leave_nothing";
        return child::succeed(child::command(test, "vanishing peers"));
    }
    let runtime = punctual::Runtime::new().expect("a runtime");
    let _watchdog = watchdog("vanishing peers", 6 * S);
    let before = open_descriptors();
    runtime.block_on(async {
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..20 {
            let mut running = Vec::new();
            for _ in 0..50 {
                let options = unbounded().idle_timeout(40 * MS).half_close_linger(20 * MS);
                let options = if random.bool() { options.close_in_order(10 * MS) } else { options };
                let (client, server, copying) = proxied_tcp(options).await;
                let mut exit = || *random.choice(&EXITS).expect("one");
                let (left, right) = (exit(), exit());
                running.push((copying, spawn(leave(client, left)), spawn(leave(server, right))));
            }
            for (copying, left, right) in running {
                drop(copying.await.expect("no panic"));
                left.await.expect("no panic");
                right.await.expect("no panic");
            }
        }
    });
    assert_baseline(&runtime);
    let after = open_descriptors();
    let waiting = all_kernel_sockets().into_iter().filter(|s| s.state == CLOSE_WAIT);
    let ours = waiting.filter(|s| after.contains(&format!("socket:[{}]", s.inode)));
    assert_eq!(ours.count(), 0, "in CLOSE_WAIT");
    assert_eq!(after.len(), before.len(), "descriptors: {after:?}");
}

#[test]
fn k06_a_copy_may_be_dropped_after_any_poll() {
    on_alarms("dropped copies", async |runtime| {
        let live = || {
            let metrics = runtime.metrics();
            (metrics.live_sources, metrics.live_timers, metrics.live_wheel_entries)
        };
        let before = live();
        for polls in 0..12 {
            let (client, proxy_client) = small_tcp_pair().await;
            let (proxy_server, server) = small_tcp_pair().await;
            let options = CopyOptions::new().throughput(Throughput::per_second(1)).close_in_order(S);
            let copying = copy_bidirectional(proxy_client, proxy_server, options.total_timeout(8 * MS));
            let feeding = spawn(async move {
                drop(client.write_all(&[1; 300_000]).await);
                client
            });
            polled(copying, polls).await;
            drop(server);
            drop(feeding.await);
            assert_eq!(live(), before, "after {polls} polls");
        }
    });
}

/// Polls a future so many times, then drops it; or until it is ready.
async fn polled<F: Future>(future: F, most: usize) {
    let mut future = Box::pin(future);
    let mut polls = 0;
    std::future::poll_fn(|cx| {
        if polls == most || future.as_mut().poll(cx).is_ready() {
            return std::task::Poll::Ready(());
        }
        polls += 1;
        if polls == most { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[test]
fn k01_a_cancelled_stream_ends_the_copy_with_the_cause() {
    on_alarms("cancelled copy", async |_| {
        let (client, proxy_client) = tcp_pair().await;
        let (proxy_server, server) = tcp_pair().await;
        let proxy_server = Rc::new(proxy_server);
        let lent = proxy_server.clone();
        let copying = spawn(async move { copy_bidirectional(proxy_client, &*lent, unbounded()).await });
        client.write_all(b"moved").await.expect("sent");
        assert_eq!(server.recv_exactly(5).await, b"moved");
        proxy_server.cancel("drained");
        let error = copying.await.expect("no panic").expect_err("cancelled");
        assert_eq!((error.kind(), error.transferred()), (Kind::Cancelled, 5));
        assert!(error.to_string().contains("drained"), "{error}");
        assert_eq!(client.read(&mut [0; 8]).await.expect("it is closed"), 0);
    });
}
