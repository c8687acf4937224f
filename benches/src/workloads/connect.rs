//! `connect`: dials of an address that does not answer.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
use rustix::time::ClockId;

use super::drift::now_ns;
use crate::child::{Lateness, told};
use crate::options::Options;
use crate::report::{Report, Target};
use crate::rounds::{Row, Subject, by_turns};
use crate::runtimes;

/// How long each dial has.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(250);
/// How many dials there are at once, and how often.
pub(crate) const AT_ONCE: usize = 20;
const ROUNDS: usize = 10;

pub(crate) fn run(options: &Options) -> Result<Report, String> {
    let deaf = Deaf::new().map_err(|error| format!("no listener that is deaf: {error}"))?;
    let peers = runtimes::wanted(options);
    let of = |peer: &&'static runtimes::Peer| {
        let peer = *peer;
        let param = format!("{} dials, {AT_ONCE} at a time", AT_ONCE * ROUNDS);
        peer.dials.iter().map(move |variant| Subject { peer: peer.name, variant, param: param.clone() })
    };
    let rows = by_turns(peers.iter().flat_map(of).collect(), options.rounds, |subject| {
        told(subject, "dial", deaf.address.port().into())
    })?;
    let (targets, machine) = (targets(&rows), String::new());
    Ok(Report { workload: "connect", rounds: options.rounds, rows, targets, machine })
}

pub(crate) fn targets(rows: &[Row]) -> Vec<Target> {
    let raw = rows.iter().find(|row| row.subject.peer == "raw");
    let ours = rows.iter().filter(|row| row.subject.peer == "punctual");
    let of = |row: &Row| {
        let early = row.turns.iter().filter_map(|figures| figures.get("early")).sum();
        let name = row.subject.variant;
        [
            Target::most(format!("early, {name}"), Some(early), 0.0),
            Target::most(format!("p50 of raw timerfd, {name}"), row.ratio(raw?, "p50 µs"), 1.3),
        ]
        .into()
    };
    ours.filter_map(of).flat_map(|two: [Option<Target>; 2]| two.into_iter().flatten()).collect()
}

/// A listener whose backlog is full: the kernel drops every further SYN.
struct Deaf {
    address: SocketAddr,
    _listener: std::os::fd::OwnedFd,
    _fillers: Vec<TcpStream>,
}

impl Deaf {
    fn new() -> std::io::Result<Deaf> {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        listen(&listener, 0)?;
        let address = SocketAddr::try_from(getsockname(&listener)?)?;
        let fillers = vec![TcpStream::connect(address)?];
        Ok(Deaf { address, _listener: listener, _fillers: fillers })
    }
}

/// The dials of a peer, and what came of them by a clock that is no peer's.
#[derive(Clone)]
pub(crate) struct Dials {
    pub(crate) to: SocketAddr,
    seen: Rc<RefCell<Lateness>>,
}

/// One dial that has been begun.
pub(crate) struct Dial {
    deadline_ns: u64,
    seen: Rc<RefCell<Lateness>>,
}

impl Dials {
    pub(crate) fn to(port: u16) -> Dials {
        Dials {
            to: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            seen: Rc::new(RefCell::new(Lateness::new(AT_ONCE * ROUNDS))),
        }
    }

    /// How often so many are to be dialled at once.
    pub(crate) fn rounds(&self) -> std::ops::Range<usize> {
        0..ROUNDS
    }

    /// A dial begins now.
    pub(crate) fn begin(&self) -> Dial {
        let deadline_ns = now_ns(ClockId::Monotonic) + TIMEOUT.as_nanos() as u64;
        Dial { deadline_ns, seen: self.seen.clone() }
    }

    pub(crate) fn tell(self) {
        let seen = self.seen.take();
        assert_eq!(seen.len(), AT_ONCE * ROUNDS, "one ended otherwise");
        seen.tell();
    }
}

impl Dial {
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }

    /// Its time is up.
    pub(crate) fn timed_out(self) {
        self.seen.borrow_mut().woke(self.deadline_ns);
    }
}
