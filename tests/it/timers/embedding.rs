//! The loop inside somebody else's: an outer `poll(2)` over its descriptor.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use mio::net::UnixStream;
use punctual::reactor::{Event, Interest, Readiness, StaleToken};
use punctual::{Leeway, sleep, sleep_until};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::support::{self, MS, now_ns, wire};

/// Polls `inner` and `own` for as long as `wait` says; returns whether `own` is readable.
fn outer_poll(inner: &impl AsFd, own: &impl AsFd, wait: Option<Duration>) -> bool {
    let mut fds = [PollFd::new(inner, PollFlags::IN), PollFd::new(own, PollFlags::IN)];
    let wait = wait.map(|wait| Timespec::try_from(wait).expect("a sane wait"));
    match poll(&mut fds, wait.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => panic!("the outer poll: {error}"),
    }
    fds[1].revents().contains(PollFlags::IN)
}

#[test]
fn an_outer_poll_drives_a_reactor() {
    let _watchdog = support::watchdog("an embedded reactor", Duration::from_secs(2));
    support::for_each_reactor(|mut reactor| {
        let (pipe_reader, pipe_writer) = std::io::pipe().expect("a pipe");
        let (mut near, far) = UnixStream::pair().expect("a pair");
        let token = reactor.register(&mut near, Interest::READABLE).expect("registered");
        let mut timers: HashSet<_> = (0..30)
            .map(|n| {
                let deadline = reactor.now() + n * MS + MS / 3;
                reactor.insert_timer(deadline, Leeway::NONE)
            })
            .collect();
        let handle = reactor.handle();
        let remote = std::thread::spawn(move || {
            let (mut far, mut pipe) = (far, pipe_writer);
            for n in 0..50u32 {
                handle.send(n).expect("room in the inbox");
                far.write_all(b"x").expect("room in the socket");
                pipe.write_all(b"x").expect("room in the pipe");
                std::thread::sleep(MS / 2);
            }
            // Kept open: the end of the pipe would have the outer poll return at once.
            (far, pipe)
        });
        let (mut messages, mut bytes, mut own, mut rounds) = (0, 0, 0, 0);
        while !timers.is_empty() || messages < 50 || bytes < 50 || own < 50 {
            rounds += 1;
            let wait = reactor.prepare().expect("prepared");
            if outer_poll(&reactor, &pipe_reader, wait) {
                own += (&pipe_reader).read(&mut [0; 64]).expect("it is readable");
            }
            reactor.turn(Some(Duration::ZERO)).expect("a turn");
            while let Some(event) = reactor.next_event() {
                match event {
                    Event::Ready { token: ready, readiness } => {
                        assert!(ready == token && readiness.intersects(Readiness::READABLE));
                        while let Ok(read @ 1..) = near.read(&mut [0; 64]) {
                            bytes += read;
                        }
                    }
                    Event::Message(message) => {
                        assert_eq!(*message.downcast::<u32>().expect("what was sent"), messages);
                        messages += 1;
                    }
                    Event::Timer { timer, firing } => {
                        assert!(now_ns() >= firing.deadline.as_nanos(), "never early");
                        assert!(timers.remove(&timer), "each once");
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        // 180 things happened; a loop that spins would go round thousands of times.
        assert!(rounds <= 3 * 180, "{rounds} rounds");
        remote.join().expect("the remote end");
        let mut near = near;
        reactor.deregister(&mut near, token).expect("it was registered");
        let again = reactor.deregister(&mut near, token).expect_err("it was the last time");
        let stale = again.get_ref().and_then(|inner| inner.downcast_ref::<StaleToken>());
        assert_eq!(stale, Some(&StaleToken::Ended));
    });
}

#[test]
fn an_outer_poll_that_waits_as_long_as_it_is_told_finds_each_timer_due() {
    let _watchdog = support::watchdog("the returned wait", Duration::from_secs(1));
    support::for_each_reactor(|mut reactor| {
        let (silent, _open) = std::io::pipe().expect("a pipe");
        for n in 0..40u32 {
            reactor.insert_timer(reactor.now() + (1 + n % 7) * MS / 3, Leeway::NONE);
            let mut waits = 0;
            loop {
                let wait = reactor.prepare().expect("prepared");
                outer_poll(&reactor, &silent, wait);
                waits += 1;
                reactor.turn(Some(Duration::ZERO)).expect("a turn");
                match reactor.next_event() {
                    Some(Event::Timer { firing, .. }) => {
                        assert!(now_ns() >= firing.deadline.as_nanos());
                        break;
                    }
                    None => {}
                    other => panic!("{other:?}"),
                }
            }
            assert!(waits <= 2, "{waits} waits for one timer");
        }
    });
}

#[test]
fn an_outer_poll_drives_a_runtime() {
    let _watchdog = support::watchdog("an embedded runtime", Duration::from_secs(2));
    support::for_each_alarm(|runtime| {
        let (silent, _open) = std::io::pipe().expect("a pipe");
        let done = Rc::new(RefCell::new(Vec::new()));
        let began = runtime.now();
        let sleeper = |name: &'static str, duration: Duration| {
            let (done, deadline) = (done.clone(), began + duration);
            runtime.spawn(async move {
                sleep_until(deadline).await;
                assert!(now_ns() >= deadline.as_nanos(), "never early");
                done.borrow_mut().push(name);
            })
        };
        let sleepers = [sleeper("third", 9 * MS), sleeper("first", MS / 4), sleeper("second", 4 * MS)];
        let echoed = done.clone();
        let echo = runtime.spawn(async move {
            let (near, far) = wire::pair();
            let echo = wire::spawn_echo(far);
            for round in 0..20 {
                near.round_trip(round).await.expect("an echo");
                sleep(MS / 2).await;
            }
            drop(echo);
            echoed.borrow_mut().push("echo");
        });
        let handle = runtime.handle();
        let remote = std::thread::spawn(move || {
            let task = handle.spawn(|| async {
                sleep(3 * MS).await;
                "remote"
            });
            task.expect("room in the inbox").join().expect("it ends")
        });
        let mut rounds = 0;
        while done.borrow().len() < 4 || !remote.is_finished() {
            rounds += 1;
            let wait = runtime.prepare().expect("prepared");
            outer_poll(&runtime, &silent, wait.or(Some(100 * MS)));
            runtime.turn(Some(Duration::ZERO)).expect("a turn");
        }
        assert_eq!(remote.join().expect("the remote end"), "remote");
        let sleeps: Vec<_> = done.borrow().iter().copied().filter(|name| *name != "echo").collect();
        assert_eq!(sleeps, ["first", "second", "third"]);
        assert!(sleepers.iter().all(|sleeper| sleeper.is_finished()) && echo.is_finished());
        assert!(rounds < 2_000, "{rounds} rounds: it spins");
    });
}
