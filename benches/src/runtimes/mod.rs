//! The peers, each as its own documentation advises, and what all of them do.

mod calloop;
mod compio;
mod glommio;
mod monoio;
mod native;
mod punctual;
mod raw;
mod smol;
mod tokio;

use std::time::Duration;

use crate::child::Ends;
use crate::options::Options;
use crate::workloads::connect::Dials;
use crate::workloads::drift::{Crowd, Sleeps};

pub(crate) use native::Program;
pub(crate) use punctual::cores;

/// How long a read may wait; each message renews it.
pub(crate) const IDLE: Duration = Duration::from_secs(5);

/// One runtime.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// The program that does all this, if it is not this one.
    pub(crate) program: Option<&'static Program>,
    /// The ways to bound a read, the first of which is none.
    pub(crate) bounds: &'static [&'static str],
    /// Answers what it is sent, until so many connections have ended.
    pub(crate) echo: fn(&str, Ends),
    /// Accepts connections and waits for what they say.
    pub(crate) hold: fn(&str),
    /// Whether it can hold as many as a process may have, in a time that others need as well.
    pub(crate) has_room: bool,
    /// The ways to do so that hold no buffer meanwhile, without a bound and with one.
    pub(crate) holds_bare: &'static [&'static str],
    /// The ways to sleep.
    pub(crate) sleeps: &'static [&'static str],
    /// Sleeps, once after the other.
    pub(crate) sleep: fn(&str, Sleeps),
    /// The ways to sleep by the thousand.
    pub(crate) crowds: &'static [&'static str],
    /// Has a thousand tasks that sleep again and again.
    pub(crate) crowd: fn(&str, Crowd),
    /// The ways to dial.
    pub(crate) dials: &'static [&'static str],
    /// Dials somebody who does not answer.
    pub(crate) dial: fn(&str, Dials),
    pub(crate) has_tasks: bool,
    /// Spawns, wakes and cancels so often.
    pub(crate) tasks: fn(u64),
    /// Is woken by another thread so often while it is busy, and does nothing else.
    pub(crate) busy_wakes: fn(u64),
}

impl Peer {
    /// One that does nothing here.
    const IDLER: Peer = Peer {
        name: "",
        program: None,
        bounds: &[],
        echo: |_, _| {},
        hold: |_| {},
        has_room: true,
        holds_bare: &[],
        sleeps: &[],
        sleep: |_, _| {},
        crowds: &[],
        crowd: |_, _| {},
        dials: &[],
        dial: |_, _| {},
        has_tasks: false,
        tasks: |_| {},
        busy_wakes: |_| {},
    };
}

/// What is not bounded.
pub(crate) const NONE: &str = "no deadline";

const ALL: &[Peer] = &[
    raw::PEER,
    punctual::PEER,
    tokio::PEER,
    smol::PEER,
    monoio::PEER,
    compio::PEER,
    glommio::PEER,
    calloop::PEER,
    native::LIBUV,
    native::GO,
];

pub(crate) fn find(name: &str) -> Option<&'static Peer> {
    ALL.iter().find(|peer| peer.name == name)
}

/// Those that are asked for and can be had here; of the others it is said why not.
pub(crate) fn wanted(options: &Options) -> Vec<&'static Peer> {
    let can_be_had = |peer: &&Peer| match peer.program.map(Program::build) {
        Some(Err(why)) => {
            eprintln!("SKIPPED: {}: {why}", peer.name);
            false
        }
        _ => true,
    };
    ALL.iter().filter(|peer| options.wants(peer.name)).filter(can_be_had).collect()
}
