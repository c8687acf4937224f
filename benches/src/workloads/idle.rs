//! `idle`: connections that say nothing.

use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::options::Options;
use crate::report::{Report, Target};
use crate::rounds::{Figures, Row, Subject, by_turns};
use crate::runtimes;
use crate::server::Server;

/// As many as a process may have here, of 20 000 descriptors.
const MOST: usize = 19_500;
/// How long it is watched whether they do anything.
const SECONDS: f64 = 1.5;
/// How long each read may wait.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// What each connection keeps to read into.
pub(crate) const BUFFER: usize = 1024;
/// What reads into a buffer that it borrows where something has come.
pub(crate) const POOLED: &str = "pooled, no deadline";
pub(crate) const POOLED_TIMEOUT: &str = "pooled, read timeout";

pub(crate) fn run(options: &Options) -> Result<Report, String> {
    let limit = raise_limit();
    let connections = MOST.min(limit.saturating_sub(200));
    let peers = runtimes::wanted(options).into_iter().filter(|peer| peer.has_room);
    let of = |peer: &'static runtimes::Peer| {
        let param = format!("{connections} connections");
        let variants = peer.bounds.iter().chain(peer.holds_bare);
        variants.map(move |variant| Subject { peer: peer.name, variant, param: param.clone() })
    };
    let rows = by_turns(peers.flat_map(of).collect(), options.rounds, |subject| {
        held(subject, connections, Duration::from_secs_f64(options.seconds(SECONDS)))
    })?;
    let (targets, machine) = (targets(&rows), String::new());
    Ok(Report { workload: "idle", rounds: options.rounds, rows, targets, machine })
}

/// Lets this process, and what it starts, have as many descriptors as may be.
fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| most as usize)
}

fn held(subject: &Subject, connections: usize, limit: Duration) -> Result<Figures, String> {
    let server = Server::start_as("hold", &[], subject.peer, subject.variant, 0)?;
    let connect = || TcpStream::connect(server.address).map_err(|error| error.to_string());
    // What the first ones cost is the program's.
    let warm: Vec<_> = (0..100).map(|_| connect()).collect::<Result<_, _>>()?;
    settled(&server);
    let before = server.memory().ok_or("its memory is not known")?;
    let streams: Vec<_> = (warm.len()..connections).map(|_| connect()).collect::<Result<_, _>>()?;
    settled(&server);
    let after = server.memory().ok_or("its memory is not known")?;
    let (waits, cpu_ns) = (server.waits(), server.cpu_ns());
    std::thread::sleep(limit);
    let per_second = |count: u64| count as f64 / limit.as_secs_f64();
    Ok(Figures::from([
        ("bytes/connection".into(), (after - before) as f64 / streams.len() as f64),
        ("wakes/s".into(), per_second(server.waits() - waits)),
        ("cpu ms/s".into(), per_second(server.cpu_ns() - cpu_ns) / 1e6),
    ]))
}

/// Waits until it has accepted all: it does nothing any more.
fn settled(server: &Server) {
    let mut before = u64::MAX;
    loop {
        std::thread::sleep(Duration::from_millis(50));
        let now = server.cpu_ns();
        if now == before {
            return;
        }
        before = now;
    }
}

pub(crate) fn targets(rows: &[Row]) -> Vec<Target> {
    let of = |peer: &str, variant: &str| {
        rows.iter().find(|row| row.subject.peer == peer && row.subject.variant == variant)
    };
    let bytes = |row: &Row| row.median("bytes/connection");
    let ours = of("punctual", "read timeout").and_then(bytes);
    let pooled = of("punctual", POOLED_TIMEOUT).and_then(bytes);
    let unbounded = of("punctual", POOLED).and_then(bytes);
    let tokio = of("tokio", "timeout").and_then(bytes);
    let without_buffer = ours.map(|ours| ours - BUFFER as f64);
    [
        Target::most("bytes/connection, reads pooled".into(), pooled, 500.0),
        Target::most("bytes of a deadline".into(), pooled.zip(unbounded).map(|(a, b)| a - b), 25.0),
        Target::most(
            "of tokio with timeout, without the buffers".into(),
            without_buffer.zip(tokio).map(|(ours, tokio)| ours / (tokio - BUFFER as f64)),
            0.6,
        ),
        Target::most(
            "wakes/s".into(),
            of("punctual", "read timeout").and_then(|row| row.median("wakes/s")),
            0.5,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}
