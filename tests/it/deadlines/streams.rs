//! Deadlines of whole messages, halves and drips.

use super::*;

#[test]
fn d20_read_exact_partial() {
    async fn body<T: Pair>(_: &Runtime) {
        let (left, right) = T::pair().await;
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
    }
    on_streams!(body);
}

#[test]
fn pol4_write_all_says_how_much_was_written() {
    async fn body<T: Pair>(left: Socket<T>, right: Socket<T>) {
        let pattern: Vec<u8> = (0..8 << 20).map(|n: u32| (n / 3) as u8).collect();
        left.set_write_timeout(Some(50 * MS)).expect("open");
        let armed = clock_ns();
        let error = left.write_all(&pattern).await.expect_err("nobody reads");
        assert_passed(armed, 50 * MS);
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Write));
        let written = error.transferred() as usize;
        assert!(written > 0 && written < pattern.len());
        left.close();
        let received = read_to_end(&right).await;
        assert_eq!(received.len(), written, "reported is what is on the wire");
        assert!(received[..] == pattern[..written]);
    }
    on_alarms("pol4 on TCP", async |_| {
        let (left, right) = small_tcp_pair().await;
        body(left, right).await;
    });
    on_alarms("pol4 on Unix streams", async |_| {
        let (left, right) = unix_pair();
        body(left, right).await;
    });
    on_virtual_clock("pol4 in memory", async |_| {
        let (left, right) = memory_pair();
        body(left, right).await;
    });
}

async fn read_to_end<T: Pair>(stream: &Socket<T>) -> Vec<u8> {
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
    async fn body<T: Pair>(_: &Runtime) {
        let (left, _right) = T::pair().await;
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
    }
    on_streams!(body);
}

/// Sends a byte every `pause`, `count` times.
fn drip<T: Pair>(to: Socket<T>, count: usize, pause: Duration) -> punctual::JoinHandle<Socket<T>> {
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
    async fn body<T: Pair>(_: &Runtime) {
        for absolute in [true, false] {
            let (left, right) = T::pair().await;
            let dripping = drip(right, 50, 40 * MS);
            let armed = clock_ns();
            if absolute {
                left.set_read_deadline(Some(Instant::now() + 100 * MS)).expect("open");
            } else {
                left.set_read_timeout(Some(100 * MS)).expect("open");
            }
            let error = left.read_exact(&mut [0; 50]).await.expect_err("two seconds are too much");
            assert!(error.is_timeout(), "{error}");
            assert_passed(armed, 100 * MS);
            assert!(error.transferred() < 50);
            drop(left);
            dripping.await.expect("no panic");
        }
        // A timeout given to each read anew is an idle timeout.
        let (left, right) = T::pair().await;
        let dripping = drip(right, 60, 20 * MS);
        left.set_read_timeout(Some(Duration::from_secs(1))).expect("open");
        for _ in 0..60 {
            let start = Instant::now();
            assert_eq!(left.read(&mut [0; 1]).await.expect("a drop"), 1, "after {:?}", start.elapsed());
        }
        dripping.await.expect("no panic");
    }
    on_streams!(body);
}

#[test]
fn d24_deadline_overflow() {
    async fn without_end<T: Pair>(left: Socket<T>, right: Socket<T>) {
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
    }
    async fn body<T: Pair>(_: &Runtime) {
        let (left, right) = T::pair().await;
        without_end(left, right).await;
    }
    on_streams!(body);
    on_alarms("d24 connecting", async |_| {
        let (listener, address) = listen();
        let accepting = spawn(async move { listener.accept().await });
        let left = Connect::to(address).timeout(Duration::MAX).connect().await.expect("connected");
        without_end(left, accepting.await.expect("no panic").expect("accepted").0).await;

        let address = unix_name("d24");
        let listener = UnixListener::bind(&address).expect("bound");
        let left = UnixStream::connect_timeout(&address, Duration::MAX).await.expect("connected");
        without_end(left, listener.accept().await.expect("accepted").0).await;
    });
}

#[test]
fn d26_split_halves() {
    async fn body<T: Pair>(_: &Runtime) {
        let (left, right) = T::pair().await;
        let (read_half, write_half) = left.into_split();
        let armed = clock_ns();
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
    }
    on_streams!(body);
}

#[test]
fn d26_halves_are_reunited_without_an_end() {
    async fn body<T: Pair>(_: &Runtime) {
        let (left, right) = T::pair().await;
        let (other, _other_right) = T::pair().await;
        let (read_half, write_half) = left.into_split();
        let (other_read, other_write) = other.into_split();
        let (read_half, other_write) = read_half.reunite(other_write).expect_err("of two streams");
        drop((other_read, other_write));
        let left = read_half.reunite(write_half).expect("of one stream");
        left.write_all(b"whole").await.expect("not ended");
        assert_eq!(right.recv_exactly(5).await, b"whole");
    }
    on_streams!(body);
}

#[test]
fn d27_spurious_event() {
    on_alarms("d27", async |runtime| {
        let (left, _right) = wire::pair();
        let left = Rc::new(left);
        let armed = clock_ns();
        left.io.set_deadline(Direction::Read, Some(Instant::now() + 100 * MS)).expect("open");
        let reader = left.clone();
        let reading = spawn(async move {
            let read = async { reader.read(&mut [0; 1]).await.map_err(|failure| Class::from(&failure)) };
            times_out(armed, 100 * MS, read).await;
        });
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
