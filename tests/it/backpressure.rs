//! Group B: slow consumers, hot connections, a loop that is held up, and the order of what is written.

use std::cell::Cell;
use std::io::{IoSlice, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use punctual::net::TcpStream;
use punctual::{Instant, JoinHandle, interval, sleep, spawn};

use crate::support::net::*;
use crate::support::{MS, never_early_sleep};

/// The byte at `offset` of a stream that repeats nowhere near.
fn byte_at(offset: usize) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9) >> 13) as u8
}

fn pattern(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(byte_at).collect()
}

#[test]
fn b01_slow_consumer() {
    on_alarms("b01", async |_| {
        const TOTAL: usize = 8 << 20;
        /// What the kernel may hold of a connection whose buffers were asked to be 32 KiB at each end.
        const HIGH_WATER: usize = 512 * 1024;
        let (producer, consumer) = small_tcp_pair().await;
        let sent = Rc::new(Cell::new(0));
        let producing = spawn({
            let sent = sent.clone();
            async move {
                while sent.get() < TOTAL {
                    let length = (TOTAL - sent.get()).min(64 * 1024);
                    let written = producer.write(&pattern(sent.get(), length)).await.expect("sent");
                    sent.set(sent.get() + written);
                }
            }
        });
        let (mut received, mut most, mut buffer) = (0, 0, vec![0; 64 * 1024]);
        while received < TOTAL {
            if received % 16 == 0 {
                sleep(MS / 2).await; // slow
            }
            let got = consumer.read(&mut buffer).await.expect("received");
            assert!(got > 0, "the end after {received}");
            assert!(buffer[..got] == pattern(received, got), "in order, at {received}");
            received += got;
            most = most.max(sent.get() - received.min(sent.get()));
        }
        assert!(most <= HIGH_WATER, "{most} bytes under way");
        producing.await.expect("it was resumed each time");
    });
}

/// Sends back whatever comes.
fn echo(stream: TcpStream) -> JoinHandle<()> {
    spawn(async move {
        let mut buffer = [0; 256];
        while let Ok(received @ 1..) = stream.read(&mut buffer).await {
            if stream.write_all(&buffer[..received]).await.is_err() {
                break;
            }
        }
    })
}

#[test]
fn b02_hot_does_not_starve() {
    on_alarms("b02", async |_| {
        const ECHOES: usize = 200;
        const ROUNDS: usize = 10;
        let (listener, address) = listen();
        let over = Arc::new(AtomicBool::new(false));
        let hose = std::thread::spawn({
            let over = over.clone();
            move || {
                let mut stream = std::net::TcpStream::connect(address).expect("connected");
                let mut sent = 0;
                while !over.load(Ordering::Relaxed) {
                    match stream.write(&[0; 64 * 1024]) {
                        Ok(bytes) => sent += bytes,
                        Err(_) => break,
                    }
                }
                sent
            }
        });
        let (hot, _) = listener.accept().await.expect("accepted");
        let drained = Rc::new(Cell::new(0));
        let draining = spawn({
            let drained = drained.clone();
            async move {
                let mut buffer = vec![0; 256 * 1024];
                while let Ok(received @ 1..) = hot.read(&mut buffer).await {
                    drained.set(drained.get() + received);
                }
            }
        });
        let mut clients = Vec::new();
        for _ in 0..ECHOES {
            let (client, server) = tcp_pair().await;
            drop(echo(server));
            clients.push(client);
        }
        let slowest = Rc::new(Cell::new(0));
        let turns = Rc::new(Cell::new(0));
        count_turns(turns.clone());
        let rounds = clients.into_iter().map(|client| {
            let (slowest, turns) = (slowest.clone(), turns.clone());
            spawn(async move {
                for round in 0..ROUNDS {
                    let before = turns.get();
                    client.write_all(&[round as u8; 16]).await.expect("sent");
                    let mut back = [0; 16];
                    client.read_exact(&mut back).await.expect("echoed");
                    assert_eq!(back, [round as u8; 16]);
                    slowest.set(slowest.get().max(turns.get() - before));
                }
            })
        });
        for round in rounds.collect::<Vec<_>>() {
            round.await.expect("served");
        }
        // In the worst case eight tasks run in a turn; an echo takes four steps of some 400 tasks.
        let bound = 4 * (2 * ECHOES as u64 + 10).div_ceil(8);
        assert!(slowest.get() <= bound, "an echo took {} turns, more than {bound}", slowest.get());
        assert!(drained.get() > 0, "and the hot one was served too");
        over.store(true, Ordering::Relaxed);
        draining.await.expect("no panic");
        assert!(hose.join().expect("no panic") >= drained.get());
        turns.set(u64::MAX);
    });
}

/// Counts the turns of the loop, by a task that runs in each, until the counter is set to its maximum.
fn count_turns(turns: Rc<Cell<u64>>) {
    let counting = spawn(async move {
        while turns.get() < u64::MAX {
            turns.set(turns.get() + 1);
            punctual::yield_now().await;
        }
    });
    drop(counting);
}

#[test]
fn b03_callback_blocks_50ms() {
    on_alarms("b03", async |runtime| {
        const STALL: Duration = Duration::from_millis(50);
        let stalling = spawn(async {
            for _ in 0..4 {
                let victim = spawn(never_early_sleep(20 * MS));
                punctual::yield_now().await;
                punctual::yield_now().await;
                std::thread::sleep(STALL); // what no task may do
                victim.await.expect("late, but not early");
                sleep(20 * MS).await;
            }
        });
        let start = Instant::now();
        let mut tick = 0u32;
        while !stalling.is_finished() {
            never_early_sleep(5 * MS).await;
            tick += 1;
        }
        stalling.await.expect("no panic");
        assert!(tick >= 4 && start.elapsed() >= 4 * STALL);
        let drift = runtime.drift();
        assert_eq!(drift.early, 0);
        // A timer of 20 ms armed before a stall of 50 ms is due 30 ms before its end.
        let held_up = drift.in_loop.max();
        assert!(held_up >= 25 * MS, "the stall is reported: {held_up:?}");

        // Timers armed later are not harmed: none is early, each fires once.
        let mut ticks = interval(2 * MS);
        ticks.tick().await;
        for _ in 0..20 {
            never_early_sleep(MS).await;
            ticks.tick().await;
        }
    });
}

#[test]
fn b03_data_that_came_during_a_stall_is_no_timeout() {
    on_alarms("b03 data", async |_| {
        let (left, right) = tcp_pair().await;
        left.set_read_deadline(Some(Instant::now() + 20 * MS)).expect("open");
        let reading = spawn(async move { left.recv(&mut [0; 8]).await });
        punctual::yield_now().await;
        punctual::yield_now().await;
        right.write_all(b"in time").await.expect("sent");
        std::thread::sleep(50 * MS); // both are due when the loop looks again
        assert_eq!(reading.await.expect("no panic"), Ok(7));
    });
}

#[test]
fn b04_write_order_queue() {
    on_alarms("b04", async |_| {
        const TOTAL: usize = 4 << 20;
        let (left, right) = small_tcp_pair().await;
        let writing = spawn(async move {
            let mut sent = 0;
            while sent < TOTAL {
                // By turns in one piece and in several, of odd sizes.
                let piece = pattern(sent, (TOTAL - sent).min(10_007 + sent % 50_021));
                sent += if sent % 2 == 0 {
                    left.write(&piece).await.expect("sent")
                } else {
                    let slices: Vec<_> = piece.chunks(1_009).map(IoSlice::new).collect();
                    left.write_vectored(&slices).await.expect("sent")
                };
            }
            left
        });
        let (mut received, mut buffer) = (0, vec![0; 48 * 1024]);
        while received < TOTAL {
            let room = 1 + (received * 31) % buffer.len();
            let got = right.read(&mut buffer[..room]).await.expect("received");
            assert!(got > 0 && buffer[..got] == pattern(received, got), "in order, at {received}");
            received += got;
        }
        let left = writing.await.expect("no panic");
        drop(left);
        assert_eq!(right.recv(&mut buffer).await, Ok(0), "complete, and nothing more");
    });
}

#[test]
fn b04_more_slices_than_the_kernel_takes() {
    on_alarms("b04 slices", async |_| {
        let (left, right) = tcp_pair().await;
        let data = pattern(0, 5_000);
        let slices: Vec<_> = data.chunks(1).map(IoSlice::new).collect();
        let sent = left.write_vectored(&slices).await.expect("sent");
        assert!(sent > 0 && sent <= 5_000);
        assert_eq!(right.recv_exactly(sent).await, data[..sent]);
    });
}
