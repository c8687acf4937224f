//! [`Target`]: what to connect to or to listen on.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::error::{Error, Phase};

/// One or several addresses, or a name and a port that are yet to be resolved.
///
/// Made from a [`SocketAddr`], a list of them, `(host, port)` or a `"host:port"` string; literal addresses
/// are recognised in all of these, IPv6 in brackets where a port follows, with the number of an interface as its
/// scope if it needs one (`[fe80::1%2]:80`). What does not parse is
/// reported by whoever uses it.
#[derive(Clone, Debug)]
pub struct Target(pub(crate) Kind);

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Addresses(Vec<SocketAddr>),
    Name { host: String, port: u16 },
    Invalid { text: String, why: &'static str },
}

/// The longest name that is looked up, in bytes; DNS itself ends at 253.
const NAME_MAX: usize = 255;

impl Target {
    fn host(host: &str, port: u16) -> Target {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(host).parse::<IpAddr>() {
            return SocketAddr::new(ip, port).into();
        }
        let invalid = |why| Target(Kind::Invalid { text: format!("{host}:{port}"), why });
        if let Some((ip, scope)) = scoped(bare.unwrap_or(host)) {
            return match scope {
                Some(scope) => SocketAddrV6::new(ip, port, 0, scope).into(),
                None => {
                    invalid("the scope of an IPv6 address is the number of an interface, not its name")
                }
            };
        }
        match host {
            "" => invalid("the host is empty"),
            _ if bare.is_some() => invalid("what stands in brackets is not an IPv6 address"),
            _ if host.len() > NAME_MAX => invalid("the host name is longer than 255 bytes"),
            _ if host.contains('\0') => invalid("the host name contains a NUL character"),
            _ if host.contains(char::is_control) => {
                invalid("the host name contains a control character")
            }
            _ if host.contains(char::is_whitespace) => invalid("the host name contains a space"),
            _ if host.contains(['[', ']', ':', '/', '@']) => {
                invalid("the host name contains a character that no host name has: give host:port")
            }
            _ => Target(Kind::Name { host: host.to_owned(), port }),
        }
    }

    fn parse(text: &str) -> Target {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return address.into();
        }
        let invalid = |why| Target(Kind::Invalid { text: text.to_owned(), why });
        let Some((host, port)) = text.rsplit_once(':') else {
            return invalid("the port is missing: give host:port");
        };
        match port.parse::<u16>() {
            Ok(port) if !port_text_is_odd(text) => Target::host(host, port),
            _ => invalid("the port is not a number from 0 to 65535"),
        }
    }

    /// The literal addresses, for what must not wait for a resolver.
    pub(crate) fn into_addresses(self, phase: Phase) -> Result<Vec<SocketAddr>, Error> {
        let name = self.to_string();
        match self.0 {
            Kind::Addresses(addresses) if addresses.is_empty() => {
                Err(Error::invalid(phase, "no address was given"))
            }
            Kind::Addresses(addresses) => Ok(addresses),
            Kind::Name { .. } => {
                Err(Error::invalid(phase, "an address is needed here, not a name").with_target(name))
            }
            Kind::Invalid { why, .. } => Err(Error::invalid(phase, why).with_target(name)),
        }
    }
}

/// An IPv6 address with a scope (RFC 4007, section 11), and the scope if it is a number.
fn scoped(host: &str) -> Option<(Ipv6Addr, Option<u32>)> {
    let (ip, scope) = host.split_once('%')?;
    let digits = scope.bytes().all(|byte| byte.is_ascii_digit());
    Some((ip.parse().ok()?, scope.parse().ok().filter(|_| digits)))
}

/// `parse` takes a leading plus sign.
fn port_text_is_odd(text: &str) -> bool {
    text.rsplit(':').next().is_none_or(|port| port.starts_with('+'))
}

impl fmt::Display for Target {
    /// As it is written in an error: what could break a line is escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Addresses(addresses) => match addresses.as_slice() {
                [] => f.write_str("no address"),
                [one] => write!(f, "{one}"),
                [first, rest @ ..] => write!(f, "{first} and {} more", rest.len()),
            },
            Kind::Name { host, port } => write!(f, "{host}:{port}"),
            Kind::Invalid { text, .. } => write!(f, "{:?}", text.chars().take(80).collect::<String>()),
        }
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Target {
        Target(Kind::Addresses(vec![address]))
    }
}

impl From<SocketAddrV4> for Target {
    fn from(address: SocketAddrV4) -> Target {
        SocketAddr::V4(address).into()
    }
}

impl From<SocketAddrV6> for Target {
    fn from(address: SocketAddrV6) -> Target {
        SocketAddr::V6(address).into()
    }
}

impl From<(IpAddr, u16)> for Target {
    fn from(address: (IpAddr, u16)) -> Target {
        SocketAddr::from(address).into()
    }
}

impl From<(Ipv4Addr, u16)> for Target {
    fn from(address: (Ipv4Addr, u16)) -> Target {
        SocketAddr::from(address).into()
    }
}

impl From<(Ipv6Addr, u16)> for Target {
    fn from(address: (Ipv6Addr, u16)) -> Target {
        SocketAddr::from(address).into()
    }
}

impl From<Vec<SocketAddr>> for Target {
    fn from(addresses: Vec<SocketAddr>) -> Target {
        Target(Kind::Addresses(addresses))
    }
}

impl From<&[SocketAddr]> for Target {
    fn from(addresses: &[SocketAddr]) -> Target {
        addresses.to_vec().into()
    }
}

impl From<(&str, u16)> for Target {
    fn from((host, port): (&str, u16)) -> Target {
        Target::host(host, port)
    }
}

impl From<(String, u16)> for Target {
    fn from((host, port): (String, u16)) -> Target {
        Target::host(&host, port)
    }
}

impl From<&str> for Target {
    fn from(text: &str) -> Target {
        Target::parse(text)
    }
}

impl From<String> for Target {
    fn from(text: String) -> Target {
        Target::parse(&text)
    }
}

impl From<&String> for Target {
    fn from(text: &String) -> Target {
        Target::parse(text)
    }
}

impl From<Cow<'_, str>> for Target {
    fn from(text: Cow<'_, str>) -> Target {
        Target::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_addresses_are_recognised_however_they_are_written() {
        let address = |target: Target| match target.0 {
            Kind::Addresses(addresses) => addresses[0].to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(address("127.0.0.1:80".into()), "127.0.0.1:80");
        assert_eq!(address("[::1]:80".into()), "[::1]:80");
        assert_eq!(address(("::1", 80).into()), "[::1]:80");
        assert_eq!(address(("[::1]", 80).into()), "[::1]:80");
        assert_eq!(address("[fe80::1%2]:80".into()), "[fe80::1%2]:80");
        assert_eq!(address(("fe80::1%2", 80).into()), "[fe80::1%2]:80");
        assert_eq!(address(("[fe80::1%2]", 80).into()), "[fe80::1%2]:80");
        assert_eq!(address(("10.0.0.1".to_owned(), 80).into()), "10.0.0.1:80");
    }

    #[test]
    fn names_are_kept_for_later() {
        let Target(Kind::Name { host, port }) = Target::from("example.org:443") else { panic!() };
        assert_eq!((host.as_str(), port), ("example.org", 443));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason_on_one_line() {
        let long = "x".repeat(300) + ":1";
        let bad = [
            ("", "port is missing"),
            ("example.org", "port is missing"),
            (":80", "host is empty"),
            ("h:", "port is not a number"),
            ("h:+80", "port is not a number"),
            ("h:65536", "port is not a number"),
            ("h:-1", "port is not a number"),
            ("a\0b:80", "NUL"),
            ("a\nb:80", "control"),
            ("a b:80", "space"),
            ("[nonsense]:80", "not an IPv6"),
            ("[fe80::1%lo]:80", "number of an interface"),
            ("fe80::1%lo:80", "number of an interface"),
            ("[fe80::1%]:80", "number of an interface"),
            ("[fe80::1%+1]:80", "number of an interface"),
            ("[fe80::1%4294967296]:80", "number of an interface"),
            ("::1:80:x", "port is not a number"),
            ("1:2:80", "no host name has"),
            ("http://example.org:80", "no host name has"),
            (&long, "longer than 255"),
        ];
        for (text, expected) in bad {
            let error = Target::from(text).into_addresses(Phase::Connect).expect_err(text);
            let sentence = error.to_string();
            assert!(sentence.contains(expected), "{text:?}: {sentence}");
            assert!(!sentence.contains(char::is_control), "{sentence:?}");
        }
    }
}
