//! [`Site`]: what all connections of one server share.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use super::drain::Drain;
use super::limits::Limits;
use super::timeouts::ServerTimeouts;

pub(super) struct Site {
    pub(super) timeouts: ServerTimeouts,
    pub(super) limits: Limits,
    pub(super) drain: Rc<Drain>,
    /// Requests carry what is known of them in their extensions too.
    pub(super) info_in_extensions: bool,
    served: Cell<usize>,
    refusals: Cell<usize>,
    of_address: RefCell<HashMap<IpAddr, usize>>,
}

/// So many are told at once that they are too many; others are closed without a word.
const REFUSALS: usize = 64;

impl Site {
    pub(super) fn new(
        timeouts: ServerTimeouts,
        limits: Limits,
        drain: Rc<Drain>,
        info_in_extensions: bool,
    ) -> Rc<Site> {
        let (served, refusals, of_address) = Default::default();
        Rc::new(Site { timeouts, limits, drain, info_in_extensions, served, refusals, of_address })
    }

    /// A place for a connection, if there is one.
    pub(super) fn admit(self: &Rc<Self>, from: Option<IpAddr>) -> Option<Place> {
        if self.served.get() >= self.limits.connections {
            return None;
        }
        // Nobody counts what cannot be too many.
        let counted = self.limits.connections_per_ip < self.limits.connections;
        let from = from.filter(|_| counted).map(|ip| ip.to_canonical());
        if let Some(from) = from {
            let mut of_address = self.of_address.borrow_mut();
            let count = of_address.entry(from).or_insert(0);
            if *count >= self.limits.connections_per_ip {
                return None;
            }
            *count += 1;
        }
        self.served.set(self.served.get() + 1);
        Some(Place { site: self.clone(), from })
    }

    /// A place for one that is told that there is none.
    pub(super) fn refuse(self: &Rc<Self>) -> Option<Refusal> {
        let refusals = self.refusals.get();
        (refusals < REFUSALS).then(|| {
            self.refusals.set(refusals + 1);
            Refusal(self.clone())
        })
    }
}

/// The place of one connection, given back when dropped.
pub(super) struct Place {
    pub(super) site: Rc<Site>,
    from: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let site = &self.site;
        site.served.set(site.served.get() - 1);
        if let Some(from) = self.from {
            let mut of_address = site.of_address.borrow_mut();
            if let Some(count) = of_address.get_mut(&from) {
                *count -= 1;
                if *count == 0 {
                    of_address.remove(&from);
                }
            }
        }
    }
}

pub(super) struct Refusal(Rc<Site>);

impl Drop for Refusal {
    fn drop(&mut self) {
        self.0.refusals.set(self.0.refusals.get() - 1);
    }
}
