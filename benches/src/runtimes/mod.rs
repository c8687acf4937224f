//! The peers, each as its own documentation advises, and what all of them do.

mod compio;
mod monoio;
mod punctual;
mod raw;
mod smol;
mod tokio;

use std::time::Duration;

use crate::child::Ends;
use crate::workloads::connect::Dials;

/// How long a read may wait; each message renews it.
pub(crate) const IDLE: Duration = Duration::from_secs(5);

/// One runtime.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// The ways to bound a read, the first of which is none.
    pub(crate) bounds: &'static [&'static str],
    /// The ways to sleep.
    pub(crate) sleeps: &'static [&'static str],
    /// Answers what it is sent, until so many connections have ended.
    pub(crate) echo: fn(&str, Ends),
    /// Sleeps so often, one after the other.
    pub(crate) sleep: fn(&str, u64),
    /// Accepts connections and waits for what they say.
    pub(crate) hold: fn(&str),
    /// The ways to dial.
    pub(crate) dials: &'static [&'static str],
    /// Dials somebody who does not answer.
    pub(crate) dial: fn(&str, Dials),
    pub(crate) has_tasks: bool,
    /// Spawns, wakes and cancels so often.
    pub(crate) tasks: fn(u64),
}

/// What is not bounded.
pub(crate) const NONE: &str = "no deadline";

pub(crate) const ALL: &[Peer] =
    &[raw::PEER, punctual::PEER, tokio::PEER, smol::PEER, monoio::PEER, compio::PEER];

pub(crate) fn find(name: &str) -> Option<&'static Peer> {
    ALL.iter().find(|peer| peer.name == name)
}
