//! [`Timeline`]: where the time of a request went.

use std::net::SocketAddr;
use std::time::Duration;

use punctual_reactor::{Instant, PhaseEnding};

use crate::error::Phase;

/// Where the time of a request went: its hops, and of each hop the phases.
///
/// ```text
///  0 ms                                                                    412 ms
///  ├ GET http://a/ ─┬ resolve ┬ connect ┬ tls ──┬ request ┬ first-byte ────┤ 301
///  └ GET https://b/ ─────────────────────────────────────── first-byte ┬ body ──▶ 200   (connection reused)
/// ```
///
/// One hop is one request on one connection: a redirect is another, and so is a retry. A phase that did not happen, as
/// connecting on a reused connection, is not in it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Timeline {
    /// When the request was begun.
    pub began: Instant,
    /// The time that it had in all.
    pub total: Duration,
    /// In the order in which they were begun; never empty.
    pub hops: Vec<Hop>,
}

/// One request on one connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Hop {
    /// What was asked, as `GET`.
    pub method: String,
    /// Of what, without user and password.
    pub url: String,
    /// When it was begun.
    pub began: Instant,
    /// The address of the other end, once there was a connection.
    pub peer: Option<SocketAddr>,
    /// The protocol spoken, as `HTTP/1.1`, once there was a response.
    pub version: Option<&'static str>,
    /// What the response said, once there was one.
    pub status: Option<u16>,
    /// Whether the connection had been used before.
    pub reused: bool,
    /// Bytes of the body received so far.
    pub body_bytes: u64,
    /// In the order in which they were begun. They may overlap: a response can begin while its request is being sent.
    pub phases: Vec<PhaseTime>,
}

/// One phase of a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PhaseTime {
    /// Which.
    pub phase: Phase,
    /// When it was begun.
    pub began: Instant,
    /// How long it took, or has taken so far if it has not ended.
    pub took: Duration,
    /// The time that it had: its own budget, or what was left of the whole if that was less.
    pub budget: Duration,
    /// How it ended, if it has.
    pub ending: Option<PhaseEnding>,
}

impl Timeline {
    /// Of a request that began then and had `total`; without a hop yet.
    #[must_use]
    pub fn new(began: Instant, total: Duration) -> Timeline {
        Timeline { began, total, hops: Vec::new() }
    }

    /// How long it has taken, from the beginning to the end of the phase that ended last.
    #[must_use]
    pub fn took(&self) -> Duration {
        let ends = self.hops.iter().flat_map(|hop| &hop.phases).map(PhaseTime::end);
        ends.max().map_or(Duration::ZERO, |end| end - self.began)
    }

    /// What is left of the time that it had in all.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.total.saturating_sub(self.took())
    }
}

impl Hop {
    /// A request that was begun then; without a phase yet.
    #[must_use]
    pub fn new(method: impl Into<String>, url: impl Into<String>, began: Instant) -> Hop {
        Hop {
            method: method.into(),
            url: url.into(),
            began,
            peer: None,
            version: None,
            status: None,
            reused: false,
            body_bytes: 0,
            phases: Vec::new(),
        }
    }
}

impl PhaseTime {
    /// One that was begun then, had `budget`, and has not ended.
    #[must_use]
    pub fn new(phase: Phase, began: Instant, budget: Duration) -> PhaseTime {
        PhaseTime { phase, began, took: Duration::ZERO, budget, ending: None }
    }

    /// It ended then, and so.
    #[must_use]
    pub fn ended(self, at: Instant, ending: PhaseEnding) -> PhaseTime {
        PhaseTime { took: at - self.began, ending: Some(ending), ..self }
    }

    /// When it ended, or was looked at.
    #[must_use]
    pub fn end(&self) -> Instant {
        self.began + self.took
    }

    /// What was left of its budget.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.budget.saturating_sub(self.took)
    }
}
