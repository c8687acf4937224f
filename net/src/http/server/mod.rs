//! [`serve`]: an HTTP server whose every phase is under a deadline.
//!
//! ```text
//!  accept ─▶ TLS handshake ─▶ first byte ─▶ headers ─▶ body ─▶ response ─▶ keep-alive ─▶ headers ─▶ …
//!            10 s             15 s          30 s       30 s    30 s        75 s
//!                                           in all     idle,   nothing
//!                                                      500 B/s taken
//!                                                      └── 5 min in all ─┘
//! ```

mod access;
mod answering;
mod body;
mod connection;
mod content;
mod drain;
mod expired;
mod framing;
mod head;
mod http1;
mod http2;
mod info;
mod limits;
mod piece;
mod progress;
mod pulse;
mod refusal;
#[cfg(feature = "rig")]
pub(crate) mod rig;
mod serve;
mod service;
mod site;
mod spares;
mod stream;
mod timeouts;
mod wire;

use crate::socket::transport::ListenerTransport;
use crate::stream::Listener;

pub use body::Body;
pub use drain::{Drained, Drainer};
pub use info::RequestInfo;
#[cfg(feature = "tls")]
pub use info::TlsInfo;
pub use limits::Limits;
pub use serve::Serve;
pub use service::{HttpService, ServiceFn, service_fn};
pub use timeouts::ServerTimeouts;

/// The target of what is told of requests; of timeouts it is [`phase::TARGET`](crate::phase::TARGET).
pub const TARGET: &str = "punctual::http";

/// Serves HTTP/1.1 and HTTP/2 on `listener`, by `service`: a [`tower_service::Service`], as axum's router, or a
/// [`service_fn`].
///
/// All [deadlines](ServerTimeouts) and [limits](Limits) are on. In the clear HTTP/2 is spoken with those who begin with it.
pub fn serve<S: HttpService, T: ListenerTransport>(listener: Listener<T>, service: S) -> Serve<S, T> {
    Serve::new(listener, service)
}
