//! [`Builder`]: what can be chosen before a loop is built.

use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use punctual_timer_wheel::Tick;

use crate::alarm::{AlarmClock, AlarmKind};
use crate::arena::Arena;
use crate::blame::{Choices, Ledger};
use crate::budget::Budget;
use crate::clock::Clock;
use crate::drift::{HELD_UP, Wait};
use crate::executor::Runtime;
use crate::leeway::Leeway;
use crate::metrics::Metrics;
use crate::numbers::Numbers;
use crate::opening::opening;
use crate::pending::Pending;
use crate::phases::Phases;
use crate::precise::{Precise, Spinner};
use crate::reactor::{ALARM, Reactor, WAKER};
use crate::remote::Shared;
use crate::scope::tree::Scopes;
use crate::timers::Timers;
use crate::token::ReactorId;

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
    pub(crate) blocking: BlockingLimits,
    pub(crate) account_polls: bool,
    pub(crate) stall_threshold: Duration,
    pub(crate) culprits_kept: usize,
}

/// How much may block at once, and how much may wait for that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockingLimits {
    pub(crate) threads: usize,
    pub(crate) queue: usize,
}

impl BlockingLimits {
    const DEFAULT: BlockingLimits = BlockingLimits { threads: 4, queue: 1024 };

    pub(crate) fn validate(self) -> io::Result<()> {
        let invalid = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what.to_owned()));
        if self.threads == 0 {
            return invalid("blocking_threads: zero, with which nothing that blocks could ever be run");
        }
        if self.queue == 0 {
            return invalid("blocking_queue: zero, with which nothing that blocks could ever be queued");
        }
        Ok(())
    }
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
            blocking: BlockingLimits::DEFAULT,
            account_polls: true,
            stall_threshold: HELD_UP,
            culprits_kept: 16,
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

    /// Spins the last microseconds before a deadline that takes no leeway; default off. It needs an alarm finer than
    /// its lead: in the milliseconds of [`AlarmKind::PollTimeout`] on epoll the wake-up comes after the deadline.
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

    /// How many threads [`blocking`](crate::blocking) may use, each started when there is work for it; default 4.
    #[must_use]
    pub fn blocking_threads(mut self, threads: usize) -> Builder {
        self.blocking.threads = threads;
        self
    }

    /// How many calls of [`blocking`](crate::blocking) may wait for a thread; default 1 024.
    #[must_use]
    pub fn blocking_queue(mut self, calls: usize) -> Builder {
        self.blocking.queue = calls;
        self
    }

    /// Whether the time of every poll is accounted to its task, for [`Runtime::tasks`](crate::Runtime::tasks) and so
    /// that it is known what held the loop up; default on. It costs a clock read a poll, some 30 ns.
    #[must_use]
    pub fn account_polls(mut self, account: bool) -> Builder {
        self.account_polls = account;
        self
    }

    /// From which length on a turn of the loop is a stall, and the loop's part of a lateness is put down to a
    /// [culprit](crate::Culprit); default 20 ms.
    #[must_use]
    pub fn stall_threshold(mut self, threshold: Duration) -> Builder {
        self.stall_threshold = threshold;
        self
    }

    /// How many of the worst culprits [`Runtime::blame`](crate::Runtime::blame) keeps; default 16.
    #[must_use]
    pub fn culprits_kept(mut self, culprits: usize) -> Builder {
        self.culprits_kept = culprits;
        self
    }

    /// A [`Runtime`] with these choices.
    ///
    /// # Errors
    /// `InvalidInput` for a choice with which nothing could run, or what the kernel says of the
    /// descriptors it needs.
    pub fn build(self) -> io::Result<Runtime> {
        let blocking = self.blocking;
        let opened = self.checked()?.open().and_then(|reactor| Runtime::over(reactor, blocking));
        opened.map_err(opening("a runtime"))
    }

    /// A bare [`Reactor`] with these choices.
    ///
    /// # Errors
    /// As [`build`](Builder::build).
    pub fn build_reactor(self) -> io::Result<Reactor> {
        self.checked()?.open().map_err(opening("a reactor"))
    }

    fn open(self) -> io::Result<Reactor> {
        let accounts = self.account_polls;
        let ledger = Ledger::new(Choices {
            threshold: self.stall_threshold,
            keep: self.culprits_kept,
            accounts,
            meters: self.clock.as_virtual().is_none(),
        });
        let Builder { clock, alarm, precise, budget, leeway, tick, inbox_capacity, .. } = self;
        let poll = mio::Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), WAKER)?;
        let alarm = AlarmClock::new(alarm, &clock)?;
        if let Some(fd) = alarm.fd() {
            let number = fd.as_raw_fd();
            poll.registry().register(&mut SourceFd(&number), ALARM, mio::Interest::READABLE)?;
        }
        let id = ReactorId::next();
        let (remote, inbox) = Shared::new(id, clock.clone(), waker, inbox_capacity);
        let now_ns = clock.now().as_nanos();
        Ok(Reactor {
            id,
            budget,
            events: mio::Events::with_capacity(budget.events),
            poll,
            alarm,
            spinner: precise.map(|precise| Spinner::new(precise, now_ns)),
            remote,
            inbox,
            sources: Arena::new(),
            numbers: Numbers::default(),
            plain: Arena::new(),
            timers: Timers::new(now_ns, tick),
            scopes: Scopes::default(),
            order: 0,
            now_ns,
            wait: Wait::default(),
            pending: Pending::default(),
            prepared: None,
            waiting_sides: 0,
            serves_tasks: false,
            shut_down: false,
            all_ran_in_turn: 0,
            accounts,
            clock_is_fresh: false,
            ledger,
            leeway,
            built_at_ns: now_ns,
            phases: Phases::default(),
            metrics: Metrics::default(),
            not_send: PhantomData,
            clock,
        })
    }

    fn checked(self) -> io::Result<Builder> {
        self.budget.validate()?;
        self.blocking.validate()?;
        let invalid = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what.to_owned()));
        if self.inbox_capacity == 0 {
            return invalid("inbox_capacity: zero, with which no remote command could ever be sent");
        }
        if self.stall_threshold.is_zero() {
            return invalid("stall_threshold: zero, with which every turn would be a stall");
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

impl Reactor {
    /// A reactor with the defaults of [`Reactor::builder`].
    ///
    /// # Errors
    /// Whatever the kernel says of the descriptors it needs: an epoll or kqueue, an eventfd, a timerfd.
    pub fn new() -> io::Result<Reactor> {
        Reactor::builder().build_reactor()
    }

    /// Sets clock, alarm, precision and budgets before it is built.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }
}
