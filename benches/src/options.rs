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
    /// How long each turn lasts, in seconds.
    #[arg(long, default_value_t = 1.5)]
    pub(crate) seconds: f64,
    /// How many connections at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 1000])]
    pub(crate) connections: Vec<usize>,
    /// Only these peers, by name.
    #[arg(long, value_delimiter = ',')]
    pub(crate) peers: Vec<String>,
    /// Leaves out what valgrind and strace count.
    #[arg(long)]
    pub(crate) uncounted: bool,
    /// Prints a JSON document instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Draws the medians into this file.
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
    /// Tasks: spawning and joining them, waking them, cancelling what they wait for.
    Tasks,
}

impl Options {
    pub(crate) fn wants(&self, peer: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|name| name == peer)
    }
}
