//! What is given out, in which order, by which clock, and what is counted of it.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use mio::net::UnixStream;

use super::*;
use crate::plain_timer::Stage;
use crate::waiters::Poller;
use crate::waits::{Frame, TimerLabel};
use crate::{
    Budget, Done, Instant, Interest, Leeway, Registration, Runtime, ScopeId, VirtualClock, sleep,
};

const MS: Duration = Duration::from_millis(1);
const NS: Duration = Duration::from_nanos(1);

/// A bare loop on a clock that stands still.
fn bare() -> (Reactor, VirtualClock) {
    let clock = VirtualClock::new();
    (Reactor::builder().clock(clock.clone()).build_reactor().expect("a reactor"), clock)
}

/// One that has tasks.
fn serving() -> (Reactor, VirtualClock) {
    let (mut reactor, clock) = bare();
    reactor.serves_tasks = true;
    (reactor, clock)
}

fn turn(reactor: &mut Reactor) {
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
}

/// All that a turn gives out.
fn given_out(reactor: &mut Reactor) -> Vec<Event> {
    turn(reactor);
    std::iter::from_fn(|| reactor.next_event()).collect()
}

fn task(index: u32) -> Id {
    Id { index, generation: NonZeroU32::MIN }
}

/// A timer for which task `index` waits alone.
fn sleep_of(reactor: &mut Reactor, index: u32, deadline: Instant) -> Timer {
    let stage = Stage::Task { task: task(index), since_ns: 0, scope: None };
    reactor.add_plain(deadline, Leeway::NONE, true, (TimerLabel::SLEEP, Frame::NONE), stage)
}

fn fired_at(reactor: &mut Reactor, timer: Timer) -> Option<Instant> {
    let fired = reactor.plain.get_mut(timer.id).and_then(|plain| plain.fired());
    fired.map(|fired| Instant::from_nanos(fired.at_ns))
}

/// A source with a byte to read, and its two ends.
fn readable(reactor: &mut Reactor) -> (Token, UnixStream, UnixStream) {
    let (mut near, mut far) = UnixStream::pair().expect("a pair");
    let token = reactor.register(&mut near, Interest::READABLE).expect("registered");
    assert_eq!(far.write(b"x").expect("sent"), 1);
    (token, near, far)
}

#[test]
fn tasks_are_woken_where_their_timers_fire_and_the_clock_is_looked_at_every_sixteen() {
    let (mut reactor, clock) = serving();
    let deadline = reactor.now() + MS;
    let timers: Vec<_> = (0..40).map(|index| sleep_of(&mut reactor, index, deadline)).collect();
    clock.set(deadline);
    let mut woken = Vec::new();
    let mut wake = |task: Id| {
        woken.push(task.index);
        clock.advance(MS);
    };
    reactor.turn_waking(Some(Duration::ZERO), &mut wake).expect("a turn");
    assert!(woken.into_iter().eq(0..40));
    for (n, timer) in (0..).zip(timers) {
        // Each that was woken has taken a millisecond.
        let at = deadline + MS * (n / 16 * 16);
        assert_eq!(fired_at(&mut reactor, timer), Some(at), "{n}");
    }
    assert_eq!(reactor.pending.delivered, 40);
    assert!(reactor.next_dispatch().is_none());
}

#[test]
fn after_many_that_were_woken_the_clock_is_looked_at_before_timers_fire() {
    for (count, late) in [(16, 0), (17, 17)] {
        let (mut reactor, clock) = serving();
        let sources: Vec<_> = (0..count).map(|_| readable(&mut reactor)).collect();
        for (token, ..) in &sources {
            let side = reactor.source(*token).expect("alive").side(Direction::Read);
            side.lone.wakes(Poller { task: task(token.id.index), frame: Frame::NONE });
        }
        let deadline = reactor.now() + MS;
        let timer = sleep_of(&mut reactor, 99, deadline);
        clock.set(deadline);
        let mut woken = 0;
        let mut wake = |_| {
            woken += 1;
            clock.advance(MS);
        };
        reactor.turn_waking(Some(Duration::ZERO), &mut wake).expect("a turn");
        assert_eq!(woken, count + 1);
        assert_eq!(fired_at(&mut reactor, timer), Some(deadline + MS * late), "{count}");
    }
}

#[test]
fn a_timer_that_no_task_waits_for_is_given_out_in_its_place_and_what_follows_it_too() {
    let (mut reactor, clock) = serving();
    let at = |n: u32| clock.now() + MS + NS * n;
    let first = sleep_of(&mut reactor, 1, at(0));
    let others = [
        reactor.insert_timer(at(1), Leeway::NONE),
        sleep_of(&mut reactor, 3, at(2)),
        sleep_of(&mut reactor, 4, at(3)),
        sleep_of(&mut reactor, 5, at(4)),
    ];
    clock.advance(2 * MS);
    let mut woken = Vec::new();
    reactor.turn_waking(Some(Duration::ZERO), &mut |task: Id| woken.push(task.index)).expect("a turn");
    assert_eq!(woken, [1]);
    assert_eq!(fired_at(&mut reactor, first), Some(clock.now()));
    assert_eq!(reactor.pending.delivered, 4, "the two after it have fired with it");
    for expected in others {
        let Some(Dispatch { event, .. }) = reactor.next_dispatch() else { panic!("no more is due") };
        assert!(matches!(event, Event::Timer { timer, .. } if timer == expected), "{event:?}");
    }
    assert!(reactor.next_dispatch().is_none());
    let metrics = reactor.metrics();
    assert_eq!((metrics.fired, metrics.coalesced, metrics.drift.total.count()), (5, 4, 5));
    sleep_of(&mut reactor, 6, at(0));
    clock.advance(2 * MS);
    turn(&mut reactor);
    let metrics = reactor.metrics();
    assert_eq!((metrics.fired, metrics.coalesced), (6, 4), "it was the only one of its turn");
}

#[test]
fn what_the_kernel_has_said_is_told_before_a_sleep_is_over() {
    let clock = VirtualClock::new();
    let runtime = Runtime::builder().clock(clock.clone()).build().expect("a runtime");
    let order = Rc::new(RefCell::new(Vec::new()));
    let (near, mut far) = UnixStream::pair().expect("a pair");
    let near = runtime.block_on(async {
        Rc::new(Registration::new(near, Interest::READABLE, Readiness::NONE).expect("registered"))
    });
    let turns = || (0..3).for_each(|_| runtime.turn(Some(Duration::ZERO)).expect("a turn"));
    // So many that not all of them are woken by name.
    let tasks: Vec<_> = ["sleep", "data", "data", "data"]
        .map(|what| {
            let (near, order) = (near.clone(), order.clone());
            runtime.spawn(async move {
                if what == "sleep" {
                    sleep(MS).await;
                } else {
                    let read = |mut io: &UnixStream| Ok(Done::bytes(io.read(&mut [0])?, 1));
                    near.operate(Direction::Read, read).await.expect("a byte");
                }
                order.borrow_mut().push(what);
            })
        })
        .into();
    turns();
    assert_eq!(far.write(b"abc").expect("sent"), 3);
    clock.advance(MS);
    turns();
    assert_eq!(*order.borrow(), ["data", "data", "data", "sleep"]);
    drop(tasks);
}

#[test]
fn no_more_is_taken_from_afar_in_a_turn_than_may_be() {
    let budget = Budget { messages: 2, ..Budget::DEFAULT };
    let mut reactor = Reactor::builder().budget(budget).build_reactor().expect("a reactor");
    let handle = reactor.handle();
    (0..6).for_each(|number| handle.send(number).expect("room"));
    assert_eq!(given_out(&mut reactor).len(), 2);
    assert_eq!(reactor.metrics().messages, 2);
    turn(&mut reactor);
    reactor.take_few_messages(1);
    assert!(reactor.next_event().is_some() && reactor.next_event().is_none(), "it was told to take one");
    assert_eq!((given_out(&mut reactor).len(), given_out(&mut reactor).len()), (2, 1));
    assert_eq!(reactor.metrics().messages, 6);
}

#[test]
fn what_is_told_of_those_that_have_ended_is_dropped_and_counted() {
    let (mut reactor, _clock) = bare();
    let (gone, mut near, _far) = readable(&mut reactor);
    let (alive, _open, _other) = readable(&mut reactor);
    turn(&mut reactor);
    reactor.deregister(&mut near, gone).expect("deregistered");
    let events: Vec<_> = std::iter::from_fn(|| reactor.next_event()).collect();
    assert!(matches!(events[..], [Event::Ready { token, .. }] if token == alive), "{events:?}");
    let metrics = reactor.metrics();
    assert_eq!((metrics.events, metrics.stale_events), (1, 1));

    let handle = reactor.handle();
    handle.cancel(gone, "too late").expect("room");
    assert_eq!((given_out(&mut reactor).len(), reactor.metrics().stale_events), (0, 2));
    handle.cancel(alive, "in time").expect("room");
    assert_eq!((given_out(&mut reactor).len(), reactor.metrics().stale_events), (1, 2));
    handle.set_deadline(gone, None, None).expect("room");
    assert_eq!((given_out(&mut reactor).len(), reactor.metrics().stale_events), (0, 4), "a side each");
    let scope = ScopeId { id: task(7), reactor: reactor.id };
    handle.cancel_scope(scope, "too late").expect("room");
    assert_eq!((given_out(&mut reactor).len(), reactor.metrics().stale_events), (0, 5));
}

#[test]
fn a_timer_that_was_set_after_its_deadline_is_late_from_then_on() {
    for (before, late) in [(5_000, 3), (0, 3)] {
        let (mut reactor, clock) = bare();
        turn(&mut reactor);
        reactor.insert_timer(clock.now() - MS * before, Leeway::NONE);
        clock.advance(MS * late);
        assert_eq!(given_out(&mut reactor).len(), 1);
        assert_eq!(reactor.drift().total.max(), MS * late, "{before}");
    }
    let (mut reactor, clock) = bare();
    turn(&mut reactor);
    reactor.insert_timer(clock.now() + MS, Leeway::NONE);
    clock.advance(3 * MS);
    assert_eq!(given_out(&mut reactor).len(), 1);
    assert_eq!(reactor.drift().total.max(), 2 * MS, "before its deadline it was not late");
}

#[test]
fn an_entry_that_finds_its_deadline_moved_is_filed_again_and_one_that_fires_is_not_counted_so() {
    let (mut reactor, clock) = bare();
    let (near, _far) = UnixStream::pair().expect("a pair");
    let mut near = near;
    let token = reactor.register(&mut near, Interest::READABLE).expect("registered");
    reactor.set_leeway(token, Leeway::NONE).expect("alive");
    let began = clock.now();
    let put = |reactor: &mut Reactor, direction, after| {
        reactor.set_deadline(token, direction, Some(began + after)).expect("alive");
    };
    put(&mut reactor, Direction::Read, MS);
    put(&mut reactor, Direction::Write, 9 * MS);
    clock.set(began + MS);
    assert_eq!((given_out(&mut reactor).len(), reactor.metrics().refiled), (1, 0), "the other's stays");
    put(&mut reactor, Direction::Write, 20 * MS);
    clock.set(began + 9 * MS);
    assert_eq!((given_out(&mut reactor).len(), reactor.metrics().refiled), (0, 1));
    clock.set(began + 20 * MS);
    assert_eq!((given_out(&mut reactor).len(), reactor.metrics().refiled), (1, 1));
}

#[test]
fn the_clock_is_looked_at_after_whoever_had_an_event() {
    let clock = VirtualClock::new();
    let builder = Reactor::builder().clock(clock.clone()).account_polls(false);
    let mut reactor = builder.build_reactor().expect("a reactor");
    let deadline = clock.now() + MS;
    for _ in 0..2 {
        reactor.insert_timer(deadline, Leeway::NONE);
    }
    clock.set(deadline);
    turn(&mut reactor);
    for late in [0, 5] {
        let event = reactor.next_event();
        let at = deadline + late * MS;
        assert!(matches!(event, Some(Event::Timer { firing, .. }) if firing.fired == at), "{event:?}");
        clock.advance(5 * MS);
    }
}
