//! Scopes that end while something in them connects.

use std::net::SocketAddr;
use std::time::Duration;

use punctual::net::{Connect, Error, Kind, Phase, TcpStream};
use punctual::{Limit, Scope, Unbounded, scope};

use super::{Scenario, Setting, ms};
use crate::judge::Judged;
use crate::kernel::{look, syns_to};
use crate::lab::Lab;
use crate::peers::Deaf;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "cancel_during_connect",
        fault: "a thread cancels the scope",
        set: "connect",
        bound: ms(5_000),
        lasts: ms(100),
        setting: Setting::Plain,
        run: |lab| Box::pin(cancel_during_connect(lab)),
    },
    Scenario {
        name: "scope_deadline",
        fault: "SYN dropped; 5 s for the connect, less for its scope",
        set: "scope",
        bound: ms(150),
        lasts: ms(150),
        setting: Setting::Plain,
        run: |lab| Box::pin(scope_deadline(lab)),
    },
];

/// Connects to who does not answer, in a scope of its own.
async fn connect_in_scope(
    limit: impl Into<Limit>,
    to: SocketAddr,
    within: Duration,
    before: impl FnOnce(&Scope),
) -> Result<TcpStream, Error> {
    let ended = scope("lab", limit, async |scope| {
        before(scope);
        Connect::to(to).timeout(within).await
    });
    ended
        .await
        .unwrap_or_else(|error| error.into_value().expect("what it waits for ends, so it returns"))
}

/// Another thread has enough of it after 50 ms.
async fn cancel_during_connect(lab: &Lab) -> Judged {
    let deaf = Deaf::new();
    let cause = "nobody wants it any more";
    let (result, outcome) = lab
        .measure(async || {
            connect_in_scope(Unbounded, deaf.address, lab.bound, |scope| {
                let canceller = scope.canceller();
                look(ms(50), move || canceller.cancel(cause));
            })
            .await
        })
        .await;
    let mut outcome = outcome.must_be(Kind::Cancelled, Phase::Connect);
    let told = result.err().and_then(|error| error.cause().map(|cause| cause.to_string()));
    outcome.must(told.as_deref() == Some(cause), || format!("the cause is told as {told:?}"));
    let (fired, bound) = (outcome.fired, lab.bound);
    outcome.must((ms(50)..bound).contains(&fired), || format!("it was over after {fired:?}"));
    let left = syns_to(deaf.address);
    outcome.must(left == 0, || format!("{left} attempts go on"));
    Ok(outcome)
}

/// The scope's deadline is the earlier one, and the error says whose it was.
async fn scope_deadline(lab: &Lab) -> Judged {
    let deaf = Deaf::new();
    let (result, outcome) =
        lab.measure(async || connect_in_scope(lab.bound, deaf.address, ms(5_000), |_| ()).await).await;
    let mut outcome = outcome.must_be(Kind::Timeout, Phase::Connect).explained_by("no SYN-ACK");
    let told =
        result.err().and_then(|error| error.deadline().and_then(|info| info.name().map(str::to_owned)));
    outcome.must(told.as_deref() == Some("lab"), || format!("the deadline is told to be {told:?}'s"));
    let left = syns_to(deaf.address);
    outcome.must(left == 0, || format!("{left} attempts go on"));
    Ok(outcome)
}
