//! [`Place`]: one of those that a host has for connections.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::{KNOWN_MAX, Key, Pool};
use crate::http::client::connection::Connection;

/// The place of a connection in its pool, which it has from before it is made until it has ended.
pub(in crate::http::client) struct Place {
    pool: Weak<Pool>,
    key: Key,
    /// Others wait for it to be made, in case that they can share it.
    announced: Cell<bool>,
}

impl Place {
    pub(super) fn new(pool: &Rc<Pool>, key: &Key, announced: bool) -> Place {
        Place { pool: Rc::downgrade(pool), key: key.clone(), announced: Cell::new(announced) }
    }

    /// The connection stands. Others may use it from now on if it is one of HTTP/2.
    pub(in crate::http::client) fn filled_by(&self, connection: &Rc<Connection>) {
        let Some(pool) = self.pool.upgrade() else { return };
        if let Some(host) = pool.hosts.borrow_mut().get_mut(&self.key) {
            host.http2 = Some(connection.http2);
            if connection.http2 {
                host.shared.push(connection.clone());
            }
        }
        self.told(&pool);
    }

    /// Nobody is to wait for it any more.
    fn told(&self, pool: &Pool) {
        if self.announced.replace(false)
            && let Some(host) = pool.hosts.borrow_mut().get_mut(&self.key)
        {
            host.dialing = false;
        }
        pool.wake(&self.key);
    }

    /// Something has become free.
    pub(in crate::http::client) fn wake(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.wake(&self.key);
        }
    }

    pub(in crate::http::client) fn put_idle(&self, connection: &Rc<Connection>) {
        match self.pool.upgrade() {
            Some(pool) => pool.put_idle(&self.key, connection.clone()),
            None => connection.close(),
        }
    }

    pub(in crate::http::client) fn expire(&self, connection: &Rc<Connection>) {
        match self.pool.upgrade() {
            Some(pool) => pool.expire(&self.key, connection),
            None => connection.close(),
        }
    }

    pub(in crate::http::client) fn idle_timeout(&self) -> Duration {
        self.pool.upgrade().map_or(Duration::ZERO, |pool| pool.rules.idle_timeout)
    }

    /// It has ended.
    pub(in crate::http::client) fn left_by(&self, connection: &Rc<Connection>) {
        let Some(pool) = self.pool.upgrade() else { return };
        if let Some(host) = pool.hosts.borrow_mut().get_mut(&self.key) {
            host.idle.retain(|other| !Rc::ptr_eq(other, connection));
            host.shared.retain(|other| !Rc::ptr_eq(other, connection));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else { return };
        {
            let mut hosts = pool.hosts.borrow_mut();
            let Some(host) = hosts.get_mut(&self.key) else { return };
            host.live -= 1;
            let empty = host.live == 0 && host.waiting == 0 && host.waiters.is_empty();
            // What was learnt of a host is kept while it is worth something, and of no more than so many.
            let learnt = self.key.origin.https && host.http2.is_some();
            if empty && (!learnt || hosts.len() > KNOWN_MAX) {
                hosts.remove(&self.key);
            }
        }
        self.told(&pool);
    }
}
