//! [`Limits`]: how much a server takes from its clients.

/// How much a server takes from its clients. Each is on by default.
///
/// ```
/// use punctual_net::http::Limits;
///
/// let mut limits = Limits::default();
/// limits.body = 64 << 20; // uploads
/// limits.connections_per_ip = 100;
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at once; the next one is told 503 and closed (over TLS: closed). Default: 80 % of the descriptors
    /// that the process may have when the server is made.
    pub connections: usize,
    /// Connections at once of one address. Default: as many as of all.
    pub connections_per_ip: usize,
    /// Requests of one connection; with the last it is closed: 1000. Of HTTP/2 the client is told to begin another one.
    pub requests_per_connection: u64,
    /// The request line and the headers together, in bytes: 64 KiB; at least 8 KiB. More is answered with 431. The
    /// trailers of a body have as much.
    pub header_bytes: usize,
    /// Lines of headers: 100. More is answered with 431.
    pub header_lines: usize,
    /// Path and query of a request, in bytes: 8 KiB. More is answered with 414.
    pub uri_bytes: usize,
    /// The body of a request, in bytes: 2 MiB. More is answered with 413; `u64::MAX` is no limit.
    pub body: u64,
    /// Of HTTP/2: requests at once of one connection: 128.
    pub streams: u32,
    /// Of HTTP/2: streams that the client may have reset before their requests were looked at: 20. With more, as in a
    /// "rapid reset" (CVE-2023-44487), the connection is closed.
    pub pending_resets: usize,
    /// Of HTTP/2: streams that we may have had to reset over errors of the client: 256. With more the connection is closed
    /// (RUSTSEC-2024-0003).
    pub error_resets: usize,
    /// What is kept for the client to take, in bytes; of HTTP/2 for each stream: 64 KiB.
    pub send_buffer: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        let connections = default_connections();
        Limits {
            connections,
            connections_per_ip: connections,
            requests_per_connection: 1000,
            header_bytes: 64 * 1024,
            header_lines: 100,
            uri_bytes: 8 * 1024,
            body: 2 << 20,
            streams: 128,
            pending_resets: 20,
            error_resets: 256,
            send_buffer: 64 * 1024,
        }
    }
}

fn default_connections() -> usize {
    let descriptors = punctual_reactor::descriptor_limit().unwrap_or(1024);
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    (descriptors / 5).saturating_mul(4).max(1)
}
