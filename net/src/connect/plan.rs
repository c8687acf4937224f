//! What holds for the whole of one connect: its budget, the caps of its phases, and what is said when they end it.

use std::borrow::Cow;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::panic::Location;
use std::time::Duration;

use punctual_reactor::{Instant, in_scope_for, timeout_at};
use tracing::{Span, field::display};

use super::attempt::{Setup, attempt};
use super::eyeballs::Pace;
use super::race::{Failures, Lost, Race};
use super::spans;
use crate::error::{DeadlineInfo, Error, Kind, Phase};
use crate::phase::{field, whole};
use crate::resolve;
use crate::target::{self, Target};
use crate::tcp::TcpStream;

pub(super) struct Plan {
    pub(super) whole: Limit,
    pub(super) resolve_cap: Cap,
    pub(super) connect_cap: Cap,
    pub(super) pace: Pace,
    pub(super) setup: Setup,
    #[cfg(feature = "dns")]
    pub(super) resolver: Option<crate::Resolver>,
}

/// By when something has to be done, and by whose word.
#[derive(Clone)]
pub(super) struct Limit {
    pub(super) deadline: Instant,
    pub(super) budget: Option<Duration>,
    pub(super) set_at: Option<&'static Location<'static>>,
    pub(super) name: Option<Cow<'static, str>>,
    /// Whether it is the cap of a phase.
    pub(super) is_cap: bool,
}

/// The most that one phase may take of the budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cap {
    pub(crate) most: Duration,
    /// Where, if it is not the default.
    pub(crate) set_at: Option<&'static Location<'static>>,
}

/// What a lookup found.
struct Found {
    addresses: Vec<SocketAddr>,
    /// What is still to come, and until when it is waited for.
    rest: Option<(resolve::Rest, Instant)>,
}

impl Plan {
    pub(super) async fn run(&self, target: &Target) -> Result<TcpStream, Error> {
        let found = self.resolve(target).await?;
        // A phase that follows takes its limit from `limit` as these two do.
        self.dial(found, target).await
    }

    /// What bounds a phase that begins now: the whole, or its cap if that ends earlier.
    pub(super) fn limit(&self, phase: Phase, cap: Cap) -> Limit {
        let deadline = Instant::now() + cap.most;
        if self.whole.deadline <= deadline {
            return self.whole.clone();
        }
        let name = match &self.whole.name {
            Some(name) => format!("{phase} cap of {name}"),
            None => format!("{phase} cap"),
        };
        let set_at = cap.set_at.or(self.whole.set_at);
        Limit { deadline, budget: Some(cap.most), set_at, name: Some(name.into()), is_cap: true }
    }

    async fn resolve(&self, target: &Target) -> Result<Found, Error> {
        let target::Kind::Name { host, port } = &target.0 else {
            let addresses = target.clone().into_addresses(Phase::Connect)?;
            return Ok(Found { addresses, rest: None });
        };
        let limit = self.limit(Phase::Resolve, self.resolve_cap);
        let now = Instant::now();
        let within = (limit.deadline, limit.budget);
        let running = resolve::running(host, target, now, within, limit.name.as_deref());
        let span = running.span().clone();
        let lookup = async {
            if limit.deadline <= now {
                let error = limit.elapsed(Phase::Resolve, now, true);
                return Err(error.with_target(target.to_string()));
            }
            let progress = resolve::Progress::default();
            #[cfg(feature = "dns")]
            let lookup = resolve::lookup(self.resolver.clone(), host, *port, &progress);
            #[cfg(not(feature = "dns"))]
            let lookup = resolve::lookup(host, *port, &progress);
            let lookup = unless_ended(host.to_string(), lookup);
            let found = match timeout_at(limit.deadline, lookup).await {
                Ok(answer) => answer,
                Err(elapsed) => Err(limit
                    .elapsed(Phase::Resolve, elapsed.firing().fired, false)
                    .fired_as(elapsed.firing())),
            };
            let found = resolve::told(&span, &progress, found);
            found.map_err(|error| error.awaiting(&progress).with_target(target.to_string()))
        };
        let found = running.run(lookup).await?;
        let rest = found.rest.map(|rest| (rest, limit.deadline));
        Ok(Found { addresses: found.addresses, rest })
    }

    async fn dial(&self, found: Found, target: &Target) -> Result<TcpStream, Error> {
        let began = Instant::now();
        let limit = self.limit(Phase::Connect, self.connect_cap);
        let running = spans::connect(target, began, &limit);
        let span = running.span().clone();
        running.run(self.race(found, target, &limit, &span)).await
    }

    /// Races the addresses in `span`, that of the connect.
    async fn race(
        &self,
        found: Found,
        target: &Target,
        limit: &Limit,
        span: &Span,
    ) -> Result<TcpStream, Error> {
        let first = found.addresses.first().copied();
        let attempts = Cell::new(0_i64);
        let dial = |address, deadline| {
            let share = deadline - Instant::now();
            let described =
                move |error: Error| error.with_deadline(|info| limit.describe(info, Some(share)));
            attempts.set(attempts.get() + 1);
            let attempt = attempt(address, &self.setup, deadline, described);
            spans::in_attempt(attempt, address, attempts.get(), share)
        };
        let (rest, rest_until) = found.rest.unzip();
        let rest = rest.map(|rest| Box::pin(unless_ended(target.to_string(), async { Ok(rest.await) })));
        let mut race = Race::new(found.addresses, self.pace, limit.deadline, dial)
            .with_late(rest, rest_until.unwrap_or(limit.deadline));
        let named = matches!(target.0, target::Kind::Name { .. });
        let raced = poll_fn(|cx| race.poll(cx)).await;
        span.record(field::ADDRESSES, whole(race.addresses())).record(field::ATTEMPTS, attempts.get());
        let (error, several) = match raced {
            Ok(stream) => {
                span.record(field::PEER, display(stream.peer_addr()));
                return Ok(stream);
            }
            Err(Lost::Ended(error)) => (error, false),
            Err(Lost::Failed(failures)) => {
                let several = failures.addresses > 1;
                (limit.summary(failures, first), several)
            }
        };
        Err(if named || several { error.with_target(target.to_string()) } else { error })
    }
}

impl Limit {
    /// One error from those of all addresses. It is a timeout only if this limit ended the whole.
    fn summary(&self, failures: Failures, first: Option<SocketAddr>) -> Error {
        let Failures { mut causes, addresses, out_of_time } = failures;
        let fired = causes.iter().filter_map(|error| error.deadline().map(|info| info.fired));
        let late = fired.chain(out_of_time).filter(|fired| *fired >= self.deadline).max();
        let Some(fired) = late else {
            return match (addresses, causes.pop()) {
                (1, Some(only)) => only,
                (_, last) => {
                    causes.extend(last);
                    let told = causes.iter().find(|error| !error.is_timeout()).or(causes.first());
                    let (kind, phase) =
                        told.map_or((Kind::Timeout, Phase::Connect), |told| (told.kind(), told.phase()));
                    Error::new(kind, phase).with_sources(causes).with_addresses(addresses)
                }
            };
        };
        let timed_out = causes.iter().rev().find(|error| error.is_timeout());
        let error = self.elapsed(Phase::Connect, fired, causes.is_empty()).explained_by(timed_out);
        match (addresses, first) {
            (1, Some(address)) => error.with_peer(address),
            _ => error.with_sources(causes).with_addresses(addresses),
        }
    }

    /// It has ended `phase`; `before` that had begun.
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
        info.of_cap = self.is_cap;
    }
}

/// A lookup is no operation on a source, which its scope or a shutdown would end by itself.
async fn unless_ended<T>(
    host: String,
    lookup: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let found = in_scope_for(Phase::Resolve.as_str(), host, lookup).await;
    found.unwrap_or_else(|failure| Err(Error::failed(Phase::Resolve, failure)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::Connect;
    use punctual_reactor::{Runtime, spawn, yield_now};

    #[test]
    fn a_shutdown_ends_a_lookup_that_hangs() {
        let runtime = Runtime::new().expect("a runtime");
        let handle = runtime.handle();
        runtime.block_on(async {
            let hanging =
                spawn(unless_ended("name".to_owned(), std::future::pending::<Result<(), Error>>()));
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
