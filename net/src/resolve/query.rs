//! One name and family: asked of server after server, until one of them knows.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use punctual_reactor::{Failure, Instant, yield_now};

use super::Counters;
use super::exchange::{Trouble, over_tcp, over_udp};
use super::failure::{Failed, Report, Said};
use super::message::{Family, Query, Refusal, Reply};
use super::name::Name;
use super::progress::Tally;
use super::random::Random;
use super::sockets::Sockets;

/// What is known of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    Addresses(Vec<IpAddr>),
    NoName,
    NoData,
}

impl Known {
    pub(super) fn addresses(&self) -> &[IpAddr] {
        match self {
            Known::Addresses(addresses) => addresses,
            Known::NoName | Known::NoData => &[],
        }
    }
}

/// What a server has said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) known: Known,
    pub(super) by: SocketAddr,
}

/// How one query ends; shared by all who asked.
pub(super) type Outcome = Result<Rc<Answer>, Rc<Failed>>;

/// Whom to ask, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// In the order of asking.
    pub(super) servers: Vec<SocketAddr>,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
    pub(super) use_tcp: bool,
}

impl Plan {
    /// The longest that one try may take for each of `servers` to be asked within `lookup`, and half a try to be left;
    /// but not so short that a server which has to ask others cannot answer.
    pub(super) fn try_within(lookup: Duration, servers: usize) -> Duration {
        const SHORTEST: Duration = Duration::from_secs(1);
        let halves = u32::try_from(servers).unwrap_or(u32::MAX).saturating_mul(2).saturating_add(1);
        (lookup / halves).saturating_mul(2).max(SHORTEST)
    }
}

/// Asks all servers in turn, as often as the plan says. Returns what is known, and for how many seconds it may be
/// remembered. Only a server that says so makes a name unknown: one that fails is followed by the next.
pub(super) async fn ask(
    name: &Name,
    family: Family,
    plan: &Plan,
    sockets: &Rc<Sockets>,
    counters: &Counters,
    tally: &Tally,
) -> Result<(Answer, Option<u32>), Failed> {
    let mut random = Random::new();
    let mut reports: Vec<Report> = plan.servers.iter().copied().map(Report::of).collect();
    for _ in 0..plan.attempts {
        for report in &mut reports {
            let server = Server { address: report.server(), plan, counters, tally };
            let leave = sockets.leave().await;
            let said = server.ask(name, family, &mut random).await;
            drop(leave);
            let known = |known, ttl| Ok((Answer { known, by: report.server() }, ttl));
            let said = match said {
                Ok(Reply::Addresses { addresses, ttl }) => {
                    return known(Known::Addresses(addresses), Some(ttl));
                }
                Ok(Reply::NoName { ttl }) => return known(Known::NoName, ttl),
                Ok(Reply::NoData { ttl }) => return known(Known::NoData, ttl),
                Ok(Reply::Refusal(refusal)) => Said::Refusal(refusal),
                Ok(Reply::Truncated) | Err(Trouble::Malformed) => Said::Refusal(Refusal::Malformed),
                Err(Trouble::Silent | Trouble::Forged) => Said::Nothing(plan.timeout),
                Err(Trouble::Unreachable(error)) => Said::Unreachable(error),
                Err(Trouble::Local(error)) => return Err(Failed::Local(error)),
                Err(Trouble::Ended(Failure::Shutdown)) => return Err(Failed::Shutdown),
                Err(Trouble::Ended(failure)) => return Err(Failed::Ended(failure)),
            };
            if !matches!(said, Said::Nothing(_)) {
                tally.heard(report.server());
            }
            report.add(said);
            // It may have failed without any waiting.
            yield_now().await;
        }
    }
    Err(Failed::Servers(reports))
}

struct Server<'a> {
    address: SocketAddr,
    plan: &'a Plan,
    counters: &'a Counters,
    tally: &'a Tally,
}

impl Server<'_> {
    /// One try: with EDNS first, without if that seems to be the trouble; over TCP if UDP will not do.
    async fn ask(&self, name: &Name, family: Family, random: &mut Random) -> Result<Reply, Trouble> {
        let mut edns = true;
        loop {
            let query = Query::new(name, family, edns, random).map_err(Trouble::Local)?;
            let reply = self.exchange(&query, random).await?;
            match reply {
                Reply::Refusal(refusal) if edns && refusal.may_be_of_edns() => edns = false,
                reply => return Ok(reply),
            }
        }
    }

    async fn exchange(&self, query: &Query, random: &mut Random) -> Result<Reply, Trouble> {
        if !self.plan.use_tcp {
            match over_udp(self.address, query, self.deadline(), random, self.counters, self.tally).await
            {
                Ok(Reply::Truncated) => {
                    Counters::add(&self.counters.truncated);
                }
                Err(Trouble::Forged) => {
                    Counters::add(&self.counters.suspected);
                }
                other => return other,
            }
        }
        over_tcp(self.address, query, self.deadline(), self.counters, self.tally).await
    }

    /// By when one exchange has to be over.
    fn deadline(&self) -> Instant {
        Instant::now() + self.plan.timeout
    }
}
