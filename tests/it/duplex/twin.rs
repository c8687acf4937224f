//! Programs drawn at random, against a plain account of what has been written, ended and read; and both ways at once
//! through small rooms, where a wake-up that is forgotten hangs.

use std::collections::VecDeque;

use fastrand::Rng;
use punctual::JoinHandle;

use super::*;
use crate::support::seeds;

/// One way, as one who knows nothing of wakers would write it down.
#[derive(Default)]
struct Way {
    bytes: VecDeque<u8>,
    ended: bool,
    refused: bool,
}

struct Twin {
    capacity: usize,
    /// What each end has written.
    ways: [Way; 2],
    gone: [bool; 2],
    reset: bool,
}

/// What is to come of an operation: `None` if it is to wait.
type Expected<T> = Option<Result<T, Kind>>;

impl Twin {
    fn read(&mut self, end: usize, most: usize, take: bool) -> Expected<Vec<u8>> {
        if self.gone[end] {
            return Some(Err(Kind::Closed));
        }
        let way = &mut self.ways[1 - end];
        if !way.bytes.is_empty() {
            let bytes = way.bytes.iter().copied().take(most).collect::<Vec<_>>();
            if take {
                way.bytes.drain(..bytes.len());
            }
            return Some(Ok(bytes));
        }
        match (self.reset, way.ended || way.refused) {
            (true, _) => Some(Err(ECONNRESET)),
            (_, true) => Some(Ok(Vec::new())),
            _ => None,
        }
    }

    fn write(&mut self, end: usize, bytes: &[u8]) -> Expected<usize> {
        let way = &mut self.ways[end];
        match () {
            () if self.gone[end] => Some(Err(Kind::Closed)),
            () if self.reset => Some(Err(ECONNRESET)),
            () if way.ended || way.refused => Some(Err(EPIPE)),
            () => {
                let room = (self.capacity - way.bytes.len()).min(bytes.len());
                way.bytes.extend(&bytes[..room]);
                (room > 0).then_some(Ok(room))
            }
        }
    }

    fn shutdown(&mut self, end: usize, how: Shutdown) {
        self.ways[1 - end].refused |= how != Shutdown::Write;
        self.ways[end].ended |= how != Shutdown::Read;
    }

    fn close(&mut self, end: usize) {
        if !self.gone[end] {
            self.gone[end] = true;
            self.reset |= !self.ways[1 - end].bytes.is_empty();
            self.ways[1 - end].bytes.clear();
            self.shutdown(end, Shutdown::Both);
        }
    }
}

/// Holds an operation against what the twin says of it. One that waits is given up.
async fn agree<T: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: Expected<T>,
    operation: impl Future<Output = Result<T, Kind>>,
) {
    match expected {
        Some(expected) => assert_eq!(operation.await, expected, "{what}"),
        None => match poll_once(operation) {
            Poll::Pending => {}
            Poll::Ready(result) => panic!("{what}: it should have waited: {result:?}"),
        },
    }
}

async fn random_program(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let capacity = rng.usize(1..40);
    let (left, right) = duplex(capacity);
    let ends = [left, right];
    let mut twin = Twin { capacity, ways: Default::default(), gone: [false; 2], reset: false };
    let mut next = 0u8;
    for step in 0..300 {
        let end = rng.usize(..2);
        let stream = &ends[end];
        let length = rng.usize(1..30);
        let what = format!("seed {seed}, step {step}, end {end}, {length} bytes, capacity {capacity}");
        let kind = |error: punctual::net::Error| error.kind();
        match rng.u32(..100) {
            0..45 => {
                let bytes: Vec<u8> = (0..length).map(|n| next.wrapping_add(n as u8)).collect();
                next = next.wrapping_add(101);
                let expected = twin.write(end, &bytes);
                if rng.bool() {
                    agree(&what, expected, async { stream.write(&bytes).await.map_err(kind) }).await;
                } else {
                    let (one, two) = bytes.split_at(rng.usize(..=length));
                    let slices = [IoSlice::new(one), IoSlice::new(two)];
                    let write = async { stream.write_vectored(&slices).await.map_err(kind) };
                    agree(&what, expected, write).await;
                }
            }
            45..92 => {
                let way = rng.u32(..3);
                let expected = twin.read(end, length, way != 0);
                let mut buffer = vec![0; length];
                let cut = rng.usize(..=length);
                let read = async {
                    let bytes = match way {
                        0 => stream.peek(&mut buffer).await,
                        1 => stream.read(&mut buffer).await,
                        _ => {
                            let (one, two) = buffer.split_at_mut(cut);
                            let mut buffers = [IoSliceMut::new(one), IoSliceMut::new(two)];
                            stream.read_vectored(&mut buffers).await
                        }
                    };
                    bytes.map(|bytes| buffer[..bytes].to_vec()).map_err(kind)
                };
                agree(&what, expected, read).await;
            }
            92..98 if step > 100 => {
                let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both][rng.usize(..3)];
                let expected = if twin.gone[end] { Err(Kind::Closed) } else { Ok(()) };
                twin.shutdown(end, how);
                assert_eq!(stream.shutdown(how).map_err(kind), expected, "{what}");
            }
            98.. if step > 150 => {
                twin.close(end);
                stream.close();
            }
            _ => yield_now().await,
        }
    }
}

#[test]
fn what_a_plain_account_says_holds() {
    let fixed: Vec<u64> = (1..=150).collect();
    on_virtual_clock("a duplex and its twin", async |_| {
        for seed in seeds(&fixed) {
            random_program(seed).await;
        }
    });
}

fn random_pause(rng: &mut Rng) -> impl Future<Output = ()> + use<> {
    let (choice, pause) = (rng.u32(..8), Duration::from_micros(rng.u64(1..50)));
    async move {
        match choice {
            0 => sleep(pause).await,
            1 | 2 => yield_now().await,
            _ => {}
        }
    }
}

fn byte_at(seed: u64, offset: usize) -> u8 {
    ((offset as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8
}

const TOTAL: usize = 3_000;

fn send_at_random(seed: u64, end: Rc<Duplex>) -> JoinHandle<()> {
    spawn(async move {
        let mut rng = Rng::with_seed(seed ^ 0xfeed);
        let mut sent = 0;
        while sent < TOTAL {
            let length = rng.usize(1..60).min(TOTAL - sent);
            let bytes: Vec<u8> = (sent..sent + length).map(|at| byte_at(seed, at)).collect();
            sent += match rng.bool() {
                true => end.write(&bytes).await.expect("open"),
                false => end.write_all(&bytes).await.map(|()| length).expect("open"),
            };
            random_pause(&mut rng).await;
        }
        end.shutdown(Shutdown::Write).expect("open");
    })
}

fn receive_at_random(seed: u64, end: Rc<Duplex>) -> JoinHandle<()> {
    spawn(async move {
        let mut rng = Rng::with_seed(seed ^ 0xcafe);
        let mut received = 0;
        loop {
            let mut buffer = vec![0; rng.usize(1..60)];
            let bytes = end.read(&mut buffer).await.expect("open");
            for (n, byte) in buffer[..bytes].iter().enumerate() {
                assert_eq!(*byte, byte_at(seed, received + n), "seed {seed}, at {}", received + n);
            }
            received += bytes;
            if bytes == 0 {
                break;
            }
            random_pause(&mut rng).await;
        }
        assert_eq!(received, TOTAL, "seed {seed}");
    })
}

#[test]
fn both_ways_at_once_through_any_room_nothing_hangs_and_nothing_is_lost() {
    let fixed: Vec<u64> = (1..=60).collect();
    on_clocks("both ways", async |_| {
        for seed in seeds(&fixed) {
            let room = [1, 2, 3, 7, 16, 59, 60, 61, 200][seed as usize % 9];
            let (left, right) = duplex(room);
            let (left, right) = (Rc::new(left), Rc::new(right));
            let tasks = [
                send_at_random(seed, left.clone()),
                send_at_random(!seed, right.clone()),
                receive_at_random(seed, right),
                receive_at_random(!seed, left),
            ];
            for task in tasks {
                task.await.expect("nothing is lost");
            }
        }
    });
}
