//! [`Channel`]: the calls of tonic's clients, on one connection.

mod body;
mod call;
mod connection;
mod headers;
mod request;

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};
use punctual_reactor::{Instant, SendFuture, send_future};
use tonic::Status;

pub use body::ResponseBody;
use connection::Connector;

use super::Timeouts;
use crate::error::{Error, Phase};
use crate::tcp::{Keepalive, TcpOptions};

/// One HTTP/2 connection to a gRPC server, for any number of calls at a time. A clone is the same one.
///
/// Clients that tonic has generated run on it as they are:
///
/// ```no_run
/// # mod pb { pub mod health_client { pub struct HealthClient<T>(pub T); impl<T> HealthClient<T> { pub fn new(inner: T) -> Self { Self(inner) } } } }
/// # async fn call() -> Result<(), punctual_net::Error> {
/// use pb::health_client::HealthClient;
/// use punctual_net::grpc::Channel;
///
/// let client = HealthClient::new(Channel::connect("http://127.0.0.1:50051").await?);
/// # drop(client);
/// # Ok(()) }
/// ```
///
/// # Deadlines
/// A call ends at the earliest of the deadline of the [scope](punctual_reactor::scope) it is in, its own `grpc-timeout`
/// (`tonic::Request::set_timeout`), and its [`Timeouts`]. What is left until then is sent to the server as `grpc-timeout`,
/// from a clock read when the request goes out, and rounded down.
///
/// # How a call ends
/// | what ended it | code | [`error_of`](super::error_of) |
/// |---|---|---|
/// | a deadline: its own, of a phase of it, or of the scope | `DEADLINE_EXCEEDED` | a `Timeout` that says which, in which phase, and how late |
/// | a cancel of the scope, or a shutdown | `CANCELLED` | a `Cancelled` with the cause, or `Shutdown` |
/// | the connection could not be made, or failed | `UNAVAILABLE` | what became of it, if it is ours |
/// | the server has reset the stream | by the table of the specification, as `CANCEL` ─▶ `CANCELLED` | none |
/// | the server has answered | what it says, untouched | none |
/// | what answers is no gRPC | by the table for the status of HTTP | none |
///
/// Dropping a call, or the stream of its response, resets it with `CANCEL`, so that the server stops.
///
/// # The connection
/// It is made by the first call that needs it, again after it was lost, and for all calls that wait for it together; a call whose
/// deadline comes first ends alone. A connect that fails fails those that wait for it, with `UNAVAILABLE`; nothing is tried
/// again by itself, but a call that was not sent at all, because the connection closed under it. The kernel probes it while it is
/// quiet and gives it up when what was sent is not acknowledged for 20 s. It closes when the last clone and the last
/// call have gone.
///
/// It is `Send` and `Sync`, and so are its calls `Send`: handlers of tonic's must be. It belongs to the loops that poll it all the
/// same: calling and awaiting outside of a runtime panics.
#[derive(Clone)]
pub struct Channel {
    shared: Arc<Shared>,
}

struct Shared {
    connector: Connector,
    scheme: Scheme,
    authority: Authority,
    /// As a person would call it.
    endpoint: Cow<'static, str>,
    user_agent: HeaderValue,
    timeouts: Timeouts,
    made_at: &'static Location<'static>,
}

/// What a [`Channel`] is made of, until it is.
#[derive(Clone, Debug)]
#[must_use = "it is a channel when it is connected or said to be lazy"]
pub struct ChannelBuilder {
    uri: Result<Uri, &'static str>,
    timeouts: Timeouts,
    connect_timeout: Option<Duration>,
    keep_alive: Option<(Duration, Duration)>,
    options: TcpOptions,
    user_agent: Option<HeaderValue>,
    #[cfg(feature = "tls")]
    tls: Option<crate::tls::Connector>,
    made_at: &'static Location<'static>,
}

/// How long what was sent may stay unacknowledged.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

const USER_AGENT: &str = concat!("grpc-rust-punctual/", env!("CARGO_PKG_VERSION"));

impl Channel {
    /// To `uri`, as `http://127.0.0.1:50051`, with all defaults; it is connected before this returns.
    ///
    /// # Errors
    /// `InvalidInput`, and those of [`Connect::connect`](crate::Connect::connect).
    #[track_caller]
    pub fn connect(uri: impl TryInto<Uri>) -> impl Future<Output = Result<Channel, Error>> {
        Channel::builder(uri).connect()
    }

    /// As [`connect`](Channel::connect), connected by the first call.
    ///
    /// # Errors
    /// `InvalidInput`.
    #[track_caller]
    pub fn lazy(uri: impl TryInto<Uri>) -> Result<Channel, Error> {
        Channel::builder(uri).lazy()
    }

    /// To `uri`, with choices of one's own.
    #[track_caller]
    pub fn builder(uri: impl TryInto<Uri>) -> ChannelBuilder {
        ChannelBuilder {
            uri: uri.try_into().map_err(|_| "it is no URI"),
            timeouts: Timeouts::new(),
            connect_timeout: None,
            keep_alive: None,
            options: TcpOptions::new()
                .nodelay(true)
                .keepalive(Keepalive::after(UNACKNOWLEDGED).interval(Duration::from_secs(5)).count(3))
                .user_timeout(UNACKNOWLEDGED),
            user_agent: None,
            #[cfg(feature = "tls")]
            tls: None,
            made_at: Location::caller(),
        }
    }
}

impl ChannelBuilder {
    /// How long the parts of each call may take that says nothing else.
    pub fn timeouts(mut self, timeouts: Timeouts) -> ChannelBuilder {
        self.timeouts = timeouts;
        self
    }

    /// How long making the connection may take, looking up the name included: 30 s by default. A call that waits for it may end before.
    pub fn connect_timeout(mut self, timeout: Duration) -> ChannelBuilder {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Sends a `PING` of HTTP/2 when nothing has come for `interval` while a call is under way, and gives the connection up if that
    /// is not answered within `timeout`. Off by default, since many servers end the connection of a client that pings more often
    /// than every 5 min (gRPC's `doc/keepalive.md`); the kernel's own probes are on.
    pub fn keep_alive(mut self, interval: Duration, timeout: Duration) -> ChannelBuilder {
        self.keep_alive = Some((interval, timeout));
        self
    }

    /// With these options on the socket, instead of `TCP_NODELAY`, probes, and the 20 s for what is not acknowledged.
    pub fn options(mut self, options: TcpOptions) -> ChannelBuilder {
        self.options = options;
        self
    }

    /// What calls itself so in the header `user-agent`, unless the request says another.
    pub fn user_agent(mut self, user_agent: HeaderValue) -> ChannelBuilder {
        self.user_agent = Some(user_agent);
        self
    }

    /// Speaks TLS by these rules to an `https` URI, instead of trusting whom the system trusts. What it offers by ALPN is `h2`.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, connector: crate::tls::Connector) -> ChannelBuilder {
        self.tls = Some(connector);
        self
    }

    /// Connected by the first call.
    ///
    /// # Errors
    /// `InvalidInput`, if the URI is not of the form `http://host:port`.
    pub fn lazy(self) -> Result<Channel, Error> {
        let invalid = |why: &'static str| Error::invalid(Phase::Connect, why);
        let uri = self.uri.map_err(invalid)?;
        let endpoint =
            uri.authority().map_or_else(|| uri.to_string(), |authority| authority.to_string());
        let invalid = |why| invalid(why).with_target(endpoint.clone());
        if uri.path() != "/" && !uri.path().is_empty() || uri.query().is_some() {
            return Err(invalid("the URI of a channel has no path: the calls have"));
        }
        let port = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => 80,
            #[cfg(feature = "tls")]
            Some(scheme) if *scheme == Scheme::HTTPS => 443,
            #[cfg(not(feature = "tls"))]
            Some(scheme) if *scheme == Scheme::HTTPS => {
                return Err(invalid("https needs the feature `tls`"));
            }
            Some(_) => return Err(invalid("the scheme is neither http nor https")),
            None => return Err(invalid("the scheme is missing: give http://host:port")),
        };
        let parts = uri.clone().into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(invalid("the URI has no host"));
        };
        let authority = without_user(authority).ok_or_else(|| invalid("the URI has no host"))?;
        let mut connector =
            Connector::new(authority.host(), authority.port_u16().unwrap_or(port), self.options);
        connector.timeout = self.connect_timeout;
        connector.keep_alive = self.keep_alive;
        #[cfg(feature = "tls")]
        if scheme == Scheme::HTTPS {
            connector.tls = Some(self.tls.unwrap_or_default().alpn(["h2"]));
        }
        let shared = Shared {
            endpoint: authority.to_string().into(),
            connector,
            scheme,
            authority,
            user_agent: self.user_agent.unwrap_or(HeaderValue::from_static(USER_AGENT)),
            timeouts: self.timeouts,
            made_at: self.made_at,
        };
        Ok(Channel { shared: Arc::new(shared) })
    }

    /// Connected before this returns.
    ///
    /// # Errors
    /// `InvalidInput`, and those of [`Connect::connect`](crate::Connect::connect).
    ///
    /// # Panics
    /// When polled outside of a runtime.
    pub async fn connect(self) -> Result<Channel, Error> {
        let channel = self.lazy()?;
        channel.shared.connector.connect_now().await?;
        Ok(channel)
    }
}

/// No password goes into a header.
fn without_user(authority: Authority) -> Option<Authority> {
    match authority.as_str().rsplit_once('@') {
        Some((_, rest)) => rest.parse().ok(),
        None => Some(authority),
    }
}

impl tower_service::Service<http::Request<tonic::body::Body>> for Channel {
    type Response = http::Response<ResponseBody>;
    type Error = Status;
    type Future = SendFuture<Result<http::Response<ResponseBody>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        // What a call has to wait for, it waits for under its own deadlines.
        Poll::Ready(Ok(()))
    }

    /// # Panics
    /// Outside of a runtime.
    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        send_future(call::run(self.shared.clone(), request, Instant::now()))
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("endpoint", &self.shared.endpoint).finish_non_exhaustive()
    }
}
