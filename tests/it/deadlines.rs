//! Group D: deadlines of connections, on TCP and Unix streams, on both alarms.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::Read;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use punctual::net::{Connect, Kind, Phase, TcpStream};
use punctual::reactor::{Bound, Direction, Done, Failure, Readiness};
use punctual::{
    Handle, Instant, JoinHandle, Leeway, Runtime, Token, VirtualClock, sleep, sleep_until, spawn,
    yield_now,
};

use crate::support::net::*;
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
        let armed = now_ns();
        right.within(Direction::Read, Some(20 * MS)).expect("open");
        times_out(armed, 20 * MS, right.recv(&mut [0; 64])).await;
        left.by(Direction::Write, None).expect("open");
        left.send_all(b"x").await;
        assert_eq!(right.recv(&mut [0; 64]).await, Ok(1), "the peer has seen nothing of the others");
    }
    on_pairs!(body);
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
        let armed = now_ns();
        left.by(Direction::Read, Some(Instant::now() + 50 * MS)).expect("open");
        let mut received = 0;
        let ended = loop {
            match left.recv(&mut [0; 1]).await {
                Ok(bytes) => received += bytes,
                Err(class) => break class,
            }
        };
        assert_eq!((received, ended), (3, Class::Timeout));
        assert!(now_ns() - armed >= 50_000_000);
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
}

#[test]
fn d06_set_then_shorten_before_op() {
    async fn body(left: impl End, _right: impl End) {
        left.by(Direction::Read, None).expect("open");
        left.by(Direction::Read, Some(Instant::now() + PATIENCE)).expect("open");
        let armed = now_ns();
        left.by(Direction::Read, Some(Instant::now() + 10 * MS)).expect("open");
        times_out(armed, 10 * MS, left.recv(&mut [0; 1])).await;
    }
    on_pairs!(body);
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
}

#[test]
fn d09_future_then_resync() {
    async fn body(left: impl End, right: impl End) {
        let filled = left.fill().await;
        let armed = now_ns();
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
}

#[test]
fn d10_extend_pending() {
    async fn body(left: impl End, _right: impl End) {
        let left = Rc::new(left);
        let armed = now_ns();
        let start = Instant::now();
        left.by(Direction::Read, Some(start + 100 * MS)).expect("open");
        let reader = left.clone();
        let reading = spawn(async move { times_out(armed, 300 * MS, reader.recv(&mut [0; 1])).await });
        sleep(50 * MS).await;
        left.by(Direction::Read, Some(start + 300 * MS)).expect("open");
        reading.await.expect("not at 100 ms");
    }
    on_pairs!(body);
}

#[test]
fn d11_shorten_pending() {
    async fn body(left: impl End, _right: impl End) {
        let left = Rc::new(left);
        for remote in [false, true] {
            let armed = now_ns();
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
}

#[test]
fn d12_close_pending() {
    on_alarms("d12", async |runtime| {
        let (listener, _) = listen();
        let (left, _right) = tcp_pair().await;
        let (left, listener) = (Rc::new(left), Rc::new(listener));
        let deadline = Some(Instant::now() + PATIENCE);
        left.set_deadline(deadline).expect("open");
        listener.set_deadline(deadline).expect("open");
        let [reading, writing] = block_both(&left).await;
        let (peeker, accepter) = (left.clone(), listener.clone());
        let peeking = spawn(async move { peeker.peek(&mut [0; 1]).await.map_err(|e| e.kind()) });
        let accepting = spawn(async move { accepter.accept().await.map(drop).map_err(|e| e.kind()) });
        sleep(100 * MS).await;
        assert!(runtime.metrics().live_wheel_entries > 0, "the deadlines are armed");
        let turns = runtime.metrics().turns;
        left.close();
        listener.close();
        assert_eq!(reading.await.expect("no panic").0, Err(Class::Closed));
        assert_eq!(writing.await.expect("no panic").0, Err(Class::Closed));
        assert_eq!(peeking.await.expect("no panic"), Err(Kind::Closed));
        assert_eq!(accepting.await.expect("no panic"), Err(Kind::Closed));
        assert!(runtime.metrics().turns - turns <= 2, "within a turn, and one to see it");
        assert_eq!(runtime.metrics().live_wheel_entries, 0);
    });
}

#[test]
fn d13_set_after_close() {
    on_alarms("d13", async |runtime| {
        let (left, _right) = tcp_pair().await;
        left.close();
        let deadline = Some(Instant::now() + PATIENCE);
        for result in [
            left.set_deadline(deadline),
            left.set_read_deadline(deadline),
            left.set_write_deadline(None),
            left.set_timeout(Some(MS)),
            left.set_nodelay(true),
            left.shutdown(std::net::Shutdown::Both),
        ] {
            assert_eq!(result.expect_err("it is closed").kind(), Kind::Closed);
        }
        assert_eq!(runtime.metrics().live_wheel_entries, 0);
        assert_eq!(left.read(&mut [0; 1]).await.expect_err("closed").kind(), Kind::Closed);
        assert_eq!(left.write(&[0; 1]).await.expect_err("closed").kind(), Kind::Closed);
    });
}

#[test]
fn d14_various() {
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
    on_alarms("d14", async |_| {
        let mut running = Vec::new();
        for duration in durations {
            for absolute in [true, false, true] {
                let (left, right) = tcp_pair().await;
                running.push(spawn(async move {
                    let armed = now_ns();
                    if absolute {
                        left.set_read_deadline(Some(Instant::now() + duration)).expect("open");
                    } else {
                        left.set_read_timeout(Some(duration)).expect("open");
                    }
                    let error = left.read(&mut [0; 1]).await.expect_err("the peer is silent");
                    let passed = Duration::from_nanos(now_ns() - armed);
                    assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Read));
                    assert!(passed >= duration, "early: {passed:?} of {duration:?}");
                    let info = error.deadline().expect("a deadline");
                    assert_eq!(info.budget(), (!absolute).then_some(duration));
                    assert!(info.location().is_some(), "where it was set");
                    drop(right);
                }));
            }
        }
        for timeout in running {
            timeout.await.expect("never early");
        }
    });
}

#[test]
fn d15_flip_race() {
    async fn body(left: impl End, right: impl End) {
        let left = Rc::new(left);
        let over = Arc::new(AtomicBool::new(false));
        let (handle, token) = (runtime_handle(), left.name());
        let thread = std::thread::spawn({
            let over = over.clone();
            move || {
                for _ in 0..1_000 {
                    set_from_afar(&handle, token, Some(Instant::now() + Duration::from_micros(2)));
                }
                over.store(true, Ordering::SeqCst);
                set_from_afar(&handle, token, Some(PAST));
            }
        });
        let loops = [Direction::Read, Direction::Write].map(|side| {
            let (left, over) = (left.clone(), over.clone());
            spawn(async move {
                let mut buffer = vec![0; 4096];
                while !over.load(Ordering::SeqCst) {
                    let result = match side {
                        Direction::Read => left.recv(&mut buffer).await,
                        Direction::Write => left.send(&buffer).await,
                    };
                    assert!(matches!(result, Ok(_) | Err(Class::Timeout)), "{result:?}");
                    yield_now().await;
                }
            })
        });
        for turn in loops {
            turn.await.expect("no panic, no hang");
        }
        thread.join().expect("no panic");
        drop(right);
    }
    on_pairs!(body);
}

#[test]
fn d16_concurrent_set_earlier() {
    on_alarms("d16", async |runtime| {
        let mut pairs = Vec::new();
        for _ in 0..10 {
            pairs.push(tcp_pair().await);
        }
        let start = Instant::now();
        let reading = pairs.into_iter().map(|(left, right)| {
            let left = Rc::new(left);
            let reader = left.clone();
            let task = spawn(async move {
                let result = reader.recv(&mut [0; 1]).await;
                drop(right);
                (result, now_ns())
            });
            (left, task)
        });
        let reading: Vec<_> = reading.collect();
        yield_now().await;
        let tokens: Vec<Token> = reading.iter().map(|(left, _)| left.token()).collect();
        let threads = (0..8).map(|_| {
            let (handle, tokens) = (runtime.handle(), tokens.clone());
            std::thread::spawn(move || {
                for step in 0..100 {
                    let deadline = start + PATIENCE - step * Duration::from_millis(10);
                    tokens.iter().for_each(|token| set_from_afar(&handle, *token, Some(deadline)));
                }
            })
        });
        let threads: Vec<_> = threads.collect();
        while !threads.iter().all(|thread| thread.is_finished()) {
            yield_now().await;
        }
        let armed = now_ns();
        let last = Instant::now() + 50 * MS;
        tokens.iter().for_each(|token| set_from_afar(&runtime.handle(), *token, Some(last)));
        for (left, task) in reading {
            let (result, ended) = task.await.expect("no panic");
            assert_eq!(result, Err(Class::Timeout));
            assert!(ended - armed >= 50_000_000, "the last one set holds");
            assert_eq!((left.read_deadline(), left.write_deadline()), (Some(last), Some(last)));
        }
    });
}

#[test]
fn d17_concurrent_methods() {
    on_alarms("d17", async |runtime| {
        let (left, right) = tcp_pair().await;
        let left = Rc::new(left);
        let over = Arc::new(AtomicBool::new(false));
        let (handle, token, all_taken) = (runtime.handle(), left.token(), over.clone());
        let thread = std::thread::spawn(move || {
            for _ in 0..100 {
                set_from_afar(&handle, token, Some(Instant::now() + 10 * MS));
                set_from_afar(&handle, token, None);
            }
            // Whoever waits with no deadline is let go.
            set_from_afar(&handle, token, Some(PAST));
            handle.call(move || over.store(true, Ordering::SeqCst)).expect("room for one more");
        });
        let tasks = (0..100).map(|n| {
            let left = left.clone();
            spawn(async move {
                left.set_deadline(Some(Instant::now() + 10 * MS)).expect("open");
                let results = match n % 3 {
                    0 => left.read(&mut [0; 8]).await.map(drop),
                    1 => left.write(&[0; 8]).await.map(drop),
                    _ => left.peek(&mut [0; 8]).await.map(drop),
                };
                assert!(results.is_ok() || results.is_err_and(|error| error.is_timeout()));
                let _ = (left.local_addr().expect("open"), left.peer_addr(), left.read_deadline());
                left.set_timeout(Some(10 * MS)).expect("open");
                left.set_timeout(None).expect("open");
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("no panic");
        }
        while !all_taken.load(Ordering::SeqCst) {
            yield_now().await;
        }
        thread.join().expect("no panic");
        left.set_deadline(None).expect("open");
        left.write_all(b"sync").await.expect("sent");
        let mut tail = Vec::new();
        while !tail.ends_with(b"sync") {
            let mut buffer = [0; 4096];
            let received = right.read(&mut buffer).await.expect("received");
            tail.extend_from_slice(&buffer[..received]);
        }
        right.write_all(b"back").await.expect("sent");
        let mut back = [0; 4];
        left.read_exact(&mut back).await.expect("received");
        assert_eq!(&back, b"back");
    });
}

#[test]
fn d18_buffer_free_after_timeout() {
    async fn body(left: impl End, right: impl End) {
        let left = Rc::new(left);
        let tasks = (0..10).map(|n| {
            let left = left.clone();
            spawn(async move {
                let mut buffer = vec![n; 1024];
                left.within(Direction::Read, Some(MS)).expect("open");
                assert_eq!(left.recv(&mut buffer).await, Err(Class::Timeout));
                buffer.fill(0xee);
                sleep(20 * MS).await;
                assert!(buffer.iter().all(|byte| *byte == 0xee), "written into after its timeout");
            })
        });
        let tasks: Vec<_> = tasks.collect();
        sleep(10 * MS).await;
        right.send_all(&[1; 1024]).await;
        for task in tasks {
            task.await.expect("no panic");
        }
        left.within(Direction::Read, None).expect("open");
        assert_eq!(left.recv_exactly(1024).await, [1; 1024], "and nothing was lost");
    }
    on_pairs!(body);
}

#[test]
fn d20_read_exact_partial() {
    on_alarms("d20", async |_| {
        let (left, right) = tcp_pair().await;
        right.write_all(b"abc").await.expect("sent");
        left.set_read_timeout(Some(30 * MS)).expect("open");
        let mut buffer = [0; 8];
        let error = left.read_exact(&mut buffer).await.expect_err("five are missing");
        assert_eq!((error.kind(), error.phase(), error.transferred()), (Kind::Timeout, Phase::Read, 3));
        right.write_all(b"defgh").await.expect("sent");
        left.read_exact(&mut buffer[3..]).await.expect("the rest");
        assert_eq!(&buffer, b"abcdefgh");

        right.write_all(b"xy").await.expect("sent");
        right.shutdown(std::net::Shutdown::Write).expect("ended");
        let error = left.read_exact(&mut buffer).await.expect_err("the end");
        assert_eq!((error.kind(), error.transferred()), (Kind::UnexpectedEof, 2));
    });
}

#[test]
fn pol4_write_all_says_how_much_was_written() {
    on_alarms("pol4", async |_| {
        let (left, right) = small_tcp_pair().await;
        let pattern: Vec<u8> = (0..8 << 20).map(|n: u32| (n / 3) as u8).collect();
        left.set_write_timeout(Some(50 * MS)).expect("open");
        let armed = now_ns();
        let error = left.write_all(&pattern).await.expect_err("nobody reads");
        assert!(now_ns() - armed >= 50_000_000);
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Write));
        let written = error.transferred() as usize;
        assert!(written > 0 && written < pattern.len());
        left.close();
        let received = read_to_end(&right).await;
        assert_eq!(received.len(), written, "reported is what is on the wire");
        assert!(received[..] == pattern[..written]);
    });
}

async fn read_to_end(stream: &TcpStream) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        match stream.read(&mut buffer).await.expect("received") {
            0 => return all,
            received => all.extend_from_slice(&buffer[..received]),
        }
    }
}

#[test]
fn d21_zero_length() {
    on_alarms("d21", async |_| {
        let (left, _right) = tcp_pair().await;
        left.fill().await;
        assert_eq!(left.recv(&mut []).await, Ok(0));
        assert_eq!(left.send(&[]).await, Ok(0));
        assert_eq!(left.peek(&mut []).await.expect("nothing asked"), 0);
        left.read_exact(&mut []).await.expect("nothing asked");
        left.write_all(&[]).await.expect("nothing asked");
        assert_eq!(left.write_vectored(&[]).await.expect("nothing asked"), 0);
        left.set_deadline(Some(PAST)).expect("open");
        assert_eq!(left.recv(&mut []).await, Err(Class::Timeout));
        assert_eq!(left.send(&[]).await, Err(Class::Timeout));
    });
}

/// Sends a byte every `pause`, `count` times.
fn drip(to: TcpStream, count: usize, pause: Duration) -> punctual::JoinHandle<TcpStream> {
    spawn(async move {
        for _ in 0..count {
            sleep(pause).await;
            if to.write(b".").await.is_err() {
                break;
            }
        }
        to
    })
}

#[test]
fn d23_drip_does_not_extend() {
    on_alarms("d23", async |_| {
        for absolute in [true, false] {
            let (left, right) = tcp_pair().await;
            let dripping = drip(right, 50, 40 * MS);
            let armed = now_ns();
            if absolute {
                left.set_read_deadline(Some(Instant::now() + 100 * MS)).expect("open");
            } else {
                left.set_read_timeout(Some(100 * MS)).expect("open");
            }
            let error = left.read_exact(&mut [0; 50]).await.expect_err("two seconds are too much");
            let passed = now_ns() - armed;
            assert!(passed >= 100_000_000 && error.is_timeout(), "{error} after {passed} ns");
            assert!(error.transferred() < 50);
            drop(left);
            dripping.await.expect("no panic");
        }
        // A timeout given to each read anew is an idle timeout.
        let (left, right) = tcp_pair().await;
        let dripping = drip(right, 60, 20 * MS);
        left.set_read_timeout(Some(Duration::from_secs(1))).expect("open");
        for _ in 0..60 {
            let start = Instant::now();
            assert_eq!(left.read(&mut [0; 1]).await.expect("a drop"), 1, "after {:?}", start.elapsed());
        }
        dripping.await.expect("no panic");
    });
}

#[test]
fn d24_deadline_overflow() {
    on_alarms("d24", async |_| {
        let (listener, address) = listen();
        let accepting = spawn(async move { listener.accept().await });
        let left = Connect::to(address).timeout(Duration::MAX).connect().await.expect("connected");
        let (right, _) = accepting.await.expect("no panic").expect("accepted");
        left.set_deadline(Some(Instant::now() + Duration::MAX)).expect("open");
        left.set_timeout(Some(Duration::MAX)).expect("open");
        let left = Rc::new(left);
        let reader = left.clone();
        let reading = spawn(async move { reader.recv(&mut [0; 8]).await });
        sleep(20 * MS).await;
        assert!(!reading.is_finished());
        right.write_all(b"late").await.expect("sent");
        assert_eq!(reading.await.expect("no panic"), Ok(4));
        assert_eq!(left.read_deadline(), None, "it is no deadline at all");
    });
}

#[test]
fn d26_split_halves() {
    on_alarms("d26", async |_| {
        let (left, right) = tcp_pair().await;
        let (read_half, write_half) = left.into_split();
        let armed = now_ns();
        read_half.set_read_deadline(Some(Instant::now() + 150 * MS)).expect("open");
        let reading = spawn(async move {
            times_out(armed, 150 * MS, read_half.recv(&mut [0; 1])).await;
            read_half
        });
        let writing = spawn(async move {
            write_half.write_all(b"bye").await.expect("sent");
            drop(write_half);
        });
        writing.await.expect("no panic");
        assert_eq!(read_to_end(&right).await, b"bye", "dropping the writing half ends it");
        let read_half = reading.await.expect("its deadline stands");
        read_half.set_read_deadline(None).expect("open");
        right.write_all(b"ok").await.expect("sent");
        let mut buffer = [0; 2];
        read_half.read_exact(&mut buffer).await.expect("received");
        assert_eq!(&buffer, b"ok");
    });
}

#[test]
fn d26_halves_are_reunited_without_an_end() {
    on_alarms("d26 reunite", async |_| {
        let (left, right) = tcp_pair().await;
        let (other, _other_right) = tcp_pair().await;
        let (read_half, write_half) = left.into_split();
        let (other_read, other_write) = other.into_split();
        let (read_half, other_write) = read_half.reunite(other_write).expect_err("of two streams");
        drop((other_read, other_write));
        let left = read_half.reunite(write_half).expect("of one stream");
        left.write_all(b"whole").await.expect("not ended");
        assert_eq!(right.recv_exactly(5).await, b"whole");
    });
}

#[test]
fn d27_spurious_event() {
    on_alarms("d27", async |runtime| {
        let (left, _right) = unix_pair();
        let left = Rc::new(left);
        let armed = now_ns();
        left.by(Direction::Read, Some(Instant::now() + 100 * MS)).expect("open");
        let reader = left.clone();
        let reading = spawn(async move { times_out(armed, 100 * MS, reader.recv(&mut [0; 1])).await });
        let (before, mut events) = (runtime.metrics(), 0);
        while !reading.is_finished() {
            sleep(MS).await;
            left.io.assume(Readiness::READABLE).expect("open");
            events += 1;
        }
        reading.await.expect("pending until its deadline");
        let after = runtime.metrics();
        assert!(after.turns - before.turns <= 4 * events + 20, "{events} events: {before:?} {after:?}");
    });
}

#[test]
fn k02_cancel_from_another_thread() {
    async fn body(left: impl End, right: impl End) {
        let left = Rc::new(left);
        left.both_by(Some(Instant::now() + PATIENCE)).expect("open");
        let blocked = block_both(&left).await;
        let (handle, token) = (runtime_handle(), left.name());
        let thread = std::thread::spawn(move || handle.cancel(token, "the user has left"));
        for waiting in blocked {
            assert_eq!(waiting.await.expect("no panic").0, Err(Class::Cancelled));
        }
        assert_eq!(left.recv(&mut [0; 1]).await, Err(Class::Cancelled), "those to come as well");
        thread.join().expect("no panic").expect("sent");
        drop(right);
    }
    on_pairs!(body);
}

#[test]
fn errors_travel_through_the_io_traits_whole() {
    use futures_io::{AsyncRead, AsyncWrite};
    use std::io::ErrorKind;
    use std::pin::Pin;

    on_alarms("io traits", async |_| {
        let (mut left, mut right) = tcp_pair().await;
        let sent = poll_fn(|cx| Pin::new(&mut right).poll_write(cx, b"hi")).await.expect("sent");
        let mut buffer = [0; 8];
        let got = poll_fn(|cx| Pin::new(&mut left).poll_read(cx, &mut buffer)).await.expect("received");
        assert_eq!((sent, got, &buffer[..2]), (2, 2, &b"hi"[..]));

        let armed = now_ns();
        left.set_read_timeout(Some(30 * MS)).expect("open");
        let error =
            poll_fn(|cx| Pin::new(&mut left).poll_read(cx, &mut buffer)).await.expect_err("silent");
        assert!(now_ns() - armed >= 30_000_000);
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let ours = punctual::net::Error::from_io(&error).expect("one of ours");
        assert_eq!(
            (ours.kind(), ours.phase(), ours.peer()),
            (Kind::Timeout, Phase::Read, Some(left.peer_addr()))
        );

        left.cancel("enough");
        let error =
            poll_fn(|cx| Pin::new(&mut left).poll_read(cx, &mut buffer)).await.expect_err("cancelled");
        assert_ne!(error.kind(), ErrorKind::Interrupted, "std would retry it");
        let ours = punctual::net::Error::from_io(&error).expect("one of ours");
        assert_eq!(ours.cause(), Some(&"enough".into()));

        poll_fn(|cx| Pin::new(&mut right).poll_close(cx)).await.expect("ended");
    });
}

#[test]
fn many_readers_of_one_side_each_get_their_turn() {
    on_alarms("many readers", async |_| {
        let (left, right) = tcp_pair().await;
        let (left, total) = (Rc::new(left), Rc::new(Cell::new(0)));
        let readers = (0..8).map(|_| {
            let (left, total) = (left.clone(), total.clone());
            spawn(async move {
                left.read_exact(&mut [0; 4]).await.expect("four bytes");
                total.set(total.get() + 4);
            })
        });
        let readers: Vec<_> = readers.collect();
        for _ in 0..32 {
            right.write_all(b".").await.expect("sent");
            yield_now().await;
        }
        for reader in readers {
            reader.await.expect("no reader is forgotten");
        }
        assert_eq!(total.get(), 32);
    });
}

/// Turns that do not wait, until a loop whose clock stands still has done all that it can.
fn run(runtime: &Runtime) {
    for _ in 0..10 {
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
    }
}

/// A runtime on a virtual clock with one end of a silent pair, and the other end.
fn silent_wire() -> (Runtime, VirtualClock, Rc<Wire>, Wire) {
    let (runtime, clock) = virtual_runtime();
    let (near, far) = runtime.block_on(async { wire::pair() });
    (runtime, clock, Rc::new(near), far)
}

/// A read by a task of its own, which waits when this returns.
fn waiting_read(runtime: &Runtime, near: &Rc<Wire>) -> JoinHandle<Result<u8, Failure>> {
    let reading = near.clone();
    let read = runtime.spawn(async move { reading.read_byte().await });
    run(runtime);
    assert!(!read.is_finished(), "nothing has come");
    read
}

/// What it ended with; it must have ended.
#[track_caller]
fn end_of<T>(runtime: &Runtime, task: JoinHandle<T>) -> T {
    assert!(task.is_finished(), "it still waits");
    runtime.block_on(task).expect("no panic")
}

#[test]
fn a_waiting_operation_keeps_the_timeout_it_began_with() {
    for (from_afar, later) in
        [(false, Some(2_000 * MS)), (false, None), (true, Some(2_000 * MS)), (true, None)]
    {
        let (runtime, clock, near, _far) = silent_wire();
        near.io.set_timeout(Direction::Read, Some(50 * MS)).expect("open");
        let began = clock.now();
        let read = waiting_read(&runtime, &near);
        clock.advance(10 * MS);
        near.io.set_timeout(Direction::Read, None).expect("open");
        let deadline = later.map(|later| clock.now() + later);
        if from_afar {
            let (handle, token) = (runtime.handle(), near.io.token());
            let set = move || handle.set_deadline(token, Direction::Read, deadline);
            std::thread::spawn(set).join().expect("no panic").expect("room");
        } else {
            near.io.set_deadline(Direction::Read, deadline).expect("open");
        }
        run(&runtime);
        clock.advance(40 * MS - NS);
        run(&runtime);
        assert!(!read.is_finished(), "early");
        clock.advance(NS);
        run(&runtime);
        let case = format!("from afar: {from_afar}, deadline {later:?}");
        match end_of(&runtime, read) {
            Err(Failure::Elapsed(elapsed)) => {
                assert_eq!(elapsed.deadline, began + 50 * MS, "{case}");
                assert!(
                    matches!(elapsed.bound, Bound::Timeout(given, Some(_)) if given == 50 * MS),
                    "{case}"
                );
            }
            other => panic!("{case}: {other:?}"),
        }
        // The next one has none.
        let read = waiting_read(&runtime, &near);
        clock.advance(60 * MS);
        run(&runtime);
        assert!(!read.is_finished(), "{case}");
    }
}

#[test]
fn pol8_what_came_first_within_a_turn_ends_the_operation() {
    for cancelled_first in [false, true] {
        let (runtime, clock, near, _far) = silent_wire();
        near.io.set_leeway(Leeway::NONE).expect("open");
        let deadline = clock.now() + 20 * MS;
        near.io.set_deadline(Direction::Read, Some(deadline)).expect("open");
        let read = waiting_read(&runtime, &near);
        let cancelling = near.clone();
        let canceller = runtime.spawn(async move {
            sleep_until(deadline - NS).await;
            cancelling.io.cancel("by a task, which runs after the deadline has fired");
        });
        run(&runtime);
        if cancelled_first {
            let cause = "by a message, which comes before the deadlines";
            runtime.handle().cancel(near.io.token(), cause).expect("room");
        }
        clock.advance(30 * MS);
        run(&runtime);
        end_of(&runtime, canceller);
        let because = match (cancelled_first, end_of(&runtime, read)) {
            (false, Err(Failure::Elapsed(elapsed))) => {
                assert_eq!(elapsed.deadline, deadline);
                assert!(elapsed.fired >= deadline, "never early");
                "by a task, which runs after the deadline has fired"
            }
            (true, Err(Failure::Cancelled(cause))) => {
                assert_eq!(cause, "by a message, which comes before the deadlines".into());
                "by a message, which comes before the deadlines"
            }
            (_, other) => panic!("cancelled first: {cancelled_first}, {other:?}"),
        };
        // All that come after meet the cancel.
        for _ in 0..3 {
            match poll_once(near.read_byte()) {
                Poll::Ready(Err(Failure::Cancelled(cause))) => assert_eq!(cause, because.into()),
                other => panic!("cancelled first: {cancelled_first}, {other:?}"),
            }
            run(&runtime);
        }
    }
}

#[test]
fn a_poll_based_operation_that_was_given_up_does_not_end_the_next() {
    let (runtime, clock, near, _far) = silent_wire();
    near.io.set_timeout(Direction::Read, Some(30 * MS)).expect("open");
    let poll_read = |near: &Wire, cx: &mut Context<'_>| {
        near.io.poll_operate(cx, Direction::Read, |mut io| {
            io.read(&mut [0; 8]).map(|bytes| Done::bytes(bytes, 8))
        })
    };
    let nobody = &mut Context::from_waker(Waker::noop());
    assert!(poll_read(&near, nobody).is_pending());
    clock.advance(200 * MS);
    run(&runtime);
    // Its time ran out, and nobody has asked for it.
    let began = clock.now();
    let again = poll_read(&near, nobody);
    assert!(again.is_pending(), "a new one ends at once: {again:?}");
    // It has its own 30 ms, and ends when they are over, for whoever polls it now.
    let reading = near.clone();
    let read = runtime.spawn(poll_fn(move |cx| poll_read(&reading, cx)));
    clock.advance(30 * MS - NS);
    run(&runtime);
    assert!(!read.is_finished(), "early");
    clock.advance(NS);
    run(&runtime);
    match end_of(&runtime, read) {
        Err(Failure::Elapsed(elapsed)) => {
            assert_eq!(elapsed.deadline, began + 30 * MS);
            assert!(matches!(elapsed.bound, Bound::Timeout(given, Some(_)) if given == 30 * MS));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_says_which_bound_it_was_and_where_it_was_set() {
    on_alarms("which", async |_| {
        let (stream, _silent) = tcp_pair().await;
        stream.set_timeout(Some(5 * MS)).expect("open");
        let one = stream.read(&mut [0; 8]).await.expect_err("nobody writes");
        let all = stream.read_exact(&mut [0; 8]).await.expect_err("nobody writes");
        for (error, what) in [(one, "(idle timeout, set at "), (all, "(read timeout, set at ")] {
            let info = error.deadline().expect("a deadline");
            assert!(info.location().is_some_and(|at| at.file().ends_with("deadlines.rs")), "{error}");
            assert!(!info.before_it_began() && error.to_string().contains(what), "{error}");
        }
        stream.set_read_deadline(Some(Instant::now() - 1_500 * MS)).expect("open");
        let past = stream.read(&mut [0; 8]).await.expect_err("its time was over");
        let info = past.deadline().expect("a deadline");
        assert!(info.before_it_began() && info.lateness().is_zero(), "{past}");
        assert!(past.to_string().contains("was not begun: its deadline had passed 1.5"), "{past}");

        let (listener, _) = listen();
        listener.set_timeout(Some(5 * MS)).expect("open");
        let error = listener.accept().await.expect_err("nobody comes");
        assert!(error.to_string().contains("timed out after 5 ms (set at "), "{error}");
    });
}
