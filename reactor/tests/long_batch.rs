//! A long batch of readiness whose handlers are slow: timers are looked at in its midst, and a source
//! whose data came in time is told of the data first.

use std::collections::HashSet;
use std::io::Write;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use mio::net::UnixStream;
use punctual_reactor::{Direction, Event, Interest, Leeway, Reactor, Readiness, Token, VirtualClock};

struct Batch {
    reactor: Reactor,
    clock: VirtualClock,
    streams: Vec<(StdStream, UnixStream, Token)>,
}

/// `count` sources, each with a byte to read.
fn batch(count: usize) -> Batch {
    let clock = VirtualClock::new();
    let mut reactor = Reactor::builder().clock(clock.clone()).build_reactor().expect("a reactor");
    let streams = (0..count).map(|_| {
        let (mut peer, ours) = StdStream::pair().expect("a pair");
        ours.set_nonblocking(true).expect("non-blocking");
        let mut ours = UnixStream::from_std(ours);
        let token = reactor.register(&mut ours, Interest::READABLE).expect("registered");
        peer.write_all(b"x").expect("a byte");
        (peer, ours, token)
    });
    let streams = streams.collect();
    Batch { reactor, clock, streams }
}

#[test]
fn a_timer_that_comes_due_in_a_long_batch_fires_in_its_midst() {
    let Batch { mut reactor, clock, streams } = batch(200);
    reactor.insert_timer(reactor.now() + Duration::from_millis(10), Leeway::NONE);
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    let (mut before, mut after, mut fired) = (0, 0, false);
    while let Some(event) = reactor.next_event() {
        match event {
            Event::Ready { .. } if fired => after += 1,
            Event::Ready { .. } => {
                before += 1;
                clock.advance(Duration::from_millis(1));
            }
            Event::Timer { .. } => fired = true,
            other => panic!("{other:?}"),
        }
    }
    assert!(fired && before == 64, "the timer waited behind {before} events");
    assert_eq!(before + after, streams.len());
}

#[test]
fn data_that_came_in_time_is_told_before_the_deadline_it_met() {
    let Batch { mut reactor, clock, streams } = batch(200);
    let deadline = reactor.now() + Duration::from_millis(10);
    for (_, _, token) in &streams {
        reactor.set_deadline(*token, Direction::Read, Some(deadline)).expect("alive");
    }
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    let (mut told, mut timed_out) = (Vec::new(), 0);
    while let Some(event) = reactor.next_event() {
        match event {
            Event::Ready { token, .. } => {
                told.push(token);
                clock.advance(Duration::from_millis(1));
            }
            Event::Deadline { token, .. } => {
                assert!(told.contains(&token), "{token:?} timed out first");
                timed_out += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((told.len(), timed_out), (streams.len(), streams.len()), "each is told of both");
}

#[test]
fn a_deadline_event_of_a_source_that_has_just_ended_is_dropped() {
    let clock = VirtualClock::new();
    let mut reactor = Reactor::builder().clock(clock.clone()).build_reactor().expect("a reactor");
    let (_peer, ours) = StdStream::pair().expect("a pair");
    let mut ours = UnixStream::from_std(ours);
    let token = reactor.register(&mut ours, Interest::READABLE).expect("registered");
    let deadline = reactor.now() + Duration::from_millis(1);
    for direction in [Direction::Read, Direction::Write] {
        reactor.set_deadline(token, direction, Some(deadline)).expect("alive");
    }
    clock.advance(Duration::from_millis(2));
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert!(matches!(reactor.next_event(), Some(Event::Deadline { .. })));
    reactor.deregister(&mut ours, token).expect("deregistered");
    assert!(reactor.next_event().is_none(), "the other side's firing was delivered to nobody's token");
    assert_eq!(reactor.metrics().stale_events, 1);
}

#[test]
fn a_deadline_cleared_by_the_handler_of_its_data_is_not_given_out() {
    let Batch { mut reactor, clock, streams } = batch(200);
    let deadline = reactor.now() + Duration::from_millis(10);
    for (_, _, token) in &streams {
        for direction in [Direction::Read, Direction::Write] {
            reactor.set_deadline(*token, direction, Some(deadline)).expect("alive");
        }
    }
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    let (mut cleared, mut timed_out) = (HashSet::new(), 0);
    while let Some(event) = reactor.next_event() {
        let token = match event {
            Event::Ready { token, .. } => token,
            Event::Deadline { token, .. } => {
                assert!(!cleared.contains(&token), "its deadlines had been cleared");
                timed_out += 1;
                token
            }
            other => panic!("{other:?}"),
        };
        clock.advance(Duration::from_millis(1));
        cleared.insert(token);
        for direction in [Direction::Read, Direction::Write] {
            reactor.set_deadline(token, direction, None).expect("alive");
        }
    }
    assert_eq!(timed_out, 0, "each was told of its data first");
    assert_eq!(cleared.len(), streams.len());
}

#[test]
fn the_handler_of_one_sides_deadline_clears_both() {
    let Batch { mut reactor, clock, streams } = batch(1);
    let token = streams[0].2;
    let deadline = reactor.now() + Duration::from_millis(1);
    for direction in [Direction::Read, Direction::Write] {
        reactor.set_deadline(token, direction, Some(deadline)).expect("alive");
    }
    clock.advance(Duration::from_millis(2));
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert!(matches!(reactor.next_event(), Some(Event::Ready { .. })));
    assert!(matches!(reactor.next_event(), Some(Event::Deadline { .. })));
    for direction in [Direction::Read, Direction::Write] {
        reactor.set_deadline(token, direction, None).expect("alive");
    }
    assert!(reactor.next_event().is_none(), "the other side's was cleared as well");
}

#[test]
fn readiness_that_nobody_takes_is_merged() {
    const SOURCES: usize = 100;
    let Batch { mut reactor, mut streams, .. } = batch(SOURCES);
    // One event a turn, under traffic of a hundred a turn.
    for _ in 0..200 {
        for (peer, _, _) in &mut streams {
            peer.write_all(b"x").expect("room");
        }
        reactor.turn(Some(Duration::ZERO)).expect("a turn");
        assert!(matches!(reactor.next_event(), Some(Event::Ready { .. })), "somebody is ready");
    }
    let left: Vec<_> = std::iter::from_fn(|| reactor.next_event()).collect();
    assert!(left.len() <= SOURCES, "{} events were queued for {SOURCES} sources", left.len());
    // What was merged is not lost: each says at the end that it has data.
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    for (_, _, token) in &streams {
        let readiness = reactor.readiness(*token).expect("alive");
        assert!(readiness.intersects(Readiness::READABLE));
    }
}
