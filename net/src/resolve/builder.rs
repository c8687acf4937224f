//! [`ResolverBuilder`]: a resolver with choices of one's own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::files::Paths;
use super::resolver::Resolver;
use crate::phase::RESOLVE_TIMEOUT;

/// What is not said here is taken from the system's files, and follows them when they change. Made by
/// [`Resolver::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ResolverBuilder {
    pub(super) servers: Option<Vec<SocketAddr>>,
    pub(super) search: Option<Vec<String>>,
    pub(super) ndots: Option<usize>,
    pub(super) try_timeout: Option<Duration>,
    pub(super) attempts: Option<u32>,
    pub(super) rotate: Option<bool>,
    pub(super) timeout: Duration,
    pub(super) cache_entries: usize,
    pub(super) server_port: Option<u16>,
    pub(super) paths: Paths,
    pub(super) system_library: bool,
}

const CACHE_ENTRIES: usize = 1_024;

impl Default for ResolverBuilder {
    fn default() -> ResolverBuilder {
        ResolverBuilder {
            servers: None,
            search: None,
            ndots: None,
            try_timeout: None,
            attempts: None,
            rotate: None,
            timeout: RESOLVE_TIMEOUT,
            cache_entries: CACHE_ENTRIES,
            server_port: None,
            paths: Paths::default(),
            system_library: cfg!(target_vendor = "apple"),
        }
    }
}

impl ResolverBuilder {
    /// Asks these servers, in this order, instead of those in resolv.conf.
    pub fn servers(mut self, servers: impl IntoIterator<Item = SocketAddr>) -> ResolverBuilder {
        self.servers = Some(servers.into_iter().collect());
        self
    }

    /// Asks the servers that resolv.conf names on this port instead of 53, which only root can serve.
    pub fn server_port(mut self, port: u16) -> ResolverBuilder {
        self.server_port = Some(port);
        self
    }

    /// Tries names in these domains too, in this order; none turns the search off.
    pub fn search<S: Into<String>>(mut self, domains: impl IntoIterator<Item = S>) -> ResolverBuilder {
        let plain = |domain: String| domain.trim_matches('.').to_ascii_lowercase();
        self.search = Some(domains.into_iter().map(|domain| plain(domain.into())).collect());
        self
    }

    /// A name with so many dots is tried as it is first, and in the domains of the search list later.
    pub fn ndots(mut self, ndots: usize) -> ResolverBuilder {
        self.ndots = Some(ndots);
        self
    }

    /// How long one try at one server may take. Unless it is set, as long as resolv.conf says (5 s if it says nothing), but
    /// no longer than lets each server be asked within the [time of a lookup](ResolverBuilder::timeout), and leaves half
    /// a try for the first to be asked again: of 5 s, a try takes 3.3 s with one server, 2 s with two, 1.4 s with three, and
    /// never less than 1 s for that. So a first server that is dead leaves time for the others.
    pub fn try_timeout(mut self, timeout: Duration) -> ResolverBuilder {
        self.try_timeout = Some(timeout);
        self
    }

    /// How often each server is tried, at least once; twice unless resolv.conf says otherwise.
    pub fn attempts(mut self, attempts: u32) -> ResolverBuilder {
        self.attempts = Some(attempts.max(1));
        self
    }

    /// Begins each query with the next server.
    pub fn rotate(mut self, rotate: bool) -> ResolverBuilder {
        self.rotate = Some(rotate);
        self
    }

    /// How long one [`lookup`](Resolver::lookup) may take in all, whatever the tries add up to; 5 s unless set. A
    /// [`Connect`](crate::Connect) has a budget of its own instead.
    pub fn timeout(mut self, timeout: Duration) -> ResolverBuilder {
        self.timeout = timeout;
        self
    }

    /// How many answers are remembered, one a name and family; 1024 unless set, 0 for none.
    pub fn cache_entries(mut self, entries: usize) -> ResolverBuilder {
        self.cache_entries = entries;
        self
    }

    /// Reads hosts here instead of in `/etc/hosts`.
    pub fn hosts_file(mut self, path: impl Into<PathBuf>) -> ResolverBuilder {
        self.paths.hosts = path.into();
        self
    }

    /// Reads servers and options here instead of in `/etc/resolv.conf`.
    pub fn resolv_conf(mut self, path: impl Into<PathBuf>) -> ResolverBuilder {
        self.paths.resolv_conf = path.into();
        self
    }

    /// Reads the order of services here instead of in `/etc/nsswitch.conf`.
    pub fn nsswitch_conf(mut self, path: impl Into<PathBuf>) -> ResolverBuilder {
        self.paths.nsswitch = path.into();
        self
    }

    /// Has `getaddrinfo` look up everything, on detached helper threads: 4 of them for the whole process, 1024
    /// lookups waiting. On Apple's systems that is the default.
    pub fn system_library(mut self, system: bool) -> ResolverBuilder {
        self.system_library = system;
        self
    }

    /// A resolver for this thread.
    #[must_use]
    pub fn build(self) -> Resolver {
        Resolver::with(self)
    }
}
