//! What spans, events and their fields are called. None of it changes.

use std::time::Duration;

use crate::error::Phase;

/// The target of every span and event here: one directive of a filter picks them all, as `punctual::phase=debug`.
pub const TARGET: &str = "punctual::phase";

/// How long a lookup may take, unless another time is set.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long connecting may take, to whichever of several addresses, unless another time is set.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a TLS handshake may take, unless another time is set.
pub const TLS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long sending a request may take, unless another time is set.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the first byte of a response may take, unless another time is set.
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the headers of a gRPC response may take, unless another time is set.
pub const GRPC_HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a body may take, or each wait for a part of it, unless another time is set.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take to begin its first request, unless another time is set.
pub const REQUEST_FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the headers of a request may take in all, unless another time is set.
pub const REQUEST_HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long each wait for a part of a request's body may take, unless another time is set.
pub const REQUEST_BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request may take, its response included, unless another time is set.
pub const REQUEST_TOTAL_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a client may take nothing of a response, unless another time is set.
pub const RESPONSE_WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may be idle between two requests, unless another time is set.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(75);

/// The names of fields.
pub mod field {
    /// [`Phase::as_str`](crate::Phase::as_str).
    pub const PHASE: &str = "phase";
    /// What is to be reached, in the words of whoever asked; of an `accept` where it listens.
    pub const ENDPOINT: &str = "endpoint";
    /// The address of the other end.
    pub const PEER: &str = "peer";
    /// How much time there was, in milliseconds.
    pub const BUDGET_MS: &str = "budget_ms";
    /// What the deadline is called.
    pub const DEADLINE_NAME: &str = "deadline_name";
    /// `own`, `idle` (given to each read anew), `cap` (of a phase, within a budget), `guard` (of a `timeout` around it) or `scope`.
    pub const DEADLINE_KIND: &str = "deadline_kind";
    /// Where in the program the deadline was set.
    pub const DEADLINE_SET_AT: &str = "deadline_set_at";
    /// How long the operation had taken when it was ended, in milliseconds.
    pub const ELAPSED_MS: &str = "elapsed_ms";
    /// How much later than the deadline it was ended, in microseconds, rounded up.
    pub const LATE_US: &str = "late_us";
    /// How much of that was chosen, to share a wake-up, in microseconds.
    pub const LATE_CHOSEN_US: &str = "late_chosen_us";
    /// How much of that was the kernel's wake-up, in microseconds.
    pub const LATE_KERNEL_US: &str = "late_kernel_us";
    /// How much of that was our own loop, in microseconds.
    pub const LATE_LOOP_US: &str = "late_loop_us";
    /// Why time ran out: [`Diagnosis`](crate::Diagnosis), as a clause.
    pub const DIAGNOSIS: &str = "diagnosis";
    /// How many bytes the operation had moved.
    pub const TRANSFERRED_BYTES: &str = "transferred_bytes";
    /// The whole [`Error`](crate::Error), as a sentence.
    pub const ERROR: &str = "error";
    /// How the phase ended: `done`, `timeout-own`, `timeout-idle`, `timeout-cap`, `timeout-guard`, `timeout-scope`,
    /// `timeout-kernel`, `cancelled`, `dropped`, `closed`, `shutdown`, `kernel-error` or `failed`.
    pub const OUTCOME: &str = "outcome";
    /// How long the lookup had taken when it was ended, in milliseconds.
    pub const DNS_DURATION_MS: &str = "dns_duration_ms";
    /// When connecting began: microseconds since 1970 in UTC.
    pub const CONNECT_START_TS: &str = "connect_start_ts";
    /// When receiving the headers began: microseconds since 1970 in UTC.
    pub const HEADER_RECV_TS: &str = "header_recv_ts";
    /// The name looked up.
    pub const HOST: &str = "host";
    /// What was found; of a connect, how many addresses there were to try.
    pub const ADDRESSES: &str = "addresses";
    /// How many addresses of IPv4 were found.
    pub const IPV4_COUNT: &str = "ipv4_count";
    /// How many addresses of IPv6 were found.
    pub const IPV6_COUNT: &str = "ipv6_count";
    /// Whether they were known without asking anybody.
    pub const FROM_CACHE: &str = "from_cache";
    /// The name servers that were asked.
    pub const SERVERS: &str = "servers";
    /// How many questions they were sent, over both families.
    pub const QUERIES: &str = "queries";
    /// How many addresses were tried.
    pub const ATTEMPTS: &str = "attempts";
    /// Its place among the attempts, from 1 on.
    pub const ATTEMPT: &str = "attempt";
    /// `ERROR`, if it failed: what OpenTelemetry has as the status of a span.
    pub const STATUS: &str = "otel.status_code";
}

impl Phase {
    /// The name of the span in which it runs.
    #[must_use]
    pub const fn span_name(self) -> &'static str {
        match self {
            Phase::Connect => "connect",
            Phase::Tls => "tls",
            Phase::FirstByte | Phase::GrpcHeader => "first_byte",
            Phase::RequestFirstByte => "request_first_byte",
            Phase::RequestHeader => "request_header",
            Phase::RequestBody => "request_body",
            Phase::RequestTotal => "request_total",
            Phase::ResponseWrite => "response_write",
            Phase::KeepAlive => "keep_alive",
            other => other.as_str(),
        }
    }

    /// The name of the event that tells of its timeout.
    #[must_use]
    pub const fn timeout_event(self) -> &'static str {
        match self {
            Phase::Resolve => "dns.resolve.timeout",
            Phase::Connect => "tcp.connect.timeout",
            Phase::Tls => "tls.handshake.timeout",
            Phase::Request => "http.request.timeout",
            Phase::FirstByte => "http.first_byte.timeout",
            Phase::GrpcHeader => "grpc.header.timeout",
            Phase::Body => "http.body.timeout",
            Phase::RequestFirstByte => "http.server.first_byte.timeout",
            Phase::RequestHeader => "http.server.header.timeout",
            Phase::RequestBody => "http.server.body.timeout",
            Phase::RequestTotal => "http.server.request.timeout",
            Phase::ResponseWrite => "http.server.write.timeout",
            Phase::KeepAlive => "http.server.keep_alive.timeout",
            Phase::Read => "read.timeout",
            Phase::Write => "write.timeout",
            Phase::Accept => "accept.timeout",
            Phase::Shutdown => "shutdown.timeout",
            Phase::Copy => "copy.timeout",
            Phase::Bind => "bind.timeout",
            Phase::Configure => "configure.timeout",
        }
    }

    /// How long it may take unless another time is set; `None` where nothing bounds it by itself.
    #[must_use]
    pub const fn default_timeout(self) -> Option<Duration> {
        match self {
            Phase::Resolve => Some(RESOLVE_TIMEOUT),
            Phase::Connect => Some(CONNECT_TIMEOUT),
            Phase::Tls => Some(TLS_TIMEOUT),
            Phase::Request => Some(REQUEST_TIMEOUT),
            Phase::FirstByte => Some(FIRST_BYTE_TIMEOUT),
            Phase::GrpcHeader => Some(GRPC_HEADER_TIMEOUT),
            Phase::Body => Some(BODY_TIMEOUT),
            Phase::RequestFirstByte => Some(REQUEST_FIRST_BYTE_TIMEOUT),
            Phase::RequestHeader => Some(REQUEST_HEADER_TIMEOUT),
            Phase::RequestBody => Some(REQUEST_BODY_TIMEOUT),
            Phase::RequestTotal => Some(REQUEST_TOTAL_TIMEOUT),
            Phase::ResponseWrite => Some(RESPONSE_WRITE_TIMEOUT),
            Phase::KeepAlive => Some(KEEP_ALIVE_TIMEOUT),
            _ => None,
        }
    }
}
