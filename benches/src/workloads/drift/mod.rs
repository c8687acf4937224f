//! `drift`: sleeps, one after the other and a thousand at once; how late, and what they cost.

mod crowd;
mod sleeps;
mod targets;

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

pub(crate) use crowd::{Crowd, Sleeper};
pub(crate) use sleeps::{Length, Sleeps};
pub(crate) use targets::targets;

use crate::child::told;
use crate::options::Options;
use crate::report::Report;
use crate::rounds::{Row, Subject, by_turns, together};
use crate::runtimes::{self, Peer};

/// How long the short sleeps of a turn take together.
const SHORT_SECONDS: f64 = 1.5;
/// How long a thousand sleep.
const CROWD_SECONDS: f64 = 5.0;
/// How many long sleeps a turn has.
const OF_A_SECOND: u64 = 10;
const OF_FIVE_SECONDS: u64 = 3;

/// Those who sleep long do it together, since they do nothing meanwhile; so much after one another.
const APART: Duration = Duration::from_millis(37);

pub(crate) fn run(options: &Options) -> Result<Report, String> {
    let peers = runtimes::wanted(options);
    let sleeps = |length: Length| subjects(&peers, length.name(), |peer| peer.sleeps);
    let rounds = options.rounds;
    let short = options.seconds(SHORT_SECONDS) * 1e9 / Length::Short.mean_ns();
    let mut rows: Vec<Row> = by_turns(sleeps(Length::Short), rounds, |subject| {
        told(subject, "sleep", (short.ceil() as u64).max(1))
    })?;
    for (length, what, number) in
        [(Length::Second, "sleep-1s", OF_A_SECOND), (Length::FiveSeconds, "sleep-5s", OF_FIVE_SECONDS)]
    {
        rows.extend(together(sleeps(length), rounds, APART, |subject| told(subject, what, number))?);
    }
    let ms = (options.seconds(CROWD_SECONDS) * 1e3).ceil() as u64;
    rows.extend(by_turns(subjects(&peers, crowd::NAME, |peer| peer.crowds), rounds, |subject| {
        told(subject, "crowd", ms)
    })?);
    Ok(Report { workload: "drift", rounds, targets: targets(&rows), rows, machine: String::new() })
}

fn subjects(
    peers: &[&'static Peer],
    param: &str,
    variants: fn(&Peer) -> &'static [&'static str],
) -> Vec<Subject> {
    let of = |peer: &&'static Peer| {
        let (name, param) = (peer.name, param.to_owned());
        variants(peer).iter().map(move |variant| Subject { peer: name, variant, param: param.clone() })
    };
    peers.iter().flat_map(of).collect()
}

pub(crate) fn now_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

pub(crate) fn timespec(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 }
}
