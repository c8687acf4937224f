//! [`Core`]: what a core's `main` is given.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::PoisonError;

use super::group::CoresHandle;
use crate::net::{Error, Listen, Target, TcpListener};

/// One of the cores, as its `main` is given it: its number, its listeners, and the way to end them all.
#[derive(Clone)]
pub struct Core {
    index: usize,
    cpu: Option<usize>,
    cores: CoresHandle,
    /// How often it has listened on what.
    listened: Rc<RefCell<HashMap<String, usize>>>,
}

impl Core {
    pub(super) fn new(index: usize, cpu: Option<usize>, cores: CoresHandle) -> Core {
        Core { index, cpu, cores, listened: Rc::default() }
    }

    /// Its number, from zero.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.cores.count()
    }

    /// The CPU that its thread is pinned to, as the system counts them; `None` if it is not.
    #[must_use]
    pub fn cpu(&self) -> Option<usize> {
        self.cpu
    }

    /// Ends all cores, this one too, and reaches the others.
    #[must_use]
    pub fn cores(&self) -> &CoresHandle {
        &self.cores
    }

    /// Waits until the cores are asked to [end](CoresHandle::drain), be it by a call or because one has failed. The runtime
    /// goes on until the time for it is over: accept no more, and finish what was begun.
    pub async fn drain_requested(&self) {
        self.cores.group.asked_to_end(None).await;
    }

    /// Listens on `target` together with the other cores (`SO_REUSEPORT`, socket(7)): each has its own listener on
    /// the same port, and the kernel gives each connection to one of them, chosen by the addresses and ports of both
    /// ends. On port 0 the kernel chooses the port for the core that comes first, and the others take the same; a core's second call with the same `target` goes with the second of the others.
    ///
    /// A connection belongs to the listener that the kernel chose when the SYN came. When that is closed, those that it has
    /// not accepted are reset, although other listeners are there, and so are those that are being opened: a closing
    /// listener loses what is in its queue. With `net.ipv4.tcp_migrate_req` (Linux 5.14) they go to another, all but one
    /// whose handshake ends, or whose new listener is closed, in the very moment of the close. To lose the least: start
    /// the new process on the same port first, accept what waits until nothing does, and only then close.
    ///
    /// # Errors
    /// As [`TcpListener::bind`]. Every process that listens on the port must be of the same user and have asked to share it.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn listen(&self, target: impl Into<Target>) -> Result<TcpListener, Error> {
        self.listen_with(target, |listen| listen)
    }

    /// As [`listen`](Core::listen), with what `choose` sets on the listener before it is made.
    ///
    /// # Errors
    /// As [`listen`](Core::listen).
    ///
    /// # Panics
    /// Outside of a runtime. A hook of `choose`'s must not listen itself, for which it would wait for ever.
    #[track_caller]
    pub fn listen_with(
        &self,
        target: impl Into<Target>,
        choose: impl FnOnce(Listen) -> Listen,
    ) -> Result<TcpListener, Error> {
        let target = target.into();
        let name = target.to_string();
        let times = self.listened.borrow().get(&name).copied().unwrap_or(0);
        // Held while it is bound: the others wait for the port.
        let mut ports = self.cores.group.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = ports.get(&(name.clone(), times)).copied();
        let target = shared.map_or(target, Target::from);
        let listener = choose(Listen::on(target)).reuse_port(true).bind()?;
        if shared.is_none() {
            ports.insert((name.clone(), times), listener.local_addr()?);
        }
        drop(ports);
        self.listened.borrow_mut().insert(name, times + 1);
        Ok(listener)
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("index", &self.index)
            .field("count", &self.count())
            .field("cpu", &self.cpu)
            .finish_non_exhaustive()
    }
}
