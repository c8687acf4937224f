//! [`Builder`]: what can be chosen before a loop is built.

use std::io;
use std::time::Duration;

use punctual_timer_wheel::Tick;

use crate::alarm::AlarmKind;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::executor::Runtime;
use crate::leeway::Leeway;
use crate::precise::Precise;
use crate::reactor::Reactor;

/// Chooses clock, alarm, precision, budgets and leeway; see each method for its default.
///
/// ```
/// use punctual_reactor::{Leeway, Precise, Reactor};
/// let runtime = Reactor::builder().precise(Precise::DEFAULT).leeway(Leeway::NONE).build()?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) clock: Clock,
    pub(crate) alarm: AlarmKind,
    pub(crate) precise: Option<Precise>,
    pub(crate) budget: Budget,
    pub(crate) leeway: Leeway,
    pub(crate) tick: Tick,
    pub(crate) inbox_capacity: usize,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            clock: Clock::monotonic(),
            alarm: AlarmKind::Auto,
            precise: None,
            budget: Budget::DEFAULT,
            leeway: Leeway::MILLISECOND,
            tick: Tick::default(),
            inbox_capacity: 4096,
        }
    }
}

impl Builder {
    /// What time is read from; default [`Clock::monotonic`]. A [`VirtualClock`](crate::VirtualClock) goes
    /// here too.
    #[must_use]
    pub fn clock(mut self, clock: impl Into<Clock>) -> Builder {
        self.clock = clock.into();
        self
    }

    /// What ends a sleep at a deadline; default [`AlarmKind::Auto`].
    #[must_use]
    pub fn alarm(mut self, alarm: AlarmKind) -> Builder {
        self.alarm = alarm;
        self
    }

    /// Spins the last microseconds before a deadline that takes no leeway; default off.
    #[must_use]
    pub fn precise(mut self, precise: Precise) -> Builder {
        self.precise = Some(precise);
        self
    }

    /// How much one turn may do; default [`Budget::DEFAULT`].
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Builder {
        self.budget = budget;
        self
    }

    /// The widest leeway of connection deadlines and of `timeout`; they take a hundredth of the time
    /// they were given, at most this. Default [`Leeway::MILLISECOND`].
    #[must_use]
    pub fn leeway(mut self, leeway: Leeway) -> Builder {
        self.leeway = leeway;
        self
    }

    /// The unit of the timer wheel; deadlines are exact whatever it is. Default 1 024 ns.
    #[must_use]
    pub fn wheel_tick(mut self, tick: Tick) -> Builder {
        self.tick = tick;
        self
    }

    /// How many remote commands may wait; default 4 096.
    #[must_use]
    pub fn inbox_capacity(mut self, capacity: usize) -> Builder {
        self.inbox_capacity = capacity;
        self
    }

    /// A [`Runtime`] with these choices.
    ///
    /// # Errors
    /// `InvalidInput` for a choice with which nothing could run, or what the kernel says of the
    /// descriptors it needs.
    pub fn build(self) -> io::Result<Runtime> {
        self.build_reactor().and_then(Runtime::over)
    }

    /// A bare [`Reactor`] with these choices.
    ///
    /// # Errors
    /// As [`build`](Builder::build).
    pub fn build_reactor(self) -> io::Result<Reactor> {
        Reactor::build(self)
    }

    pub(crate) fn checked(self) -> io::Result<Builder> {
        self.budget.validate()?;
        let invalid = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what.to_owned()));
        if self.inbox_capacity == 0 {
            return invalid("inbox_capacity: zero, with which no remote command could ever be sent");
        }
        if let Some(precise) = &self.precise {
            if !(precise.share > 0.0 && precise.share <= 1.0) {
                return invalid("precise: `share` must lie above 0 and at most at 1");
            }
            if !(Duration::from_micros(1)..=Duration::from_millis(10)).contains(&precise.lead_max) {
                return invalid("precise: `lead_max` must lie between 1 µs and 10 ms");
            }
        }
        Ok(self)
    }
}
