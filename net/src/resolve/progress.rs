//! [`Progress`]: what a lookup waits for, for whoever runs out of time over it.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "dns")]
pub(super) use tally::Tally;

use crate::error::Diagnosis;

/// Kept by who waits, written by the lookup, read at a timeout and by whoever watches its span.
#[derive(Default)]
pub(crate) struct Progress {
    awaited: RefCell<Awaited>,
    /// Whether the last name was known without asking anybody.
    cached: Cell<bool>,
}

#[derive(Default)]
enum Awaited {
    /// Nothing that takes time.
    #[default]
    Nothing,
    /// The system's library, and whether a helper thread has called it.
    Library(Arc<AtomicBool>),
    /// The queries of one name.
    #[cfg(feature = "dns")]
    Servers(Vec<std::rc::Rc<Tally>>),
}

impl Progress {
    pub(crate) fn awaits_library(&self, called: Arc<AtomicBool>) {
        self.awaited.replace(Awaited::Library(called));
    }

    #[cfg(feature = "dns")]
    pub(super) fn awaits_servers(&self, tallies: Vec<std::rc::Rc<Tally>>) {
        self.cached.set(tallies.is_empty());
        self.awaited.replace(Awaited::Servers(tallies));
    }

    /// Whom it still waits for. `None` if that is nobody.
    pub(crate) fn diagnosis(&self) -> Option<Diagnosis> {
        match &*self.awaited.borrow() {
            Awaited::Nothing => None,
            Awaited::Library(called) => {
                Some(Diagnosis::SystemLibrarySilent { called: called.load(Ordering::Relaxed) })
            }
            #[cfg(feature = "dns")]
            Awaited::Servers(tallies) => tally::diagnosis(tallies),
        }
    }

    /// Whether what was found was known without asking anybody.
    pub(crate) fn is_cached(&self) -> bool {
        self.cached.get()
    }

    /// The servers that were asked, and how many questions they were sent.
    pub(crate) fn asked(&self) -> (Vec<SocketAddr>, u32) {
        match &*self.awaited.borrow() {
            #[cfg(feature = "dns")]
            Awaited::Servers(tallies) => tally::asked(tallies),
            _ => (Vec::new(), 0),
        }
    }
}

#[cfg(feature = "dns")]
mod tally {
    use std::cell::{Cell, RefCell};
    use std::net::SocketAddr;
    use std::rc::Rc;

    use crate::error::{Diagnosis, IgnoredAnswers};

    /// What one query has sent and heard so far; shared by all who wait for it.
    #[derive(Default)]
    pub(in crate::resolve) struct Tally {
        servers: RefCell<Vec<Asked>>,
        over: Cell<bool>,
    }

    #[derive(Clone)]
    struct Asked {
        server: SocketAddr,
        queries: u32,
        ignored: IgnoredAnswers,
        /// Nothing has come since it was asked last.
        is_silent: bool,
    }

    impl Tally {
        /// A question goes out to `server`.
        pub(in crate::resolve) fn asks(&self, server: SocketAddr) {
            let mut servers = self.servers.borrow_mut();
            match servers.iter_mut().find(|asked| asked.server == server) {
                Some(asked) => (asked.queries, asked.is_silent) = (asked.queries + 1, true),
                None => {
                    let ignored = IgnoredAnswers::default();
                    servers.push(Asked { server, queries: 1, ignored, is_silent: true });
                }
            }
        }

        /// What came from `server` is no answer to the question.
        pub(in crate::resolve) fn ignores(
            &self,
            server: SocketAddr,
            count: impl FnOnce(&mut IgnoredAnswers),
        ) {
            let mut servers = self.servers.borrow_mut();
            if let Some(asked) = servers.iter_mut().find(|asked| asked.server == server) {
                count(&mut asked.ignored);
            }
        }

        /// What `server` said was of no use, or it cannot be asked.
        pub(in crate::resolve) fn heard(&self, server: SocketAddr) {
            let mut servers = self.servers.borrow_mut();
            if let Some(asked) = servers.iter_mut().find(|asked| asked.server == server) {
                asked.is_silent = false;
            }
        }

        /// Nobody waits for it any more.
        pub(in crate::resolve) fn end(&self) {
            self.over.set(true);
        }
    }

    /// All servers that were asked, over both families.
    pub(super) fn asked(tallies: &[Rc<Tally>]) -> (Vec<SocketAddr>, u32) {
        let (mut servers, mut queries) = (Vec::new(), 0);
        for asked in tallies.iter().flat_map(|tally| tally.servers.borrow().clone()) {
            if !servers.contains(&asked.server) {
                servers.push(asked.server);
            }
            queries += asked.queries;
        }
        (servers, queries)
    }

    /// The servers that have said nothing, over both families.
    pub(super) fn diagnosis(tallies: &[Rc<Tally>]) -> Option<Diagnosis> {
        if tallies.iter().all(|tally| tally.over.get()) {
            return None;
        }
        let (mut servers_asked, mut queries_sent) = (Vec::new(), 0);
        let mut answers_ignored = IgnoredAnswers::default();
        for tally in tallies.iter().filter(|tally| !tally.over.get()) {
            for asked in tally.servers.borrow().iter().filter(|asked| asked.is_silent) {
                if !servers_asked.contains(&asked.server) {
                    servers_asked.push(asked.server);
                }
                queries_sent += asked.queries;
                answers_ignored += asked.ignored;
            }
        }
        Some(Diagnosis::NameServersSilent { servers_asked, queries_sent, answers_ignored })
    }
}
