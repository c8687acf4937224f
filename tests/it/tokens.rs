//! F: a token names one registration for ever; descriptors and slots are reused, tokens are not.

mod model;

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use mio::event::Source;
use mio::net::UnixStream;
use mio::unix::SourceFd;
use mio::{Interest, Registry};
use punctual::reactor::{Direction, Event, Failure, Reactor, Readiness, Registration, StaleToken};
use punctual::{Instant, Leeway, Sleep, Token, sleep, spawn, yield_now};

use crate::support::{self, MS, child, drain, now_ns, wire};

fn pair() -> (StdStream, StdStream) {
    let (near, far) = StdStream::pair().expect("a pair");
    for stream in [&near, &far] {
        stream.set_nonblocking(true).expect("a socket can be told not to block");
    }
    (near, far)
}

#[track_caller]
fn ended(result: std::io::Result<()>) {
    let error = result.expect_err("it has ended");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let stale = error.get_ref().and_then(|inner| inner.downcast_ref::<StaleToken>());
    assert_eq!(stale, Some(&StaleToken::Ended));
}

/// A duplicate outside of the loop keeps the kernel's registration alive after the close, under a number
/// that somebody else has by then.
fn events_of_a_closed_description() {
    for alarm in support::ALARMS {
        let mut reactor = Reactor::builder().alarm(alarm).build_reactor().expect("a reactor");
        let (old, mut old_peer) = pair();
        let number = old.as_raw_fd();
        let duplicate = old.try_clone().expect("a duplicate");
        let old_token =
            reactor.register(&mut SourceFd(&number), Interest::READABLE).expect("registered");
        drop(old);
        // The lowest free number is given out first.
        let (new, mut new_peer) = pair();
        assert_eq!(new.as_raw_fd(), number, "this process has no other thread that opens anything");
        let told = reactor.deregister(&mut SourceFd(&number), old_token);
        assert!(told.is_err(), "the kernel knows the new owner of the number only: {told:?}");
        let new_token =
            reactor.register(&mut SourceFd(&number), Interest::READABLE).expect("registered");
        assert_ne!(old_token, new_token);

        old_peer.write_all(b"for the old one").expect("room");
        reactor.turn(Some(Duration::ZERO)).expect("a turn");
        assert!(drain(&mut reactor).is_empty(), "nobody is told of it");
        assert_eq!(reactor.metrics().stale_events, 1, "and it is counted");
        assert_eq!(reactor.readiness(new_token), Ok(Readiness::NONE));

        // It does not spin on it either: the event is an edge, and is over.
        let (polls, before_ns) = (reactor.metrics().polls, now_ns());
        while now_ns() - before_ns < 20_000_000 {
            reactor.turn(Some(20 * MS)).expect("a turn");
            assert!(drain(&mut reactor).is_empty());
        }
        assert!(reactor.metrics().polls - polls <= 4, "{} polls", reactor.metrics().polls - polls);

        new_peer.write_all(b"for the new one").expect("room");
        reactor.turn(None).expect("a turn");
        assert!(matches!(drain(&mut reactor)[..], [Event::Ready { token, .. }] if token == new_token));
        let mut text = String::new();
        assert!(
            (&new).read_to_string(&mut text).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        );
        assert_eq!(text, "for the new one");
        drop(duplicate);
        reactor.deregister(&mut SourceFd(&number), new_token).expect("it was registered");
        assert_eq!(reactor.metrics().live_sources, 0);
    }
}

#[test]
fn f02_a_duplicate_keeps_the_registration_but_not_the_token() {
    if child::plays("a lone thread") {
        return events_of_a_closed_description();
    }
    let test = "tokens::f02_a_duplicate_keeps_the_registration_but_not_the_token";
    child::succeed(child::command(test, "a lone thread"));
}

#[test]
fn f02_a_registration_deregisters_before_it_closes() {
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            let (near, mut far) = pair();
            let duplicate = near.try_clone().expect("a duplicate");
            drop(wire::Wire::new(UnixStream::from_std(near)));
            far.write_all(b"nobody listens").expect("room");
            let (before, polls) = (runtime.metrics().events, runtime.metrics().polls);
            sleep(2 * MS).await;
            let metrics = runtime.metrics();
            assert_eq!((metrics.events, metrics.stale_events), (before, 0));
            assert!(metrics.polls - polls <= 4);
            drop(duplicate);
        });
    });
}

#[test]
fn f03_no_event_after_a_deregistration_not_even_one_already_taken_from_the_kernel() {
    support::for_each_reactor(|mut reactor| {
        let mut ends: Vec<_> = (0..8)
            .map(|_| {
                let (mut near, mut far) = UnixStream::pair().expect("a pair");
                let token = reactor.register(&mut near, Interest::READABLE).expect("registered");
                far.write_all(b"x").expect("room");
                (token, near, far)
            })
            .collect();
        reactor.turn(None).expect("a turn");
        let Some(Event::Ready { token: first, .. }) = reactor.next_event() else {
            panic!("eight are ready")
        };
        // The first to be told deregisters the others, whose numbers and slots are then used again.
        let (mut gone, rest): (Vec<_>, Vec<_>) =
            ends.drain(..).partition(|(token, _, _)| *token != first);
        for (token, near, _) in &mut gone {
            reactor.deregister(near, *token).expect("it was registered");
            ended(reactor.deregister(near, *token));
        }
        let mut again: Vec<_> = gone
            .iter_mut()
            .map(|(_, near, _)| reactor.register(near, Interest::WRITABLE).expect("registered"))
            .collect();
        assert!(drain(&mut reactor).is_empty(), "what was taken for the others is dropped");
        assert_eq!(reactor.metrics().stale_events, 7);
        reactor.turn(None).expect("a turn");
        let mut told: Vec<Token> = drain(&mut reactor)
            .iter()
            .map(|event| match event {
                Event::Ready { token, readiness } if readiness.intersects(Readiness::WRITABLE) => *token,
                other => panic!("{other:?}"),
            })
            .collect();
        let by_name = |token: &Token| format!("{token:?}");
        told.sort_by_key(by_name);
        again.sort_by_key(by_name);
        assert_eq!(told, again, "the new ones are told of what they asked for");
        drop(rest);
    });
}

#[test]
fn f03_both_deadlines_of_a_source_are_due_and_the_first_changes_the_second() {
    for change in ["deregister", "clear", "move", "leave"] {
        let (mut reactor, clock) = support::virtual_reactor();
        let (mut near, _far) = UnixStream::pair().expect("a pair");
        let token = reactor.register(&mut near, Interest::READABLE).expect("registered");
        let due = clock.now() + MS;
        for direction in [Direction::Read, Direction::Write] {
            reactor.set_deadline(token, direction, Some(due)).expect("live");
        }
        clock.advance(10 * MS);
        reactor.turn(Some(Duration::ZERO)).expect("a turn");
        let Some(Event::Deadline { direction, .. }) = reactor.next_event() else {
            panic!("two are due")
        };
        assert_eq!(direction, Direction::Read);
        let later = clock.now() + MS;
        match change {
            "deregister" => reactor.deregister(&mut near, token).expect("it was registered"),
            "clear" => reactor.set_deadline(token, Direction::Write, None).expect("live"),
            "move" => reactor.set_deadline(token, Direction::Write, Some(later)).expect("live"),
            _ => {}
        }
        let left = drain(&mut reactor);
        match (change, &left[..]) {
            ("leave", [Event::Deadline { direction: Direction::Write, firing, .. }]) => {
                assert_eq!(firing.deadline, due);
            }
            ("deregister" | "clear" | "move", []) => {}
            (_, other) => panic!("{change}: {other:?}"),
        }
        clock.advance(10 * MS);
        reactor.turn(Some(Duration::ZERO)).expect("a turn");
        match (change, &drain(&mut reactor)[..]) {
            ("move", [Event::Deadline { direction: Direction::Write, firing, .. }]) => {
                assert_eq!(firing.deadline, later);
            }
            ("deregister" | "clear" | "leave", []) => {}
            (_, other) => panic!("{change}: {other:?}"),
        }
    }
}

#[test]
fn timers_of_ended_registrations_and_stale_timers_touch_nobody() {
    let (mut reactor, clock) = support::virtual_reactor();
    let (mut near, _far) = UnixStream::pair().expect("a pair");
    let due = clock.now() + MS;
    let old = reactor.register(&mut near, Interest::READABLE).expect("registered");
    reactor.set_deadline(old, Direction::Read, Some(due)).expect("live");
    reactor.deregister(&mut near, old).expect("it was registered");
    assert_eq!(reactor.metrics().live_wheel_entries, 0, "its deadline is gone with it");
    // The slot has a new owner, whom a command for the old one does not reach.
    let new = reactor.register(&mut near, Interest::READABLE).expect("registered");
    assert_eq!(reactor.set_deadline(old, Direction::Read, Some(due)), Err(StaleToken::Ended));
    assert_eq!(reactor.readiness(old), Err(StaleToken::Ended));
    ended(reactor.reregister(&mut near, old, Interest::WRITABLE));
    reactor.handle().set_deadline(old, None, Some(due)).expect("room");
    reactor.handle().cancel(old, "an old one").expect("room");
    clock.advance(10 * MS);
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert!(drain(&mut reactor).is_empty());
    assert_eq!(reactor.metrics().stale_events, 3);
    assert!(reactor.set_deadline(new, Direction::Read, None).is_ok());

    let stale = reactor.insert_timer(due, Leeway::NONE);
    assert!(reactor.cancel_timer(stale));
    let live = reactor.insert_timer(clock.now() + MS, Leeway::NONE);
    assert!(!reactor.cancel_timer(stale), "though the slot is the same");
    assert_eq!(reactor.reset_timer(stale, due), Err(StaleToken::Ended));
    clock.advance(2 * MS);
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert!(matches!(drain(&mut reactor)[..], [Event::Timer { timer, .. }] if timer == live));
}

/// A descriptor that somebody else owns, and may close.
struct Borrowed(RawFd);

impl Source for Borrowed {
    fn register(&mut self, to: &Registry, token: mio::Token, interest: Interest) -> std::io::Result<()> {
        SourceFd(&self.0).register(to, token, interest)
    }

    fn reregister(
        &mut self,
        to: &Registry,
        token: mio::Token,
        interest: Interest,
    ) -> std::io::Result<()> {
        SourceFd(&self.0).reregister(to, token, interest)
    }

    fn deregister(&mut self, from: &Registry) -> std::io::Result<()> {
        SourceFd(&self.0).deregister(from)
    }
}

#[test]
fn f08_a_descriptor_closed_underfoot_leaves_its_operations_bounded_and_cancellable() {
    let _watchdog = support::watchdog("f08", Duration::from_secs(1));
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            for end in ["deadline", "cancel", "close"] {
                let (near, far) = pair();
                let io =
                    Registration::new(Borrowed(near.as_raw_fd()), Interest::READABLE, Readiness::NONE);
                let io = std::rc::Rc::new(io.expect("registered"));
                let waiting = io.clone();
                let read = spawn(async move {
                    let attempt = |_: &Borrowed| -> std::io::Result<punctual::reactor::Done<()>> {
                        Err(ErrorKind::WouldBlock.into())
                    };
                    waiting.operate(Direction::Read, attempt).await
                });
                yield_now().await;
                drop((near, far));
                match end {
                    "deadline" => {
                        let soon = Instant::now() + MS;
                        io.set_deadline(Direction::Read, Some(soon)).expect("open");
                    }
                    "cancel" => io.cancel("closed underfoot"),
                    _ => io.close(),
                }
                let failure = read.await.expect("no panic").expect_err("no data came");
                match (end, failure) {
                    ("deadline", Failure::Elapsed(elapsed)) => {
                        assert!(elapsed.fired >= elapsed.deadline)
                    }
                    ("cancel", Failure::Cancelled(_)) | ("close", Failure::Closed) => {}
                    (end, other) => panic!("{end}: {other:?}"),
                }
                drop(io);
                assert_eq!(runtime.metrics().live_sources, 0);
                assert_eq!(runtime.metrics().live_wheel_entries, 0);
            }
            support::never_early_sleep(MS).await;
        });
    });
}

#[test]
fn f09_what_cannot_be_registered_is_refused_with_the_kernels_word() {
    support::for_each_reactor(|mut reactor| {
        let (mut near, _far) = UnixStream::pair().expect("a pair");
        let token = reactor.register(&mut near, Interest::READABLE).expect("registered");
        let twice = reactor.register(&mut near, Interest::WRITABLE).expect_err("it is registered");
        assert_eq!(twice.kind(), ErrorKind::AlreadyExists, "{twice}");
        let file = std::fs::File::open("Cargo.toml").expect("a regular file");
        let regular = reactor.register(&mut SourceFd(&file.as_raw_fd()), Interest::READABLE);
        let regular = regular.expect_err("a file is always ready");
        assert_eq!(regular.kind(), ErrorKind::PermissionDenied, "{regular}");
        let nothing =
            reactor.register(&mut SourceFd(&-1), Interest::READABLE).expect_err("no descriptor");
        assert!(nothing.raw_os_error().is_some(), "{nothing}");
        assert_eq!(reactor.metrics().live_sources, 1, "what was refused is not kept");
        reactor.reregister(&mut near, token, Interest::WRITABLE).expect("it is registered");
        reactor.turn(None).expect("a turn");
        assert!(matches!(drain(&mut reactor)[..], [Event::Ready { token: told, .. }] if told == token));
        reactor.deregister(&mut near, token).expect("it was registered");
        ended(reactor.deregister(&mut near, token));
        assert_eq!(reactor.metrics().live_sources, 0);
    });
}

/// A source that lets go of timers whenever it is called.
struct Timekeeper {
    stream: UnixStream,
    sleeps: Vec<Sleep>,
}

impl Source for Timekeeper {
    fn register(&mut self, to: &Registry, token: mio::Token, interest: Interest) -> std::io::Result<()> {
        drop(self.sleeps.pop());
        self.stream.register(to, token, interest)
    }

    fn reregister(
        &mut self,
        to: &Registry,
        token: mio::Token,
        interest: Interest,
    ) -> std::io::Result<()> {
        drop(self.sleeps.pop());
        self.stream.reregister(to, token, interest)
    }

    fn deregister(&mut self, from: &Registry) -> std::io::Result<()> {
        drop(self.sleeps.pop());
        self.stream.deregister(from)
    }
}

#[test]
fn a_source_may_use_the_runtime_that_registers_it() {
    support::for_each_alarm(|runtime| {
        runtime.block_on(async {
            for end in ["drop", "close", "into_inner"] {
                let (near, _far) = pair();
                let mut sleeps: Vec<_> = (0..3).map(|_| sleep(Duration::from_secs(3_600))).collect();
                for sleep in &mut sleeps {
                    assert!(support::poll_once(sleep).is_pending());
                }
                let source = Timekeeper { stream: UnixStream::from_std(near), sleeps };
                let io = Registration::new(source, Interest::READABLE, Readiness::NONE);
                let io = io.expect("registered");
                assert_eq!(runtime.metrics().live_timers, 2, "one went when it was registered");
                match end {
                    "close" => io.close(),
                    "into_inner" => {
                        let source = io.into_inner().expect("open");
                        assert_eq!(source.sleeps.len(), 1, "one went when it was deregistered");
                        drop(source);
                    }
                    _ => drop(io),
                }
                let metrics = runtime.metrics();
                assert_eq!((metrics.live_timers, metrics.live_sources), (0, 0), "{end}");
            }
        });
    });
}
