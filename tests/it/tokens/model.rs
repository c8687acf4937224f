//! F06: programs drawn at random, against a plain account of what must be told to whom.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use fastrand::Rng;
use mio::net::UnixStream;
use punctual::reactor::{Direction, Event, Interest, Reactor, StaleToken, Timer};
use punctual::{Instant, Leeway, Token, VirtualClock};

use crate::support::{self, US};

const CONNECTIONS_MAX: usize = 50;
const TIMERS_MAX: usize = 200;
const BOTH: [Direction; 2] = [Direction::Read, Direction::Write];

struct Connection {
    near: UnixStream,
    far: Option<UnixStream>,
    /// What every message on it says: its number, which no other has.
    number: u32,
    unread: usize,
    armed: [Option<Instant>; 2],
    cancels: u32,
}

struct Model {
    rng: Rng,
    reactor: Reactor,
    /// None: the kernel's clock, on which it cannot be said exactly what is due.
    clock: Option<VirtualClock>,
    leeway: Leeway,
    live: HashMap<Token, Connection>,
    /// The live ones in an order that the seed decides.
    tokens: Vec<Token>,
    ended: Vec<Token>,
    timers: HashMap<Timer, Instant>,
    names: Vec<Timer>,
    opened: u32,
    told: u64,
    /// Whom the last event was about: what is done to it now comes in between.
    told_last: Option<Token>,
}

impl Model {
    fn new(seed: u64, clock: Option<VirtualClock>, leeway: Leeway) -> Model {
        let builder = Reactor::builder().leeway(leeway);
        let builder = match &clock {
            Some(clock) => builder.clock(clock.clone()),
            None => builder,
        };
        Model {
            rng: Rng::with_seed(seed),
            reactor: builder.build_reactor().expect("a reactor"),
            clock,
            leeway,
            live: HashMap::new(),
            tokens: Vec::new(),
            ended: Vec::new(),
            timers: HashMap::new(),
            names: Vec::new(),
            opened: 0,
            told: 0,
            told_last: None,
        }
    }

    fn any_deadline(&mut self) -> Instant {
        let now = self.reactor.now();
        match self.rng.u8(..8) {
            0 => now - self.rng.u32(..5_000) * US,
            1 => now + Duration::from_secs(3_600),
            2 => now,
            _ => now + self.rng.u32(..3_000) * US,
        }
    }

    fn any_live(&mut self) -> Option<Token> {
        let last = self.told_last.filter(|last| self.live.contains_key(last) && self.rng.u8(..4) == 0);
        last.or_else(|| self.rng.choice(&self.tokens).copied())
    }

    fn any_side(&mut self) -> usize {
        self.rng.usize(..2)
    }

    /// One thing that a program may do at any moment, also between two events.
    fn act(&mut self) {
        match self.rng.u8(..12) {
            0 | 1 => self.open(),
            2 => self.close(),
            3 | 4 => self.write(),
            5 | 6 => self.arm(),
            7 => self.insert_timer(),
            8 => self.cancel_timer(),
            9 => self.reset_timer(),
            10 => self.use_what_has_ended(),
            _ => self.pass_time(),
        }
    }

    fn open(&mut self) {
        if self.tokens.len() >= CONNECTIONS_MAX {
            return self.close();
        }
        let (mut near, far) = UnixStream::pair().expect("a pair");
        let token = self.reactor.register(&mut near, Interest::READABLE).expect("registered");
        assert!(!self.ended.contains(&token) && !self.live.contains_key(&token), "names are not reused");
        let number = self.opened;
        self.opened += 1;
        let far = Some(far);
        let connection = Connection { near, far, number, unread: 0, armed: [None; 2], cancels: 0 };
        self.live.insert(token, connection);
        self.tokens.push(token);
    }

    fn close(&mut self) {
        if self.tokens.is_empty() {
            return;
        }
        let token = self.tokens.swap_remove(self.rng.usize(..self.tokens.len()));
        let mut connection = self.live.remove(&token).expect("it is live");
        match self.rng.u8(..4) {
            // The peer first, so that an event of its end is under way.
            0 => drop(connection.far.take()),
            // The descriptor before its registration, as one should not.
            1 => {
                let (spare, _) = UnixStream::pair().expect("a pair");
                drop(std::mem::replace(&mut connection.near, spare));
                assert!(self.reactor.deregister(&mut connection.near, token).is_err());
                return self.ended.push(token);
            }
            _ => {}
        }
        self.reactor.deregister(&mut connection.near, token).expect("it was registered");
        self.ended.push(token);
    }

    fn write(&mut self) {
        let Some(token) = self.any_live() else { return };
        let hang_up = self.rng.u8(..16) == 0;
        let connection = self.live.get_mut(&token).expect("it is live");
        let Some(far) = &mut connection.far else { return };
        // What is never read would fill the socket.
        if connection.unread < 64 {
            far.write_all(&connection.number.to_le_bytes()).expect("room");
            connection.unread += 1;
        }
        if hang_up {
            connection.far = None;
        }
    }

    fn arm(&mut self) {
        let Some(token) = self.any_live() else { return };
        let side = self.any_side();
        let deadline = (self.rng.u8(..4) > 0).then(|| self.any_deadline());
        self.reactor.set_deadline(token, BOTH[side], deadline).expect("live");
        self.live.get_mut(&token).expect("it is live").armed[side] = deadline;
    }

    fn insert_timer(&mut self) {
        if self.names.len() >= TIMERS_MAX {
            return self.cancel_timer();
        }
        let deadline = self.any_deadline();
        let leeway = if self.rng.bool() { self.leeway } else { Leeway::NONE };
        let timer = self.reactor.insert_timer(deadline, leeway);
        assert!(self.timers.insert(timer, deadline).is_none(), "names are not reused");
        self.names.push(timer);
    }

    fn any_timer(&mut self) -> Option<Timer> {
        // Also such as have fired or were cancelled.
        self.rng.choice(&self.names).copied()
    }

    fn cancel_timer(&mut self) {
        let Some(timer) = self.any_timer() else { return };
        assert_eq!(self.reactor.cancel_timer(timer), self.timers.remove(&timer).is_some());
        if self.rng.bool() {
            self.names.retain(|name| *name != timer);
        }
    }

    fn reset_timer(&mut self) {
        let (Some(timer), deadline) = (self.any_timer(), self.any_deadline()) else { return };
        let moved = self.reactor.reset_timer(timer, deadline);
        match self.timers.get_mut(&timer) {
            Some(armed) => {
                assert_eq!(moved, Ok(()));
                *armed = deadline;
            }
            None => assert_eq!(moved, Err(StaleToken::Ended)),
        }
    }

    fn use_what_has_ended(&mut self) {
        let Some(token) = self.rng.choice(&self.ended).copied() else { return };
        let deadline = self.any_deadline();
        let set = self.reactor.set_deadline(token, Direction::Read, Some(deadline));
        assert_eq!(set, Err(StaleToken::Ended));
        assert_eq!(self.reactor.readiness(token), Err(StaleToken::Ended));
    }

    fn pass_time(&mut self) {
        if let Some(clock) = &self.clock {
            let most = if self.rng.u8(..4) == 0 { 4_000 } else { 400 };
            clock.advance(self.rng.u32(..most) * US);
        }
    }

    /// Remote commands, for the living and the dead, and a turn to take them.
    fn command(&mut self) {
        let handle = self.reactor.handle();
        for _ in 0..self.rng.u8(1..5) {
            let (deadline, side) = (self.any_deadline(), self.any_side());
            let of_the_dead = self.rng.u8(..3) == 0;
            let token =
                if of_the_dead { self.rng.choice(&self.ended).copied() } else { self.any_live() };
            let Some(token) = token else { continue };
            let connection = self.live.get_mut(&token);
            if self.rng.u8(..4) == 0 {
                handle.cancel(token, "by the model").expect("room");
                connection.into_iter().for_each(|connection| connection.cancels += 1);
            } else {
                handle.set_deadline(token, BOTH[side], Some(deadline)).expect("room");
                connection.into_iter().for_each(|connection| connection.armed[side] = Some(deadline));
            }
        }
        self.turn(false);
    }

    fn turn(&mut self, act_between: bool) {
        self.reactor.turn(Some(Duration::ZERO)).expect("a turn");
        while let Some(event) = self.reactor.next_event() {
            self.told += 1;
            self.check(event);
            if act_between && self.rng.u8(..3) == 0 {
                self.act();
            }
        }
    }

    /// Whether the account knows of what the event tells.
    fn check(&mut self, event: Event) {
        match event {
            Event::Ready { token, .. } => {
                self.told_last = Some(token);
                let connection = self.live.get_mut(&token).expect("readiness of a live one");
                let mut message = [0; 4];
                loop {
                    match connection.near.read(&mut message) {
                        Ok(4) => {
                            assert_eq!(u32::from_le_bytes(message), connection.number, "its own data");
                            connection.unread -= 1;
                        }
                        Ok(0) => {
                            assert!(connection.far.is_none(), "an end, if the peer has hung up");
                            break;
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(connection.unread, 0, "all that was written");
            }
            Event::Deadline { token, direction, firing } => {
                self.told_last = Some(token);
                let connection = self.live.get_mut(&token).expect("the deadline of a live one");
                let side = BOTH.iter().position(|side| *side == direction).expect("one of the two");
                assert_eq!(connection.armed[side].take(), Some(firing.deadline), "as it was last set");
                assert!(firing.fired >= firing.deadline && self.reactor.now() >= firing.deadline);
            }
            Event::Timer { timer, firing } => {
                assert_eq!(self.timers.remove(&timer), Some(firing.deadline), "as it was last set");
                assert!(firing.fired >= firing.deadline && self.reactor.now() >= firing.deadline);
            }
            Event::Cancelled { token, .. } => {
                let connection = self.live.get_mut(&token).expect("the cancel of a live one");
                assert!(connection.cancels > 0, "one that was asked for");
            }
            other => panic!("{other:?}"),
        }
    }

    /// After two quiet turns nothing is left that should have been told.
    fn settle(&mut self) {
        self.turn(false);
        self.turn(false);
        let waiting = self.live.values().filter(|connection| connection.unread > 0).count();
        assert_eq!(waiting, 0, "connections with data that nobody was told of");
        let Some(clock) = &self.clock else { return };
        let surely_due = clock.now() - self.leeway.as_duration();
        let sides = self.live.values().flat_map(|connection| connection.armed).flatten();
        let overdue = sides.chain(self.timers.values().copied()).filter(|at| *at <= surely_due).count();
        assert_eq!(overdue, 0, "deadlines that should have fired");
        let metrics = self.reactor.metrics();
        assert_eq!((metrics.live_sources, metrics.live_timers), (self.live.len(), self.timers.len()));
    }

    fn run(mut self, operations: u32) {
        for n in 0..operations {
            match self.rng.u8(..16) {
                0 => self.turn(true),
                1 => self.command(),
                _ => self.act(),
            }
            if n % 100 == 99 {
                self.settle();
            }
            if self.ended.len() > 500 {
                self.ended.drain(..250);
            }
        }
        self.settle();
        while !self.tokens.is_empty() {
            self.close();
        }
        let timers: Vec<_> = self.timers.drain().map(|(timer, _)| timer).collect();
        assert!(timers.into_iter().all(|timer| self.reactor.cancel_timer(timer)));
        self.turn(false);
        let metrics = self.reactor.metrics();
        assert_eq!((metrics.live_sources, metrics.live_timers, metrics.live_wheel_entries), (0, 0, 0));
        assert_eq!(metrics.early, 0);
        assert!(self.told > u64::from(operations / 8), "it was a lively run: {} events", self.told);
    }
}

/// Says which seed it was if the run fails.
fn run(seed: u64, clock: Option<VirtualClock>, leeway: Leeway, operations: u32) {
    println!("seed {seed}, {leeway:?}: to run it alone, set PUNCTUAL_SEED={seed}");
    Model::new(seed, clock, leeway).run(operations);
}

#[test]
fn f06_random_programs_on_a_virtual_clock() {
    let _watchdog = support::watchdog("f06", Duration::from_secs(10));
    for seed in support::seeds(&[1, 2, 3, 4, 5]) {
        support::on_threads([Leeway::NONE, Leeway::MILLISECOND], |leeway| {
            run(seed, Some(VirtualClock::new()), leeway, 20_000);
        });
    }
}

#[test]
fn f06_random_programs_on_the_kernels_clock() {
    let _watchdog = support::watchdog("f06 real", Duration::from_secs(5));
    for seed in support::seeds(&[11, 12]) {
        run(seed, None, Leeway::MILLISECOND, 20_000);
    }
}
