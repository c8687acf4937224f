//! [`Server`]: the debug endpoint.

mod admit;
mod answer;
mod connection;
mod limits;
mod progress;
mod routes;
mod site;
mod stop;

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use punctual_net::{Error, Kind, Listen, Target, TcpListener, TcpStream};
use punctual_reactor::{JoinHandle, Scope, Unbounded, scope, spawn_named};

use limits::Limits;
use site::Site;
use stop::Stop;

/// What the runtime tells of itself, over HTTP/1.1, served by the runtime itself: pages for a browser, metrics for
/// Prometheus, profiles for `pprof`, a document for programs. The list is at `/`.
///
/// It is off until it is bound. Bound, it is a task like any other, under deadlines of its own: 5 s for the headers of a
/// request, however they drip; 15 s between two requests; 30 s for an answer (and the time that a profile is asked to
/// take); 10 s in which the client takes nothing of it. It serves 16 connections at once and tells the next one so.
///
/// ```no_run
/// use punctual::{Runtime, debug};
///
/// Runtime::new()?.block_on(async {
///     let endpoint = debug::Server::builder().bind(debug::Server::DEFAULT_ADDRESS)?.spawn();
///     println!("http://{}/debug/drift", endpoint.local_addr());
///     // … the program …
///     endpoint.stop().await
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Who can read it
/// Whoever can open a connection to it: everybody on this machine, if it is bound to the loopback, and nobody else; it
/// refuses other addresses unless [told](Builder::allow_non_loopback). It answers to its own address and to
/// `localhost` only, so that no web page gets at it by a name that it has made point here, and to no request that
/// a browser makes for a page from elsewhere. It reads nothing but `GET` and `HEAD`, and changes nothing.
pub struct Server {
    listener: TcpListener,
    site: Rc<Site>,
}

/// Sets the bounds of a [`Server`]; see each method for its default.
#[derive(Clone, Debug)]
#[must_use = "it listens once it is bound"]
pub struct Builder {
    limits: Limits,
    allow_non_loopback: bool,
}

/// A [`Server`] that runs. Dropping it lets the server run on, as long as the runtime does.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stop: Rc<Stop>,
    task: JoinHandle<Result<(), Error>>,
}

impl Server {
    /// Where it listens unless another address is chosen.
    pub const DEFAULT_ADDRESS: &'static str = "127.0.0.1:6070";

    /// Chooses its bounds.
    pub fn builder() -> Builder {
        Builder { limits: Limits::DEFAULT, allow_non_loopback: false }
    }

    /// Where it listens, with the port that was chosen.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.site.address
    }

    /// Serves until the runtime [shuts down](crate::Handle::shutdown) or the scope around it ends. Cancel-safe: dropped, it
    /// closes the listener and all connections.
    ///
    /// # Errors
    /// What the kernel says of the listener.
    pub async fn run(self) -> Result<(), Error> {
        self.run_until(Rc::default()).await
    }

    /// Serves in a task of its own.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn(self) -> Running {
        let (address, stop) = (self.local_addr(), Rc::<Stop>::default());
        let task = spawn_named("punctual-debug", self.run_until(stop.clone()));
        Running { address, stop, task }
    }

    async fn run_until(self, stop: Rc<Stop>) -> Result<(), Error> {
        let served = scope("punctual-debug", Unbounded, async |scope| {
            let ended = self.accept(scope, &stop).await;
            // What is under way is finished, if it hurries; the scope waits for it.
            stop.say();
            ended
        });
        match served.await {
            Ok(ended) => ended,
            Err(error) => error.into_value().unwrap_or(Ok(())),
        }
    }

    async fn accept(&self, scope: &Scope, stop: &Rc<Stop>) -> Result<(), Error> {
        let places = Places::new(self.site.limits.connections);
        loop {
            let mut accept = pin!(self.listener.accept());
            let mut stopped = pin!(stop.wait());
            let accepted = poll_fn(|cx| match stopped.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => accept.as_mut().poll(cx).map(Some),
            });
            match accepted.await {
                None => return Ok(()),
                Some(Ok((stream, _))) => self.admit(stream, scope, &places, stop),
                Some(Err(error)) => match error.kind() {
                    Kind::Shutdown | Kind::Cancelled | Kind::Closed | Kind::Timeout => return Ok(()),
                    _ => return Err(error),
                },
            }
        }
    }

    fn admit(&self, stream: TcpStream, scope: &Scope, places: &Places, stop: &Rc<Stop>) {
        let site = self.site.clone();
        if let Some(place) = Place::take(&places.served) {
            let stop = stop.clone();
            drop(scope.spawn_named("punctual-debug connection", async move {
                connection::serve(stream, site, stop).await;
                drop(place);
            }));
        } else if let Some(place) = Place::take(&places.refused) {
            drop(scope.spawn_named("punctual-debug refusal", async move {
                connection::refuse(stream, &site.limits).await;
                drop(place);
            }));
        }
    }
}

/// How many more connections may be served, and how many told that they may not.
struct Places {
    served: Rc<Cell<usize>>,
    refused: Rc<Cell<usize>>,
}

impl Places {
    fn new(each: usize) -> Places {
        Places { served: Rc::new(Cell::new(each)), refused: Rc::new(Cell::new(each)) }
    }
}

/// One of them, given back when dropped.
struct Place {
    left: Rc<Cell<usize>>,
}

impl Place {
    fn take(left: &Rc<Cell<usize>>) -> Option<Place> {
        left.set(left.get().checked_sub(1)?);
        Some(Place { left: left.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.left.set(self.left.get() + 1);
    }
}

impl Builder {
    /// How many connections are served at once; default 16, at least 1.
    pub fn max_connections(mut self, connections: usize) -> Builder {
        self.limits.connections = connections.max(1);
        self
    }

    /// How long the headers of a request may take, from its first byte to their end (of the first request from
    /// the accept); default 5 s.
    pub fn header_timeout(mut self, within: Duration) -> Builder {
        self.limits.header = within;
        self
    }

    /// How long a connection may be idle between two requests; default 15 s.
    pub fn idle_timeout(mut self, within: Duration) -> Builder {
        self.limits.idle = within;
        self
    }

    /// How long an answer may take, from the end of the headers until the kernel has all of it; default 30 s. A profile
    /// has the time it was asked to take on top.
    pub fn answer_timeout(mut self, within: Duration) -> Builder {
        self.limits.answer = within;
        self
    }

    /// How long a client may take nothing of an answer; default 10 s.
    pub fn stall_timeout(mut self, within: Duration) -> Builder {
        self.limits.stall = within;
        self
    }

    /// Whether it may listen where other machines can reach it; default `false`.
    ///
    /// **Whoever can reach it reads it**: the names of tasks, scopes and peers, where in the source they are, and
    /// profiles; and has the loop work for it. There is no password and no encryption. Let nobody reach it whom you
    /// would not let attach a debugger; to look at it from afar, rather forward a port:
    /// `ssh -L 6070:127.0.0.1:6070 host`.
    pub fn allow_non_loopback(mut self, allow: bool) -> Builder {
        self.allow_non_loopback = allow;
        self
    }

    /// Listens on `address`, an address and a port (0 for any); a name is refused, as it may come to mean another
    /// address.
    ///
    /// # Errors
    /// In phase `Configure` if the address is not of the loopback and that was not [allowed](Self::allow_non_loopback);
    /// nothing has listened there then. `InvalidInput` for a name or what does not parse, or what the kernel says, as
    /// `Kernel(EADDRINUSE)`.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind(self, address: impl Into<Target>) -> Result<Server, Error> {
        let Builder { limits, allow_non_loopback } = self;
        let listen = Listen::on(address).backlog(128).before_bind(move |_, address| {
            let loopback = address.ip().to_canonical().is_loopback();
            if loopback || allow_non_loopback { Ok(()) } else { Err(reachable(address)) }
        });
        let listener = listen.bind()?;
        let address = listener.local_addr()?;
        if !address.ip().to_canonical().is_loopback() {
            tracing::warn!(%address, "the debug endpoint can be reached from other machines");
        }
        Ok(Server { listener, site: Rc::new(Site::new(address, limits)) })
    }
}

fn reachable(address: SocketAddr) -> io::Error {
    let why = format!(
        "the debug endpoint would be open to other machines at {address}: bind it to 127.0.0.1 or [::1], or \
         allow_non_loopback(true)"
    );
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, and waits up to a second for the answers that are under way.
    ///
    /// Dropped before it is ready, it lets the server stop by itself.
    ///
    /// # Errors
    /// With which the server had ended, if it had.
    pub async fn stop(self) -> Result<(), Error> {
        self.stop.say();
        // A task that was aborted has stopped as well.
        self.task.await.unwrap_or(Ok(()))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.local_addr()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").finish_non_exhaustive()
    }
}
