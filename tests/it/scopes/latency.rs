//! K02: how soon a cancel from another thread is seen, against a bare wake of a thread that polls.

use super::*;

use std::sync::mpsc::channel;

const ROUNDS: usize = 400;

/// A cancel does all that the control does, one write to an eventfd under an epoll and one thread woken by it, and
/// beyond that: a message in, a command out, an end of a scope, two wakes on the loop and a poll of its task. On a
/// machine whose idle cores do not sleep the bare wake takes 6 µs, and all the rest, without optimisation and with cold
/// caches, 28 µs: five times as much in all. Twice that fails; a loop that sees the cancel only at its next timer or by
/// a poll that times out (1 ms and more) is beyond a hundred.
const RATIO_MAX: f64 = if cfg!(debug_assertions) { 10.0 } else { 5.0 };

/// Waits so that whoever was to sleep does: what is measured begins with a sleeping thread. (If it does not yet, the
/// figure gets better and nothing fails.)
fn let_sleep(random: &mut fastrand::Rng) {
    std::thread::sleep(Duration::from_micros(random.u64(300..600)));
}

/// The bare wake: when the thread saw it.
fn control(
    waker: std::sync::mpsc::Sender<std::sync::Arc<mio::Waker>>,
    seen: std::sync::mpsc::Sender<u64>,
) {
    let mut poll = mio::Poll::new().expect("an epoll");
    let eventfd = mio::Waker::new(poll.registry(), mio::Token(0)).expect("an eventfd");
    waker.send(std::sync::Arc::new(eventfd)).expect("somebody listens");
    let mut events = mio::Events::with_capacity(4);
    loop {
        poll.poll(&mut events, None).expect("woken");
        if seen.send(now_ns()).is_err() {
            return;
        }
    }
}

#[test]
fn k02_a_cancel_from_another_thread_is_seen_about_as_soon_as_a_bare_wake() {
    let _watchdog = watchdog("k02 latency", Duration::from_secs(12));
    let mut random = fastrand::Rng::with_seed(2);
    let (wakers, waker) = channel();
    let (woken, control_seen) = channel();
    let controlling = std::thread::spawn(move || control(wakers, woken));
    let waker = waker.recv().expect("it has begun");

    let (cancellers, canceller) = channel();
    let (ended, cancel_seen) = channel();
    let looping = std::thread::spawn(move || {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let (near, _far) = wire::pair();
            for _ in 0..ROUNDS {
                let seen = scope("k02", Unbounded, async |scope| {
                    cancellers.send(scope.canceller()).expect("somebody listens");
                    let failure = near.read_byte().await.expect_err("cancelled");
                    let at = now_ns();
                    assert_eq!(cause_of(&failure).0, "from afar");
                    at
                });
                ended.send(seen.await.expect("the body has returned")).expect("somebody listens");
            }
        });
    });

    let (mut bare, mut cancels) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let canceller = canceller.recv().expect("the next scope");
        let_sleep(&mut random);
        let began = now_ns();
        canceller.cancel("from afar").expect("room");
        cancels.push(cancel_seen.recv().expect("it has ended") - began);

        let_sleep(&mut random);
        let began = now_ns();
        waker.wake().expect("an eventfd");
        bare.push(control_seen.recv().expect("it was woken") - began);
    }
    drop(control_seen);
    waker.wake().expect("an eventfd");
    controlling.join().expect("no panic");
    looping.join().expect("no panic");

    bare.sort_unstable();
    cancels.sort_unstable();
    let at = |sorted: &[u64], share: usize| sorted[sorted.len() * share / 100];
    let ratio = at(&cancels, 50) as f64 / at(&bare, 50) as f64;
    println!(
        "k02: cancel seen after {} ns (p50), {} ns (p90); bare wake {} ns, {} ns; p50 ratio {ratio:.2}",
        at(&cancels, 50),
        at(&cancels, 90),
        at(&bare, 50),
        at(&bare, 90)
    );
    assert!(ratio < RATIO_MAX, "a cancel takes {ratio:.2} times as long as a bare wake");
}
