//! Names, and servers that do not say what they stand for.

use std::net::Ipv4Addr;
use std::time::Duration;

use punctual::net::{Connect, Kind, Phase, Resolver, TcpListener};
use punctual::sleep;

use super::{Scenario, Setting, ms};
use crate::dns_server::{DnsServer, FORGED, Manner};
use crate::judge::{Judged, Skipped};
use crate::lab::Lab;
use crate::peers::listen;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "silent_dns",
        fault: "the name server does not answer",
        set: "connect",
        bound: ms(200),
        lasts: ms(200),
        setting: Setting::Plain,
        run: |lab| Box::pin(unanswered(lab, Manner::Silent)),
    },
    Scenario {
        name: "lying_dns",
        fault: "forged answers come before the true one",
        set: "connect",
        bound: ms(5_000),
        lasts: ms(200),
        setting: Setting::Plain,
        run: |lab| Box::pin(lying_dns(lab)),
    },
    Scenario {
        name: "forged_dns",
        fault: "forged answers come at once, the true one after 300 ms",
        set: "connect",
        bound: ms(200),
        lasts: ms(700),
        setting: Setting::Plain,
        run: |lab| Box::pin(unanswered(lab, Manner::Lying(SLOW))),
    },
    Scenario {
        name: "slow_dns",
        fault: "the name server answers after 300 ms",
        set: "connect",
        bound: ms(200),
        lasts: ms(700),
        setting: Setting::Plain,
        run: |lab| Box::pin(unanswered(lab, Manner::Slow(SLOW))),
    },
];

const SLOW: Duration = ms(300);

/// Asks this server alone, whatever this machine is configured for.
fn resolver(server: &DnsServer) -> Resolver {
    let nothing = "/dev/null";
    Resolver::builder()
        .servers([server.address])
        .search::<String>([])
        .hosts_file(nothing)
        .resolv_conf(nothing)
        .nsswitch_conf(nothing)
        .build()
}

fn start(manner: Manner) -> Result<DnsServer, Skipped> {
    DnsServer::start(manner, Ipv4Addr::LOCALHOST)
        .map_err(|error| Skipped(format!("there is no name server: {error}")))
}

/// The answer does not come, or not in time, and the error says from whom. What is slow is no harm to whoever can wait.
async fn unanswered(lab: &Lab, manner: Manner) -> Judged {
    let (listener, address) = listen();
    let server = start(manner)?;
    let resolver = resolver(&server);
    let connect = || Connect::to(("slow.test", address.port())).resolver(&resolver);
    let (_, outcome) = lab.measure(async || connect().timeout(lab.bound).await).await;
    let mut outcome = outcome
        .must_be(Kind::Timeout, Phase::Resolve)
        .explained_by(&format!("no answer from {} after ", server.address));
    if let Manner::Lying(_) = manner {
        outcome = outcome.explained_by(" wrong id, ").explained_by(" wrong question");
    }
    let questions = server.questions();
    outcome.must(questions > 0, || "no fault: the name server was not asked".to_owned());
    if manner == Manner::Silent {
        outcome.happened(format!("{questions} questions, no answer"));
        return Ok(outcome);
    }
    // The late answer finds nobody, and does no harm to the next.
    sleep(SLOW).await;
    let again = connect().timeout(ms(5_000)).await;
    outcome.must(again.is_ok(), || format!("nor for who can wait: {again:?}"));
    drop(listener);
    Ok(outcome)
}

/// None of the lies is believed, and nobody is connected to where they point.
async fn lying_dns(lab: &Lab) -> Judged {
    let (listener, address) = listen();
    let trap = TcpListener::bind((FORGED, address.port()))
        .map_err(|error| Skipped(format!("there is no 127.0.0.0/8 to set a trap in: {error}")))?;
    let server = start(Manner::Lying(ms(50)))?;
    let resolver = resolver(&server);
    let (result, outcome) = lab
        .measure(async || {
            Connect::to(("true.test", address.port())).resolver(&resolver).timeout(lab.bound).await
        })
        .await;
    let mut outcome = outcome.must_succeed(Phase::Resolve);
    let peer = result.as_ref().ok().map(|stream| stream.peer_addr());
    outcome.must(peer == Some(address), || format!("connected to {peer:?}, not to {address}"));
    let ignored = resolver.metrics().ignored;
    outcome.must(ignored >= 3, || format!("no fault: {ignored} answers were refused"));
    trap.set_timeout(Some(ms(1))).expect("it is open");
    let trapped = trap.accept().await;
    outcome.must(trapped.is_err(), || "a lie was followed".to_owned());
    outcome.happened(format!("{ignored} forged answers refused"));
    drop(listener);
    Ok(outcome)
}
