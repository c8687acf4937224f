//! [`Culprit`]: who held the loop, for how long, and what came of it.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use tracing::Metadata;

use crate::blame::meter::Ran;
use crate::blame::stretch::{Given, Holder};
use crate::executor::{TaskId, describe_task};
use crate::instant::Instant;
use crate::token::Token;

/// Who held the loop, for how long, and what came of it.
///
/// Its `Display` is one line:
///
/// ```text
/// task "report" spawned at src/main.rs:31:12 held the loop for 50.1ms in turn 61 (on the CPU for 0.1ms of it: it blocked), 3 firings late by up to 49.7ms
/// the call made at src/admin.rs:12:9 held the loop for 31.0ms in turn 80 (on the CPU for 30.9ms of it)
/// ```
///
/// A thread that the kernel does not run gets nothing done either. The culprit is then whoever was about to run;
/// [`ran`](Culprit::ran) says how much it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Culprit {
    pub(crate) holder: Holder,
    pub(crate) held_ns: u64,
    pub(crate) polls: u64,
    pub(crate) turn: u64,
    pub(crate) began_ns: u64,
    pub(crate) ran: Option<Ran>,
    pub(crate) others: Others,
    pub(crate) late_firings: u64,
    pub(crate) lateness_ns: u64,
}

/// What else took long at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Others {
    pub(crate) count: u64,
    pub(crate) held_ns: u64,
}

/// What kind of thing held the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CulpritKind {
    /// A task, or the future of `block_on`, that was polled or dropped.
    Task,
    /// A call from another thread.
    Call,
    /// What was to be run at the end of a scope.
    Hook,
    /// The handler of an event of a bare reactor.
    Handler,
    /// A waker that is not a task's.
    Waker,
    /// The loop itself.
    Loop,
    /// Whoever drives the loop, between two turns.
    Outside,
    /// It is not known: the loop [does not account](crate::Builder::account_polls).
    Unknown,
}

impl CulpritKind {
    /// In one word: `task`, `call`, `hook`, `handler`, `waker`, `loop`, `outside`, `unknown`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CulpritKind::Task => "task",
            CulpritKind::Call => "call",
            CulpritKind::Hook => "hook",
            CulpritKind::Handler => "handler",
            CulpritKind::Waker => "waker",
            CulpritKind::Loop => "loop",
            CulpritKind::Outside => "outside",
            CulpritKind::Unknown => "unknown",
        }
    }
}

impl fmt::Display for CulpritKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Culprit {
    /// What kind of thing it is.
    #[must_use]
    pub fn kind(&self) -> CulpritKind {
        match self.holder {
            Holder::Task { .. } => CulpritKind::Task,
            Holder::Call(_) => CulpritKind::Call,
            Holder::Hook(_) => CulpritKind::Hook,
            Holder::Handler(_) => CulpritKind::Handler,
            Holder::Waker(_) => CulpritKind::Waker,
            Holder::Loop | Holder::ShortPolls => CulpritKind::Loop,
            Holder::Outside => CulpritKind::Outside,
            Holder::Unknown => CulpritKind::Unknown,
        }
    }

    /// The task, if it is one.
    #[must_use]
    pub fn task(&self) -> Option<TaskId> {
        match &self.holder {
            Holder::Task { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// The name of the task, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.holder {
            Holder::Task { origin, .. } => origin.name(),
            _ => None,
        }
    }

    /// Where the task was spawned, `block_on` or the call was called, or the hook was set.
    #[must_use]
    pub fn location(&self) -> Option<&'static Location<'static>> {
        match &self.holder {
            Holder::Task { origin, .. } => Some(origin.spawned_at),
            Holder::Call(at) | Holder::Hook(at) => Some(at),
            Holder::Handler(Given::Call(at)) => *at,
            _ => None,
        }
    }

    /// The `tracing` span in which the task was spawned.
    #[must_use]
    pub fn span(&self) -> Option<&'static Metadata<'static>> {
        match &self.holder {
            Holder::Task { origin, .. } => origin.span().map(|span| span.metadata),
            _ => None,
        }
    }

    /// The source whose event was handled, or had somebody woken.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        match &self.holder {
            Holder::Handler(given) => given.token(),
            Holder::Waker(given) => given.and_then(Given::token),
            _ => None,
        }
    }

    /// For how long, over all [its polls](Culprit::polls) that were in the way.
    #[must_use]
    pub fn held(&self) -> Duration {
        Duration::from_nanos(self.held_ns)
    }

    /// In how many polls, or calls.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.polls
    }

    /// In which turn of the loop, by [`Metrics::turns`](crate::Metrics::turns); the longest of its polls counts.
    #[must_use]
    pub fn turn(&self) -> u64 {
        self.turn
    }

    /// When the longest of its polls began.
    #[must_use]
    pub fn began(&self) -> Instant {
        Instant::from_nanos(self.began_ns)
    }

    /// For how long at the most the thread was on a CPU meanwhile, to a millisecond: the rest it was blocked,
    /// stopped, or kept waiting by the kernel. `None` where that is not known: on a virtual clock, on systems other than
    /// Linux, and of what took less than a quarter of the threshold.
    #[must_use]
    pub fn ran(&self) -> Option<Duration> {
        self.ran.map(|ran| ran.cpu)
    }

    /// Whether the thread hardly ran, and the kernel has taken it off its CPU meanwhile or shortly before: then it may
    /// not have been the culprit's doing.
    #[must_use]
    pub fn may_have_been_preempted(&self) -> bool {
        self.ran.is_some_and(|ran| ran.preempted) && self.hardly_ran()
    }

    /// How many others took long at the same time.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.others.count
    }

    /// How long these took, all together.
    #[must_use]
    pub fn others_held(&self) -> Duration {
        Duration::from_nanos(self.others.held_ns)
    }

    /// How many firings were late for it, by the threshold and more.
    #[must_use]
    pub fn late_firings(&self) -> u64 {
        self.late_firings
    }

    /// The loop's part in the lateness of the latest of these.
    #[must_use]
    pub fn lateness(&self) -> Duration {
        Duration::from_nanos(self.lateness_ns)
    }

    fn hardly_ran(&self) -> bool {
        self.ran.is_some_and(|ran| ran.cpu * 2 < self.held())
    }

    /// Who it was, without what it did: `task "report" spawned at src/main.rs:31:12`.
    #[must_use]
    pub fn who(&self) -> impl fmt::Display {
        Who(&self.holder)
    }

    /// Takes over what is known of another time that the same one held the loop in the same turn.
    pub(crate) fn merge(&mut self, other: &Culprit) {
        if other.held_ns > self.held_ns {
            (self.held_ns, self.polls, self.others) = (other.held_ns, other.polls, other.others);
            (self.began_ns, self.ran) = (other.began_ns, other.ran);
        }
        self.late_firings += other.late_firings;
        self.lateness_ns = self.lateness_ns.max(other.lateness_ns);
    }

    pub(crate) fn is(&self, other: &Culprit) -> bool {
        self.turn == other.turn && self.holder.is(&other.holder)
    }
}

/// The culprit as the subject of a sentence.
struct Who<'a>(&'a Holder);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Holder::Task { id, origin } => {
                let span = origin.span().map(|span| span.metadata.name());
                describe_task(f, id.is_main(), origin.name(), origin.spawned_at, span)
            }
            Holder::Call(at) => write!(f, "the call made at {at}"),
            Holder::Hook(at) => write!(f, "what was to be run at the end of a scope, said at {at},"),
            Holder::Handler(given) => write!(f, "the handler of {given}"),
            Holder::Waker(Some(given)) => write!(f, "the waker of who waited for {given}"),
            Holder::Waker(None) => f.write_str("a waker"),
            Holder::Loop | Holder::ShortPolls => f.write_str("the loop itself"),
            Holder::Outside => f.write_str("whoever drives the loop, between two turns,"),
            Holder::Unknown => f.write_str("somebody (polls are not accounted)"),
        }
    }
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} held the loop for {:.1?}", self.who(), self.held())?;
        if self.polls > 1 {
            write!(f, " in {} polls", self.polls)?;
        }
        write!(f, " in turn {}", self.turn)?;
        if let Some(ran) = self.ran() {
            write!(f, " (on the CPU for {ran:.1?} of it")?;
            f.write_str(match (self.hardly_ran(), self.may_have_been_preempted()) {
                (false, _) => ")",
                (true, false) => ": it blocked)",
                (true, true) => ": it blocked, or the kernel ran others)",
            })?;
        }
        if self.others.count > 0 {
            write!(f, ", {} more for {:.1?}", self.others.count, self.others_held())?;
        }
        match self.late_firings {
            0 => Ok(()),
            1 => write!(f, ", 1 firing late by {:.1?}", self.lateness()),
            many => write!(f, ", {many} firings late by up to {:.1?}", self.lateness()),
        }
    }
}
