//! The system's own files on names, read again when they change.

mod hosts;
mod nsswitch;
mod resolv_conf;
mod watched;

use std::path::PathBuf;
use std::rc::Rc;

use punctual_reactor::Instant;

pub(super) use hosts::Hosts;
pub(super) use nsswitch::{Nsswitch, Step};
pub(super) use resolv_conf::ResolvConf;
use watched::Watched;

/// What a file that says `text` says.
#[cfg(feature = "rig")]
pub(super) fn parse<T: watched::Parsed>(text: &str) -> T {
    T::parse(text)
}

/// Where they are.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    pub(super) hosts: PathBuf,
    pub(super) resolv_conf: PathBuf,
    pub(super) nsswitch: PathBuf,
}

impl Default for Paths {
    fn default() -> Paths {
        Paths {
            hosts: "/etc/hosts".into(),
            resolv_conf: "/etc/resolv.conf".into(),
            nsswitch: "/etc/nsswitch.conf".into(),
        }
    }
}

pub(super) struct Files {
    hosts: Watched<Hosts>,
    resolv_conf: Watched<ResolvConf>,
    nsswitch: Watched<Nsswitch>,
}

impl Files {
    pub(super) fn at(paths: Paths) -> Files {
        Files {
            hosts: Watched::new(paths.hosts),
            resolv_conf: Watched::new(paths.resolv_conf),
            nsswitch: Watched::new(paths.nsswitch),
        }
    }

    pub(super) fn hosts(&mut self, now: Instant) -> Rc<Hosts> {
        self.hosts.get(now)
    }

    pub(super) fn resolv_conf(&mut self, now: Instant) -> Rc<ResolvConf> {
        self.resolv_conf.get(now)
    }

    pub(super) fn nsswitch(&mut self, now: Instant) -> Rc<Nsswitch> {
        self.nsswitch.get(now)
    }
}
