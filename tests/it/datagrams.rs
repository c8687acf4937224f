//! Group D on datagrams, UDP and Unix, and what is theirs alone: boundaries, truncation, batches, timestamps.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use punctual::net::{Batch, Kind, Phase};
use punctual::{Instant, Runtime, sleep, spawn, yield_now};

use crate::support::net::{PATIENCE, runtime_handle};
use crate::support::post::{Couple, on_couples};
use crate::support::{MS, now_ns};

const PAST: Instant = Instant::from_nanos(1);
const EMSGSIZE: Kind = Kind::Kernel(libc::EMSGSIZE);

#[test]
fn d01_past_read_data_ready() {
    async fn body<T: Couple>(_: &Runtime) {
        let (left, right) = T::couple();
        right.send(&[7; 17]).await.expect("sent");
        left.peek_from(&mut [0; 1]).await.expect("it has come");
        left.set_read_deadline(Some(Instant::now() - Duration::from_secs(5))).expect("open");
        for _ in 0..2 {
            let error = left.recv(&mut [0; 64]).await.expect_err("its deadline has passed");
            assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Read));
            let error = left.recv_from(&mut [0; 64]).await.expect_err("its deadline has passed");
            assert!(error.is_timeout());
            let error =
                left.recv_batch(&mut Batch::new(4, 64)).await.expect_err("its deadline has passed");
            assert!(error.is_timeout());
        }
        left.set_read_deadline(None).expect("open");
        assert_eq!(left.recv(&mut [0; 64]).await.expect("received"), 17, "nothing was consumed");
    }
    on_couples!(body);
}

#[test]
fn d04_ok_then_timeout() {
    async fn body<T: Couple>(_: &Runtime) {
        let (left, right) = T::couple();
        for byte in 0..3 {
            right.send(&[byte]).await.expect("sent");
        }
        let armed = now_ns();
        left.set_read_deadline(Some(Instant::now() + 50 * MS)).expect("open");
        let mut received = Vec::new();
        let ended = loop {
            let mut buffer = [0; 8];
            match left.recv(&mut buffer).await {
                Ok(bytes) => received.extend_from_slice(&buffer[..bytes]),
                Err(error) => break error,
            }
        };
        assert!(ended.is_timeout() && now_ns() - armed >= 50_000_000, "{ended}");
        assert_eq!(received, [0, 1, 2], "in order");
        right.send(b"more").await.expect("sent");
        assert!(left.recv(&mut [0; 8]).await.expect_err("sticky, with data there too").is_timeout());
    }
    on_couples!(body);
}

#[test]
fn d12_close_pending() {
    async fn body<T: Couple>(runtime: &Runtime) {
        let (left, _right) = T::couple();
        let left = Rc::new(left);
        left.set_deadline(Some(Instant::now() + PATIENCE)).expect("open");
        let (reader, peeker, batcher) = (left.clone(), left.clone(), left.clone());
        let mut waiting = vec![
            spawn(async move { reader.recv(&mut [0; 1]).await.map(drop).map_err(|e| e.kind()) }),
            spawn(async move { peeker.peek_from(&mut [0; 1]).await.map(drop).map_err(|e| e.kind()) }),
            spawn(async move {
                batcher.recv_batch(&mut Batch::new(2, 2)).await.map(drop).map_err(|e| e.kind())
            }),
        ];
        if T::HOLDS {
            let writer = left.clone();
            waiting.push(spawn(async move {
                loop {
                    if let Err(error) = writer.send(&[0; 512]).await {
                        return Err(error.kind());
                    }
                }
            }));
        }
        sleep(100 * MS).await;
        assert!(runtime.metrics().live_wheel_entries > 0, "the deadlines are armed");
        let turns = runtime.metrics().turns;
        left.close();
        for ended in waiting {
            assert_eq!(ended.await.expect("no panic"), Err(Kind::Closed));
        }
        assert!(runtime.metrics().turns - turns <= 2, "within a turn, and one to see it");
        assert_eq!(runtime.metrics().live_wheel_entries, 0);
    }
    on_couples!(body);
}

#[test]
fn d13_set_after_close() {
    async fn body<T: Couple>(runtime: &Runtime) {
        let (left, _right) = T::couple();
        left.close();
        let deadline = Some(Instant::now() + PATIENCE);
        for result in [
            left.set_deadline(deadline),
            left.set_read_deadline(deadline),
            left.set_write_deadline(None),
            left.set_timeout(Some(MS)),
            left.set_receive_timestamps(true),
            left.set_send_buffer_size(1 << 16),
        ] {
            assert_eq!(result.expect_err("it is closed").kind(), Kind::Closed);
        }
        assert_eq!(runtime.metrics().live_wheel_entries, 0);
        let (_other, address) = T::bound();
        assert_eq!(left.recv(&mut [0; 1]).await.expect_err("closed").kind(), Kind::Closed);
        assert_eq!(left.send(&[0; 1]).await.expect_err("closed").kind(), Kind::Closed);
        assert_eq!(left.send_to(&[0; 1], address).await.expect_err("closed").kind(), Kind::Closed);
        assert_eq!(left.send_batch(&[[0; 1]]).await.expect_err("closed").kind(), Kind::Closed);
        let none: [&[u8]; 0] = [];
        assert_eq!(left.send_batch(&none).await.expect_err("closed").kind(), Kind::Closed);
    }
    on_couples!(body);
}

#[test]
fn d14_various() {
    async fn body<T: Couple>(_: &Runtime) {
        let nanoseconds =
            [1, 2, 5, 50, 100, 750, 1_000, 25_000, 500_000, 1_000_000, 5_000_000, 250_000_000];
        let mut running = Vec::new();
        for duration in nanoseconds.map(Duration::from_nanos) {
            for absolute in [true, false] {
                let (left, right) = T::couple();
                running.push(spawn(async move {
                    let armed = now_ns();
                    if absolute {
                        left.set_read_deadline(Some(Instant::now() + duration)).expect("open");
                    } else {
                        left.set_read_timeout(Some(duration)).expect("open");
                    }
                    let error = left.recv_from(&mut [0; 1]).await.expect_err("the peer is silent");
                    let passed = Duration::from_nanos(now_ns() - armed);
                    assert!(
                        error.is_timeout() && passed >= duration,
                        "{error}: {passed:?} of {duration:?}"
                    );
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
    }
    on_couples!(body);
}

#[test]
fn d21_zero_length() {
    async fn body<T: Couple>(_: &Runtime) {
        let (left, right) = T::couple();
        for _ in 0..2 {
            assert_eq!(right.send(&[]).await.expect("an empty datagram is one"), 0);
        }
        right.send(b"full").await.expect("sent");
        assert_eq!(left.recv(&mut [0; 8]).await.expect("and comes as one"), 0);
        assert_eq!(left.recv(&mut []).await.expect("it fits"), 0);
        let error = left.recv(&mut []).await.expect_err("this one does not");
        assert_eq!((error.kind(), error.transferred()), (EMSGSIZE, 0));
        // Nothing is left, so that no room for nothing is had at once.
        left.set_read_timeout(Some(20 * MS)).expect("open");
        let armed = now_ns();
        assert!(left.recv(&mut []).await.expect_err("an empty buffer waits too").is_timeout());
        assert!(now_ns() - armed >= 20_000_000);
        let none: [&[u8]; 0] = [];
        assert_eq!(left.send_batch(&none).await.expect("nothing to send"), 0);
        left.set_deadline(Some(PAST)).expect("open");
        assert!(left.send(&[]).await.expect_err("expired").is_timeout());
        assert!(left.send_batch(&none).await.expect_err("expired").is_timeout());
    }
    on_couples!(body);
}

#[test]
fn d24_deadline_overflow() {
    async fn body<T: Couple>(_: &Runtime) {
        let (left, right) = T::couple();
        left.set_deadline(Some(Instant::now() + Duration::MAX)).expect("open");
        left.set_timeout(Some(Duration::MAX)).expect("open");
        let left = Rc::new(left);
        let reader = left.clone();
        let reading = spawn(async move { reader.recv(&mut [0; 8]).await });
        sleep(20 * MS).await;
        assert!(!reading.is_finished(), "as if there were none");
        right.send(b"x").await.expect("sent");
        assert_eq!(reading.await.expect("no panic").expect("received"), 1);
        left.send(b"x").await.expect("sent");
    }
    on_couples!(body);
}

#[test]
fn d25_truncate_and_timeout() {
    async fn body<T: Couple>(_: &Runtime) {
        let (left, right) = T::couple();
        let deadline = Instant::now() + 100 * MS;
        let armed = now_ns();
        left.set_read_deadline(Some(deadline)).expect("open");
        for _ in 0..3 {
            right.send(b"0123456789").await.expect("sent");
        }
        let mut buffer = [0xee; 4];
        for _ in 0..2 {
            let seen = left.peek_from(&mut buffer).await.expect("peeked");
            assert_eq!((seen.len, seen.truncated, &buffer), (4, true, b"0123"));
        }
        let datagram = left.recv_from(&mut buffer).await.expect("received");
        assert_eq!((datagram.len, datagram.truncated), (4, true));
        let error = left.recv(&mut buffer).await.expect_err("six bytes are lost");
        assert_eq!((error.kind(), error.phase(), error.transferred()), (EMSGSIZE, Phase::Read, 4));
        assert_eq!(&buffer, b"0123");
        // One of exactly that length is whole, and the third is where it was.
        let datagram = left.recv_from(&mut [0; 10]).await.expect("received");
        assert_eq!((datagram.len, datagram.truncated), (10, false));
        assert_eq!(left.read_deadline(), Some(deadline), "nothing has moved it");
        assert!(left.recv(&mut buffer).await.expect_err("no more comes").is_timeout());
        assert!(now_ns() - armed >= 100_000_000);
    }
    on_couples!(body);
}

#[test]
fn k02_cancel_from_another_thread_and_k12_nothing_is_lost() {
    async fn body<T: Couple>(_: &Runtime) {
        let (left, right) = T::couple();
        let left = Rc::new(left);
        // A receive that is given up has taken nothing.
        let reader = left.clone();
        let given_up = spawn(async move { reader.recv(&mut [0; 8]).await });
        yield_now().await;
        given_up.abort();
        yield_now().await;
        right.send(b"kept").await.expect("sent");
        assert_eq!(left.recv(&mut [0; 8]).await.expect("still there"), 4);

        let (reader, handle, token) = (left.clone(), runtime_handle(), left.token());
        let reading = spawn(async move { reader.recv(&mut [0; 8]).await });
        let thread = std::thread::spawn(move || handle.cancel(token, "the user has left"));
        let error = reading.await.expect("no panic").expect_err("cancelled");
        assert_eq!((error.kind(), error.cause()), (Kind::Cancelled, Some(&"the user has left".into())));
        assert!(
            left.send(b"x").await.is_err_and(|error| error.kind() == Kind::Cancelled),
            "those to come too"
        );
        thread.join().expect("no panic").expect("sent");
    }
    on_couples!(body);
}

/// Byte `n` of datagram `index`.
fn byte(index: usize, n: usize) -> u8 {
    (index * 31 + n) as u8
}

#[test]
fn batches_of_mixed_sizes_arrive_whole_in_order_and_truncation_is_flagged() {
    async fn body<T: Couple>(_: &Runtime) {
        let (left, right) = T::couple();
        let (bound, address) = T::bound();
        let right = Rc::new(right);
        // Lengths from 0 to 1 260, in no order; every buffer takes 1 000.
        let payloads: Rc<Vec<Vec<u8>>> = Rc::new(
            (0..Batch::<T::Address>::MAX)
                .map(|index| (0..(index * 37 % 64) * 20).map(|n| byte(index, n)).collect())
                .collect(),
        );
        right.set_send_buffer_size(1 << 20).expect("set");
        for (receiver, to) in [(left, None), (bound, Some(address))] {
            receiver.set_recv_buffer_size(1 << 20).expect("set");
            let sending = spawn({
                let (right, payloads) = (right.clone(), payloads.clone());
                async move {
                    let mut sent = 0;
                    while sent < payloads.len() {
                        let rest = &payloads[sent..];
                        sent += match &to {
                            None => right.send_batch(rest).await.expect("sent"),
                            Some(to) => {
                                let rest: Vec<_> = rest.iter().map(|one| (one, to.clone())).collect();
                                right.send_batch_to(&rest).await.expect("sent")
                            }
                        };
                    }
                }
            });
            let mut batch = Batch::new(Batch::<T::Address>::MAX, 1_000);
            let (mut next, mut calls) = (0, 0);
            while next < payloads.len() {
                let count = receiver.recv_batch(&mut batch).await.expect("received");
                assert!(count > 0 && count == batch.len() && count == batch.iter().count());
                for (datagram, bytes) in batch.iter() {
                    let sent = &payloads[next];
                    assert_eq!(datagram.truncated, sent.len() > 1_000, "{next}: {} bytes", sent.len());
                    assert_eq!(bytes, &sent[..sent.len().min(1_000)], "{next}");
                    next += 1;
                }
                calls += 1;
            }
            sending.await.expect("no panic");
            assert!(calls <= payloads.len() / 4, "{calls} calls for {} datagrams", payloads.len());
        }
    }
    on_couples!(body);
}

#[test]
fn timestamps_are_the_kernels_and_in_order() {
    async fn body<T: Couple>(_: &Runtime) {
        let (left, right) = T::couple();
        left.set_receive_timestamps(true).expect("set");
        // The kernel may take a moment to begin (net_enable_timestamp), and gives the time of receipt until then.
        sleep(20 * MS).await;
        let mut last = SystemTime::UNIX_EPOCH;
        for round in 0..20 {
            let before = SystemTime::now();
            right.send(b"first").await.expect("sent");
            right.send(b"second").await.expect("sent");
            let sent = SystemTime::now();
            // Long enough to tell when it was sent from when it was received.
            sleep(2 * MS).await;
            let mut stamps = Vec::new();
            if round % 2 == 0 {
                for _ in 0..2 {
                    let datagram = left.recv_from(&mut [0; 8]).await.expect("received");
                    stamps.push(datagram.received_at.expect("a timestamp"));
                }
            } else {
                let mut batch = Batch::new(2, 8);
                assert_eq!(left.recv_batch(&mut batch).await.expect("received"), 2);
                stamps.extend(
                    batch.iter().map(|(datagram, _)| datagram.received_at.expect("a timestamp")),
                );
            }
            for at in stamps {
                assert!(at >= last, "out of order: {at:?} after {last:?}");
                assert!(before <= at && at <= sent, "{at:?} is not between {before:?} and {sent:?}");
                last = at;
            }
        }
        left.set_receive_timestamps(false).expect("set");
        right.send(b"x").await.expect("sent");
        assert_eq!(left.recv_from(&mut [0; 8]).await.expect("received").received_at, None);
    }
    on_couples!(body);
}

#[test]
fn who_has_sent_it_is_told_and_answered() {
    async fn body<T: Couple>(_: &Runtime) {
        let ((left, left_at), (right, right_at)) = (T::bound(), T::bound());
        left.send_to(b"question", right_at).await.expect("sent");
        let mut buffer = [0; 16];
        let seen = right.peek_from(&mut buffer).await.expect("peeked");
        let datagram = right.recv_from(&mut buffer).await.expect("received");
        assert_eq!(format!("{:?}", datagram.from), format!("{left_at:?}"));
        assert_eq!(format!("{seen:?}"), format!("{datagram:?}"));
        assert_eq!((datagram.len, datagram.received_at), (8, None), "nobody asked for a timestamp");
        right.send_to(b"answer", datagram.from).await.expect("sent");
        let mut batch = Batch::new(4, 16);
        assert_eq!(left.recv_batch(&mut batch).await.expect("received"), 1);
        assert_eq!(batch.get(0).map(|(_, bytes)| bytes), Some(&b"answer"[..]));
        assert!(batch.get(1).is_none());
        let error = {
            left.set_read_timeout(Some(MS)).expect("open");
            left.recv(&mut buffer).await.expect_err("nothing more comes")
        };
        let sentence = error.to_string();
        assert!(
            sentence.starts_with(&format!("read from any peer on {left_at} timed out")),
            "{sentence}"
        );
    }
    on_couples!(body);
}
