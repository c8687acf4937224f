//! Group D: deadlines of connections, on TCP, Unix streams and streams in memory, on both alarms.

mod ends;
mod races;
mod streams;

use std::cell::Cell;
use std::future::poll_fn;
use std::io::Read;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use punctual::net::{Connect, Kind, Listener, Phase, Socket, UnixListener, UnixStream, transport};
use punctual::reactor::{Bound, Direction, Done, Failure, Readiness};
use punctual::{
    Handle, Instant, JoinHandle, Leeway, Runtime, Token, VirtualClock, sleep, sleep_until, spawn,
    yield_now,
};

use crate::support::net::*;
use crate::support::post::{on_posts, unix_name};
use crate::support::wire::{self, Wire};
use crate::support::{MS, NS, now_ns, poll_once, virtual_runtime};

const PAST: Instant = Instant::from_nanos(1);

/// A deadline of both sides from another thread; the inbox may be full for a moment.
fn set_from_afar(handle: &Handle, token: Token, deadline: Option<Instant>) {
    while handle.set_deadline(token, None, deadline).is_err() {
        std::thread::yield_now();
    }
}

#[test]
fn d01_past_read_data_ready() {
    async fn body(left: impl End, right: impl End) {
        right.send_all(&[7; 18]).await;
        left.recv_exactly(1).await; // so the rest has come
        left.by(Direction::Read, Some(Instant::now() - Duration::from_secs(5))).expect("open");
        for _ in 0..2 {
            assert_eq!(left.recv(&mut [0; 64]).await, Err(Class::Timeout));
        }
        left.by(Direction::Read, None).expect("open");
        assert_eq!(left.recv(&mut [0; 64]).await, Ok(17), "nothing was consumed");
    }
    on_pairs!(body);
}

#[test]
fn d02_past_write_space_ready() {
    async fn body(left: impl End, right: impl End) {
        left.by(Direction::Write, Some(Instant::now() - Duration::from_secs(5))).expect("open");
        for _ in 0..2 {
            assert_eq!(left.send(&[1; 64]).await, Err(Class::Timeout));
        }
        let armed = clock_ns();
        right.within(Direction::Read, Some(20 * MS)).expect("open");
        times_out(armed, 20 * MS, right.recv(&mut [0; 64])).await;
        left.by(Direction::Write, None).expect("open");
        left.send_all(b"x").await;
        assert_eq!(right.recv(&mut [0; 64]).await, Ok(1), "the peer has seen nothing of the others");
    }
    on_pairs!(body);
    on_posts!(body);
}

#[test]
fn d03_past_accept_queue_ready() {
    on_alarms("d03", async |_| {
        let (listener, address) = listen();
        let client = std::net::TcpStream::connect(address).expect("queued");
        listener.set_deadline(Some(PAST)).expect("open");
        for _ in 0..2 {
            let error = listener.accept().await.expect_err("its deadline has passed");
            assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Accept));
        }
        listener.set_deadline(None).expect("open");
        let (_, peer) = listener.accept().await.expect("it is still queued");
        assert_eq!(peer, client.local_addr().expect("its address"));
    });
}

#[test]
fn d04_ok_then_timeout() {
    async fn body(left: impl End, right: impl End) {
        right.send_all(b"abc").await;
        let armed = clock_ns();
        left.by(Direction::Read, Some(Instant::now() + 50 * MS)).expect("open");
        let mut received = 0;
        let ended = loop {
            match left.recv(&mut [0; 1]).await {
                Ok(bytes) => received += bytes,
                Err(class) => break class,
            }
        };
        assert_eq!((received, ended), (3, Class::Timeout));
        assert_passed(armed, 50 * MS);
        assert_eq!(left.recv(&mut [0; 1]).await, Err(Class::Timeout), "sticky");
        right.send_all(b"d").await;
        assert_eq!(left.recv(&mut [0; 1]).await, Err(Class::Timeout), "sticky, with data there too");
    }
    on_pairs!(body);
}

#[test]
fn d05_none_clears() {
    async fn body(left: impl End, right: impl End) {
        left.by(Direction::Read, Some(PAST)).expect("open");
        left.by(Direction::Read, None).expect("open");
        let left = Rc::new(left);
        let reading = spawn({
            let left = left.clone();
            async move { left.recv(&mut [0; 1]).await }
        });
        sleep(100 * MS).await;
        assert!(!reading.is_finished(), "no deadline holds");
        left.shut();
        assert_eq!(reading.await.expect("no panic"), Err(Class::Closed), "and not a timeout");
        drop(right);
    }
    on_pairs!(body);
    on_posts!(body);
}

#[test]
fn d06_set_then_shorten_before_op() {
    async fn body(left: impl End, _right: impl End) {
        left.by(Direction::Read, None).expect("open");
        left.by(Direction::Read, Some(Instant::now() + PATIENCE)).expect("open");
        let armed = clock_ns();
        left.by(Direction::Read, Some(Instant::now() + 10 * MS)).expect("open");
        times_out(armed, 10 * MS, left.recv(&mut [0; 1])).await;
    }
    on_pairs!(body);
    on_posts!(body);
}

#[test]
fn d07_sides_independent() {
    async fn body(left: impl End, right: impl End) {
        left.by(Direction::Read, Some(PAST)).expect("open");
        assert_eq!(left.send(b"w").await, Ok(1));
        left.by(Direction::Read, None).expect("open");
        left.by(Direction::Write, Some(PAST)).expect("open");
        right.send_all(b"r").await;
        assert_eq!(left.recv(&mut [0; 8]).await, Ok(1));
        assert_eq!(left.send(b"w").await, Err(Class::Timeout));
    }
    on_pairs!(body);
    on_posts!(body);
}

/// Fills the way to `right`, and leaves a read and a write waiting on `left`.
async fn block_both<E: End>(left: &Rc<E>) -> [punctual::JoinHandle<(Result<usize, Class>, u64)>; 2] {
    left.fill().await;
    let reader = left.clone();
    let reading = spawn(async move { (reader.recv(&mut [0; 64]).await, now_ns()) });
    let writer = left.clone();
    let writing = spawn(async move {
        let chunk = vec![0; 256 * 1024];
        loop {
            // The kernel may still find a little room.
            let result = writer.send(&chunk).await;
            if result.is_err() {
                return (result, now_ns());
            }
        }
    });
    yield_now().await;
    [reading, writing]
}

#[test]
fn d08_present_timeout() {
    async fn body(left: impl End, _right: impl End) {
        let left = Rc::new(left);
        let blocked = block_both(&left).await;
        let set_at = Arc::new(AtomicU64::new(0));
        let (handle, token) = (runtime_handle(), left.name());
        let thread = std::thread::spawn({
            let set_at = set_at.clone();
            move || {
                std::thread::sleep(100 * MS);
                set_at.store(now_ns(), Ordering::SeqCst);
                set_from_afar(&handle, token, Some(PAST));
            }
        });
        for waiting in blocked {
            let (result, ended_ns) = waiting.await.expect("no panic");
            assert_eq!(result, Err(Class::Timeout));
            let set_ns = set_at.load(Ordering::SeqCst);
            assert!(set_ns != 0 && ended_ns >= set_ns, "it ended before anything was set");
        }
        thread.join().expect("no panic");
    }
    on_pairs!(body);
    on_posts!(body);
}

#[test]
fn d09_future_then_resync() {
    async fn body(left: impl End, right: impl End) {
        let filled = left.fill().await;
        let armed = clock_ns();
        left.both_by(Some(Instant::now() + 100 * MS)).expect("open");
        times_out(armed, 100 * MS, left.recv(&mut [0; 8])).await;
        assert_eq!(left.send(&[0; 8]).await, Err(Class::Timeout));
        left.both_by(None).expect("open");
        right.recv_exactly(filled).await;
        left.send_all(b"ping").await;
        assert_eq!(right.recv_exactly(4).await, b"ping", "what timed out was not sent");
        right.send_all(b"pong").await;
        assert_eq!(left.recv_exactly(4).await, b"pong");
    }
    on_pairs!(body);
    on_posts!(body);
}

#[test]
fn d10_extend_pending() {
    async fn body(left: impl End, _right: impl End) {
        let left = Rc::new(left);
        let armed = clock_ns();
        let start = Instant::now();
        left.by(Direction::Read, Some(start + 100 * MS)).expect("open");
        let reader = left.clone();
        let reading = spawn(async move { times_out(armed, 300 * MS, reader.recv(&mut [0; 1])).await });
        sleep(50 * MS).await;
        left.by(Direction::Read, Some(start + 300 * MS)).expect("open");
        reading.await.expect("not at 100 ms");
    }
    on_pairs!(body);
    on_posts!(body);
}

#[test]
fn d11_shorten_pending() {
    async fn body(left: impl End, _right: impl End) {
        let left = Rc::new(left);
        for remote in [false, true] {
            let armed = clock_ns();
            let start = Instant::now();
            left.by(Direction::Read, Some(start + PATIENCE)).expect("open");
            let reader = left.clone();
            let reading =
                spawn(async move { times_out(armed, 100 * MS, reader.recv(&mut [0; 1])).await });
            sleep(50 * MS).await;
            let (handle, token) = (runtime_handle(), left.name());
            if remote {
                let set = move || set_from_afar(&handle, token, Some(start + 100 * MS));
                std::thread::spawn(set).join().expect("no panic");
            } else {
                left.by(Direction::Read, Some(start + 100 * MS)).expect("open");
            }
            reading.await.expect("a timeout at 100 ms");
            assert!(start.elapsed() < PATIENCE / 2, "it was shortened");
            left.both_by(None).expect("open");
        }
    }
    on_pairs!(body);
    on_posts!(body);
}

#[test]
fn d12_close_pending() {
    async fn body<T: Pair>(runtime: &Runtime) {
        let (left, _right) = T::pair().await;
        let left = Rc::new(left);
        left.set_deadline(Some(Instant::now() + PATIENCE)).expect("open");
        let [reading, writing] = block_both(&left).await;
        let peeker = left.clone();
        let peeking = spawn(async move { peeker.peek(&mut [0; 1]).await.map_err(|e| e.kind()) });
        sleep(100 * MS).await;
        assert!(runtime.metrics().live_wheel_entries > 0, "the deadlines are armed");
        let turns = runtime.metrics().turns;
        left.close();
        assert_eq!(reading.await.expect("no panic").0, Err(Class::Closed));
        assert_eq!(writing.await.expect("no panic").0, Err(Class::Closed));
        assert_eq!(peeking.await.expect("no panic"), Err(Kind::Closed));
        assert!(runtime.metrics().turns - turns <= 2, "within a turn, and one to see it");
        assert_eq!(runtime.metrics().live_wheel_entries, 0);
    }
    on_streams!(body);
}

#[test]
fn d12_close_accepting() {
    async fn body<T: transport::ListenerTransport>(runtime: &Runtime, listener: Listener<T>) {
        let listener = Rc::new(listener);
        listener.set_deadline(Some(Instant::now() + PATIENCE)).expect("open");
        let accepter = listener.clone();
        let accepting = spawn(async move { accepter.accept().await.map(drop).map_err(|e| e.kind()) });
        sleep(100 * MS).await;
        assert!(runtime.metrics().live_wheel_entries > 0, "the deadline is armed");
        let turns = runtime.metrics().turns;
        listener.close();
        assert_eq!(accepting.await.expect("no panic"), Err(Kind::Closed));
        assert!(runtime.metrics().turns - turns <= 2, "within a turn, and one to see it");
        assert_eq!(runtime.metrics().live_wheel_entries, 0);
    }
    on_alarms("d12 on TCP", async |runtime| body(runtime, listen().0).await);
    on_alarms("d12 on Unix streams", async |runtime| {
        body(runtime, UnixListener::bind(unix_name("d12")).expect("bound")).await;
    });
}

#[test]
fn d13_set_after_close() {
    async fn body<T: Pair>(runtime: &Runtime) {
        let (left, _right) = T::pair().await;
        left.close();
        let deadline = Some(Instant::now() + PATIENCE);
        for result in [
            left.set_deadline(deadline),
            left.set_read_deadline(deadline),
            left.set_write_deadline(None),
            left.set_timeout(Some(MS)),
            left.shutdown(std::net::Shutdown::Both),
            T::set_option(&left).unwrap_or_else(|| left.set_timeout(None)),
        ] {
            assert_eq!(result.expect_err("it is closed").kind(), Kind::Closed);
        }
        assert_eq!(runtime.metrics().live_wheel_entries, 0);
        assert_eq!(left.read(&mut [0; 1]).await.expect_err("closed").kind(), Kind::Closed);
        assert_eq!(left.write(&[0; 1]).await.expect_err("closed").kind(), Kind::Closed);
    }
    on_streams!(body);
}

#[test]
fn d14_various() {
    async fn body<T: Pair>(_: &Runtime) {
        let us = Duration::from_micros;
        let ns = Duration::from_nanos;
        let durations = [
            ns(1),
            ns(2),
            ns(5),
            ns(50),
            ns(100),
            ns(200),
            ns(500),
            ns(750),
            us(1),
            us(5),
            us(25),
            us(250),
            us(500),
            MS,
            5 * MS,
            100 * MS,
            250 * MS,
            500 * MS,
            1000 * MS,
        ];
        let mut running = Vec::new();
        for duration in durations {
            for absolute in [true, false, true] {
                let (left, right) = T::pair().await;
                running.push(spawn(async move {
                    let armed = clock_ns();
                    if absolute {
                        left.set_read_deadline(Some(Instant::now() + duration)).expect("open");
                    } else {
                        left.set_read_timeout(Some(duration)).expect("open");
                    }
                    let error = left.read(&mut [0; 1]).await.expect_err("the peer is silent");
                    assert_passed(armed, duration);
                    assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Read));
                    let info = error.deadline().expect("a deadline");
                    assert_eq!(info.budget(), (!absolute).then_some(duration));
                    assert!(info.location().is_some(), "where it was set");
                    assert!(info.lateness().is_zero() || !in_virtual_time(), "{error}");
                    drop(right);
                }));
            }
        }
        for timeout in running {
            timeout.await.expect("never early");
        }
    }
    on_streams!(body);
}
