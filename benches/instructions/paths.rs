//! The hot paths.

use std::future::poll_fn;
use std::hint::black_box;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use punctual_net::{Socket, TcpListener, TcpStream, duplex, transport};
use punctual_reactor::{Instant, Runtime, Unbounded, scope, sleep, spawn, timeout, yield_now};
use punctual_timer_wheel::Wheel;

/// Something that is done again and again.
pub(crate) struct Path {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Does it so often.
    pub(crate) run: fn(u32),
}

pub(crate) const PATHS: &[Path] = &[
    Path { name: "wheel", what: "a timer among 1 000 inserted and cancelled", run: wheel },
    Path { name: "wheel-reset", what: "a timer of the wheel moved later", run: wheel_reset },
    Path { name: "wake", what: "a task that wakes itself and is polled again", run: wake },
    Path { name: "spawn", what: "a task spawned and joined", run: spawned },
    Path { name: "scope-spawn", what: "a task of a scope, spawned and done", run: scope_spawned },
    Path {
        name: "cancel",
        what: "a task of a scope that sleeps, spawned and cancelled with it",
        run: cancelled,
    },
    Path { name: "sleep", what: "a sleep begun and given up", run: slept },
    Path { name: "timeout", what: "a timeout around what is ready", run: timed },
    Path { name: "renew", what: "a read's deadline moved on an open connection", run: renew },
    Path { name: "echo", what: "round trip over loopback, no deadline", run: |n| echo(n, None) },
    Path {
        name: "echo-timeout",
        what: "the same, each read and write with a timeout of 5 s",
        run: |n| echo(n, Some(IDLE)),
    },
    Path { name: "memory", what: "round trip in memory, no deadline", run: |n| memory(n, None) },
    Path {
        name: "memory-timeout",
        what: "the same, each read and write with a timeout of 5 s",
        run: |n| memory(n, Some(IDLE)),
    },
];

const BYTES: usize = 64;

/// What a read may wait for the peer.
const IDLE: Duration = Duration::from_secs(5);

/// What lives in the wheel meanwhile.
const OTHERS: u64 = 1_000;

fn among_others() -> Wheel<u64> {
    let mut wheel = Wheel::new(0);
    (0..OTHERS).for_each(|other| _ = wheel.insert((other + 1) * 60_000_000, other));
    wheel
}

fn wheel(times: u32) {
    let mut wheel = among_others();
    for time in 0..u64::from(times) {
        let key = wheel.insert(30_000_000_000 + time % 4_096 * 250_000, time);
        black_box(wheel.cancel(black_box(key)));
    }
}

fn wheel_reset(times: u32) {
    let mut wheel = among_others();
    let key = wheel.insert(30_000_000_000, 0);
    for time in 0..u64::from(times) {
        assert!(wheel.reset(black_box(key), 30_000_000_000 + time * 1_000_000));
    }
}

fn wake(times: u32) {
    let mut left = times;
    let wakes = poll_fn(move |cx| match left {
        0 => Poll::Ready(()),
        _ => {
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    });
    run(async { spawn(wakes).await.expect("it does not panic") });
}

fn spawned(times: u32) {
    run(async {
        for _ in 0..times {
            spawn(async {}).await.expect("it does not panic");
        }
    });
}

fn scope_spawned(times: u32) {
    run(async {
        let done = scope("all", Unbounded, async |scope| {
            for _ in 0..times {
                drop(scope.spawn(async {}));
                yield_now().await;
            }
        });
        done.await.expect("nothing ended it");
    });
}

fn cancelled(times: u32) {
    run(async {
        let ended = scope("all", Unbounded, async |scope| {
            for _ in 0..times {
                drop(scope.spawn(sleep(IDLE)));
            }
            yield_now().await;
            scope.cancel("counted");
        });
        ended.await.expect_err("it was cancelled");
    });
}

fn slept(times: u32) {
    run(async {
        for _ in 0..times {
            let mut sleep = pin!(sleep(IDLE));
            let polled = poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
        }
    });
}

fn timed(times: u32) {
    run(async {
        for _ in 0..times {
            timeout(IDLE, async {}).await.expect("it is ready");
        }
    });
}

fn renew(times: u32) {
    run(async {
        let (client, _server) = duplex(4_096);
        let mut deadline = Instant::now() + IDLE;
        for _ in 0..times {
            deadline += Duration::from_micros(1);
            client.set_read_deadline(Some(deadline)).expect("it is open");
        }
    });
}

fn echo(times: u32, timeout: Option<Duration>) {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let client = TcpStream::connect(address).await.expect("it is there");
        let (server, _) = listener.accept().await.expect("a connection");
        round_trips(client, server, timeout, times).await;
    });
}

fn memory(times: u32, timeout: Option<Duration>) {
    run(async {
        let (client, server) = duplex(4_096);
        round_trips(client, server, timeout, times).await;
    });
}

async fn round_trips<T: transport::StreamTransport>(
    client: Socket<T>,
    server: Socket<T>,
    timeout: Option<Duration>,
    times: u32,
) {
    for end in [&client, &server] {
        end.set_timeout(timeout).expect("it is open");
    }
    drop(spawn(async move {
        let mut buffer = [0; BYTES];
        while let Ok(read @ 1..) = server.read(&mut buffer).await {
            server.write_all(&buffer[..read]).await.expect("the client reads");
        }
    }));
    let mut buffer = [7; BYTES];
    for _ in 0..times {
        client.write_all(&buffer).await.expect("the server reads");
        client.read_exact(&mut buffer).await.expect("the server answers");
    }
}

fn run(future: impl Future<Output = ()>) {
    Runtime::new().expect("a runtime").block_on(future);
}
