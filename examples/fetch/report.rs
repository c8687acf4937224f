//! What was found out, as plain data: the object that `--json` prints, and what the text and the picture are drawn from.
//!
//! Durations are whole nanoseconds, and their names end in `_ns`. Fields may be added, none is taken away while
//! `version` is the same.
//!
//! ```text
//! { "version": 1,
//!   "fetches": [                      one for each URL and repeat, in the order in which they were asked for
//!     { "url": "http://a/",           as it was given
//!       "outcome": "done",            done | failed | timed-out | refused
//!       "began_ns": 0,                since the program began to fetch
//!       "took_ns", "budget_ns", "left_ns",     of the whole
//!       "status": 200, "version": "HTTP/1.1",  of the last response; null if there was none
//!       "headers": [["content-type", "text/html"]],
//!       "body_bytes": 1270,
//!       "saved_to": "page.html",      null if the body was not kept, "-" for stdout
//!       "hops": [                     a redirect is another, and so is a retry
//!         { "method": "GET", "url": "http://a/", "peer": "192.0.2.1:80", "version": "HTTP/1.1", "status": 200,
//!           "reused": false, "body_bytes": 1270, "began_ns": 0,       since the fetch began
//!           "phases": [
//!             { "name": "resolve",    resolve | connect | tls | write | wait | body
//!               "phase": "resolve",   what errors, metrics and logs call it
//!               "began_ns", "took_ns", "budget_ns", "left_ns",
//!               "ending": "done" } ] } ],     or timeout-own, failed …: see punctual::PhaseEnding; null if under way
//!       "error":                      null if all went well
//!         { "kind": "Timeout", "name": "wait", "phase": "first-byte",
//!           "message": "…",           the whole sentence
//!           "diagnosis": "…",         why time ran out, if it did and that is known
//!           "deadline":               null if it was none that ended it
//!             { "whose": "own",       own | idle | rate | total | scope
//!               "name", "budget_ns", "elapsed_ns", "late_ns", "set_at" } } } ] }
//! ```

use std::time::Duration;

use punctual::http::Timeline;
use punctual::net::{DeadlineInfo, Error, Kind, Phase};
use punctual::{Instant, PhaseEnding, TimeoutBy};
use serde::Serialize;

/// All that was fetched in one run.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) version: u32,
    pub(crate) fetches: Vec<Fetched>,
}

/// One URL, fetched once, over whatever hops.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Fetched {
    pub(crate) url: String,
    pub(crate) outcome: Outcome,
    pub(crate) began_ns: u64,
    pub(crate) took_ns: u64,
    pub(crate) budget_ns: u64,
    pub(crate) left_ns: u64,
    pub(crate) status: Option<u16>,
    pub(crate) version: Option<&'static str>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body_bytes: u64,
    pub(crate) saved_to: Option<String>,
    pub(crate) hops: Vec<Hop>,
    pub(crate) error: Option<Failure>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    #[default]
    Done,
    Failed,
    TimedOut,
    /// By the server, with a status of 400 or more, if that is a failure.
    Refused,
}

/// One request on one connection.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Hop {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) peer: Option<String>,
    pub(crate) version: Option<&'static str>,
    pub(crate) status: Option<u16>,
    pub(crate) reused: bool,
    pub(crate) body_bytes: u64,
    pub(crate) began_ns: u64,
    pub(crate) phases: Vec<Row>,
}

/// One phase: a row of the waterfall.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) phase: &'static str,
    pub(crate) began_ns: u64,
    pub(crate) took_ns: u64,
    pub(crate) budget_ns: u64,
    pub(crate) left_ns: u64,
    pub(crate) ending: Option<&'static str>,
}

/// Why there is no whole body.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Failure {
    pub(crate) kind: String,
    pub(crate) name: Option<&'static str>,
    pub(crate) phase: Option<&'static str>,
    pub(crate) message: String,
    pub(crate) diagnosis: Option<String>,
    pub(crate) deadline: Option<Deadline>,
}

/// The deadline that ended it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Deadline {
    pub(crate) whose: &'static str,
    pub(crate) name: Option<String>,
    pub(crate) budget_ns: Option<u64>,
    pub(crate) elapsed_ns: Option<u64>,
    pub(crate) late_ns: u64,
    pub(crate) set_at: Option<String>,
}

impl Report {
    /// That of the first fetch that did not go well, or 0.
    pub(crate) fn exit_code(&self) -> u8 {
        let makes_no_sense = format!("{:?}", Kind::InvalidInput);
        let codes = self.fetches.iter().map(|fetched| match fetched.outcome {
            Outcome::Done => 0,
            Outcome::Failed
                if fetched.error.as_ref().is_some_and(|error| error.kind == makes_no_sense) =>
            {
                2
            }
            Outcome::Failed => 1,
            Outcome::TimedOut => 3,
            Outcome::Refused => 4,
        });
        codes.into_iter().find(|code| *code != 0).unwrap_or(0)
    }
}

impl Fetched {
    /// `timeline` as rows, beginning at `origin`.
    pub(crate) fn of(url: &str, origin: Instant, timeline: &Timeline) -> Fetched {
        let began = timeline.began;
        let hops = timeline.hops.iter().map(|hop| Hop {
            method: hop.method.clone(),
            url: hop.url.clone(),
            peer: hop.peer.map(|peer| peer.to_string()),
            version: hop.version,
            status: hop.status,
            reused: hop.reused,
            body_bytes: hop.body_bytes,
            began_ns: nanos(hop.began - began),
            phases: hop
                .phases
                .iter()
                .map(|phase| Row {
                    name: name_of(phase.phase),
                    phase: phase.phase.as_str(),
                    began_ns: nanos(phase.began - began),
                    took_ns: nanos(phase.took),
                    budget_ns: nanos(phase.budget),
                    left_ns: nanos(phase.left()),
                    ending: phase.ending.map(PhaseEnding::as_str),
                })
                .collect(),
        });
        let hops: Vec<_> = hops.collect();
        let last = hops.last();
        Fetched {
            url: without_password(url),
            began_ns: nanos(began - origin),
            took_ns: nanos(timeline.took()),
            budget_ns: nanos(timeline.total),
            left_ns: nanos(timeline.left()),
            status: last.and_then(|hop| hop.status),
            version: last.and_then(|hop| hop.version),
            body_bytes: last.map_or(0, |hop| hop.body_bytes),
            hops,
            ..Fetched::default()
        }
    }

    /// What there was to be known of a request that has had no response.
    pub(crate) fn failed_at_once(url: &str, origin: Instant, error: &Error) -> Fetched {
        let fetched = match error.timeline() {
            Some(timeline) => Fetched::of(url, origin, timeline),
            None => Fetched { url: without_password(url), ..Fetched::default() },
        };
        fetched.failed(error)
    }

    /// That this has ended it.
    pub(crate) fn failed(mut self, error: &Error) -> Fetched {
        self.outcome = if error.is_timeout() { Outcome::TimedOut } else { Outcome::Failed };
        self.error = Some(Failure {
            kind: format!("{:?}", error.kind()),
            name: Some(name_of(error.phase())),
            phase: Some(error.phase().as_str()),
            message: error.to_string(),
            diagnosis: error.diagnosis().map(ToString::to_string),
            deadline: error.deadline().map(|info| self.deadline(info)),
        });
        self
    }

    /// That something beside the network has.
    pub(crate) fn failed_here(mut self, message: String) -> Fetched {
        self.outcome = Outcome::Failed;
        let failure = Failure { kind: "Output".to_owned(), message, ..Failure::default() };
        self.error = Some(failure);
        self
    }

    fn deadline(&self, info: &DeadlineInfo) -> Deadline {
        let ended = self.rows().rfind(|row| row.is_overdue()).and_then(|row| row.ending);
        Deadline {
            whose: whose(info, ended),
            name: info.name().map(ToOwned::to_owned),
            budget_ns: info.budget().map(nanos),
            elapsed_ns: info.elapsed().map(nanos),
            late_ns: nanos(info.lateness()),
            set_at: info.location().map(ToString::to_string),
        }
    }

    /// The rows of all hops, in order.
    pub(crate) fn rows(&self) -> impl DoubleEndedIterator<Item = &Row> {
        self.hops.iter().flat_map(|hop| &hop.phases)
    }
}

impl Row {
    /// Whether a deadline has ended it.
    pub(crate) fn is_overdue(&self) -> bool {
        self.ending.is_some_and(|ending| ending.starts_with("timeout-"))
    }

    /// Whether it came to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.ending == Some(PhaseEnding::Done.as_str())
    }
}

/// Whose deadline it was, in one word.
fn whose(info: &DeadlineInfo, ended: Option<&'static str>) -> &'static str {
    let is = |by| ended == Some(PhaseEnding::Timeout(by).as_str());
    match info.description().unwrap_or_default() {
        _ if info.scope().is_some() || is(TimeoutBy::Scope) => "scope",
        what if what.contains("B/s") => "rate",
        what if what.contains("idle") => "idle",
        what if what.contains("total") => "total",
        _ => "own",
    }
}

/// Whoever sees a report need not know a password.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

/// What the phase is called in the waterfall.
fn name_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Connect => "connect",
        Phase::Tls => "tls",
        Phase::Request => "write",
        Phase::FirstByte => "wait",
        other => other.as_str(),
    }
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}
