//! Phases of a connection: one span each, under one bound, with one event if time runs out.
//!
//! ```text
//!  request of the caller's ───────────────────────────────────────────────────────────▶
//!    resolve ──▶ connect ─────────────▶ tls ──▶ request ──▶ first_byte ──▶ body ──▶
//!                  connect_attempt ✕                            │
//!                  connect_attempt ──▶                          └─ http.first_byte.timeout
//! ```
//!
//! Whoever subscribes to [`tracing`] sees each phase as a span below the one in which it was begun, and each timeout as an
//! event in it, so that a layer of OpenTelemetry shows the waterfall. [`Connect`](crate::Connect) and
//! [`Resolver`](crate::Resolver) open theirs; a protocol on top runs its own by [`phase()`] or [`Bounds`]. Nobody
//! subscribes: then a span costs the look at one static, and nothing is formatted or allocated for it.
//!
//! # Spans
//!
//! All are of target [`TARGET`], `punctual::phase`, and level `DEBUG`: one directive of a filter shows them all,
//! `punctual::phase=debug`. A span ends with its phase, however that ends; dropped too. Names and fields do not change.
//!
//! | span | is | fields beside those of all |
//! |---|---|---|
//! | `resolve` | a name on its way to addresses, cache and hosts file included | `host`, `addresses`, `ipv4_count`, `ipv6_count`, `from_cache`, `servers`, `queries` |
//! | `connect` | all addresses of a target, until one connects; or a Unix socket | `addresses`, `attempts` |
//! | `connect_attempt` | one address, in the `connect` | `attempt` |
//! | `tls` | a TLS handshake | |
//! | `request` | sending a request | |
//! | `first_byte` | waiting for a response, or for the headers of a gRPC response | |
//! | `body` | receiving a body | |
//!
//! | field of all spans | is |
//! |---|---|
//! | `phase` | [`Phase::as_str`](crate::Phase::as_str) |
//! | `endpoint`, `peer` | what is to be reached as the caller names it; the address of the other end |
//! | `budget_ms`, `deadline_name` | the time it has, in milliseconds, and what its deadline is called |
//! | `outcome` | `done`, `timeout-own`, `timeout-idle`, `timeout-cap`, `timeout-guard`, `timeout-scope`, `timeout-kernel`, `cancelled`, `dropped`, `closed`, `shutdown`, `kernel-error`, `failed` |
//! | `error`, `diagnosis` | the [`Error`](crate::Error) as a sentence, and why time ran out, if it did |
//! | `otel.status_code` | `ERROR` if it failed |
//!
//! # Events
//!
//! A timeout is told by one event, in the innermost span that is open, whose name and message are:
//!
//! | event | level | default | fields beside those of all |
//! |---|---|---|---|
//! | `dns.resolve.timeout` | `WARN` | 5 s | `dns_duration_ms`: how long the lookup had taken, in milliseconds |
//! | `tcp.connect.timeout` | `WARN` | 30 s (of a Unix socket too) | `connect_start_ts`: when it began, microseconds since 1970 in UTC |
//! | `tls.handshake.timeout` | `WARN` | 10 s | |
//! | `http.request.timeout` | `WARN` | 30 s | |
//! | `http.first_byte.timeout` | `WARN` | 30 s | |
//! | `grpc.header.timeout` | `WARN` | 10 s | `header_recv_ts`: when receiving the headers began, microseconds since 1970 in UTC |
//! | `http.body.timeout` | `WARN` | 30 s | |
//! | `http.server.first_byte.timeout` | `INFO` | 15 s | |
//! | `http.server.header.timeout` | `WARN` | 30 s | |
//! | `http.server.body.timeout` | `WARN` | 30 s | |
//! | `http.server.request.timeout` | `WARN` | 5 min | |
//! | `http.server.write.timeout` | `WARN` | 30 s | |
//! | `http.server.keep_alive.timeout` | `INFO` | 75 s | |
//! | `read.timeout`, `write.timeout` | `INFO` | | |
//! | `accept.timeout`, `shutdown.timeout`, `copy.timeout` | `INFO` | | |
//!
//! Those that are `INFO` are the business of every day where connections are kept open: an idle timeout is no fault.
//!
//! | field of all events | is |
//! |---|---|
//! | `phase`, `endpoint`, `peer` | as in spans |
//! | `budget_ms` | how much time there was, in milliseconds; none for an absolute deadline |
//! | `elapsed_ms` | how long it had taken, in milliseconds |
//! | `late_us` | how much later than its deadline it was ended, in microseconds, rounded up |
//! | `late_chosen_us`, `late_kernel_us`, `late_loop_us` | of that, what was chosen, the kernel's and our own loop's |
//! | `deadline_name` | the name of the deadline, or of the scope whose it was |
//! | `deadline_kind` | `own`, `idle` (given to each read anew), `cap` (of a phase within a budget), `guard` (a `timeout(..)` around it, which drops it) or `scope` |
//! | `deadline_set_at` | where in the program it was set |
//! | `diagnosis` | why: [`Diagnosis`](crate::Diagnosis), as a clause |
//! | `transferred_bytes` | what the operation had moved |
//! | `error` | the whole [`Error`](crate::Error), as a sentence |
//!
//! The deadline of a scope ends the phase that is under way: its event is that phase's, and not that of the read or
//! write inside. A deadline that a stream has by itself is told of as `read.timeout` or `write.timeout`, in the span of
//! the phase. No field holds anything that was read or is to be written.

mod bounds;
mod event;
mod names;
mod probe;
mod record;
mod span;
#[cfg(feature = "http")]
mod watch;

pub use bounds::{Bounds, phase};
#[cfg(feature = "http")]
pub(crate) use bounds::{Explains, Limit};
pub(crate) use event::Tells;
pub use names::{
    BODY_TIMEOUT, CONNECT_TIMEOUT, FIRST_BYTE_TIMEOUT, GRPC_HEADER_TIMEOUT, KEEP_ALIVE_TIMEOUT,
    REQUEST_BODY_TIMEOUT, REQUEST_FIRST_BYTE_TIMEOUT, REQUEST_HEADER_TIMEOUT, REQUEST_TIMEOUT,
    REQUEST_TOTAL_TIMEOUT, RESOLVE_TIMEOUT, RESPONSE_WRITE_TIMEOUT, TARGET, TLS_TIMEOUT, field,
};
pub use probe::Probe;
pub(crate) use span::{Running, open};
#[cfg(feature = "http")]
pub(crate) use watch::{Watch, Watched};

/// A number as the fields of spans have it.
pub(crate) fn whole(number: impl TryInto<i64>) -> i64 {
    event::whole(number)
}

/// A duration as the fields of spans have it.
pub(crate) fn milliseconds(duration: std::time::Duration) -> f64 {
    event::milliseconds(duration)
}
