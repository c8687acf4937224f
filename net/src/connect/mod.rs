//! [`Connect`]: from a target to a connection, within one budget.

pub(crate) mod attempt;
mod eyeballs;
mod plan;
mod race;
mod spans;
mod split;

use std::borrow::Cow;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use punctual_reactor::{Instant, Leeway};
use socket2::SockRef;

use crate::error::Error;
#[cfg(feature = "tls")]
use crate::error::Phase;
#[cfg(feature = "tls")]
use crate::phase::Bounds;
use crate::phase::{CONNECT_TIMEOUT, RESOLVE_TIMEOUT};
use crate::target::Target;
use crate::tcp::{TcpOptions, TcpStream};
use attempt::{Hook, Setup};
use eyeballs::Pace;
#[cfg(feature = "tls")]
pub(crate) use plan::Cap;
#[cfg(not(feature = "tls"))]
use plan::Cap;
use plan::{Limit, Plan};

pub use eyeballs::HappyEyeballs;

/// A connection to be made: to what, by when, and from where.
///
/// ```no_run
/// # use std::time::Duration;
/// # use punctual_net::Connect;
/// # async fn connect() -> Result<(), punctual_net::Error> {
/// let stream = Connect::to("example.org:443").timeout(Duration::from_secs(3)).name("upstream").await?;
/// # Ok(()) }
/// ```
///
/// # What bounds it
///
/// One **budget** covers the lookup of the name and all addresses; it ends with the number set, whatever is inside.
/// Within it each phase has a **cap**, so that one that hangs is found out early. A bound that is not set has its
/// default; nothing is unbounded unless you ask for [`Duration::MAX`]. A budget that is used up beforehand sends
/// not even a SYN.
///
/// | bound | default | set by | called, in an error |
/// |---|---|---|---|
/// | the whole | 30 s | [`timeout`](Connect::timeout), [`deadline`](Connect::deadline) | [`name`](Connect::name) |
/// | finding the addresses | 5 s | [`resolve_timeout`](Connect::resolve_timeout) | `resolve cap` |
/// | connecting, all addresses | 30 s | [`connect_timeout`](Connect::connect_timeout) | `tcp-connect cap` |
/// | one address | until the end, or a share | [`HappyEyeballs::in_flight_max`] | |
///
/// The earliest of those that hold ends it, and the error names that one: a budget of 3 s ends after 3 s whatever the
/// caps are, and a cap of 1 s ends its phase after 1 s whatever is left of the budget. (`resolve cap of upstream`, if it
/// has a name.)
///
/// # Several addresses
///
/// They race: [`HappyEyeballs`]. Attempts live in the future: dropped, it closes them all. With more addresses than
/// may be under way at a time, and one after the other (`happy_eyeballs(None)`), each gets an equal share of the time
/// that is left, but at least 2 s if so much is left (as Go's `net.Dialer` does). An error keeps every cause.
///
/// # A connection to itself
///
/// A socket that connects to a port of its own host within the ephemeral range may get just that port as its
/// own, and then TCP joins it with itself (simultaneous open, RFC 9293 section 3.5). That is an error here,
/// [`Kind::SelfConnect`](crate::Kind::SelfConnect): nobody was listening.
///
/// Cancel-safe: dropped before it is ready, the sockets are closed, and the answer of a lookup forgotten.
#[derive(Clone, Debug)]
#[must_use = "a Connect does nothing unless it is awaited"]
pub struct Connect {
    target: Target,
    bound: Bound,
    set_at: Option<&'static Location<'static>>,
    name: Option<Cow<'static, str>>,
    resolve_cap: Cap,
    connect_cap: Cap,
    eyeballs: Option<HappyEyeballs>,
    setup: Setup,
    #[cfg(feature = "dns")]
    resolver: Option<crate::Resolver>,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    Budget(Duration),
    Deadline(Instant),
    #[cfg(feature = "http")]
    Limit(Instant, Duration),
}

/// The budget unless another is set. The cap of connecting is as long, and counts only in a longer one.
const BUDGET: Duration = CONNECT_TIMEOUT;

impl Connect {
    /// To `target`, within 30 s.
    pub fn to(target: impl Into<Target>) -> Connect {
        Connect {
            target: target.into(),
            bound: Bound::Budget(BUDGET),
            set_at: None,
            name: None,
            resolve_cap: Cap { most: RESOLVE_TIMEOUT, set_at: None },
            connect_cap: Cap { most: CONNECT_TIMEOUT, set_at: None },
            eyeballs: Some(HappyEyeballs::default()),
            setup: Setup::default(),
            #[cfg(feature = "dns")]
            resolver: None,
        }
    }

    /// Within `limit`; the lookup may take `resolve` of it, set there.
    #[cfg(feature = "http")]
    pub(crate) fn within(
        mut self,
        limit: crate::phase::Limit,
        resolve: (Duration, Option<&'static Location<'static>>),
    ) -> Connect {
        self.bound = Bound::Limit(limit.deadline, limit.budget);
        self.set_at = limit.set_at;
        self.name = Some(limit.what.into());
        self.resolve_cap = Cap { most: resolve.0, set_at: resolve.1 };
        self.connect_cap = Cap { most: Duration::MAX, set_at: None };
        self
    }

    /// Within `budget`, counted from when it is started.
    #[track_caller]
    pub fn timeout(mut self, budget: Duration) -> Connect {
        self.bound = Bound::Budget(budget);
        self.set_at = Some(Location::caller());
        self
    }

    /// By `deadline`.
    #[track_caller]
    pub fn deadline(mut self, deadline: impl Into<Instant>) -> Connect {
        self.bound = Bound::Deadline(deadline.into());
        self.set_at = Some(Location::caller());
        self
    }

    /// Gives finding the addresses at most `cap` of the budget, instead of 5 s.
    #[track_caller]
    pub fn resolve_timeout(mut self, cap: Duration) -> Connect {
        self.resolve_cap = Cap { most: cap, set_at: Some(Location::caller()) };
        self
    }

    /// Gives connecting, to whichever address, at most `cap` of the budget, instead of 30 s.
    #[track_caller]
    pub fn connect_timeout(mut self, cap: Duration) -> Connect {
        self.connect_cap = Cap { most: cap, set_at: Some(Location::caller()) };
        self
    }

    /// How several addresses race; `None` tries one after the other, in the order given.
    pub fn happy_eyeballs(mut self, rules: impl Into<Option<HappyEyeballs>>) -> Connect {
        self.eyeballs = rules.into();
        self
    }

    /// What it is called in an error.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Connect {
        self.name = Some(name.into());
        self
    }

    /// From this local address; on port 0 the kernel chooses one.
    pub fn from(mut self, local: SocketAddr) -> Connect {
        self.setup.local = Some(local);
        self
    }

    /// With these options on each socket.
    pub fn options(mut self, options: TcpOptions) -> Connect {
        self.setup.options = options;
        self
    }

    /// Calls `hook` with each socket, once a socket, and the address it is for: after the [options](Connect::options)
    /// are set, before it is bound and connected. To mark it, to tie it to a device, to bind it by the address, for
    /// options without a method here. It must neither connect the socket nor change whether it blocks.
    ///
    /// An error of it ends that attempt, in phase `Configure`.
    pub fn before_connect(
        mut self,
        hook: impl Fn(SockRef<'_>, SocketAddr) -> io::Result<()> + 'static,
    ) -> Connect {
        self.setup.hook = Some(Hook(Rc::new(hook)));
        self
    }

    /// How late its deadlines may be fired in order to share a wake-up: the stream's, and while it connects. Unless it is
    /// set, a connect takes none, since a dial costs more than the wake-up that would be saved, and the stream takes the
    /// runtime's: a hundredth of its time, at most 1 ms.
    pub fn leeway(mut self, leeway: Leeway) -> Connect {
        self.setup.leeway = Some(leeway);
        self
    }

    /// Has `resolver` look the name up, instead of the runtime's own, which does as the system's files say.
    #[cfg(feature = "dns")]
    pub fn resolver(mut self, resolver: &crate::Resolver) -> Connect {
        self.resolver = Some(resolver.clone());
        self
    }

    /// Starts it; a budget counts from here.
    ///
    /// # Errors
    /// `Timeout`, `Dns`, `Overloaded`, `InvalidInput`, `SelfConnect`, `Unsupported`, `Cancelled`, `Shutdown`, or what
    /// the kernel says, as `Kernel(ECONNREFUSED)`; the phase is `Resolve`, `Connect`, or `Configure` for an option or
    /// a hook. Of several addresses the error is a `Timeout` if a deadline ended the whole, else that of the first
    /// that was no timeout; all are among its [`sources`](Error::sources).
    ///
    /// # Panics
    /// When polled outside of a runtime.
    #[track_caller]
    pub fn connect(self) -> impl Future<Output = Result<TcpStream, Error>> + use<> {
        let begun = self.begin();
        async move { begun.run().await }
    }

    /// Starts it: its budget counts from here, for what comes after the connecting too.
    #[track_caller]
    pub(crate) fn begin(self) -> Begun {
        let begun = Instant::now();
        let (deadline, budget) = match self.bound {
            Bound::Budget(budget) => (begun + budget, Some(budget)),
            Bound::Deadline(deadline) => (deadline, None),
            #[cfg(feature = "http")]
            Bound::Limit(deadline, budget) => (deadline, Some(budget)),
        };
        let set_at = self.set_at.or(Some(Location::caller()));
        let plan = Plan {
            whole: Limit { deadline, budget, set_at, name: self.name, is_cap: false },
            resolve_cap: self.resolve_cap,
            connect_cap: self.connect_cap,
            pace: Pace::new(self.eyeballs),
            setup: self.setup,
            #[cfg(feature = "dns")]
            resolver: self.resolver,
        };
        Begun { plan, target: self.target }
    }
}

/// A connect whose time runs.
pub(crate) struct Begun {
    plan: Plan,
    target: Target,
}

impl Begun {
    pub(crate) async fn run(&self) -> Result<TcpStream, Error> {
        self.plan.run(&self.target).await
    }

    #[cfg(feature = "tls")]
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// What bounds a phase that follows within the same budget, and begins now.
    #[cfg(feature = "tls")]
    pub(crate) fn bounds(&self, phase: Phase, cap: Cap) -> Bounds<'static> {
        let Limit { deadline, budget, set_at, name, is_cap } = self.plan.limit(phase, cap);
        let bounds =
            Bounds::of(phase).within(deadline, budget, is_cap).endpoint(self.target.to_string());
        let bounds = set_at.map_or(bounds.clone(), |set_at| bounds.at(set_at));
        name.map_or(bounds.clone(), |name| bounds.name(name))
    }
}

impl IntoFuture for Connect {
    type Output = Result<TcpStream, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    #[track_caller]
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}
