//! The span of a lookup.

use std::fmt;
use std::time::Duration;

use punctual_reactor::Instant;
use tracing::Span;
use tracing::field::{Empty, debug};

use super::{Found, Progress};
use crate::error::{Error, Phase};
use crate::phase::{Running, field, milliseconds, open, whole};

/// The lookup of `host` on the way to `endpoint`: that of one who asks, whoever shares its queries.
pub(crate) fn running(
    host: &str,
    endpoint: impl fmt::Display,
    began: Instant,
    (deadline, budget): (Instant, Option<Duration>),
    name: Option<&str>,
) -> Running {
    let span = open!(
        "resolve",
        Phase::Resolve,
        field::HOST = host,
        field::ENDPOINT = display(&endpoint),
        field::BUDGET_MS = budget.map(milliseconds),
        field::DEADLINE_NAME = name,
        field::ADDRESSES = Empty,
        field::IPV4_COUNT = Empty,
        field::IPV6_COUNT = Empty,
        field::FROM_CACHE = Empty,
        field::SERVERS = Empty,
        field::QUERIES = Empty,
    );
    Running::new(Phase::Resolve, began, deadline, budget, span)
}

/// Says in `span` what was found, and how.
pub(crate) fn told(
    span: &Span,
    progress: &Progress,
    found: Result<Found, Error>,
) -> Result<Found, Error> {
    if span.is_disabled() {
        return found;
    }
    let (servers, queries) = progress.asked();
    if !servers.is_empty() {
        span.record(field::SERVERS, debug(&servers)).record(field::QUERIES, whole(queries));
    }
    if let Ok(found) = &found {
        let addresses = &found.addresses;
        let ipv4 = addresses.iter().filter(|address| address.is_ipv4()).count();
        span.record(field::ADDRESSES, debug(addresses))
            .record(field::IPV4_COUNT, whole(ipv4))
            .record(field::IPV6_COUNT, whole(addresses.len() - ipv4))
            .record(field::FROM_CACHE, progress.is_cached());
    }
    found
}
