//! The spans of a connect: one of the whole, one of each attempt.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use punctual_reactor::Instant;
use tracing::Instrument;
use tracing::field::Empty;

use super::plan::Limit;
use super::race::Vain;
use crate::error::Phase;
use crate::phase::{Running, field, milliseconds, open};
use crate::target::Target;
use crate::tcp::TcpStream;

/// All addresses of `target`.
pub(super) fn connect(target: &Target, began: Instant, limit: &Limit) -> Running {
    let span = open!(
        "connect",
        Phase::Connect,
        field::ENDPOINT = display(target),
        field::PEER = Empty,
        field::BUDGET_MS = limit.budget.map(milliseconds),
        field::DEADLINE_NAME = limit.name.as_deref(),
        field::ADDRESSES = Empty,
        field::ATTEMPTS = Empty,
    );
    Running::new(Phase::Connect, began, limit.deadline, limit.budget, span)
}

/// Runs one attempt. The span of one that lost the race ends as dropped.
pub(super) async fn in_attempt(
    attempt: impl Future<Output = Result<TcpStream, Vain>>,
    address: SocketAddr,
    number: i64,
    share: Duration,
) -> Result<TcpStream, Vain> {
    let mut part = Running::part(open!(
        "connect_attempt",
        Phase::Connect,
        field::PEER = display(address),
        field::BUDGET_MS = milliseconds(share),
        field::ATTEMPT = number,
    ));
    let attempted = attempt.instrument(part.span().clone()).await;
    part.end_as(attempted.as_ref().err().map(|vain| match vain {
        Vain::All(error) | Vain::Address(error) => error,
    }));
    attempted
}
