//! [`ServerTimeouts`]: how long a server bears with its clients.

use std::time::Duration;

use crate::io::Throughput;
use crate::phase::{
    KEEP_ALIVE_TIMEOUT, REQUEST_BODY_TIMEOUT, REQUEST_FIRST_BYTE_TIMEOUT, REQUEST_HEADER_TIMEOUT,
    REQUEST_TOTAL_TIMEOUT, RESPONSE_WRITE_TIMEOUT, TLS_TIMEOUT,
};

/// How long a server bears with its clients, phase by phase. Each is on by default, and none is infinite unless
/// [`Duration::MAX`] says so.
///
/// ```
/// use std::time::Duration;
/// use punctual_net::http::ServerTimeouts;
///
/// let mut timeouts = ServerTimeouts::default();
/// timeouts.header = Duration::from_secs(10);
/// timeouts.total = Duration::from_secs(3600); // large downloads
/// ```
///
/// | | phase | a client that is too slow |
/// |---|---|---|
/// | `tls` | `tls-handshake` | is closed |
/// | `first_byte` | `request-first-byte` | is closed |
/// | `header` | `request-header` | is told 408 and closed |
/// | `body_idle`, `body_rate` | `request-body` | is told 408, if nothing was answered yet, and closed |
/// | `total` | `request-total` | is told 503 if nothing was answered yet, and closed; of HTTP/2 the stream is reset |
/// | `write_stall` | `response-write` | is closed; of HTTP/2 the stream is reset |
/// | `keep_alive` | `keep-alive` | is closed |
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ServerTimeouts {
    /// From the accept, or the end of the TLS handshake, to the first byte: 15 s.
    pub first_byte: Duration,
    /// For a TLS handshake, from the accept: 10 s.
    pub tls: Duration,
    /// For the headers of a request, from its first byte (of the first one: from the accept or the end of the TLS
    /// handshake) to their end, however they drip: 30 s.
    pub header: Duration,
    /// For each wait for a part of a request's body, while the handler asks for it: 30 s.
    pub body_idle: Duration,
    /// The least of a request's body that must come while the handler waits for it: 500 B/s, judged every 5 s.
    pub body_rate: Throughput,
    /// For a request, from the end of its headers until the last byte of its response is written: 5 minutes. What
    /// streams for longer has its handler [ask for more](super::RequestInfo::set_timeout).
    pub total: Duration,
    /// For how long a client may take nothing of what it is sent: 30 s.
    pub write_stall: Duration,
    /// From a response to the first byte of the next request; of HTTP/2, with no request open: 75 s.
    pub keep_alive: Duration,
    /// Of HTTP/2: after so long without a frame the client is asked whether it is there: 20 s.
    pub ping_interval: Duration,
    /// Of HTTP/2: a client that is asked and does not answer for so long is closed: 20 s.
    pub ping_timeout: Duration,
    /// How long a client that was sent away is waited for, so that it reads why: 1 s.
    pub farewell: Duration,
}

impl Default for ServerTimeouts {
    fn default() -> ServerTimeouts {
        ServerTimeouts {
            first_byte: REQUEST_FIRST_BYTE_TIMEOUT,
            tls: TLS_TIMEOUT,
            header: REQUEST_HEADER_TIMEOUT,
            body_idle: REQUEST_BODY_TIMEOUT,
            body_rate: Throughput::per_second(500),
            total: REQUEST_TOTAL_TIMEOUT,
            write_stall: RESPONSE_WRITE_TIMEOUT,
            keep_alive: KEEP_ALIVE_TIMEOUT,
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(20),
            farewell: Duration::from_secs(1),
        }
    }
}
