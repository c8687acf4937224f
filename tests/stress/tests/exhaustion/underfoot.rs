//! F08: descriptors that are closed by somebody else while the loop has them.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::rc::Rc;
use std::time::Duration;

use punctual::net::{Kind, TcpListener, TcpStream};
use punctual::{Runtime, sleep, spawn, yield_now};
use punctual_tests_stress::alone;
use punctual_tests_stress::rig::{self, MS, assert_baseline, now_ns, since, thread_cpu, watchdog};

/// The descriptors of this process, by what they are.
fn numbers_of(kind: &str) -> Vec<i32> {
    let of_kind = rig::open_numbers().into_iter().filter(|(_, what)| what.contains(kind));
    of_kind.map(|(number, _)| number as i32).collect()
}

fn close(number: i32) {
    nix::unistd::close(number).expect("it was open");
}

/// Has the number again, so that whoever believes to own it closes nothing of others.
fn occupy(number: i32) {
    let null = std::fs::File::open("/dev/null").expect("opened");
    let copy = null.into_raw_fd();
    assert_eq!(copy, number, "the lowest number that is free");
}

#[test]
fn f08_sockets_closed_underfoot_keep_their_deadlines_and_their_cancels_and_harm_nobody() {
    if !alone!() {
        return;
    }
    let _watchdog = watchdog("f08", Duration::from_secs(60));
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (listener, address) = rig::listen();
        let by = TcpStream::connect(address).await.expect("connected");
        let (by_peer, _) = listener.accept().await.expect("accepted");
        let mut ends: BTreeMap<&str, u32> = BTreeMap::new();
        for round in 0..60_u32 {
            let (stream, mine) = connect(address).await;
            let stream = Rc::new(stream);
            let (peer, _) = listener.accept().await.expect("accepted");
            let waiting = stream.clone();
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("open");
            let read = spawn(async move { waiting.read(&mut [0; 8]).await });
            yield_now().await;
            close(mine);
            occupy(mine);
            // Nobody hears of it from the kernel.
            let armed_ns = now_ns();
            let name = match round % 3 {
                0 => {
                    stream.set_read_deadline(Some(punctual::Instant::now() + 2 * MS)).expect("open");
                    "timeout"
                }
                1 => {
                    stream.cancel("closed underfoot");
                    "cancelled"
                }
                _ => {
                    stream.close();
                    "closed"
                }
            };
            let error = read.await.expect("no panic").expect_err("no data came");
            match name {
                // What it makes of the last try is the kernel's word: it is no socket any more.
                "timeout" => {
                    let fine = error.is_timeout() || matches!(error.kind(), Kind::Kernel(_));
                    assert!(fine && since(armed_ns) >= 2 * MS, "{error}");
                }
                "cancelled" => assert_eq!(error.kind(), Kind::Cancelled, "{error}"),
                _ => assert_eq!(error.kind(), Kind::Closed, "{error}"),
            }
            *ends.entry(name).or_default() += 1;
            drop((stream, peer));
            // Others go on.
            by.write_all(b"x").await.expect("sent");
            assert_eq!(by_peer.read(&mut [0; 8]).await.expect("it comes"), 1);
        }
        assert!(ends.values().all(|count| *count == 20), "{ends:?}");
    });
    assert_baseline(&runtime);
}

/// The number is another connection's of the same loop before its owner knows that it has lost it.
#[test]
fn f08_a_number_that_is_another_connections_by_now_is_never_read_from_closed_or_deregistered() {
    if !alone!() {
        return;
    }
    let _watchdog = watchdog("f08 reused", Duration::from_secs(60));
    let runtime = Runtime::new().expect("a runtime");
    let before = rig::descriptors();
    runtime.block_on(async {
        let (listener, address) = rig::listen();
        for round in 0..60_u32 {
            let (robbed, number) = connect(address).await;
            let (robbed_peer, _) = listener.accept().await.expect("accepted");
            let robbed = Rc::new(robbed);
            // Due while there is something to read for the other: the last try is not to take it.
            robbed.set_read_timeout(Some(2 * MS)).expect("open");
            let waiting = robbed.clone();
            let read = spawn(async move { waiting.read(&mut [0; 64]).await });
            yield_now().await;
            close(number);
            let (other, reused) = connect(address).await;
            assert_eq!(number, reused, "the lowest number that is free");
            let (other_peer, _) = listener.accept().await.expect("accepted");
            let word = [b'w', b'o', b'r', round as u8];
            other_peer.write_all(&word).await.expect("sent");
            let error = read.await.expect("no panic").expect_err("it is not its own");
            assert_eq!(error.kind(), Kind::Cancelled, "{error}");
            assert!(error.to_string().contains("closed by somebody else"), "{error}");
            let write = robbed.write(b"x").await.expect_err("nor is this");
            assert_eq!(write.kind(), Kind::Cancelled, "{write}");
            match round % 2 {
                0 => robbed.close(),
                _ => drop(robbed),
            }
            // The other has its data, is still watched, and has its number.
            let mut read = [0; 64];
            other.set_timeout(Some(Duration::from_secs(20))).expect("open");
            assert_eq!(other.read(&mut read).await.expect("its own"), word.len());
            assert_eq!(read[..4], word, "another's data");
            let again = spawn(async move { other_peer.write_all(b"again").await.map(|()| other_peer) });
            assert_eq!(other.read(&mut read).await.expect("it is told"), 5);
            drop((again.await.expect("no panic").expect("sent"), robbed_peer));
        }
    });
    assert_baseline(&runtime);
    assert_eq!(rig::descriptors_beyond(&before), Vec::<String>::new());
}

/// A connection, and its number.
async fn connect(address: std::net::SocketAddr) -> (TcpStream, i32) {
    let before = numbers_of("socket:");
    let stream = TcpStream::connect(address).await.expect("connected");
    let number = numbers_of("socket:").into_iter().find(|number| !before.contains(number));
    (stream, number.expect("its number"))
}

/// The number is a file's, which has nothing to do with the loop.
#[test]
fn f08_a_number_that_is_a_files_by_now_is_not_closed() {
    if !alone!() {
        return;
    }
    let _watchdog = watchdog("f08 file", Duration::from_secs(60));
    let runtime = Runtime::new().expect("a runtime");
    let file = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let (robbed, number) = connect(listener.local_addr().expect("its address")).await;
        close(number);
        let file = std::fs::File::open("/proc/self/cmdline").expect("opened");
        assert_eq!(file.as_raw_fd(), number, "the lowest number that is free");
        drop(robbed);
        file
    });
    let words = std::io::read_to_string(file).expect("it is open still");
    assert!(words.contains("exhaustion"), "{words:?}");
    assert_baseline(&runtime);
}

/// The loop's own: it cannot go on, and says so, at once and without spinning.
#[test]
fn f08_the_loops_own_descriptors_closed_underfoot_are_an_error_and_neither_a_hang_nor_a_spin() {
    if !alone!() {
        return;
    }
    let _watchdog = watchdog("f08 loop", Duration::from_secs(60));
    for kind in ["anon_inode:[eventpoll]", "anon_inode:[timerfd]", "anon_inode:[eventfd]"] {
        let before = numbers_of(kind);
        let runtime = Runtime::new().expect("a runtime");
        let own: Vec<i32> =
            numbers_of(kind).into_iter().filter(|number| !before.contains(number)).collect();
        assert!(!own.is_empty(), "the loop has one of {kind}");
        let task = runtime.spawn(async {
            let armed_ns = now_ns();
            sleep(20 * MS).await;
            assert!(since(armed_ns) >= 20 * MS, "early");
        });
        for number in &own {
            close(*number);
            occupy(*number);
        }
        let (cpu, began_ns) = (thread_cpu(), now_ns());
        let mut told = None;
        while !task.is_finished() && told.is_none() && since(began_ns) < Duration::from_secs(5) {
            told = runtime.turn(Some(50 * MS)).err();
        }
        let cpu = thread_cpu() - cpu;
        println!("{kind}: {told:?}, the sleep ended: {}, {cpu:?} of CPU time", task.is_finished());
        assert!(told.is_some() || task.is_finished(), "{kind}: neither an error nor the timer, for 5 s");
        assert!(cpu < Duration::from_secs(1), "{kind}: it spun for {cpu:?}");
    }
}
