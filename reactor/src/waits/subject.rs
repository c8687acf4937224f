//! [`Subject`]: with whom or what something waits.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::panic::Location;
use std::rc::Rc;

/// With whom or what something waits: the peer of a connection, the address of a listener, the name that is looked
/// up. It is kept as it is, and put into words only when somebody [asks what waits](crate::waits).
#[derive(Clone)]
#[non_exhaustive]
pub enum Subject {
    /// A socket's address.
    Address(SocketAddr),
    /// A descriptor of this process.
    Descriptor(RawFd),
    /// A process, by its number.
    Process(u32),
    /// A task, by where it was spawned.
    Task(&'static Location<'static>),
    /// Words that do not change.
    Literal(&'static str),
    /// Whatever has a name.
    Named(Rc<dyn fmt::Display>),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Address(address) => address.fmt(f),
            Subject::Descriptor(number) => write!(f, "fd {number}"),
            Subject::Process(number) => write!(f, "process {number}"),
            Subject::Task(at) => write!(f, "the task spawned at {at}"),
            Subject::Literal(words) => f.write_str(words),
            Subject::Named(name) => name.fmt(f),
        }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({self})")
    }
}

impl From<SocketAddr> for Subject {
    fn from(address: SocketAddr) -> Subject {
        Subject::Address(address)
    }
}

impl From<&'static str> for Subject {
    fn from(words: &'static str) -> Subject {
        Subject::Literal(words)
    }
}

impl From<String> for Subject {
    fn from(words: String) -> Subject {
        Subject::Named(Rc::new(words))
    }
}
