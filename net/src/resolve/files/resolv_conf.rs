//! `/etc/resolv.conf`: whom to ask, and how (resolv.conf(5)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use super::watched::Parsed;

const PORT: u16 = 53;
/// As glibc has it: `MAXNS`, `RES_MAXNDOTS`, `RES_MAXRETRANS`, `RES_MAXRETRY`.
const SERVERS_MAX: usize = 3;
const NDOTS_MAX: u32 = 15;
const TIMEOUT_MAX: u32 = 30;
const ATTEMPTS_MAX: u32 = 5;
/// As many as Kubernetes writes. glibc has had no limit since 2.26.
const SEARCH_MAX: usize = 32;

/// What a resolv.conf says. Options that are not named here are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::resolve) struct ResolvConf {
    pub(in crate::resolve) servers: Vec<SocketAddr>,
    /// `None`: the domain of this host.
    pub(in crate::resolve) search: Option<Vec<String>>,
    pub(in crate::resolve) ndots: usize,
    pub(in crate::resolve) timeout: Duration,
    pub(in crate::resolve) attempts: u32,
    pub(in crate::resolve) rotate: bool,
    pub(in crate::resolve) use_tcp: bool,
    pub(in crate::resolve) no_aaaa: bool,
}

impl Default for ResolvConf {
    fn default() -> ResolvConf {
        ResolvConf {
            servers: Vec::new(),
            search: None,
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            use_tcp: false,
            no_aaaa: false,
        }
    }
}

impl Parsed for ResolvConf {
    const SIZE_MAX: u64 = 64 * 1024;

    fn missing() -> ResolvConf {
        ResolvConf::default()
    }

    /// Somebody truncates it, and writes it then.
    fn is_suspect(&self) -> bool {
        self.servers.is_empty()
    }

    fn parse(text: &str) -> ResolvConf {
        let mut conf = ResolvConf::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or("");
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(server);
                    conf.servers.extend(server.filter(|_| conf.servers.len() < SERVERS_MAX));
                }
                // The last of both counts.
                Some("domain") => conf.search = Some(words.take(1).filter_map(domain).collect()),
                Some("search") => {
                    conf.search = Some(words.take(SEARCH_MAX).filter_map(domain).collect())
                }
                Some("options") => words.for_each(|option| conf.option(option)),
                _ => {}
            }
        }
        conf
    }
}

impl ResolvConf {
    /// Whom to ask: this host, if nobody is named.
    pub(in crate::resolve) fn servers_or_local(&self) -> Vec<SocketAddr> {
        if self.servers.is_empty() {
            return vec![(Ipv4Addr::LOCALHOST, PORT).into()];
        }
        self.servers.clone()
    }

    fn option(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        let number = |most: u32| value.parse::<u32>().ok().map(|number| number.min(most));
        match (name, value) {
            ("ndots", _) => self.ndots = number(NDOTS_MAX).map_or(self.ndots, |ndots| ndots as usize),
            ("timeout", _) => {
                // Zero would be no time at all.
                let seconds =
                    number(TIMEOUT_MAX).map(|seconds| Duration::from_secs(seconds.max(1).into()));
                self.timeout = seconds.unwrap_or(self.timeout);
            }
            ("attempts", _) => self.attempts = number(ATTEMPTS_MAX).map_or(self.attempts, |n| n.max(1)),
            ("rotate", "") => self.rotate = true,
            ("use-vc", "") => self.use_tcp = true,
            ("no-aaaa", "") => self.no_aaaa = true,
            _ => {}
        }
    }
}

/// An address, of IPv6 with its scope by name or number (RFC 4007, section 11).
fn server(text: &str) -> Option<SocketAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some((ip, PORT).into());
    }
    let (ip, scope) = text.split_once('%')?;
    let ip: Ipv6Addr = ip.parse().ok()?;
    let scope = match scope.parse::<u32>() {
        Ok(number) => number,
        Err(_) => punctual_reactor::interface_index(scope)?,
    };
    Some(SocketAddrV6::new(ip, PORT, 0, scope).into())
}

/// `search .` is how to say that nothing is to be searched.
fn domain(text: &str) -> Option<String> {
    let domain = text.trim_matches('.');
    (!domain.is_empty()).then(|| domain.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolv_conf_says_what_glibc_reads_in_it() {
        let conf = ResolvConf::parse(
            "# comment\n; another\nnameserver 192.0.2.1 # first\nnameserver 2001:db8::1\nnameserver fe80::1%1\n\
             nameserver 192.0.2.4\nnameserver nonsense\ndomain one.example\nsearch A.example b.example. .\n\
             options ndots:2 timeout:3 attempts:4 rotate unheard-of use-vc no-aaaa\noptions ndots:99\n",
        );
        let servers: Vec<String> = conf.servers.iter().map(SocketAddr::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%1]:53"]);
        assert_eq!(conf.search, Some(vec!["a.example".to_owned(), "b.example".to_owned()]));
        assert_eq!((conf.ndots, conf.timeout, conf.attempts), (15, Duration::from_secs(3), 4));
        assert!(conf.rotate && conf.use_tcp && conf.no_aaaa);
    }

    #[test]
    fn a_search_list_may_be_as_long_as_kubernetes_makes_it() {
        let domains: Vec<String> = (0..40).map(|n| format!("d{n}.example")).collect();
        let conf = ResolvConf::parse(&format!("search {}", domains.join(" ")));
        assert_eq!(conf.search.as_deref(), Some(&domains[..32]));
    }

    #[test]
    fn what_makes_no_sense_leaves_the_default() {
        let conf = ResolvConf::parse("options ndots:x timeout: attempts:-1\nnameserver\nsearch\nnamese");
        assert_eq!(conf, ResolvConf { search: Some(Vec::new()), ..ResolvConf::default() });
        assert_eq!(conf.servers_or_local(), [(Ipv4Addr::LOCALHOST, 53).into()]);
        let conf = ResolvConf::parse("options timeout:0 attempts:0");
        assert_eq!((conf.timeout, conf.attempts), (Duration::from_secs(1), 1));
        let conf = ResolvConf::parse("options timeout:99 attempts:99");
        assert_eq!((conf.timeout, conf.attempts), (Duration::from_secs(30), 5));
    }

    #[test]
    fn a_server_has_the_scope_of_an_interface_by_name() {
        let loopback = ["lo", "lo0"].into_iter().find_map(punctual_reactor::interface_index);
        let Some(index) = loopback else { return };
        let name = if punctual_reactor::interface_index("lo").is_some() { "lo" } else { "lo0" };
        let conf =
            ResolvConf::parse(&format!("nameserver fe80::1%{name}\nnameserver fe80::1%no-such-one"));
        assert_eq!(
            conf.servers,
            [SocketAddrV6::new("fe80::1".parse().expect("an address"), 53, 0, index).into()]
        );
    }
}
