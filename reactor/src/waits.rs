//! The audit: what waits now, for what, since when, and until when.

use std::fmt;
use std::panic::Location;

use crate::arena::Id;
use crate::executor::{Driver, Runtime, context};
use crate::instant::Instant;
use crate::one_line::OneLine;
use crate::reactor::Reactor;
use crate::readiness::Direction;
use crate::source::NEVER;
use crate::token::Token;
use crate::waiters::Note;

/// One thing that waits, as [`waits`] and [`Runtime::waits`] list them.
///
/// Its `Display` is one line:
///
/// ```text
/// read on Token(3#1 of reactor 1) for 1.5s, until 498ms from now, in request/upstream, by the task spawned at src/main.rs:31:12
/// accept on Token(0#1 of reactor 1) for 60.2s, WITHOUT A DEADLINE, by the task spawned at src/main.rs:20:5
/// ```
#[derive(Clone, Debug)]
pub struct Wait {
    what: &'static str,
    token: Option<Token>,
    now: Instant,
    since: Instant,
    deadline: Option<Instant>,
    scope: Option<String>,
    task: Option<&'static Location<'static>>,
}

/// Something that waits and is no operation on a source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OtherWait {
    pub(crate) what: &'static str,
    pub(crate) note: Note,
}

impl Wait {
    /// For what, as `read`, `write`, `accept`, `tcp-connect`, `sleep`, `join`, `lookup`.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// On which source, if on one.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        self.token
    }

    /// Since when, as of the start of the turn in which it began to wait.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// By when it ends at the latest: the earliest of its own deadline, that of its side, and those of its
    /// scopes. `None` if there is none at all.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether nothing bounds it.
    #[must_use]
    pub fn has_no_deadline(&self) -> bool {
        self.deadline.is_none()
    }

    /// The names of the scopes it is in, the outermost first, as `request/upstream`; `None` if it is in none.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Where the task was spawned that waits; `None` for the future of `block_on`.
    #[must_use]
    pub fn task(&self) -> Option<&'static Location<'static>> {
        self.task
    }
}

/// What waits now on the runtime of this thread: see [`Runtime::waits`]. Nothing outside of a runtime.
#[must_use]
pub fn waits() -> Vec<Wait> {
    context::try_current().map(|driver| driver.waits()).unwrap_or_default()
}

impl Runtime {
    /// What waits now: every operation on a source, every sleep, join, and [other wait](crate::in_scope_as) of this
    /// runtime's own. What was woken and has not run since is not among them, nor is what is waited for by means
    /// that the runtime does not know. A [`timeout`](crate::timeout) is a wait of its own: of what it guards the
    /// runtime knows only that it waits, in contrast to what is in a [`scope`](crate::scope). So are the bounds of
    /// whatever has a timer of its own, as a copy between two streams has.
    ///
    /// It costs a walk over all sources and timers, and nothing when it is not called. From another thread
    /// have the loop do it: `handle.call(|| tell(waits()))`.
    #[must_use]
    pub fn waits(&self) -> Vec<Wait> {
        self.driver().waits()
    }
}

impl Driver {
    fn waits(&self) -> Vec<Wait> {
        let now = self.clock.now();
        let mut reactor = self.reactor.borrow_mut();
        let mut found = reactor.found_waiting();
        for (_, other) in &*self.waits.borrow() {
            found.push(Found { what: other.what, token: None, until_ns: NEVER, note: other.note });
        }
        let waits = found.into_iter().map(|Found { what, token, until_ns, note }| {
            let scope_ns = note.scope.map_or(NEVER, |scope| reactor.scopes.effective_ns(scope));
            let deadline_ns = until_ns.min(note.until_ns).min(scope_ns);
            Wait {
                what,
                token,
                now,
                since: Instant::from_nanos(note.since_ns),
                deadline: (deadline_ns != NEVER).then(|| Instant::from_nanos(deadline_ns)),
                scope: note.scope.map(|scope| reactor.scope_path(scope)),
                task: self.spawned_at(note.task),
            }
        });
        waits.collect()
    }
}

struct Found {
    what: &'static str,
    token: Option<Token>,
    /// By when, for reasons that are not its own.
    until_ns: u64,
    note: Note,
}

impl Reactor {
    fn found_waiting(&mut self) -> Vec<Found> {
        let mut found = Vec::new();
        let reactor = self.id;
        for (id, source) in self.sources.iter_mut() {
            for direction in Direction::BOTH {
                let side = source.side(direction);
                let token = Some(Token { id, reactor });
                let (what, until_ns) = (side.label, side.deadline);
                found.extend(side.waiters.notes().map(|note| Found { what, token, until_ns, note }));
            }
        }
        for (_, plain) in self.plain.iter_mut() {
            let (what, until_ns) = (plain.what, plain.deadline.as_nanos());
            let notes = plain.waiters.notes();
            found.extend(notes.map(|note| Found { what, token: None, until_ns, note }));
        }
        found
    }

    /// The names of the scopes from the outermost to `id`.
    pub(crate) fn scope_path(&mut self, id: Id) -> String {
        let names = self.scopes.path(id);
        names.iter().map(|name| &**name).collect::<Vec<_>>().join("/")
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        if let Some(token) = self.token {
            write!(f, " on {token:?}")?;
        }
        write!(f, " for {:?}, ", self.now - self.since)?;
        match self.deadline {
            Some(deadline) if deadline > self.now => {
                write!(f, "until {:?} from now", deadline - self.now)?
            }
            Some(deadline) => write!(f, "until {:?} ago", self.now - deadline)?,
            None => f.write_str("WITHOUT A DEADLINE")?,
        }
        if let Some(scope) = &self.scope {
            write!(f, ", in {}", OneLine(scope))?;
        }
        match self.task {
            Some(at) => write!(f, ", by the task spawned at {at}"),
            None => f.write_str(", by the future of block_on"),
        }
    }
}
