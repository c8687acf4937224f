//! [`KeptSubject`]: a [`Subject`] in less room.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::RawFd;
use std::panic::Location;
use std::rc::Rc;

use crate::waits::Subject;

/// A subject as a source keeps it: nearly always the address of a peer, of which there are as many as there are connections.
#[derive(Clone)]
pub(crate) enum KeptSubject {
    V4(Ipv4Addr, u16),
    /// Without a flow label, as nearly all are.
    V6 {
        ip: Ipv6Addr,
        port: u16,
        scope: u32,
    },
    Labelled(Box<SocketAddrV6>),
    Descriptor(RawFd),
    Process(u32),
    Task(&'static Location<'static>),
    Literal(&'static str),
    Named(Rc<dyn fmt::Display>),
}

impl From<Subject> for KeptSubject {
    fn from(subject: Subject) -> KeptSubject {
        match subject {
            Subject::Address(SocketAddr::V4(address)) => KeptSubject::V4(*address.ip(), address.port()),
            Subject::Address(SocketAddr::V6(address)) if address.flowinfo() == 0 => {
                KeptSubject::V6 { ip: *address.ip(), port: address.port(), scope: address.scope_id() }
            }
            Subject::Address(SocketAddr::V6(address)) => KeptSubject::Labelled(Box::new(address)),
            Subject::Descriptor(number) => KeptSubject::Descriptor(number),
            Subject::Process(number) => KeptSubject::Process(number),
            Subject::Task(at) => KeptSubject::Task(at),
            Subject::Literal(words) => KeptSubject::Literal(words),
            Subject::Named(name) => KeptSubject::Named(name),
        }
    }
}

impl From<KeptSubject> for Subject {
    fn from(kept: KeptSubject) -> Subject {
        match kept {
            KeptSubject::V4(ip, port) => Subject::Address((ip, port).into()),
            KeptSubject::V6 { ip, port, scope } => {
                Subject::Address(SocketAddrV6::new(ip, port, 0, scope).into())
            }
            KeptSubject::Labelled(address) => Subject::Address((*address).into()),
            KeptSubject::Descriptor(number) => Subject::Descriptor(number),
            KeptSubject::Process(number) => Subject::Process(number),
            KeptSubject::Task(at) => Subject::Task(at),
            KeptSubject::Literal(words) => Subject::Literal(words),
            KeptSubject::Named(name) => Subject::Named(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_out_as_it_went_in() {
        let label = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 7, 5, 3);
        let subjects = [
            Subject::Address(([127, 0, 0, 1], 80).into()),
            Subject::Address(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 7, 0, 3).into()),
            Subject::Address(label.into()),
            Subject::Descriptor(-7),
            Subject::Process(u32::MAX),
            Subject::Task(Location::caller()),
            Subject::Literal("words"),
            Subject::from(String::from("a name")),
        ];
        for subject in subjects {
            let again = Subject::from(KeptSubject::from(subject.clone()));
            assert_eq!(format!("{again:?}"), format!("{subject:?}"));
            if let (Subject::Address(before), Subject::Address(after)) = (subject, again) {
                assert_eq!(before, after, "with its scope and its flow label");
            }
        }
    }
}
