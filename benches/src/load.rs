//! The load: 64 bytes to and fro on many connections, from one thread on its own core.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::epoll;

use crate::child::{LOAD_CORE, pin};

pub(crate) const BYTES: usize = 64;

/// What the load has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) took: Duration,
    /// Of each request, in nanoseconds, sorted.
    pub(crate) latencies_ns: Vec<u64>,
}

/// When the load is over.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Passed(Duration),
    /// So many requests on each connection.
    Each(u64),
}

struct Connection {
    stream: TcpStream,
    sent_at: Instant,
    received: usize,
    answered: u64,
}

/// Connects so often, and plays ping-pong on all of them at once. `started` is called when all are connected and warm.
pub(crate) fn ping_pong(
    address: SocketAddr,
    connections: usize,
    until: Until,
    started: impl FnOnce(),
) -> std::io::Result<Seen> {
    ping_pong_from(LOAD_CORE, address, connections, until, started)
}

/// As [`ping_pong`], from the core `core`.
pub(crate) fn ping_pong_from(
    core: usize,
    address: SocketAddr,
    connections: usize,
    until: Until,
    started: impl FnOnce(),
) -> std::io::Result<Seen> {
    pin(core);
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut all = Vec::with_capacity(connections);
    for index in 0..connections {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        // One round before anything is counted: then it is accepted.
        let mut back = [0; BYTES];
        stream.write_all(&[1; BYTES])?;
        stream.read_exact(&mut back)?;
        stream.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&poll, stream.as_fd(), data, epoll::EventFlags::IN)?;
        all.push(Connection { stream, sent_at: Instant::now(), received: 0, answered: 0 });
    }
    started();
    let began = Instant::now();
    let mut seen = Seen::default();
    for connection in &mut all {
        connection.send()?;
    }
    let mut open = connections;
    let mut events = Vec::with_capacity(256);
    while open > 0 {
        if matches!(until, Until::Passed(limit) if began.elapsed() >= limit) {
            break;
        }
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let connection = &mut all[event.data.u64() as usize];
            if !connection.receive()? {
                continue;
            }
            seen.requests += 1;
            seen.latencies_ns.push(connection.sent_at.elapsed().as_nanos() as u64);
            connection.answered += 1;
            if matches!(until, Until::Each(count) if connection.answered == count) {
                epoll::delete(&poll, connection.stream.as_fd())?;
                open -= 1;
                continue;
            }
            connection.send()?;
        }
    }
    seen.took = began.elapsed();
    seen.latencies_ns.sort_unstable();
    Ok(seen)
}

impl Connection {
    fn send(&mut self) -> std::io::Result<()> {
        self.sent_at = Instant::now();
        self.received = 0;
        // There is room for so little, always.
        self.stream.write_all(&[1; BYTES])
    }

    /// Whether all of the answer has come.
    fn receive(&mut self) -> std::io::Result<bool> {
        let mut buffer = [0; BYTES];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                self.received += read;
                Ok(self.received == BYTES)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}
