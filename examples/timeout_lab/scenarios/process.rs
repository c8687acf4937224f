//! A process that is interrupted, out of descriptors, busy or stopped.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use punctual::net::{Connect, Kind, Phase};
use punctual::{sleep, spawn};
use punctual_reactor::rig::SignalStorm;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Scenario, Setting, ms};
use crate::judge::{HELD_UP, Judged, Skipped, now};
use crate::lab::Lab;
use crate::peers::{listen, pair};
use crate::supervisor::READY;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "signal_storm",
        fault: "a signal every 200 µs",
        set: "read",
        bound: ms(200),
        lasts: ms(200),
        setting: Setting::Plain,
        run: |lab| Box::pin(signal_storm(lab)),
    },
    Scenario {
        name: "emfile_connect",
        fault: "no descriptor left",
        set: "connect",
        bound: ms(5_000),
        lasts: ms(100),
        setting: Setting::Plain,
        run: |lab| Box::pin(emfile_connect(lab)),
    },
    Scenario {
        name: "emfile_accept",
        fault: "no descriptor left for who waits",
        set: "accept",
        bound: ms(200),
        lasts: ms(300),
        setting: Setting::Plain,
        run: |lab| Box::pin(emfile_accept(lab)),
    },
    Scenario {
        name: "blocked_loop",
        fault: "a task blocks the loop for 50 ms",
        set: "read",
        bound: ms(20),
        lasts: ms(100),
        setting: Setting::Plain,
        run: |lab| Box::pin(blocked_loop(lab)),
    },
    Scenario {
        name: "stopped_process",
        fault: "SIGSTOP for 500 ms",
        set: "read",
        bound: ms(300),
        lasts: ms(600),
        setting: Setting::Stopped(STOP),
        run: |lab| Box::pin(stopped_process(lab)),
    },
];

const STOP: Duration = ms(500);

async fn signal_storm(lab: &Lab) -> Judged {
    let (client, _server) = pair().await;
    let storm = SignalStorm::start(Duration::from_micros(200), false)
        .map_err(|error| Skipped(format!("the kernel refuses the timer: {error}")))?;
    let (_, outcome) = lab
        .measure(async || {
            client.set_read_timeout(Some(lab.bound))?;
            client.read(&mut [0; 64]).await
        })
        .await;
    let signals = storm.signals();
    drop(storm);
    let mut outcome = outcome.must_be(Kind::Timeout, Phase::Read).explained_by("peer silent");
    outcome.must(signals > 20, || format!("no fault: {signals} signals"));
    outcome.happened(format!("{signals} signals during the read"));
    Ok(outcome)
}

/// Every descriptor that this process may have, until it is dropped.
struct Exhausted {
    files: Vec<File>,
    before: Rlimit,
}

impl Exhausted {
    fn now() -> Exhausted {
        let before = getrlimit(Resource::Nofile);
        let few = Rlimit { current: Some(64), maximum: before.maximum };
        setrlimit(Resource::Nofile, few).expect("a limit may be lowered");
        let files = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        Exhausted { files, before }
    }
}

impl Drop for Exhausted {
    fn drop(&mut self) {
        self.files.clear();
        setrlimit(Resource::Nofile, self.before).expect("and raised to what it was");
    }
}

async fn emfile_connect(lab: &Lab) -> Judged {
    let (listener, address) = listen();
    let exhausted = Exhausted::now();
    let (_, outcome) = lab.measure(async || Connect::to(address).timeout(lab.bound).await).await;
    drop(exhausted);
    let mut outcome = outcome.must_be(Kind::Kernel(libc::EMFILE), Phase::Connect);
    let again = Connect::to(address).timeout(ms(1_000)).await;
    outcome.must(again.is_ok(), || format!("nor with descriptors: {again:?}"));
    drop(listener);
    Ok(outcome)
}

async fn emfile_accept(lab: &Lab) -> Judged {
    let (listener, address) = listen();
    let waiting = std::net::TcpStream::connect(address).expect("taken into the queue");
    let exhausted = Exhausted::now();
    let before = lab.runtime.metrics();
    let (_, outcome) = lab
        .measure(async || {
            listener.set_timeout(Some(lab.bound))?;
            listener.accept().await
        })
        .await;
    drop(exhausted);
    let mut outcome =
        outcome.must_be(Kind::Timeout, Phase::Accept).explained_by("could not be accepted");
    let turns = lab.runtime.metrics().turns - before.turns;
    let tries = listener.exhaustions();
    outcome.must((1..=20).contains(&tries), || format!("{tries} tries for want of descriptors"));
    outcome.must(turns < 100, || format!("it spun: {turns} turns"));
    listener.set_timeout(Some(ms(2_000))).expect("it is open");
    let again = listener.accept().await;
    outcome.must(again.is_ok(), || format!("nor with descriptors: {again:?}"));
    outcome.happened(format!("no descriptor left; {tries} tries, {turns} turns"));
    drop(waiting);
    Ok(outcome)
}

/// The deadline comes while a task has the loop to itself.
async fn blocked_loop(lab: &Lab) -> Judged {
    let (client, _server) = pair().await;
    let block = ms(50);
    let (result, outcome) = lab
        .measure(async || {
            client.set_read_timeout(Some(lab.bound))?;
            // It runs once the read waits.
            let blocking = spawn(async move { std::thread::sleep(block) });
            let read = client.read(&mut [0; 64]).await;
            let _ = blocking.await;
            read
        })
        .await;
    let mut outcome = outcome.must_be(Kind::Timeout, Phase::Read).explained_by(HELD_UP);
    let told = result.err().and_then(|error| error.deadline().map(|info| info.lateness()));
    let least = block - lab.bound;
    outcome.must(told.is_some_and(|late| late >= least), || format!("lateness is told as {told:?}"));
    let drift = lab.runtime.drift().in_loop.max();
    outcome.must(drift >= least, || format!("the loop's part of the drift is told as {drift:?}"));
    // What comes after is not harmed.
    let began = now();
    sleep(ms(20)).await;
    let slept = now() - began;
    outcome.must(slept >= ms(20), || format!("early: a sleep of 20 ms ended after {slept:?}"));
    Ok(outcome)
}

/// The supervisor stops this process when it says that it is ready.
async fn stopped_process(lab: &Lab) -> Judged {
    let (client, _server) = pair().await;
    let (_, outcome) = lab
        .measure(async || {
            client.set_read_timeout(Some(lab.bound))?;
            let told = spawn(async { writeln!(std::io::stdout(), "{READY}") });
            let read = client.read(&mut [0; 64]).await;
            let _ = told.await;
            read
        })
        .await;
    let mut outcome = outcome.must_be(Kind::Timeout, Phase::Read);
    let fired = outcome.fired;
    // Whether the kernel was asked for the wake-up before the stop, or the loop ran into it, is chance.
    outcome.must(fired >= STOP - ms(50), || format!("no fault: it was over after {fired:?}"));
    Ok(outcome)
}
