//! [`RequestInfo`]: what a handler can ask the server.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use punctual_reactor::Instant;

#[cfg(feature = "tls")]
use crate::socket::transport::StreamTransport;
#[cfg(feature = "tls")]
use crate::tls::TlsStream;

/// What the server knows of a request, [in its body](super::Body::info), and in its extensions if that is [asked
/// for](super::Serve::info_in_extensions): from whom it comes, and by when it must be answered.
///
/// ```
/// use std::time::Duration;
/// use punctual_net::http::{self, Body, RequestInfo};
///
/// async fn export(request: ::http::Request<Body>) -> Result<::http::Response<String>, std::convert::Infallible> {
///     let info: &RequestInfo = request.body().info();
///     info.set_timeout(Duration::from_secs(3600)); // it streams for long
///     Ok(::http::Response::new(format!("for {:?}", info.peer_addr())))
/// }
/// let _ = http::service_fn(export);
/// ```
///
/// A clone that outlives its request has no hold on the next one of the connection.
#[derive(Clone)]
pub struct RequestInfo {
    pub(super) shared: Arc<Shared>,
    pub(super) number: u64,
}

/// Of a connection of HTTP/1.1, whose requests come one after another; of HTTP/2, of one request. Extensions are to be
/// `Send + Sync`, though all of it stays on the loop.
pub(super) struct Shared {
    client: Arc<Client>,
    total: Duration,
    /// Which request is under way; 0 is none.
    number: AtomicU64,
    until_ns: AtomicU64,
}

/// The other end of a connection.
#[derive(Default)]
pub(super) struct Client {
    pub(super) peer: Option<SocketAddr>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<TlsInfo>,
}

/// What was agreed in a TLS handshake.
#[cfg(feature = "tls")]
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The protocol agreed on by ALPN (RFC 7301), as `h2`.
    pub alpn: Option<Vec<u8>>,
    /// The certificates that the client has shown, its own first, if it was asked for any; in DER.
    pub peer_certificates: Vec<Vec<u8>>,
}

impl Client {
    /// Whether HTTP/2 was agreed on, if anything was.
    pub(super) fn speaks_http2(&self) -> Option<bool> {
        #[cfg(feature = "tls")]
        return self.tls.as_ref().and_then(|tls| tls.alpn.as_ref()).map(|alpn| alpn == b"h2");
        #[cfg(not(feature = "tls"))]
        None
    }
}

#[cfg(feature = "tls")]
impl TlsInfo {
    pub(super) fn of<T: StreamTransport>(stream: &TlsStream<T>) -> TlsInfo {
        let certificates = stream.peer_certificates().unwrap_or_default();
        TlsInfo {
            alpn: stream.alpn_protocol().map(<[u8]>::to_vec),
            peer_certificates: certificates.iter().map(|one| one.to_vec()).collect(),
        }
    }
}

/// The time of the request has not begun to run yet.
const UNSET: u64 = 0;

impl Shared {
    pub(super) fn new(client: Arc<Client>, total: Duration) -> Arc<Shared> {
        let (number, until_ns) = (AtomicU64::new(0), AtomicU64::new(UNSET));
        Arc::new(Shared { client, total, number, until_ns })
    }

    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The next request begins.
    pub(super) fn begin(self: &Arc<Self>) -> RequestInfo {
        let number = self.number.load(Relaxed) + 1;
        self.number.store(number, Relaxed);
        self.until_ns.store(UNSET, Relaxed);
        RequestInfo { shared: self.clone(), number }
    }

    /// The deadline of the request, if it has been fixed.
    pub(super) fn until(&self) -> Option<Instant> {
        let until_ns = self.until_ns.load(Relaxed);
        (until_ns != UNSET).then(|| Instant::from_nanos(until_ns))
    }

    /// Its deadline; unless it has one, its time runs from `now` on.
    pub(super) fn until_from(&self, now: impl FnOnce() -> Instant) -> Instant {
        self.until().unwrap_or_else(|| {
            let until = now() + self.total;
            self.put(until);
            until
        })
    }

    fn put(&self, until: Instant) {
        self.until_ns.store(until.as_nanos().max(1), Relaxed);
    }
}

impl RequestInfo {
    /// The address of the client; `None` if it has none, as over a Unix socket.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.shared.client.peer
    }

    /// What was agreed in the TLS handshake; `None` in the clear.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.shared.client.tls.as_ref()
    }

    /// By when the last byte of the response must be written; `None` once the request is over.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.is_under_way().then(|| self.shared.until_from(Instant::now))
    }

    /// Moves the deadline of this request, to earlier or to later; [`Instant::FAR_FUTURE`] is none. It is heard when the
    /// handler, or the body of its response, is next polled: so at once, if it is one of them that says so.
    pub fn set_deadline(&self, deadline: Instant) {
        if self.is_under_way() {
            self.shared.put(deadline);
        }
    }

    /// As [`set_deadline`](RequestInfo::set_deadline), `timeout` from now on; [`Duration::MAX`] is none.
    pub fn set_timeout(&self, timeout: Duration) {
        self.set_deadline(Instant::now() + timeout);
    }

    fn is_under_way(&self) -> bool {
        self.shared.number.load(Relaxed) == self.number
    }
}

impl fmt::Debug for RequestInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestInfo")
            .field("peer_addr", &self.peer_addr())
            .field("deadline", &self.shared.until())
            .finish_non_exhaustive()
    }
}
