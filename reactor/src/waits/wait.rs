//! [`Wait`]: one thing that waits.

use std::fmt;
use std::time::Duration;

use crate::executor::TaskInfo;
use crate::instant::Instant;
use crate::one_line::OneLine;
use crate::token::Token;
use crate::waits::WaitBound;

/// One thing that waits, as [`waits`](crate::waits) and [`Runtime::waits`](crate::Runtime::waits) list them.
///
/// Its `Display` is one line:
///
/// ```text
/// read 10.0.0.7:443 on Token(3#1 of reactor 1) for 1.5s, until 498ms from now by the timeout set at src/pay.rs:8:5, in request/upstream, by the task spawned at src/main.rs:31:12
/// read 10.0.0.9:443 on Token(5#1 of reactor 1) for 60.2s, WITHOUT A DEADLINE, by task "sync" spawned at src/main.rs:20:5
/// accept 0.0.0.0:443 on Token(0#1 of reactor 1) for 60.2s, without a deadline (idle), by the future of block_on at src/main.rs:9:5
/// ```
#[derive(Clone, Debug)]
pub struct Wait {
    pub(super) what: &'static str,
    pub(super) phase: &'static str,
    pub(super) subject: Option<String>,
    pub(super) token: Option<Token>,
    pub(super) now: Instant,
    pub(super) since: Instant,
    pub(super) bound: Option<(Instant, WaitBound)>,
    pub(super) class: WaitClass,
    pub(super) scope: Option<String>,
    pub(super) task: Option<TaskInfo>,
}

/// Whether something that waits has a deadline, and whether it ought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum WaitClass {
    /// It has a deadline.
    Bounded,
    /// It has none, and by its nature may go without: it waits for the next of something that may never come (an
    /// `accept`, a `signal`, the request for a `shutdown`), or for tasks, whose own waits are listed (a `join`).
    Idle,
    /// It has none by choice: it waits in the body of a [`scope`](crate::scope) that was made
    /// [`Unbounded`](crate::Unbounded), itself and not in a task or a scope in that. For whatever is idle by intent, as the
    /// reader of a queue: `scope("queue", Unbounded, async |_| …)`.
    Intended,
    /// It has none, and nobody has said that it may: a peer that falls silent holds it for ever.
    Unbounded,
}

impl WaitClass {
    /// Its name, as in metrics: `bounded`, `idle`, `intended` or `unbounded`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            WaitClass::Bounded => "bounded",
            WaitClass::Idle => "idle",
            WaitClass::Intended => "intended",
            WaitClass::Unbounded => "unbounded",
        }
    }
}

impl Wait {
    /// For what, as `read`, `write`, `accept`, `tcp-connect`, `sleep`, `join`, `resolve`. A `timeout` waits for something
    /// that the runtime does not know; so does a task that is `unknown`, and without a bound.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// The phase it is a part of: that of the innermost [named wait](crate::in_scope_as) around it, as `request` for a `read`;
    /// else the same as [`what`](Wait::what).
    #[must_use]
    pub fn phase(&self) -> &'static str {
        self.phase
    }

    /// With whom or what: the peer, the address that is listened on, the name that is looked up; `None` if that is not
    /// known.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
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

    /// How long it had waited when the list was made.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.now - self.since
    }

    /// By when it ends at the latest: the earliest of its own deadline, that of its side, those of its scopes,
    /// and those of the [`timeout`](crate::timeout)s in which it, or one of its scopes, is polled. `None` if there is none
    /// at all.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.bound.as_ref().map(|(at, _)| *at)
    }

    /// Whose deadline that is.
    #[must_use]
    pub fn bound(&self) -> Option<&WaitBound> {
        self.bound.as_ref().map(|(_, bound)| bound)
    }

    /// Whether it has a deadline, and whether it ought to.
    #[must_use]
    pub fn class(&self) -> WaitClass {
        self.class
    }

    /// Whether nothing bounds it, be that [as it should be](Wait::class) or not.
    #[must_use]
    pub fn has_no_deadline(&self) -> bool {
        self.bound.is_none()
    }

    /// The names of the scopes it is in, the outermost first, as `request/upstream`; `None` if it is in none.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The task that waits, or the future of `block_on`; `None` if that has returned since, and left behind what waits.
    #[must_use]
    pub fn task(&self) -> Option<&TaskInfo> {
        self.task.as_ref()
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.phase != self.what {
            write!(f, "{}: ", self.phase)?;
        }
        f.write_str(self.what)?;
        if let Some(subject) = &self.subject {
            write!(f, " {}", OneLine(subject))?;
        }
        if let Some(token) = self.token {
            write!(f, " on {token:?}")?;
        }
        write!(f, " for {:?}, ", self.age())?;
        match &self.bound {
            Some((deadline, bound)) => {
                match *deadline > self.now {
                    true => write!(f, "until {:?} from now", *deadline - self.now)?,
                    false => write!(f, "until {:?} ago", self.now - *deadline)?,
                }
                if *bound != WaitBound::Itself {
                    write!(f, " {bound}")?;
                }
            }
            None => f.write_str(match self.class {
                WaitClass::Idle => "without a deadline (idle)",
                WaitClass::Intended => "without a deadline (as intended)",
                _ => "WITHOUT A DEADLINE",
            })?,
        }
        if let Some(scope) = &self.scope {
            write!(f, ", in {}", OneLine(scope))?;
        }
        match &self.task {
            Some(task) => write!(f, ", by {task}"),
            None => f.write_str(", by a future that block_on has left"),
        }
    }
}
