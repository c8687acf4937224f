//! [`Limits`]: how long and how much the endpoint bears with its clients.

use std::time::Duration;

/// The bounds of the endpoint, each with a default that suits a person and a scraper.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Connections that are served at once; one more is told so and closed.
    pub(super) connections: usize,
    /// The request line and the headers together, in bytes.
    pub(super) header_bytes: usize,
    /// From the first byte of a request (of the first one: from the accept) to the end of its headers.
    pub(super) header: Duration,
    /// From the end of an answer to the first byte of the next request.
    pub(super) idle: Duration,
    /// From the end of the headers until the answer has been handed to the kernel, beside the time that was asked for.
    pub(super) answer: Duration,
    /// How long the client may take nothing of an answer.
    pub(super) stall: Duration,
    /// How long a client that is sent away is waited for, and what is under way when the endpoint is stopped.
    pub(super) farewell: Duration,
}

impl Limits {
    pub(super) const DEFAULT: Limits = Limits {
        connections: 16,
        header_bytes: 16 * 1024,
        header: Duration::from_secs(5),
        idle: Duration::from_secs(15),
        answer: Duration::from_secs(30),
        stall: Duration::from_secs(10),
        farewell: Duration::from_secs(1),
    };
}
