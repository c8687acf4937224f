//! Extending a deadline costs a store: no system call, no work of the wheel.

use std::io::{Read, Write};
use std::time::Duration;

use fastrand::Rng;
use mio::net::UnixStream;
use punctual::reactor::{Direction, Event, Interest, Reactor};
use punctual::{Instant, Leeway, Token};

use crate::support::{self, MS, US, drain, virtual_reactor};

/// Registers one end of each of `count` pairs.
fn connections(reactor: &mut Reactor, count: usize) -> Vec<(Token, UnixStream, UnixStream)> {
    let connect = |_| {
        let (mut near, far) = UnixStream::pair().expect("a pair");
        let token = reactor.register(&mut near, Interest::READABLE).expect("registered");
        (token, near, far)
    };
    (0..count).map(connect).collect()
}

#[test]
fn refreshed_deadlines_leave_the_wheel_alone() {
    let (mut reactor, clock) = virtual_reactor();
    let connections = connections(&mut reactor, 1_000);
    let mut rng = Rng::with_seed(5);
    let timeout = 300 * MS;
    for (token, _, _) in &connections {
        reactor.set_deadline(*token, Direction::Read, Some(clock.now() + timeout)).expect("live");
    }
    let (refreshes, began) = (200_000, clock.now());
    for n in 0..refreshes / 2 {
        // Each in its turn, so that none is ever late, and one that is drawn.
        for each in [n % 1_000, rng.usize(..1_000)] {
            let deadline = clock.now() + timeout;
            reactor.set_deadline(connections[each].0, Direction::Read, Some(deadline)).expect("live");
        }
        clock.advance(10 * US);
        if n % 8 == 0 {
            reactor.turn(Some(Duration::ZERO)).expect("a turn");
            assert!(drain(&mut reactor).is_empty(), "every deadline is refreshed in time");
        }
    }
    let metrics = reactor.metrics();
    let rounds = (clock.now() - began).as_millis() as u64 / timeout.as_millis() as u64;
    assert!(metrics.filed + metrics.refiled <= 1_000 * (rounds + 2), "{metrics:?}");
    assert!(10 * (metrics.filed + metrics.refiled) < refreshes as u64, "{metrics:?}");
    assert_eq!((metrics.live_wheel_entries, metrics.fired), (1_000, 0));

    // Both sides of a connection share one entry; clearing costs nothing either.
    for (token, _, _) in &connections {
        reactor.set_deadline(*token, Direction::Write, Some(clock.now() + 2 * timeout)).expect("live");
        reactor.set_deadline(*token, Direction::Read, None).expect("live");
    }
    let after = reactor.metrics();
    assert_eq!((after.live_wheel_entries, after.filed), (1_000, metrics.filed));
}

#[test]
fn refreshed_deadlines_make_no_system_calls() {
    const CONNECTIONS: usize = 400;
    const REQUESTS: u64 = 40_000;
    let _watchdog = support::watchdog("refreshes", Duration::from_secs(6));
    let mut reactor = Reactor::builder()
        .alarm(punctual::AlarmKind::TimerFd)
        .build_reactor()
        .expect("a reactor with a timerfd");
    let mut connections = connections(&mut reactor, CONNECTIONS);
    let timeout = Duration::from_millis(500);
    let mut rng = Rng::with_seed(6);
    let began = reactor.now();
    let mut timed_out = 0;
    for _ in 0..REQUESTS {
        let (_, _, far) = &mut connections[rng.usize(..CONNECTIONS)];
        far.write_all(b"request").expect("room");
        reactor.turn(None).expect("a turn");
        while let Some(event) = reactor.next_event() {
            match event {
                Event::Ready { token, .. } => {
                    let (_, near, _) = connections
                        .iter_mut()
                        .find(|(other, _, _)| *other == token)
                        .expect("a token of ours");
                    while near.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
                    let deadline = reactor.now() + timeout;
                    reactor.set_deadline(token, Direction::Read, Some(deadline)).expect("live");
                }
                Event::Deadline { firing, .. } => {
                    assert!(firing.fired >= firing.deadline);
                    timed_out += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let elapsed = reactor.now() - began;
    let metrics = reactor.metrics();
    let rounds = elapsed.as_millis() as u64 / timeout.as_millis() as u64;
    let filings = metrics.filed + metrics.refiled;
    let told = format!("{REQUESTS} requests in {elapsed:?}, {timed_out} timed out: {metrics:?}");
    // An entry that comes up is filed again for the last refresh plus the timeout, some way into the next round.
    assert!(filings <= CONNECTIONS as u64 * (2 * rounds + 2) + timed_out, "{told}");
    // It is set anew after it has gone off, which a leeway of 1 ms lets it do once a millisecond.
    assert!(metrics.settimes <= elapsed.as_millis() as u64 + 2, "{told}");
    assert!(4 * metrics.settimes < REQUESTS && 4 * filings < REQUESTS, "{told}");
    assert!(metrics.spurious_wakes <= metrics.settimes + filings, "{told}");
}

#[test]
fn a_timer_moved_later_costs_no_system_call() {
    support::for_each_reactor(|mut reactor| {
        let began = reactor.now();
        let timer = reactor.insert_timer(began + Duration::from_secs(100), Leeway::NONE);
        let (_, mut near, mut far) = connections(&mut reactor, 1).remove(0);
        for n in 1..1_000u32 {
            // The loop goes to sleep, for which it may have to set its alarm, and is woken at once.
            far.write_all(b"x").expect("room");
            reactor.turn(None).expect("a turn");
            assert_eq!(drain(&mut reactor).len(), 1);
            near.read_exact(&mut [0]).expect("what was written");
            let later = began + Duration::from_secs(100) + n * Duration::from_secs(1);
            reactor.reset_timer(timer, later).expect("it has not fired");
        }
        let metrics = reactor.metrics();
        assert!(metrics.polls > metrics.zero_polls + 900, "it slept: {metrics:?}");
        assert!(metrics.settimes <= 1, "{metrics:?}");
        reactor.reset_timer(timer, Instant::from_nanos(0)).expect("it has not fired");
        reactor.turn(None).expect("a turn");
        assert_eq!(drain(&mut reactor).len(), 1);
    });
}
