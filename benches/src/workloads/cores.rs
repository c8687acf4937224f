//! `cores`: an echo on two reactors that share a port, and on one; the load comes from the same cores.

use std::cell::Cell;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use crate::load::{Seen, Until, ping_pong_from};
use crate::options::Options;
use crate::report::{Report, Target};
use crate::rounds::{Figures, Row, Subject, by_turns, quantile};
use crate::server::Server;

const CONNECTIONS: usize = 64;
const SECONDS: f64 = 1.5;

const ONE: &str = "1 reactor";
const TWO: &str = "2 reactors";

/// How many reactors a variant has.
pub(crate) fn reactors(variant: &str) -> usize {
    if variant == TWO { 2 } else { 1 }
}

pub(crate) fn run(options: &Options) -> Result<Report, String> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        eprintln!("SKIPPED: two reactors want two cores, and there is one");
    }
    let param = format!("{CONNECTIONS} connections, load on the same 2 cores");
    let subject = |variant| Subject { peer: "punctual", variant, param: param.clone() };
    let subjects = [ONE, TWO].map(subject).into_iter().filter(|_| cores >= 2).collect();
    let limit = Duration::from_secs_f64(options.seconds(SECONDS));
    let rows = by_turns(subjects, options.rounds, |subject| timed(subject, limit))?;
    let (targets, rounds) = (targets(&rows), options.rounds);
    Ok(Report { workload: "cores", rounds, rows, targets, machine: String::new() })
}

pub(crate) fn targets(rows: &[Row]) -> Vec<Target> {
    let of = |variant| rows.iter().find(|row| row.subject.variant == variant);
    let ratio = of(TWO).zip(of(ONE)).and_then(|(two, one)| two.ratio(one, "cpu µs/request"));
    Target::most("cpu of 1 reactor's".into(), ratio, 1.05).into_iter().collect()
}

fn timed(subject: &Subject, limit: Duration) -> Result<Figures, String> {
    let server = Server::start_as("cores", &[], subject.peer, subject.variant, 0)?;
    let connected = Barrier::new(2);
    let loaded = |core: usize, started: &dyn Fn()| {
        ping_pong_from(core, server.address, CONNECTIONS / 2, Until::Passed(limit), || {
            connected.wait();
            started();
        })
        .map_err(|error| format!("the load failed: {error}"))
    };
    let before = Cell::new(0);
    let [mut here, there]: [Seen; 2] = thread::scope(|scope| {
        let there = scope.spawn(|| loaded(1, &|| {}));
        let here = loaded(0, &|| before.set(server.cpu_ns()));
        let there = there.join().unwrap_or_else(|_| Err("the load panicked".into()));
        Ok::<_, String>([here?, there?])
    })?;
    let cpu_ns = server.cpu_ns() - before.get();
    let requests = (here.requests + there.requests) as f64;
    here.latencies_ns.extend(there.latencies_ns);
    here.latencies_ns.sort_unstable();
    let us = |share| quantile(&here.latencies_ns, share) as f64 / 1e3;
    Ok(Figures::from([
        ("requests/s".into(), requests / here.took.max(there.took).as_secs_f64()),
        ("p50 µs".into(), us(0.5)),
        ("p99 µs".into(), us(0.99)),
        ("cpu µs/request".into(), cpu_ns as f64 / 1e3 / requests),
    ]))
}
