//! Both families of one name, asked for at once; the first to answer waits for the other, but not for long.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use punctual_reactor::sleep;

use super::failure::Failed;
use super::found::{Found, Rest};
use super::message::Family;
use super::name::Name;
use super::progress::Progress;
use super::query::{Answer, Known, Outcome, Plan};
use super::resolver::Inner;
use super::shared::Shared;
use crate::error::{DnsFailure, Error, Why};

/// How long IPv4 waits for IPv6 (RFC 8305, section 3: the resolution delay).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// Why a name has no addresses.
#[derive(Debug)]
pub(super) enum Miss {
    NoName(Name, SocketAddr),
    NoData(Name, SocketAddr),
    Failed(Rc<Failed>),
}

/// Asks for both families. What answers first with addresses is returned at once if it is IPv6, and 50 ms
/// later if it is IPv4; the other is the rest.
pub(super) async fn ask(
    inner: &Rc<Inner>,
    name: &Name,
    plan: &Plan,
    no_aaaa: bool,
    progress: &Progress,
) -> Result<Found, Miss> {
    let mut tallies = Vec::new();
    let mut query = |family| {
        let (query, tally) = inner.query((name.clone(), family), plan);
        tallies.extend(tally);
        Side::new(query)
    };
    let mut sides = Sides { v6: (!no_aaaa).then(|| query(Family::V6)), v4: Some(query(Family::V4)) };
    progress.awaits_servers(tallies);
    if !poll_fn(|cx| sides.poll(cx)).await {
        // IPv4 alone is there.
        let mut delay = pin!(sleep(RESOLUTION_DELAY).named("resolution-delay"));
        poll_fn(|cx| if sides.poll_all(cx) { Poll::Ready(()) } else { delay.as_mut().poll(cx) }).await;
    }
    sides.into_found(name)
}

/// One family's query, and how it ended.
struct Side {
    query: Shared<Outcome>,
    outcome: Option<Outcome>,
}

impl Side {
    fn new(query: Shared<Outcome>) -> Side {
        Side { query, outcome: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if self.outcome.is_none()
            && let Poll::Ready(outcome) = Pin::new(&mut self.query).poll(cx)
        {
            self.outcome = Some(outcome);
        }
        self.outcome.is_some()
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.outcome.as_ref().map(addresses).unwrap_or_default()
    }
}

fn addresses(outcome: &Outcome) -> Vec<SocketAddr> {
    let Ok(answer) = outcome else { return Vec::new() };
    answer.known.addresses().iter().map(|ip| (*ip, 0).into()).collect()
}

struct Sides {
    /// `None` if it is not wanted.
    v6: Option<Side>,
    v4: Option<Side>,
}

impl Sides {
    fn poll_all(&mut self, cx: &mut Context<'_>) -> bool {
        // Both, whatever the first says.
        let v6 = self.v6.as_mut().is_none_or(|side| side.poll(cx));
        let v4 = self.v4.as_mut().is_none_or(|side| side.poll(cx));
        v6 && v4
    }

    /// Ready when something can be returned: `true` at once, `false` after the delay.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let has = |side: &Option<Side>| side.as_ref().is_some_and(|side| !side.addresses().is_empty());
        if self.poll_all(cx) || has(&self.v6) {
            return Poll::Ready(true);
        }
        if has(&self.v4) { Poll::Ready(false) } else { Poll::Pending }
    }

    fn into_found(self, name: &Name) -> Result<Found, Miss> {
        let sides = [self.v6, self.v4];
        let found: Vec<SocketAddr> = sides.iter().flatten().flat_map(Side::addresses).collect();
        if found.is_empty() {
            return Err(Miss::of(name, sides.into_iter().flatten().filter_map(|side| side.outcome)));
        }
        let late = sides.into_iter().flatten().find(|side| side.outcome.is_none());
        let rest = late.map(|side| Rest::of(async move { addresses(&side.query.await) }));
        Ok(Found { addresses: found, rest })
    }
}

impl Miss {
    /// From the outcomes of the families, at least one, none of which is an address. A name that one of them says
    /// is not there is not there; a name that may be there is not said to be without addresses.
    fn of(name: &Name, outcomes: impl Iterator<Item = Outcome>) -> Miss {
        let miss = |outcome: Outcome| match outcome {
            Ok(answer) => match &*answer {
                Answer { known: Known::NoName, by } => Miss::NoName(name.clone(), *by),
                Answer { by, .. } => Miss::NoData(name.clone(), *by),
            },
            Err(failed) => Miss::Failed(failed),
        };
        let rank = |miss: &Miss| match miss {
            Miss::NoName(..) => 2,
            Miss::Failed(_) => 1,
            Miss::NoData(..) => 0,
        };
        match outcomes.map(miss).max_by_key(rank) {
            Some(miss) => miss,
            None => unreachable!("IPv4 is always asked for, and nothing is returned before an answer"),
        }
    }

    /// Whether the other names of a search list are not tried any more.
    pub(super) fn ends_a_search(&self) -> bool {
        match self {
            Miss::NoName(..) | Miss::NoData(..) => false,
            Miss::Failed(failed) => failed.kind() != DnsFailure::ServerFailure,
        }
    }

    /// Of several names the one of the greatest weight is reported.
    pub(super) fn weight(&self) -> u8 {
        match self {
            Miss::NoName(..) => 0,
            Miss::Failed(_) => 1,
            Miss::NoData(..) => 2,
        }
    }

    pub(super) fn into_error(self) -> Error {
        match self {
            Miss::NoName(name, by) => {
                let said = format!("there is no such name: {by} answered NXDOMAIN for {name}");
                Why::error(DnsFailure::NoSuchName, said)
            }
            Miss::NoData(name, by) => {
                let said = format!("the name has no address: {by} knows {name}, and no address of it");
                Why::error(DnsFailure::NoAddress, said)
            }
            Miss::Failed(failed) => failed.to_error(),
        }
    }
}
