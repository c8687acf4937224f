//! [`Pool`]: the connections of a client, by whom they lead to.
//!
//! ```text
//!                  ┌─ shared (HTTP/2): the first with a stream to spare ─┐
//!   checkout ──────┼─ idle (HTTP/1.1): the one that was used last ───────┼──▶ a connection
//!                  ├─ a dial, unless one is under way that may be shared ┤
//!                  └─ waiting, for any of these ──────────── connect ────┘
//! ```

mod place;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use punctual_reactor::{Instant, RuntimeId};

pub(super) use place::Place;

use super::connection::Connection;
use super::origin::Origin;

/// How many connections there may be, and for how long they are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) idle_per_host: usize,
    pub(super) idle_max: usize,
    pub(super) idle_timeout: Duration,
    pub(super) age_max: Duration,
    pub(super) per_host: usize,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            idle_per_host: 16,
            idle_max: 128,
            // Servers mostly give a connection up after 60 or 75 s, and what they give up we do not want to hold.
            idle_timeout: Duration::from_secs(45),
            age_max: Duration::from_secs(60 * 60),
            per_host: 128,
        }
    }
}

/// Of how many hosts without connections it is known what they speak.
const KNOWN_MAX: usize = 1024;

/// What the connections of a client have done, and do: [`Client::metrics`](super::Client::metrics).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientMetrics {
    /// Connections that wait for a request.
    pub idle: usize,
    /// Connections with a request under way, or being made.
    pub in_use: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// Connections that have been begun.
    pub dials: u64,
    /// Requests that were sent on a connection that had been used before.
    pub reuses: u64,
    /// Connections that were closed while idle, or instead of being used again: for their age, for want of room, or for the
    /// company of one that proved dead.
    pub evictions: u64,
}

/// Whom connections lead to, and how they are spoken on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) origin: Origin,
    /// HTTP/2 without asking.
    pub(super) prior_knowledge: bool,
    runtime: Option<RuntimeId>,
}

impl Key {
    pub(super) fn new(origin: Origin, prior_knowledge: bool) -> Key {
        Key { origin, prior_knowledge, runtime: RuntimeId::current() }
    }
}

pub(super) struct Pool {
    rules: Rules,
    hosts: RefCell<HashMap<Key, Host>>,
    dials: Cell<u64>,
    reuses: Cell<u64>,
    evictions: Cell<u64>,
    /// How often something has been waited for.
    waits: Cell<u64>,
}

#[derive(Default)]
struct Host {
    /// Of HTTP/1.1, the one used last at the end.
    idle: Vec<Rc<Connection>>,
    /// Of HTTP/2.
    shared: Vec<Rc<Connection>>,
    /// Connections that are made or stand, whatever they do.
    live: usize,
    /// A dial is under way whose connection may be shared.
    dialing: bool,
    /// What the last connection turned out to speak.
    http2: Option<bool>,
    /// Those who wait, by number, in turn.
    waiters: Vec<(u64, Waker)>,
    waiting: usize,
}

/// What is to be done to have a connection.
pub(super) enum Checkout {
    /// It is there, and has been used before.
    Ready(Rc<Connection>),
    /// One is to be made, in this place.
    Dial(Place),
    /// There is neither one nor room for one.
    Wait,
}

impl Pool {
    pub(super) fn new(rules: Rules) -> Rc<Pool> {
        Rc::new(Pool {
            rules,
            hosts: RefCell::default(),
            dials: Cell::new(0),
            reuses: Cell::new(0),
            evictions: Cell::new(0),
            waits: Cell::new(0),
        })
    }

    /// A connection, or what is to be done; a `fresh` one has not been used before.
    pub(super) fn checkout(self: &Rc<Pool>, key: &Key, fresh: bool) -> Checkout {
        let mut stale = Vec::new();
        let mut hosts = self.hosts.borrow_mut();
        let host = hosts.entry(key.clone()).or_default();
        let ready = if fresh { None } else { self.pick(host, &mut stale) };
        let may_be_shared = key.prior_knowledge || key.origin.https && host.http2 != Some(false);
        let checkout = match ready {
            Some(connection) => {
                self.reuses.set(self.reuses.get() + 1);
                Checkout::Ready(connection)
            }
            None if host.live >= self.rules.per_host || may_be_shared && host.dialing && !fresh => {
                Checkout::Wait
            }
            None => {
                host.live += 1;
                host.dialing |= may_be_shared;
                self.dials.set(self.dials.get() + 1);
                Checkout::Dial(Place::new(self, key, may_be_shared))
            }
        };
        drop(hosts);
        self.evict(stale);
        checkout
    }

    fn pick(&self, host: &mut Host, stale: &mut Vec<Rc<Connection>>) -> Option<Rc<Connection>> {
        let now = Instant::now();
        let too_old = |connection: &Connection| now - connection.established >= self.rules.age_max;
        let usable = |connection: &&Rc<Connection>| {
            connection.takes_requests() && connection.has_room() && !too_old(connection)
        };
        // Nobody uses it, and nobody is to: it would be in the way until it had been idle for long enough.
        let spent = |connection: &mut Rc<Connection>| connection.is_unused() && too_old(connection);
        stale.extend(host.shared.extract_if(.., spent));
        if let Some(connection) = host.shared.iter().find(usable) {
            connection.idle_since.set(None);
            return Some(connection.clone());
        }
        while let Some(connection) = host.idle.pop() {
            let idle = connection.idle_since.take().map_or(Duration::ZERO, |since| now - since);
            if connection.takes_requests() && !too_old(&connection) && idle < self.rules.idle_timeout {
                return Some(connection);
            }
            stale.push(connection);
        }
        None
    }

    /// Makes room for a fresh one, if what is in the way is idle.
    pub(super) fn make_room(&self, key: &Key) {
        let idlest = self.hosts.borrow_mut().get_mut(key).and_then(|host| {
            let full = host.live >= self.rules.per_host && !host.idle.is_empty();
            full.then(|| host.idle.remove(0))
        });
        self.evict(idlest.into_iter().collect());
    }

    /// Whether somebody waits for a connection to `key`: whoever comes later lets them look first.
    pub(super) fn is_awaited(&self, key: &Key) -> bool {
        self.hosts.borrow().get(key).is_some_and(|host| host.waiting > 0)
    }

    /// Waits until something has changed for requests of `key`.
    pub(super) async fn changed(&self, key: &Key) {
        struct Waiting<'a>(&'a Pool, &'a Key, u64);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                let mut hosts = self.0.hosts.borrow_mut();
                let Some(host) = hosts.get_mut(self.1) else { return };
                host.waiting -= 1;
                let at = host.waiters.iter().position(|(number, _)| *number == self.2);
                let waker = at.map(|at| host.waiters.remove(at));
                drop(hosts);
                drop(waker);
            }
        }
        if let Some(host) = self.hosts.borrow_mut().get_mut(key) {
            host.waiting += 1;
        }
        let number = self.waits.replace(self.waits.get() + 1);
        let _waiting = Waiting(self, key, number);
        let mut registered = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut registered, true) {
                return Poll::Ready(());
            }
            let waker = cx.waker().clone();
            if let Some(host) = self.hosts.borrow_mut().get_mut(key) {
                host.waiters.push((number, waker));
            }
            Poll::Pending
        })
        .await;
    }

    /// Those who wait for `key` are to look again.
    pub(super) fn wake(&self, key: &Key) {
        let waiters = match self.hosts.borrow_mut().get_mut(key) {
            Some(host) => std::mem::take(&mut host.waiters),
            None => return,
        };
        waiters.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// An HTTP/1.1 connection has done with its response.
    pub(super) fn put_idle(&self, key: &Key, connection: Rc<Connection>) {
        let mut stale = Vec::new();
        let mut hosts = self.hosts.borrow_mut();
        let all: usize = hosts.values().map(|host| host.idle.len()).sum();
        let host = hosts.entry(key.clone()).or_default();
        connection.idle_since.set(Some(Instant::now()));
        connection.last_used.set(Instant::now());
        let too_old = connection.established.elapsed() >= self.rules.age_max;
        if too_old || self.rules.idle_per_host == 0 || self.rules.idle_max == 0 {
            stale.push(connection);
        } else {
            host.idle.push(connection);
            if host.idle.len() > self.rules.idle_per_host {
                stale.push(host.idle.remove(0));
            } else if all >= self.rules.idle_max {
                stale.extend(oldest(&mut hosts));
            }
        }
        drop(hosts);
        self.evict(stale);
        self.wake(key);
    }

    /// One that was used before has proved dead: what has been idle for as long is likely to be so as well.
    pub(super) fn quarantine(&self, key: &Key, since: Instant) {
        let mut stale = Vec::new();
        if let Some(host) = self.hosts.borrow_mut().get_mut(key) {
            let (dead, alive) = std::mem::take(&mut host.idle).into_iter().partition(|connection| {
                connection.idle_since.get().is_none_or(|idle_since| idle_since <= since)
            });
            host.idle = alive;
            stale = dead;
        }
        self.evict(stale);
    }

    /// One has been idle for too long, as its task has found out.
    pub(super) fn expire(&self, key: &Key, connection: &Rc<Connection>) {
        if let Some(host) = self.hosts.borrow_mut().get_mut(key) {
            host.idle.retain(|other| !Rc::ptr_eq(other, connection));
            host.shared.retain(|other| !Rc::ptr_eq(other, connection));
        }
        self.evict(vec![connection.clone()]);
    }

    fn evict(&self, stale: Vec<Rc<Connection>>) {
        for connection in stale {
            self.evictions.set(self.evictions.get() + 1);
            connection.close();
        }
    }

    pub(super) fn metrics(&self) -> ClientMetrics {
        let hosts = self.hosts.borrow();
        let resting = |host: &Host| {
            host.idle.len() + host.shared.iter().filter(|connection| connection.is_unused()).count()
        };
        let idle: usize = hosts.values().map(resting).sum();
        let live: usize = hosts.values().map(|host| host.live).sum();
        ClientMetrics {
            idle,
            in_use: live - idle.min(live),
            waiting: hosts.values().map(|host| host.waiting).sum(),
            dials: self.dials.get(),
            reuses: self.reuses.get(),
            evictions: self.evictions.get(),
        }
    }
}

fn oldest(hosts: &mut HashMap<Key, Host>) -> Option<Rc<Connection>> {
    let since = |host: &Host| host.idle.first().and_then(|connection| connection.idle_since.get());
    let host = hosts.values_mut().filter(|host| !host.idle.is_empty()).min_by_key(|host| since(host))?;
    Some(host.idle.remove(0))
}

impl Drop for Pool {
    /// What is idle is closed; what is in use ends with its response.
    fn drop(&mut self) {
        for host in self.hosts.take().into_values() {
            host.idle.iter().for_each(|connection| connection.close());
            host.shared.iter().for_each(|connection| connection.retire());
        }
    }
}

#[cfg(test)]
mod tests;
