//! What holds for all requests of a client.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use crate::Connect;
use crate::tcp::TcpOptions;

use super::Timeouts;
use super::pool::Rules;

pub(super) struct Config {
    pub(super) timeouts: Timeouts,
    pub(super) headers: HeaderMap,
    pub(super) user_agent: Option<HeaderValue>,
    pub(super) options: TcpOptions,
    #[cfg(feature = "dns")]
    pub(super) resolver: Option<crate::Resolver>,
    #[cfg(feature = "tls")]
    pub(super) tls: crate::tls::Connector,
    /// HTTP/2 without asking, over `http` too.
    pub(super) prior_knowledge: bool,
    pub(super) http1_only: bool,
    pub(super) pool: Rules,
    pub(super) headers_max: usize,
    /// How many redirects of one request are followed.
    pub(super) redirects_max: usize,
    pub(super) ping_interval: Duration,
    pub(super) ping_timeout: Duration,
}

const USER_AGENT: &str = concat!("punctual/", env!("CARGO_PKG_VERSION"));

impl Default for Config {
    fn default() -> Config {
        Config {
            timeouts: Timeouts::default(),
            headers: HeaderMap::new(),
            user_agent: Some(HeaderValue::from_static(USER_AGENT)),
            // What is written is whole messages and their parts, which wait for nothing.
            options: TcpOptions::new().nodelay(true),
            #[cfg(feature = "dns")]
            resolver: None,
            #[cfg(feature = "tls")]
            tls: crate::tls::Connector::new(),
            prior_knowledge: false,
            http1_only: false,
            pool: Rules::default(),
            headers_max: 100,
            redirects_max: 10,
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// What TLS offers is what is spoken here.
    #[cfg(feature = "tls")]
    pub(super) fn offer(&mut self) {
        let protocols: &[&str] = match (self.http1_only, self.prior_knowledge) {
            (true, _) => &["http/1.1"],
            (_, true) => &["h2"],
            _ => &["h2", "http/1.1"],
        };
        self.tls = self.tls.clone().alpn(protocols);
    }

    /// As connections of this client are made.
    pub(super) fn shape(&self, connect: Connect) -> Connect {
        let connect = connect.options(self.options.clone());
        #[cfg(feature = "dns")]
        if let Some(resolver) = &self.resolver {
            return connect.resolver(resolver);
        }
        connect
    }
}
