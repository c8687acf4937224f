//! [`FaultProxy`]: does to connections on loopback what networks do to them.
//!
//! ```text
//!            requests ──▶
//!  client ────────────────── proxy ──────────────── server
//!            ◀── responses     │  ╲
//!                              │   ╲ a second connection, for nobody
//!     delay · trickle · stall · reset · half-close · corrupt · duplicate
//! ```
//!
//! It runs on a thread of its own over mio, so that nothing under test is part of it but mio, and holds thousands of
//! connections. What it does to each is drawn from a seed and the client's address, so a client knows what was done to it
//! without asking: [`Faults::drawn`]. [`FaultProxy::heal`] ends everything that can be ended.
//!
//! ```no_run
//! use punctual_tests_stress::proxy::{FaultProxy, Faults};
//!
//! let server = "127.0.0.1:8080".parse().unwrap();
//! let proxy = FaultProxy::start(&[server], |client| Faults::drawn(7, client));
//! let through = std::net::TcpStream::connect(proxy.addresses()[0]);
//! proxy.heal();
//! ```

mod fault;
mod flow;
mod pipe;
mod thread;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use socket2::SockRef;

pub use fault::{Fault, Faults, KINDS};
use thread::Proxy;

/// What the kernel is to buffer of what the proxy does not take, so that a sender is soon held up.
pub const NARROW: usize = 16 * 1024;

/// A running proxy; it ends when it is dropped, and resets what still stands.
#[derive(Debug)]
pub struct FaultProxy {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    waker: Arc<mio::Waker>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// What the thread and its owner both look at.
#[derive(Debug, Default)]
struct Shared {
    healed: AtomicBool,
    silent: AtomicBool,
    over: AtomicBool,
    standing: AtomicU64,
    /// How often each of [`KINDS`] was really done.
    done: [AtomicU64; KINDS.len()],
}

impl Shared {
    fn count(&self, kind: &'static str) {
        if let Some(at) = KINDS.iter().position(|known| *known == kind) {
            self.done[at].fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl FaultProxy {
    /// In front of each of `upstreams`, on an address of its own; `plan` says what is done to the connection of this client.
    ///
    /// # Panics
    /// If sockets or a poll cannot be had.
    pub fn start(
        upstreams: &[SocketAddr],
        plan: impl Fn(SocketAddr) -> Faults + Send + 'static,
    ) -> FaultProxy {
        let listeners: Vec<TcpListener> = upstreams.iter().map(|upstream| listener(*upstream)).collect();
        let addresses =
            listeners.iter().map(|listener| listener.local_addr().expect("its address")).collect();
        let shared = Arc::new(Shared::default());
        let proxy = Proxy::new(listeners, upstreams, Box::new(plan), shared.clone()).expect("a poll");
        let waker = proxy.waker();
        let thread = Some(std::thread::spawn(move || proxy.run()));
        FaultProxy { addresses, shared, waker, thread }
    }

    /// Where each of the upstreams is reached, in their order.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Ends every fault that can be ended, for good: what was held back is sent on, new connections are left alone, and
    /// whatever still stands must finish.
    pub fn heal(&self) {
        self.shared.healed.store(true, Ordering::Release);
        self.wake();
    }

    /// Gives nothing on in either direction while it is `silent`.
    pub fn set_silent(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::Release);
        self.wake();
    }

    /// Connections that stand now.
    #[must_use]
    pub fn standing(&self) -> u64 {
        self.shared.standing.load(Ordering::Acquire)
    }

    /// How often each kind of fault was really done: one that was planned at an offset that was never reached is not counted.
    #[must_use]
    pub fn done(&self) -> Vec<(&'static str, u64)> {
        let counts = self.shared.done.iter().map(|count| count.load(Ordering::Acquire));
        KINDS.into_iter().zip(counts).collect()
    }

    fn wake(&self) {
        self.waker.wake().expect("an eventfd takes it");
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        self.wake();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(Ok(())))), "the proxy failed: {ended:?}");
        }
    }
}

/// On the address of the upstream, so that clients may be spread over several.
fn listener(upstream: SocketAddr) -> TcpListener {
    let domain = socket2::Domain::for_address(upstream);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(upstream.ip(), 0).into()).expect("bound");
    // Accepted sockets have it from their listener.
    SockRef::from(&socket).set_recv_buffer_size(NARROW).expect("set");
    socket.listen(4_096).expect("listening");
    socket.set_nonblocking(true).expect("set");
    socket.into()
}
