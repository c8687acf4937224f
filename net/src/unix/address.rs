//! [`UnixAddress`].

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use punctual_reactor::Subject;
use socket2::SockAddr;

/// The address of a Unix socket (unix(7)): a path, a name in Linux's abstract namespace, or none at all.
///
/// Made from whatever a path is made from. `Display` writes a path as it is, an abstract name with an `@`
/// before it, as
/// `ss` and `/proc/net/unix` do, and nothing unprintable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnixAddress(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Unnamed,
    Path(PathBuf),
    Abstract(Vec<u8>),
}

impl UnixAddress {
    /// A socket that was neither bound nor given a name.
    pub(crate) const UNNAMED: UnixAddress = UnixAddress(Kind::Unnamed);

    /// As the audit of what waits keeps it.
    pub(crate) fn to_subject(&self) -> Subject {
        match self.0 {
            Kind::Unnamed => Subject::Literal("an unnamed socket"),
            _ => Subject::Named(Rc::new(self.clone())),
        }
    }

    /// A name in the abstract namespace: it is no file, needs no permission and is gone with the last socket
    /// that has it. Linux alone has it; elsewhere whoever uses the address says so.
    pub fn from_abstract_name(name: impl AsRef<[u8]>) -> UnixAddress {
        UnixAddress(Kind::Abstract(name.as_ref().to_vec()))
    }

    /// The path, if it is one.
    #[must_use]
    pub fn as_path(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Path(path) => Some(path),
            _ => None,
        }
    }

    /// The abstract name, without the NUL in front that the kernel has there, if it is one.
    #[must_use]
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Abstract(name) => Some(name),
            _ => None,
        }
    }

    /// Whether it has no name: nobody can connect or send to it by an address.
    #[must_use]
    pub fn is_unnamed(&self) -> bool {
        self.0 == Kind::Unnamed
    }

    /// As the kernel has it.
    pub(crate) fn to_kernel(&self) -> io::Result<SockAddr> {
        let invalid = |why: &str| Err(io::Error::new(ErrorKind::InvalidInput, why));
        match &self.0 {
            Kind::Unnamed => invalid("an unnamed Unix socket cannot be reached by an address"),
            Kind::Path(path) if path.as_os_str().is_empty() => invalid("the path is empty"),
            Kind::Path(path) if path.as_os_str().as_bytes().contains(&0) => {
                invalid("the path contains a NUL character")
            }
            Kind::Path(path) => {
                SockAddr::unix(path).or_else(|_| invalid("the path is too long for a socket"))
            }
            Kind::Abstract(_) if !HAS_ABSTRACT_NAMES => invalid("this system has no abstract names"),
            Kind::Abstract(name) => {
                let name = [&[0], name.as_slice()].concat();
                let name = Path::new(OsStr::from_bytes(&name));
                SockAddr::unix(name).or_else(|_| invalid("the name is too long for a socket"))
            }
        }
    }

    pub(crate) fn from_kernel(address: &SockAddr) -> UnixAddress {
        UnixAddress(match (address.as_pathname(), address.as_abstract_namespace()) {
            (Some(path), _) => Kind::Path(path.to_owned()),
            (None, Some(name)) => Kind::Abstract(name.to_vec()),
            (None, None) => Kind::Unnamed,
        })
    }
}

const HAS_ABSTRACT_NAMES: bool = cfg!(any(target_os = "linux", target_os = "android"));

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Unnamed => f.write_str("an unnamed Unix socket"),
            Kind::Path(path) => write!(f, "{}", path.display()),
            Kind::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
        }
    }
}

impl From<net::SocketAddr> for UnixAddress {
    fn from(address: net::SocketAddr) -> UnixAddress {
        match (address.as_pathname(), abstract_name(&address)) {
            (Some(path), _) => path.into(),
            (None, Some(name)) => UnixAddress::from_abstract_name(name),
            (None, None) => UnixAddress::UNNAMED,
        }
    }
}

#[cfg(target_os = "linux")]
fn abstract_name(address: &net::SocketAddr) -> Option<&[u8]> {
    std::os::linux::net::SocketAddrExt::as_abstract_name(address)
}

#[cfg(target_os = "android")]
fn abstract_name(address: &net::SocketAddr) -> Option<&[u8]> {
    std::os::android::net::SocketAddrExt::as_abstract_name(address)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_name(_: &net::SocketAddr) -> Option<&[u8]> {
    None
}

impl From<PathBuf> for UnixAddress {
    fn from(path: PathBuf) -> UnixAddress {
        UnixAddress(Kind::Path(path))
    }
}

/// What a path can be made from without a copy too many.
macro_rules! from_paths {
    ($($path:ty),*) => {$(
        impl From<$path> for UnixAddress {
            fn from(path: $path) -> UnixAddress {
                PathBuf::from(path).into()
            }
        }
    )*};
}

from_paths!(&Path, &PathBuf, &str, String, &OsStr);

impl From<&UnixAddress> for UnixAddress {
    fn from(address: &UnixAddress) -> UnixAddress {
        address.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_to_the_kernel_and_come_back() {
        let there_and_back = |address: UnixAddress| {
            let kernel = address.to_kernel().expect("an address");
            assert_eq!(UnixAddress::from_kernel(&kernel), address);
        };
        there_and_back("/run/x.sock".into());
        there_and_back("relative".into());
        if HAS_ABSTRACT_NAMES {
            there_and_back(UnixAddress::from_abstract_name(b"a\0b"));
            there_and_back(UnixAddress::from_abstract_name([7; 107]));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |address: UnixAddress| address.to_kernel().expect_err("refused").to_string();
        assert!(refused("".into()).contains("empty"));
        assert!(refused("a\0b".into()).contains("NUL"));
        assert!(refused("x".repeat(108).into()).contains("too long"));
        assert!(refused(UnixAddress::UNNAMED).contains("unnamed"));
        let long = refused(UnixAddress::from_abstract_name([7; 108]));
        assert!(long.contains("too long") || !HAS_ABSTRACT_NAMES, "{long}");
    }

    #[test]
    fn names_are_printable() {
        assert_eq!(UnixAddress::from_abstract_name(b"a\n\0b").to_string(), "@a\\n\\x00b");
        assert_eq!(UnixAddress::from("/run/x").to_string(), "/run/x");
    }
}
