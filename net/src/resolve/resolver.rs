//! [`Resolver`]: from a name to addresses, by way of the system's files and servers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use punctual_reactor::{Instant, RuntimeId, in_scope_for, timeout};

use super::Counters;
use super::addresses::Addresses;
use super::builder::ResolverBuilder;
use super::cache::{Cache, Key};
use super::families::{self, Miss};
use super::files::{Files, ResolvConf, Step};
use super::found::Found;
use super::name::Name;
use super::progress::{Progress, Tally};
use super::query::{Outcome, Plan};
use super::random::Random;
use super::shared::{Shared, Weakly};
use super::sockets::Sockets;
use super::{ResolverMetrics, query, running, system, told};
use crate::error::{DeadlineInfo, DnsFailure, Error, Phase, Why};

/// Looks names up: in `/etc/hosts`, then at the servers of `/etc/resolv.conf`, as `/etc/nsswitch.conf` orders.
///
/// A stub resolver that runs in the loop. It asks over UDP, each time from a fresh socket on a random port, with a
/// random id and random capitals, and believes only what repeats all of them; it asks over TCP what does not fit or
/// smells of forgery. Both families are asked for at once. Lookups of one name share one query a family, and its
/// answer is remembered for as long as it says, for an hour at most (five minutes that there is nothing).
///
/// - Services that only the system's library knows (as `ldap`, `resolve`, `mdns` for `.local`) are left to
///   `getaddrinfo`, on helper threads: see [`system_library`](ResolverBuilder::system_library).
/// - `localhost` and all below it are this host, `.invalid` does not exist, `.onion` is not asked for (RFC
///   6761, RFC 7686).
/// - Names are ASCII; what is not has a form that begins with `xn--` (IDNA is not done here).
/// - The files are looked at again when they are used, every 2.5 s at most. One that cannot be read leaves
///   everything as it was; one that looks half-written is believed when it still looks so at the second look. No
///   resolv.conf means 127.0.0.1.
/// - Addresses of a family that this host has no way to are found all the same (RFC 6724 would put them last): a
///   [`Connect`](crate::Connect) races both families, and learns at once that there is no way.
/// - The variables `LOCALDOMAIN` and `RES_OPTIONS` are not looked at.
/// - At most 32 queries are under way at a time, each with one socket; others wait for their turn.
///
/// A clone is the same resolver: cheap, with the same cache. It belongs to its thread. Whatever ends a lookup early
/// also ends its queries, unless somebody else shares them: no thread, task or socket of it is left.
#[derive(Clone)]
pub struct Resolver(pub(super) Rc<Inner>);

pub(super) struct Inner {
    choices: ResolverBuilder,
    files: RefCell<Files>,
    cache: RefCell<Cache>,
    /// Whose answers the cache holds: other servers may know other things.
    cache_is_of: RefCell<Vec<SocketAddr>>,
    /// Whose clock it goes by.
    runtime: Cell<Option<RuntimeId>>,
    in_flight: RefCell<HashMap<Key, UnderWay>>,
    begun: Cell<u64>,
    /// Which server is to be asked first, if they take turns.
    turn: Cell<usize>,
    sockets: Rc<Sockets>,
    counters: Counters,
}

/// A query that others can join.
struct UnderWay {
    number: u64,
    query: Weakly<Outcome>,
    tally: Rc<Tally>,
}

impl Default for Resolver {
    fn default() -> Resolver {
        Resolver::new()
    }
}

impl Resolver {
    /// A resolver that does as the system's files say.
    #[must_use]
    pub fn new() -> Resolver {
        Resolver::builder().build()
    }

    /// Chooses servers, times and files.
    pub fn builder() -> ResolverBuilder {
        ResolverBuilder::default()
    }

    /// A resolver that leaves everything to `getaddrinfo`: [`ResolverBuilder::system_library`].
    #[must_use]
    pub fn system_library() -> Resolver {
        Resolver::builder().system_library(true).build()
    }

    pub(super) fn with(choices: ResolverBuilder) -> Resolver {
        Resolver(Rc::new(Inner {
            files: RefCell::new(Files::at(choices.paths.clone())),
            cache: RefCell::new(Cache::of(choices.cache_entries)),
            cache_is_of: RefCell::default(),
            runtime: Cell::new(None),
            in_flight: RefCell::default(),
            begun: Cell::new(0),
            turn: Cell::new(0),
            sockets: Rc::default(),
            counters: Counters::default(),
            choices,
        }))
    }

    /// The resolver of the runtime on this thread, that [`Connect`](crate::Connect) uses unless told otherwise.
    pub(crate) fn of_this_runtime() -> Resolver {
        thread_local! {
            static RESOLVER: RefCell<Option<(RuntimeId, Resolver)>> = const { RefCell::new(None) };
        }
        let Some(runtime) = RuntimeId::current() else { return Resolver::new() };
        // There is none left while the thread ends.
        let known = RESOLVER.try_with(|resolver| resolver.borrow().clone()).ok().flatten();
        if let Some((_, resolver)) = known.filter(|(of, _)| *of == runtime) {
            return resolver;
        }
        let resolver = Resolver::new();
        let before = RESOLVER.try_with(|known| known.replace(Some((runtime, resolver.clone()))));
        drop(before);
        resolver
    }

    /// The addresses of `name`, within the [`timeout`](ResolverBuilder::timeout) of a lookup. A final dot turns the
    /// search list off; a literal address is its own answer.
    ///
    /// # Errors
    /// `Dns`, with the reason in [`Error::dns_failure`]; `InvalidInput` for what is no name; `Timeout`, `Cancelled`,
    /// `Shutdown`, `Overloaded`; `Kernel(EMFILE)` and the like if this process lacks what it needs. The phase is `Resolve`.
    ///
    /// Cancel-safe: dropped, it ends its queries.
    ///
    /// # Panics
    /// When polled outside of a runtime.
    pub fn lookup(&self, name: &str) -> impl Future<Output = Result<Addresses, Error>> + use<> {
        let (resolver, name) = (self.clone(), name.to_owned());
        async move {
            let budget = resolver.0.choices.timeout;
            let began = Instant::now();
            let running = running(&name, &name, began, (began + budget, Some(budget)), None);
            let span = running.span().clone();
            let lookup = async {
                let progress = Progress::default();
                let find = resolver.find(&name, &progress);
                let lookup = in_scope_for(Phase::Resolve.as_str(), name.clone(), find);
                let found = match timeout(budget, lookup).await {
                    Ok(Ok(found)) => found,
                    Ok(Err(failure)) => Err(Error::failed(Phase::Resolve, failure)),
                    Err(elapsed) => {
                        let firing = elapsed.firing();
                        let mut info = DeadlineInfo::new(firing.deadline, firing.fired);
                        info.budget = Some(budget);
                        Err(Error::timeout(Phase::Resolve, info).fired_as(firing))
                    }
                };
                let found = told(&span, &progress, found);
                found.map_err(|error| error.awaiting(&progress).with_target(name.clone()))
            };
            running.run(lookup).await.map(Addresses)
        }
    }

    /// What it has done so far.
    #[must_use]
    pub fn metrics(&self) -> ResolverMetrics {
        let in_flight = self.0.in_flight.borrow().len();
        self.0.counters.read(self.0.cache.borrow().len(), in_flight)
    }

    /// As [`lookup`](Resolver::lookup), with no bound but its tries.
    pub(crate) async fn find(&self, host: &str, progress: &Progress) -> Result<Found, Error> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(Found::at_once(vec![(ip, 0).into()]));
        }
        let name = Name::parse(host).map_err(|why| Error::invalid(Phase::Resolve, why))?;
        if name.is_within("localhost") {
            let loopback: [IpAddr; 2] = [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
            return Ok(Found::at_once(loopback.map(|ip| (ip, 0).into()).into()));
        }
        if name.is_within("invalid") {
            return Err(Why::error(
                DnsFailure::NoSuchName,
                "there is no such name: nothing in .invalid exists",
            ));
        }
        if name.is_within("onion") {
            return Err(Why::error(
                DnsFailure::NotAsked,
                "names in .onion are Tor's: they are not asked for",
            ));
        }
        if self.0.choices.system_library {
            return system::lookup(host, progress).await;
        }
        self.follow_nsswitch(&name, host, progress).await
    }

    async fn follow_nsswitch(
        &self,
        name: &Name,
        host: &str,
        progress: &Progress,
    ) -> Result<Found, Error> {
        let absolute = host.ends_with('.');
        let own = punctual_reactor::host_name();
        let services = self.0.files.borrow_mut().nsswitch(Instant::now());
        let mut failure = None;
        for step in services.steps(name, own.as_deref()) {
            match step {
                Step::System => return system::lookup(host, progress).await,
                Step::Files => {
                    let hosts = self.0.files.borrow_mut().hosts(Instant::now());
                    if let Some(ips) = hosts.get(name.as_str()) {
                        return Ok(Found::at_once(ips.iter().map(|ip| (*ip, 0).into()).collect()));
                    }
                }
                Step::Dns => match self.search(name, absolute, own.as_deref(), progress).await {
                    Ok(found) => return Ok(found),
                    Err(error) => failure = Some(error),
                },
            }
        }
        let unlisted = || Why::error(DnsFailure::NoSuchName, "there is no such name in the files asked");
        Err(failure.unwrap_or_else(unlisted))
    }

    /// Asks servers for the name, as it is and in the domains of the search list, until one of these names has
    /// addresses. Servers that fail do not end the search; no answer at all does, as it would take as long again.
    async fn search(
        &self,
        name: &Name,
        absolute: bool,
        own: Option<&str>,
        progress: &Progress,
    ) -> Result<Found, Error> {
        let (plan, conf) = self.0.plan();
        let choices = &self.0.choices;
        let of_host = || own.and_then(|own| own.split_once('.')).map(|(_, domain)| domain.to_owned());
        let search = choices.search.clone().or(conf.search.clone());
        let search = search.unwrap_or_else(|| of_host().into_iter().collect());
        let names = name.candidates(absolute, &search, choices.ndots.unwrap_or(conf.ndots));
        let mut worst: Option<Miss> = None;
        for candidate in &names {
            let miss = match families::ask(&self.0, candidate, &plan, conf.no_aaaa, progress).await {
                Ok(found) => return Ok(found),
                Err(miss) => miss,
            };
            if miss.ends_a_search() {
                return Err(miss.into_error());
            }
            worst = Some(match worst {
                Some(worst) if worst.weight() >= miss.weight() => worst,
                _ => miss,
            });
        }
        match worst {
            Some(miss) => Err(miss.into_error()),
            None => unreachable!("there is always the name itself to ask for"),
        }
    }
}

impl Inner {
    /// Whom to ask, as of now. Answers of other servers, or by another clock, are forgotten, and queries of other
    /// servers, or in another runtime, are not joined any more.
    fn plan(&self) -> (Plan, Rc<ResolvConf>) {
        let conf = self.files.borrow_mut().resolv_conf(Instant::now());
        let choices = &self.choices;
        let mut servers = choices.servers.clone().unwrap_or_else(|| {
            let mut servers = conf.servers_or_local();
            if let Some(port) = choices.server_port {
                servers.iter_mut().for_each(|server| server.set_port(port));
            }
            servers
        });
        let runtime = RuntimeId::current();
        if self.runtime.replace(runtime) != runtime || *self.cache_is_of.borrow() != servers {
            self.cache.borrow_mut().clear();
            self.in_flight.borrow_mut().clear();
            self.cache_is_of.borrow_mut().clone_from(&servers);
        }
        if choices.rotate.unwrap_or(conf.rotate) && !servers.is_empty() {
            let turn = self.turn.replace(self.turn.get().wrapping_add(1));
            let first = turn % servers.len();
            servers.rotate_left(first);
        }
        let plan = Plan {
            timeout: choices
                .try_timeout
                .unwrap_or_else(|| conf.timeout.min(Plan::try_within(choices.timeout, servers.len()))),
            servers,
            attempts: choices.attempts.unwrap_or(conf.attempts),
            use_tcp: conf.use_tcp,
        };
        (plan, conf)
    }

    /// What is known of `key`, or a share in the query for it, one that is under way already or a new one, with the
    /// account of what it has sent and heard.
    pub(super) fn query(
        self: &Rc<Inner>,
        key: Key,
        plan: &Plan,
    ) -> (Shared<Outcome>, Option<Rc<Tally>>) {
        let now = Instant::now();
        if let Some(known) = self.cache.borrow_mut().get(&key, now) {
            Counters::add(&self.counters.cache_hits);
            return (Shared::done(Ok(known)), None);
        }
        let joined = |under_way: &UnderWay| Some((under_way.query.upgrade()?, under_way.tally.clone()));
        let under_way = self.in_flight.borrow().get(&key).and_then(joined);
        // Nobody may have driven it since: an old one is not trusted to end.
        if let Some((query, tally)) = under_way
            .filter(|(query, _)| now - query.begun() < plan.timeout.saturating_mul(plan.attempts))
        {
            Counters::add(&self.counters.shared);
            return (query, Some(tally));
        }
        let number = self.begun.get();
        self.begun.set(number + 1);
        let tally = Rc::<Tally>::default();
        let entry = InFlight { inner: self.clone(), key: key.clone(), number, tally: tally.clone() };
        let plan = plan.clone();
        let query = Shared::new(Box::pin(async move { entry.run(plan).await }));
        let under_way = UnderWay { number, query: query.downgrade(), tally: tally.clone() };
        self.in_flight.borrow_mut().insert(key, under_way);
        (query, Some(tally))
    }
}

/// A query that others can join, until this is dropped.
struct InFlight {
    inner: Rc<Inner>,
    key: Key,
    number: u64,
    tally: Rc<Tally>,
}

impl InFlight {
    async fn run(&self, plan: Plan) -> Outcome {
        let Inner { sockets, counters, cache, .. } = &*self.inner;
        let (name, family) = &self.key;
        let answer = query::ask(name, *family, &plan, sockets, counters, &self.tally).await;
        self.tally.end();
        match answer {
            Ok((answer, ttl)) => {
                let answer = Rc::new(answer);
                let still_holds = self.inner.runtime.get() == RuntimeId::current() && {
                    let of = self.inner.cache_is_of.borrow();
                    of.len() == plan.servers.len()
                        && of.iter().all(|server| plan.servers.contains(server))
                };
                // Without dice the first makes room.
                let die = Random::new().number().unwrap_or(0);
                if let Some(ttl) = ttl.filter(|_| still_holds) {
                    cache.borrow_mut().put(self.key.clone(), answer.clone(), ttl, Instant::now(), die);
                }
                Ok(answer)
            }
            Err(failed) => Err(Rc::new(failed)),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut in_flight = self.inner.in_flight.borrow_mut();
        if in_flight.get(&self.key).is_some_and(|query| query.number == self.number) {
            in_flight.remove(&self.key);
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = self.0.cache_is_of.borrow();
        f.debug_struct("Resolver").field("servers", &servers).field("metrics", &self.metrics()).finish()
    }
}

#[cfg(test)]
mod tests;
