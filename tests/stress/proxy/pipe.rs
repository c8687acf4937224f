//! A connection: the client's end, the server's, and a flow each way.

use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use super::flow::{Broken, FORGOTTEN, Flow};
use super::{Faults, Shared};

pub(super) struct Pipe {
    /// The client's and the server's.
    ends: [TcpStream; 2],
    /// `flows[0]` goes from the client to the server.
    flows: [Flow; 2],
    /// The second connection to the server, for nobody.
    duplicate: Option<TcpStream>,
    /// How many bytes have moved, and when that was noticed.
    moved: (usize, Instant),
    /// For when it is looked at again.
    pub(super) alarm: Option<Instant>,
}

/// What is to be done about a connection.
pub(super) enum Next {
    /// Nothing before this, or before something happens.
    At(Option<Instant>),
    /// It has ended.
    Over,
}

impl Pipe {
    pub(super) fn new(
        client: TcpStream,
        server: TcpStream,
        duplicate: Option<TcpStream>,
        faults: Faults,
        now: Instant,
    ) -> Pipe {
        let flows = [Flow::new(faults.requests), Flow::new(faults.responses)];
        Pipe { ends: [client, server], flows, duplicate, moved: (0, now), alarm: None }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> std::io::Result<()> {
        for end in &mut self.ends {
            end.set_nodelay(true)?;
            registry.register(end, token, Interest::READABLE | Interest::WRITABLE)?;
        }
        Ok(())
    }

    pub(super) fn deregister(&mut self, registry: &Registry) -> std::io::Result<()> {
        self.ends.iter_mut().try_for_each(|end| registry.deregister(end))
    }

    pub(super) fn heal(&mut self, now: Instant) {
        self.duplicate = None;
        self.flows.iter_mut().for_each(|flow| flow.heal(now));
    }

    /// Does what can be done now.
    pub(super) fn pump(&mut self, now: Instant, shared: &Shared) -> Next {
        for side in [0, 1] {
            let (from, to) = (&self.ends[side], &self.ends[1 - side]);
            if let Err(Broken) = self.flows[side].pump(from, to, now, shared) {
                self.reset();
                return Next::Over;
            }
        }
        let moved = self.flows.iter().map(Flow::moved).sum();
        if moved != self.moved.0 {
            self.moved = (moved, now);
        }
        if self.flows.iter().all(|flow| flow.ended && flow.told_end) {
            return Next::Over;
        }
        let forgotten = self.flows.iter().any(|flow| flow.ended).then(|| self.moved.1 + FORGOTTEN);
        if forgotten.is_some_and(|at| at <= now) {
            return Next::Over;
        }
        let due = self.flows.iter().filter_map(|flow| flow.due(now));
        Next::At(due.chain(forgotten).min())
    }

    /// Has both ends reset when they are dropped.
    fn reset(&self) {
        for end in &self.ends {
            let _ = SockRef::from(end).set_linger(Some(Duration::ZERO));
        }
    }
}
