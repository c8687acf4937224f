//! [`DeadlineInfo`]: which deadline it was.

use std::borrow::Cow;
use std::panic::Location;
use std::time::Duration;

use punctual_reactor::{Bound, Firing, Instant, OperationElapsed};

/// The deadline that ended an operation.
#[derive(Clone, Debug)]
pub struct DeadlineInfo {
    pub(crate) began: Option<Instant>,
    pub(crate) deadline: Instant,
    pub(crate) fired: Instant,
    pub(crate) budget: Option<Duration>,
    pub(crate) set_at: Option<&'static Location<'static>>,
    pub(crate) name: Option<Cow<'static, str>>,
    /// Whether it is that of a scope, whose name it has.
    pub(crate) of_scope: bool,
    /// Whether it is the most that a phase may take of a budget.
    pub(crate) of_cap: bool,
    /// Whether it is that of a `timeout` around the operation, which has dropped it.
    pub(crate) of_guard: bool,
    /// Whether it had passed before the operation began.
    pub(crate) before_it_began: bool,
    /// Whether it is the timeout of a single read.
    pub(crate) idle: bool,
    pub(crate) firing: Option<Firing>,
    pub(crate) held_up: Duration,
    /// What kind of bound it was, in words.
    pub(crate) description: Option<Cow<'static, str>>,
}

impl DeadlineInfo {
    /// Of an operation that had begun.
    pub(crate) fn new(deadline: Instant, fired: Instant) -> DeadlineInfo {
        DeadlineInfo {
            began: None,
            deadline,
            fired,
            budget: None,
            set_at: None,
            name: None,
            of_scope: false,
            of_cap: false,
            of_guard: false,
            before_it_began: false,
            idle: false,
            firing: None,
            held_up: Duration::ZERO,
            description: None,
        }
    }

    /// When it was to be over.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How long the operation had, if it was bounded by a timeout; `None` for an absolute deadline.
    #[must_use]
    pub fn budget(&self) -> Option<Duration> {
        self.budget
    }

    /// When it was ended; never before the deadline.
    #[must_use]
    pub fn fired(&self) -> Instant {
        self.fired
    }

    /// How long the operation had taken when it was ended; nothing if it [was over
    /// before](DeadlineInfo::before_it_began) it began. `None` if it is not known when it began.
    #[must_use]
    pub fn elapsed(&self) -> Option<Duration> {
        if self.before_it_began {
            return Some(Duration::ZERO);
        }
        let began = self.began.or_else(|| self.budget.map(|budget| self.deadline - budget));
        began.map(|began| self.fired - began)
    }

    /// How much later than the deadline it was ended; nothing if it [was over
    /// before](DeadlineInfo::before_it_began) the operation began.
    #[must_use]
    pub fn lateness(&self) -> Duration {
        if self.before_it_began { Duration::ZERO } else { self.fired - self.deadline }
    }

    /// Whether the deadline had passed before the operation began, which then did nothing at all.
    #[must_use]
    pub fn before_it_began(&self) -> bool {
        self.before_it_began
    }

    /// Where in the program it, or the timeout that it comes from, was set, if that was on the loop's thread.
    #[must_use]
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.set_at
    }

    /// How its lateness came about: how much of it was chosen, the kernel's and our own loop's. `None` if
    /// it [was over before](DeadlineInfo::before_it_began) the operation began.
    #[must_use]
    pub fn firing(&self) -> Option<&Firing> {
        self.firing.as_ref()
    }

    /// For how long our own loop was held up while the operation waited: by turns of 20 ms and more, of
    /// which one may have ended after the deadline. Not known of a lookup.
    #[must_use]
    pub fn held_up(&self) -> Duration {
        self.held_up
    }

    /// The name that was given to the operation, or to the scope whose deadline it was.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The name of the scope whose deadline it was, if it was a scope's and not the operation's own.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.name().filter(|_| self.of_scope)
    }

    /// What it asked for, where that is more than an end of time: `idle timeout`, `half-close linger`,
    /// `fewer than 500 B/s for 5 s (got 12)`.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref().or((self.idle && !self.of_scope).then_some("idle timeout"))
    }

    /// A bound that was over at `deadline`, found out at `fired`.
    pub(crate) fn over(
        deadline: Instant,
        fired: Instant,
        budget: Duration,
        set_at: &'static Location<'static>,
    ) -> DeadlineInfo {
        DeadlineInfo { budget: Some(budget), set_at: Some(set_at), ..DeadlineInfo::new(deadline, fired) }
    }

    /// The timeout around an operation that began at `began`, which has dropped it.
    pub(crate) fn around(began: Instant, deadline: Instant, fired: Instant) -> DeadlineInfo {
        let info = DeadlineInfo::new(deadline, fired).described("timeout around it");
        DeadlineInfo { began: Some(began), of_guard: true, ..info }
    }

    pub(crate) fn described(self, description: impl Into<Cow<'static, str>>) -> DeadlineInfo {
        DeadlineInfo { description: Some(description.into()), ..self }
    }
}

impl From<OperationElapsed> for DeadlineInfo {
    fn from(elapsed: OperationElapsed) -> DeadlineInfo {
        let (budget, set_at) = match &elapsed.bound {
            Bound::Deadline(set_at) => (None, *set_at),
            Bound::Timeout(budget, set_at) => (Some(*budget), *set_at),
            Bound::Scope(scope) => (scope.budget(), Some(scope.location())),
            _ => (None, None),
        };
        let of_scope = match &elapsed.bound {
            Bound::Scope(scope) => Some(scope.name().to_owned()),
            _ => None,
        };
        DeadlineInfo {
            began: Some(elapsed.began),
            budget,
            set_at,
            of_scope: of_scope.is_some(),
            name: of_scope.map(Cow::Owned),
            before_it_began: elapsed.before_it_began,
            firing: elapsed.firing(),
            held_up: elapsed.held_up(),
            ..DeadlineInfo::new(elapsed.deadline, elapsed.fired)
        }
    }
}
