//! What may be asked for.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// punctual beside its peers: the same workload by turns, medians and ratios.
#[derive(Debug, Parser)]
#[command(name = "punctual-benches")]
pub(crate) struct Options {
    /// What is measured.
    #[arg(value_enum)]
    pub(crate) workload: Workload,
    /// How often all of them have their turn.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,
    /// How long each turn lasts, in seconds: 1.5, and 5 where a thousand sleep.
    #[arg(long)]
    seconds: Option<f64>,
    /// How many connections at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 1000])]
    pub(crate) connections: Vec<usize>,
    /// How many timers at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000, 10_000_000])]
    pub(crate) timers: Vec<usize>,
    /// Only these peers, by name.
    #[arg(long, value_delimiter = ',')]
    pub(crate) peers: Vec<String>,
    /// Leaves out what valgrind and strace count.
    #[arg(long)]
    pub(crate) uncounted: bool,
    /// Prints a JSON document instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Prints Markdown instead of a table.
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
    /// Writes the Markdown into this file, between `<!-- WORKLOAD -->` and `<!-- /WORKLOAD -->`.
    #[arg(long, value_name = "FILE")]
    pub(crate) into: Option<PathBuf>,
    /// Draws the medians into this file; of all workloads, into `FILE-WORKLOAD`.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// 64 bytes to and fro, each read under an idle deadline of 5 s that every message renews.
    Echo,
    /// The same in user-space instructions, with and without the deadline.
    Renew,
    /// Sleeps: how late, and at what cost.
    Drift,
    /// Connections that say nothing, each with a deadline of 60 s: memory, processor time, wake-ups.
    Idle,
    /// Dials of an address that does not answer, 20 at a time: how late their deadline of 250 ms is.
    Connect,
    /// The structure that keeps the timers, alone, from a thousand of them to ten million.
    Wheel,
    /// An echo on two reactors that share a port, and on one.
    Cores,
    /// Tasks: spawning and joining them, waking them, cancelling what they wait for.
    Tasks,
    /// A program that says hello: how long it is built, of how many crates, how large it is.
    Size,
    /// All of these, one after the other.
    All,
}

impl Workload {
    /// This one, or all there are.
    pub(crate) fn each(self) -> Vec<Workload> {
        let all = Workload::value_variants().iter().filter(|workload| **workload != Workload::All);
        all.filter(|workload| [**workload, Workload::All].contains(&self)).copied().collect()
    }
}

impl Options {
    /// How long a turn lasts that takes `usually`.
    pub(crate) fn seconds(&self, usually: f64) -> f64 {
        self.seconds.unwrap_or(usually)
    }

    pub(crate) fn wants(&self, peer: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|name| name == peer)
    }
}
