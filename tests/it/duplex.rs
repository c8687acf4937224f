//! Streams in memory: what is their own. The rows that they share with sockets are in `deadlines` and `half_close`.

mod twin;

use std::cell::{Cell, RefCell};
use std::io::{IoSlice, IoSliceMut, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use punctual::net::{Duplex, Kind, Phase, UnixStream, duplex};
use punctual::reactor::Direction;
use punctual::{Instant, Runtime, scope, sleep, spawn, yield_now};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::support::net::*;
use crate::support::{MS, poll_once, watchdog};

const ECONNRESET: Kind = Kind::Kernel(libc::ECONNRESET);
const EPIPE: Kind = Kind::Kernel(libc::EPIPE);

/// Runs `body` on the kernel's clock with both alarms, and in virtual time.
fn on_clocks(what: &'static str, body: impl AsyncFn(&Runtime) + Sync) {
    on_alarms(what, &body);
    on_virtual_clock(what, &body);
}

/// What can be read of `end` now.
async fn rest_of(end: &Duplex) -> (Vec<u8>, Option<Kind>) {
    let (mut all, mut buffer) = (Vec::new(), [0; 1000]);
    loop {
        match end.read(&mut buffer).await {
            Ok(0) => return (all, None),
            Ok(bytes) => all.extend_from_slice(&buffer[..bytes]),
            Err(error) => return (all, Some(error.kind())),
        }
    }
}

#[test]
fn each_way_holds_its_capacity_and_not_a_byte_more() {
    on_clocks("capacity", async |_| {
        for (asked, capacity) in [(0, 1), (1, 1), (7, 7), (100_000, 100_000)] {
            let (left, right) = duplex(asked);
            for (from, to) in [(&left, &right), (&right, &left)] {
                assert_eq!(from.write(&vec![7; 200_000]).await.expect("room"), capacity);
                assert!(poll_once(from.write(b"x")).is_pending(), "{asked}: it is full");
                assert_eq!(to.read(&mut [0; 1]).await.expect("it has come"), 1);
                assert_eq!(from.write(b"xyz").await.expect("room for one"), 1);
                assert!(poll_once(from.write(b"x")).is_pending(), "{asked}: it is full again");
                assert_eq!(to.recv_exactly(capacity).await.last(), Some(&b'x'));
            }
        }
    });
}

#[test]
fn several_buffers_are_filled_and_sent_in_turn_and_a_peek_takes_nothing() {
    on_clocks("vectored", async |_| {
        let (left, right) = duplex(10);
        right.write_all(b"123456").await.expect("room");
        right.recv(&mut []).await.expect("nothing asked");
        left.read_exact(&mut [0; 6]).await.expect("so the ring is not at its start");
        let slices =
            [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdefgh"), IoSlice::new(b"ijkl")];
        assert_eq!(
            right.write_vectored(&slices).await.expect("room"),
            10,
            "as much as there is room for"
        );
        let mut peeked = [0; 12];
        for _ in 0..2 {
            assert_eq!(left.peek(&mut peeked).await.expect("it has come"), 10);
            assert_eq!(&peeked[..10], b"abcdefghij");
        }
        let (mut one, mut two, mut three) = ([0; 3], [0; 4], [0; 5]);
        let mut buffers =
            [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two), IoSliceMut::new(&mut three)];
        assert_eq!(left.read_vectored(&mut buffers).await.expect("it has come"), 10);
        assert_eq!((&one, &two, &three[..3]), (b"abc", b"defg", &b"hij"[..]));
        assert!(poll_once(left.peek(&mut peeked)).is_pending());
    });
}

#[test]
fn x05_who_has_not_read_all_resets_and_both_sides_say_so_for_good() {
    on_clocks("x05 in memory", async |runtime| {
        let (left, right) = duplex(100);
        let left = Rc::new(left);
        right.write_all(b"last words").await.expect("room");
        assert_eq!(left.fill().await, 100);
        left.set_deadline(Some(Instant::now() + PATIENCE)).expect("open");
        let (reader, writer) = (left.clone(), left.clone());
        let reading = spawn(async move { rest_of(&reader).await });
        let writing = spawn(async move { writer.write_all(b"unsent").await.map_err(|e| e.kind()) });
        sleep(20 * MS).await;
        let turns = runtime.metrics().turns;
        drop(right);
        assert_eq!(reading.await.expect("no panic"), (b"last words".to_vec(), Some(ECONNRESET)));
        assert_eq!(writing.await.expect("no panic"), Err(ECONNRESET));
        assert!(runtime.metrics().turns - turns <= 4, "at once");
        for _ in 0..3 {
            assert_eq!(left.read(&mut [0; 1]).await.expect_err("broken").kind(), ECONNRESET);
            assert_eq!(left.write(&[0; 1]).await.expect_err("broken").kind(), ECONNRESET);
        }
        left.shutdown(Shutdown::Both).expect("after a reset");
    });
}

#[test]
fn x06_what_was_written_before_the_end_or_the_reset_is_read_first() {
    on_clocks("x06 in memory", async |_| {
        let data: Vec<u8> = (0..64 * 1024).map(|n: u32| (n / 7 + n) as u8).collect();
        for unread in [false, true] {
            for way in ["shutdown", "close", "drop"] {
                let (left, right) = duplex(64 * 1024);
                right.write_all(&data).await.expect("room");
                if unread {
                    left.write_all(b"unread").await.expect("room");
                }
                let mut kept = None;
                match way {
                    "shutdown" => {
                        right.shutdown(Shutdown::Write).expect("open");
                        kept = Some(right);
                    }
                    "close" => {
                        right.close();
                        kept = Some(right);
                    }
                    _ => drop(right),
                }
                let (received, ended) = rest_of(&left).await;
                assert!(received == data, "{way}: {} bytes", received.len());
                let expected = (unread && way != "shutdown").then_some(ECONNRESET);
                assert_eq!(ended, expected, "{way}, unread: {unread}");
                match (left.write(b"x").await.map_err(|error| error.kind()), expected, way) {
                    (Ok(1), _, "shutdown") => {}
                    (Err(kind), expected, _) => assert_eq!(kind, expected.unwrap_or(EPIPE), "{way}"),
                    other => panic!("{way}: {other:?}"),
                }
                drop(kept);
            }
        }
    });
}

#[test]
fn x02_closing_the_reading_side_keeps_what_had_come_and_refuses_the_rest() {
    on_clocks("x02 in memory", async |_| {
        let (left, right) = duplex(8);
        let right = Rc::new(right);
        right.write_all(b"had come").await.expect("room");
        let writer = right.clone();
        let writing = spawn(async move { writer.write(b"!").await.map_err(|error| error.kind()) });
        sleep(MS).await;
        left.shutdown(Shutdown::Read).expect("open");
        assert_eq!(writing.await.expect("no panic"), Err(EPIPE), "who waits for room is told");
        assert_eq!(rest_of(&left).await, (b"had come".to_vec(), None));
        left.write_all(b"open").await.expect("the other half");
        assert_eq!(right.recv_exactly(4).await, b"open");
    });
}

#[test]
fn virtual_time_jumps_while_only_ends_in_memory_wait_and_stands_still_for_a_socket() {
    on_virtual_clock("jumps", async |_| {
        let (near, _far) = duplex(8);
        let start = Instant::now();
        near.set_read_timeout(Some(3600 * 1000 * MS)).expect("open");
        let error = near.read(&mut [0; 8]).await.expect_err("nobody writes");
        assert_eq!(start.elapsed(), 3600 * 1000 * MS, "an hour, to the nanosecond");
        let info = error.deadline().expect("a deadline");
        assert_eq!((info.lateness(), error.phase()), (Duration::ZERO, Phase::Read));
        assert!(
            error.to_string().starts_with("read from a stream in memory timed out after 3600 s"),
            "{error}"
        );

        // Beside a read that waits for the kernel an hour does not pass.
        let (socket, mut peer) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let socket = UnixStream::from_std(socket).expect("registered");
        let near = Rc::new(near);
        let reader = near.clone();
        let hour = spawn(async move { reader.read(&mut [0; 8]).await.map_err(|error| error.kind()) });
        let reading = spawn(async move { socket.read(&mut [0; 8]).await.map_err(|error| error.kind()) });
        yield_now().await;
        let stood = Instant::now();
        let thread = std::thread::spawn(move || {
            // Time enough for a loop that takes itself to be idle.
            std::thread::sleep(20 * MS);
            peer.write_all(b"x").expect("room");
        });
        assert_eq!(reading.await.expect("no panic"), Ok(1));
        assert_eq!(stood.elapsed(), Duration::ZERO);
        thread.join().expect("no panic");
        // Closed while it waits, it leaves the account of those who wait for the kernel as it was.
        near.close();
        assert_eq!(hour.await.expect("no panic"), Err(Kind::Closed));
        sleep(MS).await;
        assert_eq!(stood.elapsed(), MS);
    });
}

#[test]
fn k01_scopes_and_cancels_end_what_waits_in_memory_and_the_audit_lists_it() {
    on_virtual_clock("scopes in memory", async |runtime| {
        let (near, far) = duplex(1);
        let near = Rc::new(near);
        let start = Instant::now();
        let error = Rc::new(RefCell::new(None));
        let (keep, reader) = (error.clone(), near.clone());
        let ended = scope("request", 50 * MS, async move |_| {
            *keep.borrow_mut() = reader.read(&mut [0; 8]).await.err();
        });
        drop(ended.await);
        let error = error.take().expect("it ended with the scope");
        assert!(error.is_timeout() && error.to_string().contains("request"), "{error}");
        assert!(start.elapsed() <= 51 * MS, "{:?}", start.elapsed());

        near.write_all(b"f").await.expect("room for one");
        let writer = near.clone();
        let writing = spawn(async move { writer.write(b"g").await.map_err(|error| error.kind()) });
        yield_now().await;
        let waits = runtime.waits();
        let listed = waits.iter().find(|wait| wait.token() == Some(near.token())).expect("it waits");
        assert!(listed.what() == "write" && listed.has_no_deadline(), "{listed}");
        runtime.handle().cancel(near.token(), "drained").expect("room");
        assert_eq!(writing.await.expect("no panic"), Err(Kind::Cancelled));
        assert_eq!(far.recv_exactly(1).await, b"f", "the peer knows nothing of it");
        near.close();
        assert_eq!(rest_of(&far).await, (vec![], None));
    });
}

thread_local! {
    static ENDS: RefCell<Vec<Rc<Duplex>>> = const { RefCell::new(Vec::new()) };
    static WOKEN: Cell<u32> = const { Cell::new(0) };
}

/// Drops both ends when it is woken, after writing to and reading from them.
struct Meddler;

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        for end in ENDS.take() {
            let _ = poll_once(end.write(b"from a waker"));
            let _ = poll_once(end.read(&mut [0; 64]));
            let _ = end.shutdown(Shutdown::Both);
            end.close();
            drop(end);
        }
        WOKEN.set(WOKEN.get() + 1);
    }
}

#[test]
fn a_waker_may_do_as_it_likes_and_runs_in_a_turn_of_its_own() {
    on_clocks("wakers", async |_| {
        for event in ["write", "read", "shutdown", "close", "drop"] {
            let (left, right) = duplex(4);
            let (left, right) = (Rc::new(left), Rc::new(right));
            left.write_all(b"full").await.expect("room");
            let waker = Waker::from(Arc::new(Meddler));
            let cx = &mut Context::from_waker(&waker);
            {
                let (reader, writer) = (left.clone(), left.clone());
                let mut reading = Box::pin(async move { reader.read(&mut [0; 8]).await.map(drop) });
                let mut writing = Box::pin(async move { writer.write(b"x").await.map(drop) });
                assert!(reading.as_mut().poll(cx).is_pending());
                assert!(writing.as_mut().poll(cx).is_pending());
                // Who has polled it holds it for ever: the ends are dropped by the waker, and their operations later.
                ENDS.set(vec![left, right.clone()]);
                WOKEN.set(0);
                let mut kept = Some(right);
                match (event, kept.as_ref().expect("one")) {
                    ("write", right) => {
                        assert!(matches!(poll_once(right.write(b"y")), Poll::Ready(Ok(1))))
                    }
                    ("read", right) => {
                        assert!(matches!(poll_once(right.read(&mut [0])), Poll::Ready(Ok(1))))
                    }
                    ("shutdown", right) => right.shutdown(Shutdown::Both).expect("open"),
                    ("close", right) => right.close(),
                    _ => {
                        ENDS.with_borrow_mut(|ends| ends.pop());
                        kept = None;
                    }
                }
                assert_eq!(WOKEN.get(), 0, "{event}: a waker ran within the operation of another");
                drop(kept);
                while WOKEN.get() == 0 {
                    yield_now().await;
                }
                assert!(ENDS.with_borrow(Vec::is_empty), "{event}");
                assert!(matches!(reading.as_mut().poll(cx), Poll::Ready(Err(_))), "{event}");
                assert!(matches!(writing.as_mut().poll(cx), Poll::Ready(Err(_))), "{event}");
            }
        }
    });
}

#[test]
fn an_end_that_is_used_outside_of_the_loop_wakes_it() {
    let _watchdog = watchdog("an embedded duplex", PATIENCE / 10);
    let runtime = Runtime::new().expect("a runtime");
    let (left, right) = runtime.block_on(async { duplex(8) });
    let reading = runtime.spawn(async move { rest_of(&left).await });
    while runtime.prepare().expect("prepared") == Some(Duration::ZERO) {
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
    }
    // Now the loop is about to sleep in somebody else's poll.
    assert!(matches!(poll_once(right.write(b"hello")), Poll::Ready(Ok(5))));
    drop(right);
    let wait = Timespec::try_from(PATIENCE).expect("a sane wait");
    let mut fds = [PollFd::new(&runtime, PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&wait)), Ok(1), "nobody told the loop");
    for _ in 0..10 {
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
    }
    assert!(reading.is_finished());
    assert_eq!(runtime.block_on(reading).expect("no panic"), (b"hello".to_vec(), None));
    assert_baseline(&runtime);
}

#[test]
fn an_end_outlives_its_runtime_and_its_peer() {
    let runtime = Runtime::new().expect("a runtime");
    let (left, right) = runtime.block_on(async { duplex(8) });
    drop(runtime);
    right.shutdown(Shutdown::Write).expect("nobody is told");
    drop(right);
    assert!(poll_once(left.read(&mut [0; 8])).is_ready(), "it has ended, or the runtime has");
    drop(left);
}

#[test]
fn two_that_wait_for_each_other_cost_no_turns_and_what_moves_costs_one_each() {
    on_clocks("turns", async |runtime| {
        let (left, right) = duplex(64);
        let echo = spawn(async move {
            let mut buffer = [0; 64];
            loop {
                match right.read(&mut buffer).await.expect("read") {
                    0 => break,
                    bytes => right.write_all(&buffer[..bytes]).await.expect("written"),
                }
            }
        });
        yield_now().await;
        let before = runtime.metrics();
        for _ in 0..1_000 {
            left.write_all(b"ping").await.expect("room");
            assert_eq!(left.recv_exactly(4).await, b"ping");
        }
        let after = runtime.metrics();
        let turns = after.turns - before.turns;
        assert!(turns <= 3_000, "{turns} turns for 1000 round trips");
        left.set_read_timeout(Some(30 * MS)).expect("open");
        let turns = runtime.metrics().turns;
        assert_eq!(left.recv(&mut [0; 1]).await, Err(Class::Timeout));
        assert!(runtime.metrics().turns - turns <= 6, "it spins");
        drop(left);
        echo.await.expect("no panic");
    });
}

#[test]
fn a_hot_pair_does_not_starve_the_rest_of_the_loop() {
    on_alarms("hot pair", async |runtime| {
        let (left, right) = duplex(1 << 20);
        let feeding = spawn(async move { while left.write(&[0; 64]).await.is_ok() {} });
        let reading = spawn(async move {
            let mut buffer = [0; 64];
            while right.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
        });
        let before = runtime.metrics().turns;
        for _ in 0..20 {
            sleep(MS).await;
        }
        assert!(runtime.metrics().turns - before > 20, "both are held to their share of a turn");
        feeding.abort();
        drop(feeding.await);
        reading.await.expect("the end");
    });
}

#[test]
fn a_deadline_and_bytes_in_one_turn_are_bytes() {
    on_virtual_clock("pol2", async |_| {
        for _ in 0..3 {
            let (near, far) = duplex(8);
            let deadline = Instant::now() + 20 * MS;
            near.set_read_deadline(Some(deadline)).expect("open");
            let reading =
                spawn(async move { near.read(&mut [0; 8]).await.map_err(|error| error.kind()) });
            let writing = spawn(async move {
                punctual::sleep_until(deadline).await;
                far.write_all(b"in time").await.map(|()| far)
            });
            let read = reading.await.expect("no panic");
            let _far = writing.await.expect("no panic");
            // The deadline fires before the task that writes has run: the read tries once more when it is told.
            assert!(matches!(read, Ok(7) | Err(Kind::Timeout)), "{read:?}");
        }
        // What was written in the turn before comes first.
        let (near, far) = duplex(8);
        near.set_read_deadline(Some(Instant::now() + 20 * MS)).expect("open");
        let near = Rc::new(near);
        let reader = near.clone();
        let reading = spawn(async move { reader.recv(&mut [0; 8]).await });
        sleep(20 * MS - Duration::from_nanos(1)).await;
        far.write_all(b"x").await.expect("room");
        assert_eq!(reading.await.expect("no panic"), Ok(1));
        near.by(Direction::Read, None).expect("open");
    });
}
