//! [`ClientBuilder`]: how a client is to be.

use std::time::Duration;

use http::header::{HeaderMap, HeaderValue};

use crate::tcp::TcpOptions;

use super::config::Config;
use super::{Client, Timeouts};

/// A client that is to be made.
#[must_use = "it is made by `build`"]
pub struct ClientBuilder {
    config: Config,
}

impl ClientBuilder {
    pub(super) fn new() -> ClientBuilder {
        ClientBuilder { config: Config::default() }
    }

    /// How long the phases of its requests may take, unless a request says otherwise.
    pub fn timeouts(mut self, timeouts: Timeouts) -> ClientBuilder {
        self.config.timeouts = timeouts;
        self
    }

    /// Headers of every request that has none of the same name.
    pub fn default_headers(mut self, headers: HeaderMap) -> ClientBuilder {
        self.config.headers = headers;
        self
    }

    /// What it calls itself, instead of `punctual/` and the version; `None`: nothing.
    pub fn user_agent(mut self, user_agent: impl Into<Option<HeaderValue>>) -> ClientBuilder {
        self.config.user_agent = user_agent.into();
        self
    }

    /// How many redirects are followed. Default 10; with 0 a redirect is a response like others.
    pub fn redirects(mut self, most: usize) -> ClientBuilder {
        self.config.redirects_max = most;
        self
    }

    /// Options of its sockets, instead of [`nodelay`](TcpOptions::nodelay).
    pub fn options(mut self, options: TcpOptions) -> ClientBuilder {
        self.config.options = options;
        self
    }

    /// Has `resolver` look names up, instead of the runtime's own.
    #[cfg(feature = "dns")]
    pub fn resolver(mut self, resolver: &crate::Resolver) -> ClientBuilder {
        self.config.resolver = Some(resolver.clone());
        self
    }

    /// Whom it trusts, and what it shows. What is offered by ALPN is the client's business.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, connector: crate::tls::Connector) -> ClientBuilder {
        self.config.tls = connector;
        self
    }

    /// Speaks HTTP/2 without asking, over `http` as over `https` (RFC 9113, section 3.3). Without this `http` is spoken as
    /// HTTP/1.1, and `https` as TLS agrees.
    pub fn http2_prior_knowledge(mut self) -> ClientBuilder {
        (self.config.prior_knowledge, self.config.http1_only) = (true, false);
        self
    }

    /// Speaks HTTP/1.1 only.
    pub fn http1_only(mut self) -> ClientBuilder {
        (self.config.prior_knowledge, self.config.http1_only) = (false, true);
        self
    }

    /// How many headers a response may have. Default 100; a head has at most 64 KiB in any case.
    pub fn headers_max(mut self, headers: usize) -> ClientBuilder {
        self.config.headers_max = headers;
        self
    }

    /// Over HTTP/2, while there is a request or a body: a PING goes out when nothing has come for `interval`, and when its answer
    /// does not come within `timeout`, the connection is closed, which ends all that is on it. A write that is blocked ends
    /// so as well. Default 20 s and 10 s.
    ///
    /// Sooner than that, a connection takes no more requests when one has run out of time and nothing at all has come for a
    /// second: the next one dials, and what else is on the silent one goes on.
    pub fn http2_ping(mut self, interval: Duration, timeout: Duration) -> ClientBuilder {
        (self.config.ping_interval, self.config.ping_timeout) = (interval, timeout);
        self
    }

    /// How many connections to one host there may be, whatever they do. Default 128; requests beyond that wait within
    /// their `connect` time.
    pub fn connections_per_host(mut self, most: usize) -> ClientBuilder {
        self.config.pool.per_host = most.max(1);
        self
    }

    /// How many idle connections are kept, to one host and in all. Default 16 and 128. With 0 none is used again.
    pub fn idle_connections(mut self, per_host: usize, in_all: usize) -> ClientBuilder {
        (self.config.pool.idle_per_host, self.config.pool.idle_max) = (per_host, in_all);
        self
    }

    /// For how long an idle connection is kept. Default 45 s: less than servers have patience.
    pub fn idle_timeout(mut self, timeout: Duration) -> ClientBuilder {
        self.config.pool.idle_timeout = timeout;
        self
    }

    /// From which age on a connection is not used again. Default an hour: names may lead elsewhere by then.
    pub fn connection_age_max(mut self, age: Duration) -> ClientBuilder {
        self.config.pool.age_max = age;
        self
    }

    /// The client.
    #[must_use]
    pub fn build(self) -> Client {
        #[cfg_attr(not(feature = "tls"), expect(unused_mut, reason = "TLS is told what to offer"))]
        let mut config = self.config;
        #[cfg(feature = "tls")]
        config.offer();
        Client::with(config)
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("timeouts", &self.config.timeouts)
            .field("pool", &self.config.pool)
            .finish_non_exhaustive()
    }
}
