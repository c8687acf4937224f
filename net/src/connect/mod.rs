//! [`Connect`]: from a target to a connection, within one budget.

mod attempt;
mod split;

use std::borrow::Cow;
use std::future::{Future, IntoFuture, poll_fn};
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use punctual_reactor::{Instant, shutdown_requested, timeout_at};

use crate::error::{DeadlineInfo, Error, Kind, Phase};
use crate::resolve;
use crate::target::{self, Target};
use crate::tcp::TcpStream;

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
/// - **One budget** covers the lookup of the name and all addresses. Nothing else bounds it, and nothing is
///   unbounded unless you ask for [`Duration::MAX`]. A budget that is used up beforehand sends not even a SYN.
/// - **Several addresses** are tried one after another; each gets an equal share of the time that is left,
///   but at least 2 s if so much is left (as Go's `net.Dialer` does). The error keeps every cause.
/// - **A connection to itself**: a socket that connects to a port of its own host within the ephemeral range
///   may get just that port as its own, and then TCP joins it with itself (simultaneous open, RFC
///   9293 section 3.5). That is an error here, [`Kind::SelfConnect`]: nobody was listening.
///
/// Cancel-safe: dropped before it is ready, the socket is closed, and the answer of a lookup forgotten.
#[derive(Clone, Debug)]
#[must_use = "a Connect does nothing unless it is awaited"]
pub struct Connect {
    target: Target,
    bound: Bound,
    set_at: Option<&'static Location<'static>>,
    name: Option<Cow<'static, str>>,
    local: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    Budget(Duration),
    Deadline(Instant),
}

/// The budget unless another is set.
const BUDGET: Duration = Duration::from_secs(30);

impl Connect {
    /// To `target`, within 30 s.
    pub fn to(target: impl Into<Target>) -> Connect {
        let bound = Bound::Budget(BUDGET);
        Connect { target: target.into(), bound, set_at: None, name: None, local: None }
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

    /// What it is called in an error.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Connect {
        self.name = Some(name.into());
        self
    }

    /// From this local address; on port 0 the kernel chooses one.
    pub fn from(mut self, local: SocketAddr) -> Connect {
        self.local = Some(local);
        self
    }

    /// Starts it; a budget counts from here.
    ///
    /// # Errors
    /// `Timeout`, `Dns`, `Overloaded`, `InvalidInput`, `SelfConnect`, `Shutdown`, or what the kernel says, as
    /// `Kernel(ECONNREFUSED)`; the phase is `Resolve` or `Connect`. Of several addresses the error is a `Timeout` if the deadline
    /// ended the whole, else the first that was no timeout; all are among its
    /// [`sources`](Error::sources).
    ///
    /// # Panics
    /// When polled outside of a runtime.
    #[track_caller]
    pub fn connect(self) -> impl Future<Output = Result<TcpStream, Error>> + use<> {
        let begun = Instant::now();
        let (deadline, budget) = match self.bound {
            Bound::Budget(budget) => (begun + budget, Some(budget)),
            Bound::Deadline(deadline) => (deadline, None),
        };
        let set_at = self.set_at.or(Some(Location::caller()));
        let plan = Plan { deadline, budget, set_at, name: self.name, local: self.local };
        let target = self.target;
        async move {
            let addresses = plan.resolve(&target).await?;
            plan.dial(&addresses, &target).await
        }
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

/// A lookup is no operation on a source, which a shutdown would end by itself.
async fn unless_shutdown<T>(lookup: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let mut shutdown = pin!(shutdown_requested());
    let mut lookup = pin!(lookup);
    poll_fn(|cx| {
        if shutdown.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(Error::new(Kind::Shutdown, Phase::Resolve)));
        }
        lookup.as_mut().poll(cx)
    })
    .await
}

/// What holds for the whole of one connect.
struct Plan {
    deadline: Instant,
    budget: Option<Duration>,
    set_at: Option<&'static Location<'static>>,
    name: Option<Cow<'static, str>>,
    local: Option<SocketAddr>,
}

impl Plan {
    async fn resolve(&self, target: &Target) -> Result<Vec<SocketAddr>, Error> {
        let target::Kind::Name { host, port } = &target.0 else {
            return target.clone().into_addresses(Phase::Connect);
        };
        let now = Instant::now();
        if self.deadline <= now {
            let error = self.elapsed(Phase::Resolve, now, true);
            return Err(error.with_target(target.to_string()));
        }
        let lookup = unless_shutdown(resolve::lookup(host, *port));
        match timeout_at(self.deadline, lookup).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(self.elapsed(Phase::Resolve, elapsed.firing().fired, false)),
        }
        .map_err(|error| error.with_target(target.to_string()))
    }

    async fn dial(&self, addresses: &[SocketAddr], target: &Target) -> Result<TcpStream, Error> {
        let mut failures = Vec::new();
        let mut late = None;
        let mut begun = false;
        for (tried, address) in addresses.iter().enumerate() {
            let now = Instant::now();
            let Some(deadline) = split::partial_deadline(now, self.deadline, addresses.len() - tried)
            else {
                late = Some(now);
                break;
            };
            begun = true;
            match attempt::attempt(*address, self.local, deadline).await {
                Ok(stream) => return Ok(stream),
                Err(error) if matches!(error.kind(), Kind::Shutdown | Kind::Cancelled) => {
                    return Err(error);
                }
                Err(error) => {
                    let fired = error.deadline().map(|info| info.fired);
                    late = fired.filter(|fired| *fired >= self.deadline);
                    let share = deadline.saturating_duration_since(now);
                    failures.push(error.with_deadline(|info| self.describe(info, Some(share))));
                }
            }
        }
        Err(self.summary(failures, late.map(|fired| (fired, !begun)), addresses, target))
    }

    /// One error from those of all addresses. It is a timeout only if the deadline of the whole ended it.
    fn summary(
        &self,
        mut failures: Vec<Error>,
        late: Option<(Instant, bool)>,
        addresses: &[SocketAddr],
        target: &Target,
    ) -> Error {
        let named = matches!(target.0, target::Kind::Name { .. });
        let error = match (late, addresses) {
            (Some((fired, before)), [address]) => {
                let error = self.elapsed(Phase::Connect, fired, before).with_peer(*address);
                error.explained_by(failures.last())
            }
            (Some((fired, before)), _) => {
                let error = self.elapsed(Phase::Connect, fired, before).explained_by(failures.last());
                error.with_sources(failures).with_addresses(addresses.len())
            }
            (None, [_]) => match failures.pop() {
                Some(only) => only,
                None => unreachable!("an address that was tried in time has failed or connected"),
            },
            (None, _) => {
                let first = failures.iter().find(|error| !error.is_timeout());
                let kind = first.map_or(Kind::Timeout, Error::kind);
                Error::new(kind, Phase::Connect).with_sources(failures)
            }
        };
        let label = named || addresses.len() > 1;
        if label { error.with_target(target.to_string()) } else { error }
    }

    /// The deadline of the whole; `before` it had begun.
    fn elapsed(&self, phase: Phase, fired: Instant, before: bool) -> Error {
        let mut info = DeadlineInfo::new(self.deadline, fired);
        self.describe(&mut info, self.budget);
        info.before_it_began = before;
        Error::timeout(phase, info)
    }

    fn describe(&self, info: &mut DeadlineInfo, budget: Option<Duration>) {
        info.budget = budget;
        // The connect as a whole had begun.
        info.before_it_began = false;
        info.set_at = self.set_at;
        info.name.clone_from(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use punctual_reactor::{Runtime, spawn, yield_now};

    #[test]
    fn a_shutdown_ends_a_lookup_that_hangs() {
        let runtime = Runtime::new().expect("a runtime");
        let handle = runtime.handle();
        runtime.block_on(async {
            let hanging = spawn(unless_shutdown(std::future::pending::<Result<(), Error>>()));
            yield_now().await;
            assert!(!hanging.is_finished());
            handle.shutdown().expect("the runtime is there");
            let error = hanging.await.expect("no panic").expect_err("shut down");
            assert_eq!((error.kind(), error.phase()), (Kind::Shutdown, Phase::Resolve));
            let later = Connect::to("localhost:9").connect().await.expect_err("shut down");
            assert_eq!((later.kind(), later.phase()), (Kind::Shutdown, Phase::Resolve));
        });
    }
}
