//! The proxy's own loop.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use super::pipe::{Next, Pipe};
use super::{Faults, Shared};

const WAKER: Token = Token(usize::MAX);
/// Below the waker's, one for each listener.
const LISTENERS: usize = 1 << 32;

pub(super) struct Proxy {
    poll: Poll,
    waker: Arc<Waker>,
    listeners: Vec<(TcpListener, SocketAddr)>,
    plan: Box<dyn Fn(SocketAddr) -> Faults + Send>,
    shared: Arc<Shared>,
    pipes: Slab<Pipe>,
    /// When a connection is to be looked at again; one that has been looked at since, or has ended, costs nothing.
    alarms: BinaryHeap<Reverse<(Instant, usize)>>,
    healed: bool,
    silent: bool,
}

impl Proxy {
    pub(super) fn new(
        listeners: Vec<std::net::TcpListener>,
        upstreams: &[SocketAddr],
        plan: Box<dyn Fn(SocketAddr) -> Faults + Send>,
        shared: Arc<Shared>,
    ) -> io::Result<Proxy> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut listening = Vec::new();
        for (listener, upstream) in listeners.into_iter().zip(upstreams) {
            let mut listener = TcpListener::from_std(listener);
            let token = Token(LISTENERS + listening.len());
            poll.registry().register(&mut listener, token, Interest::READABLE)?;
            listening.push((listener, *upstream));
        }
        Ok(Proxy {
            poll,
            waker,
            listeners: listening,
            plan,
            shared,
            pipes: Slab::new(),
            alarms: BinaryHeap::new(),
            healed: false,
            silent: false,
        })
    }

    pub(super) fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        while !self.shared.over.load(Ordering::Acquire) {
            let now = Instant::now();
            let next = self.alarms.peek().filter(|_| !self.silent);
            let wait = next.map(|Reverse((at, _))| at.saturating_duration_since(now));
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            self.obey();
            for event in &events {
                match event.token() {
                    WAKER => {}
                    Token(at) if at >= LISTENERS => self.accept(at - LISTENERS)?,
                    Token(key) => self.pump(key)?,
                }
            }
            self.sound_alarms()?;
        }
        Ok(())
    }

    /// Does what was asked from outside.
    fn obey(&mut self) {
        let healed = self.shared.healed.load(Ordering::Acquire);
        let silent = self.shared.silent.load(Ordering::Acquire);
        let heals = healed && !self.healed;
        let speaks = !silent && self.silent;
        (self.healed, self.silent) = (healed, silent);
        let now = Instant::now();
        if heals {
            self.pipes.iter_mut().for_each(|(_, pipe)| pipe.heal(now));
        }
        if heals || speaks {
            // Edges that came meanwhile will not come again.
            self.alarms.extend(self.pipes.iter().map(|(key, _)| Reverse((now, key))));
        }
    }

    fn accept(&mut self, at: usize) -> io::Result<()> {
        loop {
            let (listener, upstream) = &self.listeners[at];
            let (client, address) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // One that has gone already.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            let faults = if self.healed { Faults::NONE } else { (self.plan)(address) };
            if faults == Faults::NONE {
                self.shared.count("none");
            }
            let server = TcpStream::connect(*upstream)?;
            let duplicate = if faults.duplicate { Some(TcpStream::connect(*upstream)?) } else { None };
            if duplicate.is_some() {
                self.shared.count("duplicate");
            }
            let mut pipe = Pipe::new(client, server, duplicate, faults, Instant::now());
            let place = self.pipes.vacant_entry();
            let key = place.key();
            pipe.register(self.poll.registry(), Token(key))?;
            place.insert(pipe);
            self.shared.standing.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn pump(&mut self, key: usize) -> io::Result<()> {
        if self.silent {
            return Ok(());
        }
        // One that has ended may have events left.
        let Some(pipe) = self.pipes.get_mut(key) else { return Ok(()) };
        match pipe.pump(Instant::now(), &self.shared) {
            Next::Over => {
                let mut pipe = self.pipes.remove(key);
                pipe.deregister(self.poll.registry())?;
                self.shared.standing.fetch_sub(1, Ordering::AcqRel);
            }
            Next::At(at) if at != pipe.alarm => {
                pipe.alarm = at;
                self.alarms.extend(at.map(|at| Reverse((at, key))));
            }
            Next::At(_) => {}
        }
        Ok(())
    }

    fn sound_alarms(&mut self) -> io::Result<()> {
        let now = Instant::now();
        while !self.silent && self.alarms.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((_, key))) = self.alarms.pop() else { break };
            if let Some(pipe) = self.pipes.get_mut(key) {
                pipe.alarm = None;
            }
            self.pump(key)?;
        }
        Ok(())
    }
}
