//! The oracles: what must hold whatever the scenario, and how an outcome becomes a row.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::time::Duration;

use nix::errno::Errno;
use punctual::Runtime;
use punctual::net::{Diagnosis, Error, Kind, Phase};
use rustix::time::{ClockId, clock_gettime};

use crate::row::Row;
use crate::scenarios::Scenario;

/// What an error says if its deadline passed while the loop was held up, for so long at least.
pub(crate) const HELD_UP: &str = "our own loop was held up";
const LOOP_LATE: Duration = Duration::from_millis(20);

/// What ended an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Ok,
    Failed(Kind),
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Class::Ok => f.write_str("Ok"),
            Class::Failed(Kind::Kernel(errno)) => write!(f, "Kernel({:?})", Errno::from_raw(*errno)),
            Class::Failed(kind) => write!(f, "{kind:?}"),
        }
    }
}

/// How an operation ended, and what was wrong with that.
pub(crate) struct Outcome {
    pub(crate) class: Class,
    /// `None` for what succeeded: the scenario says which that was.
    pub(crate) phase: Option<Phase>,
    pub(crate) fired: Duration,
    pub(crate) late: Duration,
    error: Option<String>,
    diagnosis: Option<String>,
    happened: Option<String>,
    wrong: Vec<String>,
}

/// A scenario that cannot run here says why.
pub(crate) type Judged = Result<Outcome, Skipped>;

pub(crate) struct Skipped(pub(crate) String);

impl Outcome {
    /// Judges what holds of every operation: never early, by the clock of this program and by the library's account.
    pub(crate) fn of<T>(result: &Result<T, Error>, set: Duration, began: Duration) -> Outcome {
        let fired = now() - began;
        let error = result.as_ref().err();
        let mut outcome = Outcome {
            class: error.map_or(Class::Ok, |error| Class::Failed(error.kind())),
            phase: error.map(Error::phase),
            fired,
            late: Duration::ZERO,
            error: error.map(Error::to_string),
            diagnosis: error.and_then(explanation),
            happened: None,
            wrong: Vec::new(),
        };
        if outcome.class == Class::Failed(Kind::Timeout) {
            outcome.late = fired.saturating_sub(set);
            outcome.must(fired >= set, || format!("early: {fired:?} of {set:?}"));
            // Lateness would hide a deadline that was set a little too near, but the error names it, on the same clock.
            let told = error.and_then(Error::deadline);
            let due =
                told.map(|info| Duration::from_nanos(info.deadline().as_nanos()).saturating_sub(began));
            outcome.must(due.is_some_and(|due| due >= set), || {
                format!("early: the error names {due:?} of {set:?}")
            });
            outcome.must(told.is_some_and(|info| info.fired() >= info.deadline()), || {
                format!("early, by the library's own account: {told:?}")
            });
        }
        outcome
    }

    /// Only this may have ended it, and there.
    pub(crate) fn must_be(mut self, kind: Kind, phase: Phase) -> Outcome {
        let (class, expected) = (self.class, Class::Failed(kind));
        self.must(class == expected, || format!("{class} where only {expected} is right"));
        let was = self.phase;
        self.must(was == Some(phase), || format!("in phase {was:?} instead of {phase:?}"));
        self
    }

    /// The error must say that this is why, or, on a machine that is so busy, that the loop was held up.
    pub(crate) fn explained_by(mut self, clause: &str) -> Outcome {
        let told = self.diagnosis.clone().unwrap_or_default();
        let busy = self.late >= LOOP_LATE && told.contains(HELD_UP);
        self.must(told.contains(clause) || busy, || {
            format!("the diagnosis is {told:?}, and not {clause:?}")
        });
        self
    }

    /// It must have succeeded with what is called `phase`.
    pub(crate) fn must_succeed(mut self, phase: Phase) -> Outcome {
        let class = self.class;
        self.must(class == Class::Ok, || format!("{class} where only Ok is right"));
        self.phase.get_or_insert(phase);
        self
    }

    pub(crate) fn must(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(otherwise());
        }
    }

    /// What was seen of the fault, in the words of the scenario.
    pub(crate) fn happened(&mut self, what: impl Into<String>) {
        self.happened = Some(what.into());
    }
}

/// Of a timeout what the kernel knew of the connection, of a cancel its cause, of an errno its name in words.
fn explanation(error: &Error) -> Option<String> {
    match error.kind() {
        Kind::Kernel(errno) => Some(Errno::from_raw(errno).desc().to_owned()),
        Kind::Cancelled => error.cause().map(ToString::to_string),
        _ => error.diagnosis().map(Diagnosis::to_string),
    }
}

/// What a process holds, and a runtime.
pub(crate) struct Holdings {
    fds: BTreeSet<String>,
}

/// What is there that was not before.
#[derive(Clone, Copy, Default)]
pub(crate) struct Leaked {
    pub(crate) fds: u64,
    pub(crate) tasks: u64,
    pub(crate) timers: u64,
}

impl Holdings {
    pub(crate) fn now() -> Holdings {
        Holdings { fds: open_fds() }
    }

    /// What is left over now. The runtime is given the turns that tasks need to end whose reason to wait has just gone.
    pub(crate) fn left(&self, runtime: &Runtime) -> Leaked {
        for _ in 0..100 {
            // A loop that cannot take a turn has leaked whatever it holds.
            let _ = runtime.turn(Some(Duration::ZERO));
        }
        let metrics = runtime.metrics();
        Leaked {
            fds: self.new_fds(),
            tasks: (metrics.live_tasks + metrics.live_scopes) as u64,
            timers: (metrics.live_timers + metrics.live_wheel_entries + metrics.live_sources) as u64,
        }
    }

    pub(crate) fn new_fds(&self) -> u64 {
        open_fds().difference(&self.fds).count() as u64
    }
}

/// Each by its number and what it is, so that a number that was reused shows.
fn open_fds() -> BTreeSet<String> {
    let Ok(listing) = fs::read_dir("/proc/self/fd") else { return BTreeSet::new() };
    let named = listing.flatten().filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        let target = target.to_string_lossy();
        // The listing itself.
        (!target.starts_with("/proc/")).then(|| format!("{:?} {target}", entry.file_name()))
    });
    named.collect()
}

impl Row {
    /// Of a scenario of which nothing is known yet.
    pub(crate) fn blank(scenario: &Scenario) -> Row {
        Row {
            scenario: scenario.name.to_owned(),
            ok: false,
            class: None,
            phase: None,
            set_ms: milliseconds(scenario.bound),
            fired_ms: None,
            late_us: None,
            leaked: None,
            leaked_fds: 0,
            leaked_tasks: 0,
            leaked_timers: 0,
            set: scenario.set.to_owned(),
            happened: scenario.fault.to_owned(),
            diagnosis: None,
            error: None,
            skipped: None,
            wrong: Vec::new(),
        }
    }

    pub(crate) fn skipped(scenario: &Scenario, why: String) -> Row {
        Row { skipped: Some(why), ..Row::blank(scenario) }
    }

    pub(crate) fn failed(scenario: &Scenario, why: String) -> Row {
        Row { wrong: vec![why], ..Row::blank(scenario) }
    }

    /// The verdict.
    pub(crate) fn judge(scenario: &Scenario, outcome: Outcome, leaked: Leaked, early: u64) -> Row {
        let mut wrong = outcome.wrong;
        let Leaked { fds, tasks, timers } = leaked;
        let all = fds + tasks + timers;
        if all > 0 {
            wrong.push(format!(
                "leaked {fds} descriptors, {tasks} tasks, {timers} timers and registrations"
            ));
        }
        if early > 0 {
            wrong.push(format!("the loop counts {early} early firings"));
        }
        let blank = Row::blank(scenario);
        Row {
            ok: wrong.is_empty(),
            class: Some(outcome.class.to_string()),
            phase: outcome.phase.map(|phase| phase.as_str().to_owned()),
            fired_ms: Some(milliseconds(outcome.fired)),
            late_us: Some((outcome.late.as_nanos() as f64 / 1e3 * 10.0).round() / 10.0),
            leaked: Some(all),
            leaked_fds: fds,
            leaked_tasks: tasks,
            leaked_timers: timers,
            happened: outcome.happened.unwrap_or(blank.happened),
            diagnosis: outcome.diagnosis,
            error: outcome.error,
            wrong,
            ..blank
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_nanos() as f64 / 1e3).round() / 1e3
}

/// This program's own clock: the one the kernel's timers run on, read without the help of what is judged.
pub(crate) fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
