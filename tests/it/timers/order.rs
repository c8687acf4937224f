//! In which order, and in which turn.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use mio::net::UnixStream;
use punctual::reactor::{Event, Interest, Reactor, Timer};
use punctual::{Instant, Leeway, VirtualClock, sleep, sleep_until, spawn, timeout, yield_now};

use crate::support::{self, MS, NS, US, drain, virtual_reactor, virtual_runtime};

fn fired(events: &[Event]) -> Vec<Timer> {
    let timers = events.iter().filter_map(|event| match event {
        Event::Timer { timer, .. } => Some(*timer),
        _ => None,
    });
    timers.collect()
}

#[test]
fn t04_zero_and_past_fire_in_the_next_turn_and_io_is_still_served() {
    support::for_each_reactor(|mut reactor| {
        let (mut near, far) = UnixStream::pair().expect("a pair");
        let token = reactor.register(&mut near, Interest::READABLE).expect("registered");
        std::io::Write::write_all(&mut &far, b"x").expect("room");
        let now = reactor.now();
        let armed = [now, now - Duration::from_secs(5), Instant::from_nanos(0)]
            .map(|deadline| reactor.insert_timer(deadline, Leeway::NONE));
        assert!(reactor.next_event().is_none(), "never within the arming");
        reactor.turn(None).expect("a turn");
        let events = drain(&mut reactor);
        assert!(matches!(events[0], Event::Ready { token: ready, .. } if ready == token), "{events:?}");
        assert_eq!(fired(&events), [armed[2], armed[1], armed[0]], "the oldest first");
    });
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            let turns = runtime.metrics().turns;
            let mut zero = sleep(Duration::ZERO);
            assert!(support::poll_once(&mut zero).is_pending(), "not at once");
            zero.await;
            sleep_until(Instant::now() - Duration::from_secs(5)).await;
            assert!(runtime.metrics().turns > turns);
        });
    });
}

#[test]
fn t04_what_had_passed_before_a_timer_was_set_is_not_lateness_of_the_loop() {
    let (runtime, _clock) = virtual_runtime();
    runtime.block_on(async {
        sleep(Duration::from_secs(60)).await;
        sleep_until(Instant::now() - Duration::from_secs(5)).await;
        let mut moved = std::pin::pin!(sleep(Duration::from_secs(60)));
        assert!(support::poll_once(&mut moved).is_pending());
        moved.as_mut().get_mut().reset(Instant::now() - Duration::from_secs(5));
        moved.await;
    });
    let latest = runtime.drift().total.max();
    assert!(latest < Duration::from_secs(1), "{latest:?}");
}

#[test]
fn t14_a_due_sibling_is_cancelled_and_added_again() {
    let (mut reactor, clock) = virtual_reactor();
    let due = clock.now() + MS;
    let [a, b, c] = [0, 1, 2].map(|n| reactor.insert_timer(due + n * NS, Leeway::NONE));
    clock.advance(10 * MS);
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert!(matches!(reactor.next_event(), Some(Event::Timer { timer, .. }) if timer == a));
    assert!(reactor.cancel_timer(b), "due, but not yet given out");
    assert!(!reactor.cancel_timer(b));
    let again = reactor.insert_timer(due, Leeway::NONE);
    assert_eq!(fired(&drain(&mut reactor)), [c], "what is armed meanwhile waits for the next turn");
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert_eq!(fired(&drain(&mut reactor)), [again]);
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert!(drain(&mut reactor).is_empty(), "once");
}

#[test]
fn t14_a_due_sibling_is_moved() {
    let (mut reactor, clock) = virtual_reactor();
    let due = clock.now() + MS;
    let [a, b] = [0, 1].map(|n| reactor.insert_timer(due + n * NS, Leeway::NONE));
    clock.advance(10 * MS);
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert!(matches!(reactor.next_event(), Some(Event::Timer { timer, .. }) if timer == a));
    reactor.reset_timer(b, due + Duration::from_secs(1)).expect("it has not fired");
    assert!(drain(&mut reactor).is_empty(), "moved away");
    reactor.turn(None).expect("a turn");
    assert_eq!(fired(&drain(&mut reactor)), [b]);
    assert_eq!(clock.now(), due + Duration::from_secs(1));
}

/// Arms timers at random, stops the loop until all are due, and looks at the order.
fn in_order(mut reactor: Reactor, stop: impl Fn(Instant), leeways: &[Leeway]) {
    let mut rng = Rng::with_seed(17);
    let began = reactor.now();
    let mut armed: Vec<(Instant, Timer)> = Vec::new();
    for _ in 0..400 {
        // Coarse enough that many are equal.
        let deadline = began + rng.u32(0..50) * 100 * US;
        let leeway = leeways[rng.usize(..leeways.len())];
        armed.push((deadline, reactor.insert_timer(deadline, leeway)));
    }
    stop(began + 6 * MS);
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    let events = drain(&mut reactor);
    let mut last = Instant::from_nanos(0);
    for event in &events {
        let Event::Timer { timer, firing } = event else { panic!("{event:?}") };
        assert!(armed.contains(&(firing.deadline, *timer)), "it carries its own deadline");
        assert!(firing.deadline >= last, "{:?} after {last:?}", firing.deadline);
        assert!(firing.fired >= firing.deadline);
        last = firing.deadline;
    }
    assert_eq!(events.len(), armed.len());
    if leeways.len() == 1 {
        // Equal deadlines fire in the order of their slots, which in a fresh wheel is that of their arming.
        armed.sort_by_key(|(deadline, _)| *deadline);
        assert_eq!(fired(&events), armed.into_iter().map(|(_, timer)| timer).collect::<Vec<_>>());
    }
}

#[test]
fn t17_a_blocked_loop_fires_in_the_order_of_the_deadlines() {
    let mixed = [Leeway::NONE, Leeway::at_most(100 * US), Leeway::MILLISECOND];
    for leeways in [&mixed[..1], &mixed] {
        let (reactor, clock) = virtual_reactor();
        in_order(reactor, |until| clock.set(until), leeways);
        support::for_each_reactor(|reactor| {
            let spin = |until: Instant| while Instant::now() < until {};
            in_order(reactor, spin, leeways);
        });
    }
}

#[test]
fn t18_timers_armed_for_now_while_firing_do_not_starve_io() {
    support::for_each_reactor(|mut reactor| {
        let (mut near, far) = UnixStream::pair().expect("a pair");
        reactor.register(&mut near, Interest::READABLE).expect("registered");
        let mut armed = reactor.insert_timer(Instant::from_nanos(0), Leeway::NONE);
        for turn in 0..200 {
            std::io::Write::write_all(&mut &far, b"x").expect("room");
            reactor.turn(None).expect("a turn");
            let (mut ready, mut firings) = (0, 0);
            while let Some(event) = reactor.next_event() {
                match event {
                    Event::Ready { .. } => ready += 1,
                    Event::Timer { timer, .. } => {
                        assert_eq!(timer, armed);
                        firings += 1;
                        armed = reactor.insert_timer(Instant::from_nanos(0), Leeway::NONE);
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!((ready, firings), (1, 1), "turn {turn}");
        }
    });
}

#[test]
fn t26_the_same_seed_gives_the_same_trace() {
    type Trace = Rc<RefCell<Vec<(u64, u32, &'static str)>>>;

    async fn wander(id: u32, mut rng: Rng, trace: Trace) {
        let note = |what| trace.borrow_mut().push((Instant::now().as_nanos(), id, what));
        for step in 0..12 {
            match rng.u8(..6) {
                0 => yield_now().await,
                1 if id < 1_000 => {
                    let child = wander(id * 10 + step, rng.fork(), trace.clone());
                    drop(spawn(Box::pin(child) as std::pin::Pin<Box<dyn Future<Output = ()>>>));
                }
                2 => {
                    let slow = sleep(rng.u32(..2_000) * US);
                    let ended = timeout(rng.u32(..2_000) * US, slow).await;
                    note(if ended.is_ok() { "ended" } else { "timed out" });
                }
                3 => drop(support::poll_once(sleep(rng.u32(..2_000) * US))),
                _ => sleep(rng.u32(..3) * MS).await,
            }
            note("stepped");
        }
    }

    fn trace(seed: u64) -> Vec<(u64, u32, &'static str)> {
        let (runtime, clock) = virtual_runtime();
        let trace = Trace::default();
        let mut rng = Rng::with_seed(seed);
        for id in 1..10 {
            drop(runtime.spawn(wander(id, rng.fork(), trace.clone())));
        }
        runtime.block_on(async { sleep(Duration::from_secs(60)).await });
        assert_eq!(runtime.metrics().live_tasks, 0);
        assert_eq!(clock.now(), VirtualClock::new().now() + Duration::from_secs(60));
        trace.take()
    }

    for seed in support::seeds(&[1, 2, 3]) {
        let first = trace(seed);
        assert!(first.len() > 100, "{} steps", first.len());
        assert_eq!(first, trace(seed), "seed {seed}");
        assert_ne!(first, trace(seed + 1), "another seed, another trace");
    }
}
