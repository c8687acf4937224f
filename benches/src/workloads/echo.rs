//! `echo`: 64 bytes to and fro.

use std::cell::Cell;
use std::time::Duration;

use crate::counted::Counter;
use crate::load::{Until, ping_pong};
use crate::options::Options;
use crate::report::{Report, Target};
use crate::rounds::{Figures, Row, Subject, by_turns, quantile};
use crate::runtimes::{self, Peer};
use crate::server::Server;

/// Connections of what is counted: enough that a turn has several events, few enough for valgrind.
const COUNTED: usize = 8;
/// How long a turn takes.
const SECONDS: f64 = 1.5;

pub(crate) fn run(options: &Options) -> Result<Report, String> {
    let peers = runtimes::wanted(options);
    let mut rows = Vec::new();
    for &connections in &options.connections {
        let limit = Duration::from_secs_f64(options.seconds(SECONDS));
        rows.extend(by_turns(subjects(&peers, connections), options.rounds, |subject| {
            timed(subject, connections, limit)
        })?);
    }
    if !options.uncounted {
        rows.extend(counted(&peers)?);
    }
    Ok(Report {
        workload: "echo",
        rounds: options.rounds,
        targets: targets(&rows),
        rows,
        machine: String::new(),
    })
}

fn subjects(peers: &[&'static Peer], connections: usize) -> Vec<Subject> {
    let of = |peer: &&'static Peer| {
        let name = peer.name;
        peer.bounds.iter().map(move |variant| Subject {
            peer: name,
            variant,
            param: format!("{connections} connections"),
        })
    };
    peers.iter().flat_map(of).collect()
}

fn timed(subject: &Subject, connections: usize, limit: Duration) -> Result<Figures, String> {
    let server = Server::start(&[], subject.peer, subject.variant, connections + 1)?;
    let before = Cell::new(0);
    let seen = ping_pong(server.address, connections, Until::Passed(limit), || {
        before.set(server.cpu_ns());
    })
    .map_err(|error| format!("the load failed: {error}"))?;
    let cpu_ns = server.cpu_ns() - before.get();
    let us = |share| quantile(&seen.latencies_ns, share) as f64 / 1e3;
    Ok(Figures::from([
        ("requests/s".into(), seen.requests as f64 / seen.took.as_secs_f64()),
        ("p50 µs".into(), us(0.5)),
        ("p99 µs".into(), us(0.99)),
        ("cpu µs/request".into(), cpu_ns as f64 / 1e3 / seen.requests as f64),
    ]))
}

/// Instructions and system calls, which need no rounds: they do not vary.
pub(super) fn counted(peers: &[&'static Peer]) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = Vec::new();
    for subject in subjects(peers, COUNTED) {
        let mut figures = Figures::new();
        for (name, counter) in [
            ("instructions/request", Counter::Instructions),
            ("system calls/request", Counter::SystemCalls),
        ] {
            if !counter.is_here() {
                eprintln!("SKIPPED: {name}: {} is not installed", counter.tool());
                continue;
            }
            match counter.per_request(subject.peer, subject.variant, COUNTED) {
                Ok(count) => drop(figures.insert(name.into(), count)),
                // valgrind does not know io_uring.
                Err(why) => {
                    eprintln!("SKIPPED: {name} of {} ({}): {why}", subject.peer, subject.variant)
                }
            }
        }
        let param = format!("{COUNTED} connections, counted");
        rows.push(Row { subject: Subject { param, ..subject }, turns: vec![figures] });
    }
    Ok(rows)
}

pub(crate) fn targets(rows: &[Row]) -> Vec<Target> {
    let of = |peer: &str, variant: &str, param: &str| {
        rows.iter().find(|row| {
            let subject = &row.subject;
            (subject.peer, subject.variant, subject.param.as_str()) == (peer, variant, param)
        })
    };
    let mut targets = Vec::new();
    let params: Vec<&str> = {
        let mut params: Vec<&str> = rows.iter().map(|row| row.subject.param.as_str()).collect();
        params.dedup();
        params
    };
    for param in params {
        let Some(ours) = of("punctual", "read timeout", param) else { continue };
        let ratio = |peer, variant, figure| ours.ratio(of(peer, variant, param)?, figure);
        targets.extend(Target::most(
            format!("cpu of raw without deadlines, {param}"),
            ratio("raw", runtimes::NONE, "cpu µs/request"),
            1.05,
        ));
        targets.extend(Target::most(
            format!("cpu of tokio with timeout, {param}"),
            ratio("tokio", "timeout", "cpu µs/request"),
            1.0,
        ));
        let raw = of("raw", runtimes::NONE, param);
        let calls = |row: &Row| row.median("system calls/request");
        let more = raw.and_then(|raw| Some(calls(ours)? - calls(raw)?));
        targets.extend(Target::most("system calls/request over raw's".into(), more, 0.02));
        targets.extend(Target::most(
            "instructions/request, deadline renewed".into(),
            ours.median("instructions/request"),
            450.0,
        ));
    }
    targets
}
