//! One question to one server, over UDP or TCP.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use punctual_reactor::{Direction, Done, Failure, Instant, Interest, Readiness, Registration};
use socket2::{Domain, Protocol, Socket, Type};

use super::Counters;
use super::message::{Mismatch, Query, Reply, Verdict};
use super::progress::Tally;
use super::random::Random;
use crate::connect::attempt::direct;
use crate::error::{Error, Kind, Phase};
use crate::phase::Tells;

/// So many packets that are no answer make the query leave for TCP, where nobody can flood it.
const FOREIGN_MAX: u32 = 16;
/// Longer answers over UDP than were asked for are read all the same.
const UDP_BYTES_MAX: usize = 4096;
/// Ports that are tried before the kernel chooses one.
const PORT_TRIES: usize = 8;
/// Ports from here on are nobody's by registration, or for what comes and goes.
const PORT_MIN: u16 = 32_768;

/// How an exchange ends other than with an answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No answer in time.
    Silent,
    /// The network has said no.
    Unreachable(io::Error),
    /// This process or host lacks something: another server would not help.
    Local(io::Error),
    /// UDP is not to be trusted here: ask over TCP.
    Forged,
    /// What it said over TCP is no answer.
    Malformed,
    /// It was cancelled, or the runtime is shutting down.
    Ended(Failure),
}

/// Asks over UDP, from a fresh socket on a fresh random port, until `deadline`. What does not match in server, id,
/// question and capitals is ignored and counted.
pub(super) async fn over_udp(
    server: SocketAddr,
    query: &Query,
    deadline: Instant,
    random: &mut Random,
    counters: &Counters,
    tally: &Tally,
) -> Result<Reply, Trouble> {
    let socket = bind(server, random).map_err(Trouble::Local)?;
    socket.connect(&server.into()).map_err(Trouble::of)?;
    let io = mio::net::UdpSocket::from_std(socket.into());
    let both = Interest::READABLE | Interest::WRITABLE;
    let io = Registration::owning(io, both, Readiness::WRITABLE).map_err(Trouble::Local)?;
    io.set_label(Direction::Write, "dns-query");
    io.set_label(Direction::Read, "dns-query");
    io.set_subject(server);
    io.set_deadline(Direction::Write, Some(deadline)).map_err(Trouble::ended)?;
    io.set_deadline(Direction::Read, Some(deadline)).map_err(Trouble::ended)?;
    Counters::add(&counters.queries);
    tally.asks(server);
    io.operate(Direction::Write, |io| io.send(query.bytes()).map(Done::new))
        .await
        .map_err(Trouble::ended)?;
    let mut buffer = vec![0; UDP_BYTES_MAX];
    let mut foreign = 0;
    let receive = |io: &mio::net::UdpSocket| {
        let length = io.recv(&mut buffer)?;
        match query.judge(&buffer[..length], false) {
            Verdict::Answer(reply) => Ok(Done::new(Some(reply))),
            Verdict::Suspicious => {
                Counters::add(&counters.ignored);
                tally.ignores(server, |ignored| ignored.wrong_capitals += 1);
                Ok(Done::new(None))
            }
            Verdict::Foreign(mismatch) => {
                Counters::add(&counters.ignored);
                tally.ignores(server, |ignored| match mismatch {
                    Mismatch::Form => ignored.malformed += 1,
                    Mismatch::Id => ignored.wrong_id += 1,
                    Mismatch::Question => ignored.wrong_question += 1,
                });
                foreign += 1;
                Ok(if foreign > FOREIGN_MAX { Done::new(None) } else { Done::step(0, 0) })
            }
        }
    };
    let reply = io.operate(Direction::Read, receive).await.map_err(Trouble::ended)?;
    reply.ok_or(Trouble::Forged)
}

/// A socket on a random port. The kernel's own choice is random too, but not everywhere, and from fewer ports.
fn bind(server: SocketAddr, random: &mut Random) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    for _ in 0..PORT_TRIES {
        let port = random.number()? | PORT_MIN;
        match socket.bind(&SocketAddr::new(any, port).into()) {
            Err(error) if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied) => {
            }
            bound => return bound.map(|()| socket),
        }
    }
    socket.bind(&SocketAddr::new(any, 0).into()).map(|()| socket)
}

/// Asks over TCP, until `deadline`. That a try runs out of time is told of by the lookup, if that does too.
pub(super) async fn over_tcp(
    server: SocketAddr,
    query: &Query,
    deadline: Instant,
    counters: &Counters,
    tally: &Tally,
) -> Result<Reply, Trouble> {
    Tells::Nothing.during(over_tcp_in_frames(server, query, deadline, counters, tally)).await
}

/// An answer has at most 65 535 bytes there (RFC 1035, section 4.2.2).
async fn over_tcp_in_frames(
    server: SocketAddr,
    query: &Query,
    deadline: Instant,
    counters: &Counters,
    tally: &Tally,
) -> Result<Reply, Trouble> {
    Counters::add(&counters.queries_over_tcp);
    tally.asks(server);
    let stream = direct(server, deadline).await.map_err(Trouble::net)?;
    // All of it is one lookup: what is waited for in it is no phase of its own.
    [Direction::Read, Direction::Write]
        .into_iter()
        .for_each(|direction| stream.io().set_phase(direction, None));
    stream.set_write_deadline(Some(deadline)).map_err(Trouble::net)?;
    stream.set_read_deadline(Some(deadline)).map_err(Trouble::net)?;
    let bytes = query.bytes();
    let mut framed = Vec::with_capacity(bytes.len() + 2);
    // A query has at most 320 bytes.
    framed.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    framed.extend_from_slice(bytes);
    stream.write_all(&framed).await.map_err(Trouble::net)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await.map_err(Trouble::net)?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer).await.map_err(Trouble::net)?;
    match query.judge(&answer, true) {
        // Nothing is larger: a server that cuts here is broken.
        Verdict::Answer(Reply::Truncated) | Verdict::Foreign(_) | Verdict::Suspicious => {
            Err(Trouble::Malformed)
        }
        Verdict::Answer(reply) => Ok(reply),
    }
}

impl Trouble {
    fn of(error: io::Error) -> Trouble {
        let lacking = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS];
        match error.raw_os_error() {
            Some(errno) if lacking.contains(&errno) => Trouble::Local(error),
            _ => Trouble::Unreachable(error),
        }
    }

    fn ended(failure: Failure) -> Trouble {
        match failure {
            Failure::Io(error) => Trouble::of(error),
            Failure::Elapsed(_) => Trouble::Silent,
            other => Trouble::Ended(other),
        }
    }

    fn net(error: Error) -> Trouble {
        match error.kind() {
            Kind::Timeout => Trouble::Silent,
            Kind::UnexpectedEof => Trouble::Malformed,
            Kind::Shutdown => Trouble::Ended(Failure::Shutdown),
            Kind::Closed => Trouble::Ended(Failure::Closed),
            Kind::Kernel(errno) if errno != 0 => Trouble::of(io::Error::from_raw_os_error(errno)),
            Kind::Cancelled => {
                Trouble::Ended(error.cause().cloned().map_or(Failure::Closed, Failure::Cancelled))
            }
            _ => {
                debug_assert!(
                    error.phase() != Phase::Resolve,
                    "an address was to be connected to: {error}"
                );
                Trouble::Unreachable(error.into())
            }
        }
    }
}
