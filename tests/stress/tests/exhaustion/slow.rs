//! B01: those who take nothing of what they asked for.

use std::cell::Cell;
use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use punctual::http::ServerTimeouts;
use punctual::net::{TcpStream, io};
use punctual::{JoinHandle, Runtime, http, sleep, spawn};
use punctual_tests_stress::alone;
use punctual_tests_stress::rig::{self, MS, assert_baseline, now_ns, since, watchdog};

const CONSUMERS: usize = 64;
/// Of what each has asked for; all of it would not fit into memory.
const EACH: usize = 256 << 20;
const PIECE: usize = 16 * 1024;
/// What may lie between producer and kernel for each consumer.
const HELD_MAX_KIB: u64 = 512;

/// A body that counts what is taken of it.
struct Counted {
    left: usize,
    taken: Rc<Cell<usize>>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left < PIECE {
            return Poll::Ready(None);
        }
        self.left -= PIECE;
        self.taken.set(self.taken.get() + PIECE);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![7; PIECE])))))
    }
}

/// Those who ask, and take nothing.
fn consumers(address: SocketAddr, words: &[u8]) -> Vec<std::net::TcpStream> {
    let consumer = |_| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        socket.set_recv_buffer_size(4_096).expect("set");
        socket.set_linger(Some(Duration::ZERO)).expect("set");
        socket.connect(&address.into()).expect("connected");
        let mut stream = std::net::TcpStream::from(socket);
        stream.write_all(words).expect("sent");
        stream
    };
    (0..CONSUMERS).map(consumer).collect()
}

/// Until no more of it is taken; how much that was, and what memory had grown by.
async fn until_it_stands(taken: &Cell<usize>, before_kib: u64) -> (usize, u64) {
    let mut seen = usize::MAX;
    while seen != taken.get() || seen == 0 {
        seen = taken.get();
        sleep(300 * MS).await;
    }
    (seen, rig::resident_kib().saturating_sub(before_kib))
}

#[test]
fn b01_clients_that_read_nothing_of_an_endless_body_hold_little_memory() {
    if !alone!() {
        return;
    }
    let _watchdog = watchdog("b01 http", Duration::from_secs(120));
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let taken = Rc::new(Cell::new(0));
        let (listener, address) = rig::listen();
        let serve = http::serve(listener, http::service_fn(endless(&taken)));
        let drainer = serve.drainer();
        let serving = spawn(serve.into_future());
        let before = rig::resident_kib();
        let clients = consumers(address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (produced, grown) = until_it_stands(&taken, before).await;
        println!("{CONSUMERS} clients: {produced} bytes produced, {grown} KiB more");
        assert!(grown <= CONSUMERS as u64 * HELD_MAX_KIB, "{grown} KiB for {CONSUMERS} clients");
        // What the kernel takes comes on top.
        assert!(produced <= CONSUMERS * (8 << 20), "{produced} bytes were produced for nobody");
        drop(clients);
        drainer.drain(Duration::from_secs(1));
        serving.await.expect("no panic").expect("no error");
    });
    assert_baseline(&runtime);
}

/// Their peer is not waited for longer than was said.
#[test]
fn b01_clients_that_read_nothing_are_ended_by_the_deadline_of_the_write() {
    if !alone!() {
        return;
    }
    let _watchdog = watchdog("b01 deadline", Duration::from_secs(120));
    const STALL: Duration = Duration::from_millis(300);
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        // A stream, written to piece by piece: each write has its time.
        let (listener, address) = rig::listen();
        let clients = consumers(address, b"all of it");
        let mut writers = Vec::new();
        for _ in 0..CONSUMERS {
            let (stream, _) = listener.accept().await.expect("accepted");
            writers.push(spawn(async move {
                stream.set_write_timeout(Some(STALL)).expect("open");
                let piece = vec![7; PIECE];
                loop {
                    let began_ns = now_ns();
                    if let Err(error) = stream.write_all(&piece).await {
                        return (error, since(began_ns));
                    }
                }
            }));
        }
        for writer in writers {
            let (error, took) = writer.await.expect("no panic");
            assert!(error.is_timeout() && took >= STALL, "after {took:?}: {error}");
            assert!(error.to_string().contains("write to 127.0.0.1"), "{error}");
        }
        drop((clients, listener));
        // A server's responses.
        let taken = Rc::new(Cell::new(0));
        let (listener, address) = rig::listen();
        let mut timeouts = ServerTimeouts::default();
        timeouts.write_stall = STALL;
        let serve = http::serve(listener, http::service_fn(endless(&taken))).timeouts(timeouts);
        let drainer = serve.drainer();
        let serving = spawn(serve.into_future());
        let clients = consumers(address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        while taken.get() == 0 || punctual::metrics().live_tasks > 1 {
            sleep(5 * MS).await;
        }
        for client in &clients {
            // Reset, and not closed: what is unsent would stay with the kernel for minutes.
            let error = client.take_error().expect("asked").expect("it was reset");
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
        drainer.drain(Duration::from_secs(1));
        serving.await.expect("no panic").expect("no error");
    });
    assert_baseline(&runtime);
}

#[test]
fn b01_copies_to_those_who_read_nothing_hold_little_memory() {
    if !alone!() {
        return;
    }
    let _watchdog = watchdog("b01 copy", Duration::from_secs(120));
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let taken = Rc::new(Cell::new(0));
        let (source, source_at) = rig::listen();
        let counter = taken.clone();
        // It writes as fast as it is let.
        let producing: JoinHandle<()> = spawn(async move {
            while let Ok((stream, _)) = source.accept().await {
                let taken = counter.clone();
                drop(spawn(async move {
                    let piece = vec![7; PIECE];
                    while let Ok(written) = stream.write(&piece).await {
                        taken.set(taken.get() + written);
                    }
                }));
            }
        });
        let (front, front_at) = rig::listen();
        let proxying: JoinHandle<()> = spawn(async move {
            while let Ok((near, _)) = front.accept().await {
                drop(spawn(async move {
                    let far = TcpStream::connect(source_at).await.expect("connected");
                    let _ = io::copy_bidirectional(near, far, io::CopyOptions::default()).await;
                }));
            }
        });
        let before = rig::resident_kib();
        let clients = consumers(front_at, b"hello");
        let (produced, grown) = until_it_stands(&taken, before).await;
        println!("{CONSUMERS} copies: {produced} bytes produced, {grown} KiB more");
        assert!(grown <= CONSUMERS as u64 * HELD_MAX_KIB, "{grown} KiB for {CONSUMERS} copies");
        drop(clients);
        producing.abort();
        proxying.abort();
        while punctual::metrics().live_tasks > 0 {
            sleep(5 * MS).await;
        }
    });
    assert_baseline(&runtime);
}

/// Answers everybody with more than there is memory for.
fn endless(
    taken: &Rc<Cell<usize>>,
) -> impl FnMut(::http::Request<http::Body>) -> Endless + Clone + use<> {
    let taken = taken.clone();
    move |_| std::future::ready(Ok(::http::Response::new(Counted { left: EACH, taken: taken.clone() })))
}

type Endless = std::future::Ready<Result<::http::Response<Counted>, Infallible>>;
