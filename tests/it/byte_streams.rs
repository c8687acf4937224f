//! Bounds on any byte stream, and the ways to cut and join them.

mod scopes;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_io::AsyncRead;
use punctual::net::io::{
    Bounded, CopyOptions, Throughput, chain, copy, copy_bidirectional, read_to_end, take,
};
use punctual::net::{Error, Kind, Phase, UnixStream};
use punctual::{Instant, VirtualClock, scope, sleep, spawn, timeout};

use crate::support::duplex::{Duplex, duplex};
use crate::support::net::*;
use crate::support::{MS, NS, now_ns, poll_once, virtual_runtime, watchdog};

const S: Duration = Duration::from_secs(1);

fn on_virtual(what: &'static str, body: impl AsyncFn(&VirtualClock)) {
    let _watchdog = watchdog(what, S);
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(body(&clock));
    assert_baseline(&runtime);
}

/// A read through the trait.
async fn read<R: AsyncRead + Unpin>(reader: &mut R, buffer: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| Pin::new(&mut *reader).poll_read(cx, buffer)).await
}

/// A read through the trait that is given up after one poll.
async fn give_up_read<R: AsyncRead + Unpin>(reader: &mut R) {
    poll_fn(|cx| {
        assert!(Pin::new(&mut *reader).poll_read(cx, &mut [0; 8]).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// Ended at `bound`, neither early nor later than the leeway of a guard.
fn on_time(start: Instant, bound: Duration) {
    let passed = start.elapsed();
    assert!((bound..=bound + MS).contains(&passed), "{passed:?} of {bound:?}");
}

#[test]
fn d01_d02_a_deadline_that_has_passed_lets_nothing_be_touched() {
    on_virtual("d01", async |_| {
        let (near, mut far) = duplex(64);
        far.send_all(b"seventeen bytes!!").await.expect("room");
        let mut near = Bounded::new(near).deadline(Instant::now() - S);
        for _ in 0..2 {
            let error = near.read(&mut [0; 64]).await.expect_err("too late");
            assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Read));
            assert!(error.deadline().is_some_and(|info| info.before_it_began()), "{error}");
            let error = near.write(b"x").await.expect_err("too late");
            assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Write));
        }
        assert_eq!(near.get_ref().sent(), 0);
        near.set_deadline(None);
        assert_eq!(near.read(&mut [0; 64]).await.expect("still there"), 17);

        let mut none = Bounded::new(near.into_inner()).read_timeout(Duration::ZERO);
        far.send_all(b"x").await.expect("room");
        let error = none.read(&mut [0; 8]).await.expect_err("no time at all");
        assert!(error.is_timeout(), "{error}");
    });
}

#[test]
fn d23_a_timeout_is_given_to_each_read_and_a_deadline_to_all() {
    on_virtual("d23 bounded", async |_| {
        for absolute in [false, true] {
            let (near, mut far) = duplex(64);
            let mut near = Bounded::new(near).read_timeout(100 * MS);
            if absolute {
                near.set_read_deadline(Some(Instant::now() + 110 * MS));
            }
            let start = Instant::now();
            let dripping = spawn(async move {
                for _ in 0..10 {
                    sleep(40 * MS).await;
                    far.send_all(b"d").await.expect("room");
                }
                far
            });
            let mut read = 0;
            let error = loop {
                match near.read(&mut [0; 8]).await {
                    Ok(bytes) => read += bytes,
                    Err(error) => break error,
                }
            };
            assert!(error.is_timeout(), "{error}");
            match absolute {
                true => on_time(start, 110 * MS),
                false => on_time(start, 10 * 40 * MS + 100 * MS),
            }
            assert_eq!(read, if absolute { 2 } else { 10 });
            let budget = error.deadline().and_then(|info| info.budget());
            assert_eq!(budget, (!absolute).then_some(100 * MS));
            drop(dripping.await);
        }
    });
}

#[test]
fn a_bound_on_the_real_clock_is_never_early() {
    on_alarms("bounded", async |_| {
        for us in [1, 100, 900, 3_100, 20_000] {
            let bound = Duration::from_micros(us);
            let (near, _far) = duplex(1);
            let before = now_ns();
            let mut near = Bounded::new(near).read_timeout(bound).write_timeout(bound);
            near.read(&mut [0; 8]).await.expect_err("nothing comes");
            assert!(Duration::from_nanos(now_ns() - before) >= bound);
            near.write(b"f").await.expect("room for one");
            let before = now_ns();
            near.write(b"g").await.expect_err("room for no more");
            assert!(Duration::from_nanos(now_ns() - before) >= bound);
        }
    });
}

#[test]
fn a_dropped_read_takes_its_timeout_along() {
    on_virtual("dropped reads", async |_| {
        let (near, mut far) = duplex(64);
        let mut near = Bounded::new(near).read_timeout(100 * MS);
        for _ in 0..3 {
            // Given up after 60 ms; the next has its own 100 ms.
            timeout(60 * MS, near.read(&mut [0; 8])).await.expect_err("given up");
        }
        let (answer, ()) = (
            spawn(async move {
                let read = near.read(&mut [0; 8]).await;
                (read.map_err(|error| error.kind()), near)
            }),
            sleep(100 * MS - NS).await,
        );
        far.send_all(b"just in time").await.expect("room");
        let (answered, mut near) = answer.await.expect("no panic");
        assert_eq!(answered, Ok(8));

        // Through the trait it goes on counting, but one whose time ran out unseen does not poison the next.
        assert_eq!(read_exactly(&mut near, 4).await, b"time");
        give_up_read(&mut near).await;
        sleep(S).await;
        let start = Instant::now();
        let error = read(&mut near, &mut [0; 8]).await.expect_err("nothing comes");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        on_time(start, 100 * MS);
    });
}

async fn read_exactly<R: AsyncRead + Unpin>(reader: &mut R, length: usize) -> Vec<u8> {
    let mut all = vec![0; length];
    let mut filled = 0;
    while filled < length {
        filled += read(reader, &mut all[filled..]).await.expect("more");
    }
    all
}

#[test]
fn a_trickle_is_too_slow_in_either_direction_and_a_slow_reader_is_not_blamed_on_its_peer() {
    let floor = || Throughput::per_second(500);
    let got = |error: &Error, bytes: [u64; 2]| {
        let said = error.deadline().and_then(|info| info.description()).expect("which bound");
        let expected = bytes.map(|bytes| format!("fewer than 500 B/s for 5 s (got {bytes})"));
        assert!(expected.iter().any(|expected| expected == said), "{said}");
    };
    on_virtual("trickles", async |_| {
        let (near, mut far) = duplex(64);
        let mut near = Bounded::new(near).read_timeout(100 * MS).read_throughput(floor());
        let trickling = spawn(async move {
            while far.send_all(b"t").await.is_ok() {
                sleep(40 * MS).await
            }
        });
        let start = Instant::now();
        let error = loop {
            match near.read(&mut [0; 8]).await {
                Ok(bytes) => assert_eq!(bytes, 1, "a byte now and then, within each timeout"),
                Err(error) => break error,
            }
        };
        on_time(start, 5 * S);
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Read));
        got(&error, [125, 126]);
        drop(near);
        trickling.await.expect("no panic");

        let (near, mut far) = duplex(64);
        let mut near = Bounded::new(near).write_timeout(100 * MS).write_throughput(floor());
        let sipping = spawn(async move {
            while far.recv(&mut [0]).await.is_ok_and(|n| n > 0) {
                sleep(40 * MS).await
            }
        });
        let start = Instant::now();
        let error = loop {
            if let Err(error) = near.write(b"w").await {
                break error;
            }
        };
        on_time(start, 5 * S);
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Write));
        got(&error, [64 + 125, 64 + 126]);
        sipping.abort();

        // Who reads a byte every ten seconds does not wait for its peer.
        let (near, mut far) = duplex(64);
        let mut near = Bounded::new(near).read_throughput(floor());
        far.send_all(&[0; 64]).await.expect("room");
        for _ in 0..64 {
            sleep(10 * S).await;
            assert_eq!(near.read(&mut [0]).await.expect("it had come long before"), 1);
        }
        let start = Instant::now();
        near.read(&mut [0]).await.expect_err("now it waits");
        on_time(start, 5 * S);

        // Nor does one who waits a moment each time: 64 ms in all.
        let (near, mut far) = duplex(64);
        let mut near = Bounded::new(near).read_throughput(floor());
        let sending = spawn(async move {
            for _ in 0..64 {
                sleep(10 * S + MS).await;
                far.send_all(b"s").await.expect("room");
            }
            far
        });
        for _ in 0..64 {
            sleep(10 * S).await;
            assert_eq!(near.read(&mut [0]).await.expect("it comes in a moment"), 1);
        }
        drop(sending.await);
    });
}

#[test]
fn errors_travel_whole_through_the_traits() {
    on_virtual("errors", async |_| {
        let (near, _far) = duplex(64);
        let bounded = Bounded::new(near).read_timeout(20 * MS);
        let error = read_to_end(bounded, 1 << 20).await.expect_err("it never ends");
        assert_eq!((error.kind(), error.phase(), error.transferred()), (Kind::Timeout, Phase::Read, 0));
        let info = error.deadline().expect("a deadline");
        assert_eq!((info.description(), info.budget()), (Some("idle timeout"), Some(20 * MS)));
        assert!(info.location().is_some_and(|at| at.file().ends_with("byte_streams.rs")));

        let (near, mut far) = duplex(64);
        far.send_all(b"so far").await.expect("room");
        let (mut sink, mut end) = duplex(64);
        let bounded = Bounded::new(near).read_timeout(20 * MS);
        let error = copy(bounded, &mut sink).await.expect_err("it never ends");
        assert_eq!((error.kind(), error.phase(), error.transferred()), (Kind::Timeout, Phase::Read, 6));
        assert_eq!(end.recv(&mut [0; 8]).await.expect("delivered"), 6);
    });
}

#[test]
fn copy_moves_everything_and_leaves_the_writer_open() {
    on_virtual("copy", async |_| {
        let data: Vec<u8> = (0..1_000_000).map(|n: u32| (n / 3) as u8).collect();
        let (mut sink, mut end) = duplex(1000);
        let receiving = spawn(async move { end.recv_all().await });
        assert_eq!(copy(&data[..], &mut sink).await.expect("all"), 1_000_000);
        sink.send_all(b"more").await.expect("still open");
        drop(sink);
        let received = receiving.await.expect("no panic").expect("all");
        assert!(received[..1_000_000] == data && &received[1_000_000..] == b"more");

        let (gone, end) = duplex(10);
        drop(end);
        let error = copy(&data[..], gone).await.expect_err("nobody is there");
        assert_eq!((error.phase(), error.transferred()), (Phase::Write, 0));
    });
}

fn fed(bytes: &'static [u8]) -> Duplex {
    let (near, mut far) = duplex(1 << 20);
    drop(spawn(async move { far.send_all(bytes).await }));
    near
}

#[test]
fn a_limit_is_told_from_an_end() {
    on_virtual("take", async |_| {
        for (limit, reached, expected) in [(4, true, "a bo"), (6, true, "a body"), (7, false, "a body")]
        {
            let mut some = take(fed(b"a body"), limit);
            let all = read_to_end(&mut some, 100).await.expect("it ends");
            assert_eq!((all, some.limit_reached()), (expected.into(), reached), "{limit}");
        }
        for (limit, fits) in [(5, false), (6, true), (7, true), (0, false)] {
            let mut some = take(fed(b"a body"), limit).or_fail();
            let result = read_to_end(&mut some, 100).await;
            match (fits, result) {
                (true, result) => assert_eq!(result.expect("it fits"), b"a body"),
                (false, result) => {
                    let error = result.expect_err("one byte too many");
                    assert_eq!((error.kind(), error.transferred()), (Kind::LimitExceeded, limit));
                    assert_eq!(
                        error.to_string().split(';').next(),
                        Some("read from a socket failed: more came than was allowed")
                    );
                    // Nothing is lost: more may be allowed.
                    some.set_limit(100);
                    let rest = read_to_end(&mut some, 100).await.expect("the rest");
                    assert_eq!(rest, &b"a body"[limit as usize..]);
                }
            }
        }
        let exceeded = read_to_end(fed(b"a body"), 5).await.expect_err("one byte too many");
        assert_eq!(io::Error::from(exceeded).kind(), ErrorKind::FileTooLarge);
        assert_eq!(read_to_end(fed(b"a body"), 6).await.expect("just enough"), b"a body");
    });
}

#[test]
fn one_reader_follows_another() {
    on_virtual("chain", async |_| {
        let mut both = chain(fed(b"read too far, "), fed(b"and the rest"));
        assert_eq!(read(&mut both, &mut []).await.expect("nothing asked"), 0);
        assert!(!both.is_in_second(), "an empty read is no end");
        assert_eq!(read_exactly(&mut both, 4).await, b"read");
        assert_eq!(read_to_end(&mut both, 100).await.expect("both"), b" too far, and the rest");
        assert!(both.is_in_second());
        let none: [&[u8]; 2] = [b"", b""];
        assert_eq!(read_to_end(chain(none[0], none[1]), 0).await.expect("nothing"), b"");
    });
}

#[test]
fn a_bounded_stream_keeps_no_timer_while_nothing_waits() {
    on_alarms("no timers", async |runtime| {
        let (near, mut far) = duplex(64);
        let mut near = Bounded::new(near).read_timeout(S).read_throughput(Throughput::per_second(1));
        timeout(MS, near.read(&mut [0; 8])).await.expect_err("given up");
        let sending = spawn(async move {
            sleep(MS).await;
            far.send_all(b"here").await.expect("room");
            far
        });
        assert_eq!(near.read(&mut [0; 8]).await.expect("it came"), 4);
        drop(sending.await);
        assert_eq!((runtime.metrics().live_timers, runtime.metrics().live_wheel_entries), (0, 0));
    });
}

/// Held, a read is still the same one, however late it is asked: its time is over.
#[test]
fn d23_a_read_that_is_polled_late_does_not_begin_anew() {
    on_virtual("polled late", async |_| {
        let (near, _far) = duplex(64);
        let mut near = Bounded::new(near).read_timeout(S);
        let start = Instant::now();
        let mut buffer = [0; 8];
        let mut reading = pin!(near.read(&mut buffer));
        assert!(poll_once(reading.as_mut()).is_pending());
        sleep(3 * S).await;
        let error = reading.await.expect_err("nothing has come");
        assert!(error.is_timeout(), "{error}");
        on_time(start, 3 * S);
    });
}

/// A read of its own does not take over the time of one that was given up through the trait.
#[test]
fn d23_a_read_has_all_its_time_whatever_was_given_up_before() {
    on_virtual("all its time", async |_| {
        let (near, _far) = duplex(64);
        let mut near = Bounded::new(near).read_timeout(S);
        give_up_read(&mut near).await;
        sleep(900 * MS).await;
        let start = Instant::now();
        let error = near.read(&mut [0; 8]).await.expect_err("nothing has come");
        assert!(error.is_timeout(), "{error}");
        on_time(start, S);
    });
}

/// No length of time is too long, or too short, to be reckoned with.
#[test]
fn d24_bounds_without_end_and_of_nothing() {
    on_virtual("extremes", async |_| {
        let endless = Throughput::new(u64::MAX, Duration::from_nanos(1), Duration::MAX);
        let none = Throughput::new(0, Duration::ZERO, Duration::ZERO);
        for (floor, ends) in [(endless, false), (none, true)] {
            let (near, _far) = duplex(64);
            let near = Bounded::new(near).read_timeout(Duration::MAX).deadline(Instant::FAR_FUTURE);
            let mut near = near.read_throughput(floor);
            let read = timeout(S, near.read(&mut [0; 8])).await;
            assert_eq!(read.is_ok(), ends, "{floor:?}");
            let ((_client, a), (b, _server)) = (duplex(64), duplex(64));
            let options = CopyOptions::new().idle_timeout(Duration::MAX).total_timeout(Duration::MAX);
            let options = options.half_close_linger(Duration::MAX).deadline(Instant::FAR_FUTURE);
            let options = options.throughput(floor).throughput_a_to_b(floor).buffer(usize::MAX);
            let copied =
                timeout(S, copy_bidirectional(a, b, options.close_in_order(Duration::ZERO))).await;
            assert_eq!(copied.is_ok(), ends, "{floor:?}");
            for options in [
                CopyOptions::new().idle_timeout(Duration::ZERO),
                CopyOptions::new().total_timeout(Duration::ZERO),
                CopyOptions::new().deadline(Instant::from_nanos(0)),
            ] {
                let ((_client, a), (b, _server)) = (duplex(64), duplex(64));
                let error = copy_bidirectional(a, b, options).await.expect_err("no time");
                assert!(error.is_timeout(), "{error}");
            }
        }
    });
}

#[test]
fn copy_from_a_socket_of_the_kernel_to_another() {
    on_alarms("unix copies", async |_| {
        let (from, feed) = UnixStream::pair().expect("a pair");
        let (into, sink) = UnixStream::pair().expect("a pair");
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
        let sent = bytes.clone();
        let feeding = spawn(async move {
            feed.write_all(&sent).await.expect("read");
            feed.shutdown(Shutdown::Write).expect("open");
        });
        let taking = spawn(async move { read_to_end(&sink, 1 << 20).await });
        assert_eq!(copy(&from, &into).await.expect("copied"), 300_000);
        feeding.await.expect("no panic");
        into.shutdown(Shutdown::Write).expect("left open by the copy");
        assert!(taking.await.expect("no panic").expect("read") == bytes);
    });
}
