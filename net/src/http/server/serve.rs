//! [`Serve`]: a server, and how it is set up.

use std::any::Any;
use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use punctual_reactor::{Instant, Scope, Unbounded, scope, sleep_until};

use super::connection::{Caller, Connection, TOO_MANY};
use super::drain::{Course, Drain, Drained, Drainer};
use super::limits::Limits;
use super::service::HttpService;
use super::site::Site;
use super::timeouts::ServerTimeouts;
use super::wire::Wire;
use crate::error::{Error, Kind};
use crate::socket::Socket;
use crate::socket::transport::{ListenerTransport, Tcp};
use crate::stream::Listener;
use crate::tcp::TcpStream;
#[cfg(feature = "tls")]
use crate::tls::Acceptor;

/// A server, to be set up and awaited; made by [`serve`](super::serve).
///
/// It runs until it is [drained](Serve::drainer), the runtime [shuts down](punctual_reactor::Handle::shutdown), the scope
/// around it ends, or it is dropped: nothing of it is left then.
#[must_use = "it serves once it is awaited"]
pub struct Serve<S, T: ListenerTransport = Tcp> {
    listener: Listener<T>,
    service: S,
    timeouts: ServerTimeouts,
    limits: Limits,
    admits: Option<Admits>,
    info_in_extensions: bool,
    #[cfg(feature = "tls")]
    acceptor: Option<Acceptor>,
    drain: Rc<Drain>,
    signal: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

type Admits = Box<dyn Fn(Option<SocketAddr>) -> bool>;

impl<S, T: ListenerTransport> Serve<S, T> {
    pub(super) fn new(listener: Listener<T>, service: S) -> Serve<S, T> {
        Serve {
            listener,
            service,
            timeouts: ServerTimeouts::default(),
            limits: Limits::default(),
            admits: None,
            info_in_extensions: false,
            #[cfg(feature = "tls")]
            acceptor: None,
            drain: Drain::new(),
            signal: None,
        }
    }

    /// With these deadlines.
    pub fn timeouts(mut self, timeouts: ServerTimeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// With these limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Asks `admits` of each connection, before anything is read of it: one that is not let in is closed. It is called on
    /// the loop, and should take no time.
    pub fn admit(mut self, admits: impl Fn(Option<SocketAddr>) -> bool + 'static) -> Self {
        self.admits = Some(Box::new(admits));
        self
    }

    /// Puts what is [known of a request](super::RequestInfo) into its extensions as well as into [its
    /// body](super::Body::info): for services that do not see the body as it came, as the handlers of axum's router. That
    /// costs three allocations a request.
    pub fn info_in_extensions(mut self) -> Self {
        self.info_in_extensions = true;
        self
    }

    /// Over TLS. Unless `acceptor` says which protocols it speaks, HTTP/2 and HTTP/1.1 are offered by ALPN. A handshake holds
    /// up nobody else.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, acceptor: Acceptor) -> Self {
        let says = !acceptor.config().alpn_protocols.is_empty();
        self.acceptor = Some(if says { acceptor } else { acceptor.alpn(["h2", "http/1.1"]) });
        self
    }

    /// What ends it in order, at any time.
    #[must_use]
    pub fn drainer(&self) -> Drainer {
        Drainer { drain: self.drain.clone() }
    }

    /// Drains it once `signal` is over, for at most `within`; a second time cuts it at once. So `signal` is awaited twice, as
    /// that of Ctrl-C.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use punctual_net::{Error, TcpListener, http};
    /// # async fn run(stop: impl AsyncFnMut() + 'static) -> Result<(), Error> {
    /// # let service = http::service_fn(async |_| Ok::<_, Error>(::http::Response::new(String::new())));
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let drained = http::serve(listener, service).drain_on(stop, Duration::from_secs(30)).await?;
    /// println!("{} cut", drained.cut);
    /// # Ok(())
    /// # }
    /// ```
    pub fn drain_on(mut self, mut signal: impl AsyncFnMut() + 'static, within: Duration) -> Self {
        let drain = self.drainer();
        self.signal = Some(Box::pin(async move {
            loop {
                signal().await;
                drain.drain(within);
            }
        }));
        self
    }
}

impl<S: HttpService, T: ListenerTransport> IntoFuture for Serve<S, T> {
    /// What became of its connections, or what the kernel said of the listener.
    type Output = Result<Drained, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<S: HttpService, T: ListenerTransport> Serve<S, T> {
    async fn run(self) -> Result<Drained, Error> {
        #[cfg(feature = "tls")]
        let acceptor = self.acceptor;
        let Serve { listener, service, timeouts, limits, admits, drain, signal, .. } = self;
        let site = Site::new(timeouts, limits, drain.clone(), self.info_in_extensions);
        let served = scope("http-serve", Unbounded, async |scope| {
            let mut signal = signal;
            let mut signalled = pin!(poll_fn(|cx| match &mut signal {
                Some(signal) => signal.as_mut().poll(cx),
                None => Poll::Pending,
            }));
            let door = Door {
                service,
                site,
                admits,
                #[cfg(feature = "tls")]
                acceptor,
            };
            let mut ended = pin!(door.open(listener, scope, &drain));
            let ended = poll_fn(|cx| {
                // It says it through the drain.
                let _ = signalled.as_mut().poll(cx);
                ended.as_mut().poll(cx)
            });
            let ended = ended.await;
            scope.cancel("the server has ended");
            ended
        });
        match served.await {
            Ok(ended) => ended,
            Err(error) => error.into_value().unwrap_or_else(|| Ok(drain.report.get())),
        }
    }
}

/// Where connections come in.
struct Door<S> {
    service: S,
    site: Rc<Site>,
    admits: Option<Admits>,
    #[cfg(feature = "tls")]
    acceptor: Option<Acceptor>,
}

impl<S: HttpService> Door<S> {
    async fn open<T: ListenerTransport>(
        self,
        listener: Listener<T>,
        scope: &Scope,
        drain: &Rc<Drain>,
    ) -> Result<Drained, Error> {
        let ended = self.accept(&listener, scope, drain).await;
        // Whoever comes now is to try elsewhere.
        listener.close();
        let until = match (&ended, drain.course()) {
            (Ok(()), Course::Drains) => drain.until(),
            _ => Instant::now(),
        };
        let mut sleep = pin!(sleep_until(until));
        poll_fn(|cx| {
            drain.listen_as_main(cx);
            if drain.connections() == 0 || drain.course() == Course::Cuts {
                return Poll::Ready(());
            }
            sleep.as_mut().poll(cx)
        })
        .await;
        drain.cut();
        // Those that are cut say so, each in its next poll.
        poll_fn(|cx| {
            drain.listen_as_main(cx);
            if drain.connections() == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        ended.map(|()| drain.report.get())
    }

    /// Until it is told to end, or nothing can be accepted any more.
    async fn accept<T: ListenerTransport>(
        &self,
        listener: &Listener<T>,
        scope: &Scope,
        drain: &Rc<Drain>,
    ) -> Result<(), Error> {
        loop {
            let mut accept = pin!(listener.accept());
            let accepted = poll_fn(|cx| {
                if drain.course() != Course::Serves {
                    return Poll::Ready(None);
                }
                drain.listen_as_main(cx);
                accept.as_mut().poll(cx).map(Some)
            });
            match accepted.await {
                None => return Ok(()),
                Some(Ok((stream, peer))) => self.admit(stream, &peer, scope),
                Some(Err(error)) => match error.kind() {
                    Kind::Shutdown | Kind::Cancelled | Kind::Closed | Kind::Timeout => return Ok(()),
                    _ => return Err(error),
                },
            }
        }
    }

    fn admit<T: ListenerTransport>(&self, stream: Socket<T>, peer: &T::Address, scope: &Scope) {
        let peer = (peer as &dyn Any).downcast_ref::<SocketAddr>().copied();
        if self.admits.as_ref().is_some_and(|admits| !admits(peer)) {
            return;
        }
        // A response is written whole: to wait for more of it would only hold it back.
        if let Some(stream) = (&stream as &dyn Any).downcast_ref::<TcpStream>() {
            let _ = stream.set_nodelay(true);
        }
        let Some(place) = self.site.admit(peer.map(|peer: SocketAddr| -> IpAddr { peer.ip() })) else {
            return self.refuse(stream, scope);
        };
        let caller = Caller {
            stream,
            peer,
            #[cfg(feature = "tls")]
            acceptor: self.acceptor.clone(),
        };
        let (service, site) = (self.service.clone(), self.site.clone());
        drop(scope.spawn_named("http-connection", Connection::new(caller, service, site, place)));
    }

    /// Tells one that is one too many.
    fn refuse<T: ListenerTransport>(&self, stream: Socket<T>, scope: &Scope) {
        // Over TLS nothing can be said without a handshake, which is what there is no room for.
        #[cfg(feature = "tls")]
        if self.acceptor.is_some() {
            return;
        }
        let Some(refusal) = self.site.refuse() else { return };
        let farewell = self.site.timeouts.farewell;
        drop(scope.spawn_named("http-refusal", async move {
            Wire::Plain(stream).send_away(TOO_MANY, farewell).await;
            drop(refusal);
        }));
    }
}

impl<S, T: ListenerTransport> fmt::Debug for Serve<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("listener", &self.listener).finish_non_exhaustive()
    }
}
