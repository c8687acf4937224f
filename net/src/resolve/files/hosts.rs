//! `/etc/hosts`: names that need no asking (hosts(5)).

use std::collections::HashMap;
use std::net::IpAddr;

use super::watched::Parsed;

/// More addresses of one name than these are not kept.
const ADDRESSES_MAX: usize = 256;

/// Addresses by name, in the order of the file.
#[derive(Debug, Default)]
pub(in crate::resolve) struct Hosts(HashMap<Box<str>, Vec<IpAddr>>);

impl Parsed for Hosts {
    /// Lists of blocked names are long.
    const SIZE_MAX: u64 = 8 * 1024 * 1024;

    fn missing() -> Hosts {
        Hosts::default()
    }

    fn is_suspect(&self) -> bool {
        self.0.is_empty()
    }

    fn parse(text: &str) -> Hosts {
        let mut hosts = Hosts::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or("");
            let mut words = line.split_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
            for name in words {
                let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
                let addresses = hosts.0.entry(name.into()).or_default();
                if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        hosts
    }
}

impl Hosts {
    /// The addresses of `name`, which is in lower case without a final dot.
    pub(in crate::resolve) fn get(&self, name: &str) -> Option<&[IpAddr]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_names_addresses() {
        let hosts = Hosts::parse(
            "127.0.0.1 localhost\n::1\tlocalhost ip6 # comment\n#192.0.2.1 no\nnonsense no\n\
             192.0.2.7 Name.Example. alias\n192.0.2.7 alias\n192.0.2.8 alias\n192.0.2.9",
        );
        let get = |name| {
            hosts.get(name).map(|ips| ips.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(get("localhost").as_deref(), Some("127.0.0.1 ::1"));
        assert_eq!(get("name.example").as_deref(), Some("192.0.2.7"));
        assert_eq!(get("alias").as_deref(), Some("192.0.2.7 192.0.2.8"));
        assert_eq!(get("no"), None);
    }

    #[test]
    fn a_name_of_a_million_addresses_keeps_the_first() {
        let line = |n: u32| format!("{} blocked\n", std::net::Ipv4Addr::from(n));
        let text: String = (0..300_000).map(line).collect();
        let hosts = Hosts::parse(&text);
        let ips = hosts.get("blocked").expect("it is there");
        assert_eq!((ips.len(), ips.first()), (256, Some(&IpAddr::from([0; 4]))));
    }
}
