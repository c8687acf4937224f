//! Faults that two ends on one host can make.

use std::net::Shutdown;
use std::time::Duration;

use punctual::net::{Connect, Diagnosis, Error, Phase, TcpListener};
use punctual::reactor::Direction;
use punctual::{scope, sleep, spawn};

use super::{Armed, or_of_kernel, read_and_be_late, read_in_vain, write_in_vain};
use crate::support::MS;
use crate::support::net::*;

#[test]
fn c02_a_syn_that_is_dropped() {
    on_alarms("dropped SYN", async |_| {
        let (_listener, address, _filler) = deaf_listener();
        let armed = Armed::with(100 * MS).named("checkout");
        let error = Connect::to(address).timeout(100 * MS).name("checkout").await.expect_err("deaf");
        let diagnosis = armed.ended_by(&error, Phase::Connect);
        assert!(matches!(diagnosis, Diagnosis::NoSynAck { syns_sent: 1, .. }), "{diagnosis:?}");
        let sentence = error.to_string();
        let start = format!(
            "connect to {address} timed out in tcp-connect after 100 ms (deadline \"checkout\" set at "
        );
        assert!(sentence.starts_with(&start), "{sentence}");
        assert!(sentence.contains("; no SYN-ACK after 1 SYN), fired "), "{sentence}");
    });
}

#[test]
fn c04_a_syn_ack_that_comes_too_late() {
    on_alarms("late SYN-ACK", async |_| {
        let (listener, address, _filler) = deaf_listener();
        let armed = Armed::with(500 * MS).named("upstream");
        let connecting = spawn(Connect::to(address).timeout(500 * MS).name("upstream").connect());
        sleep(300 * MS).await;
        let (_filled, _) = listener.accept().expect("the one in the queue");
        let error =
            connecting.await.expect("no panic").expect_err("the next SYN is sent after a second");
        let diagnosis = armed.ended_by(&error, Phase::Connect);
        assert!(matches!(diagnosis, Diagnosis::NoSynAck { syns_sent: 1, .. }), "{diagnosis:?}");
    });
}

#[test]
fn c19_of_several_addresses_it_says_how_many() {
    on_alarms("two of two", async |_| {
        let deaf = [deaf_listener(), deaf_listener()];
        let addresses: Vec<_> = deaf.iter().map(|(_, address, _)| *address).collect();
        let error = Connect::to(addresses).timeout(2_500 * MS).name("checkout").await.expect_err("deaf");
        assert!(error.is_timeout() && error.is_retry_safe(), "{error}");
        let names = |error: &Error| error.deadline().and_then(|info| info.name().map(str::to_owned));
        assert_eq!(names(&error).as_deref(), Some("checkout"));
        assert_eq!(error.sources().len(), 2);
        assert!(error.sources().iter().all(|one| names(one).as_deref() == Some("checkout")));
        assert!(
            error
                .sources()
                .iter()
                .all(|one| matches!(one.diagnosis(), Some(Diagnosis::NoSynAck { .. })))
        );
        assert!(matches!(error.diagnosis(), Some(Diagnosis::NoSynAck { .. })), "{error:?}");
        let sentence = error.to_string();
        assert!(sentence.contains(", 2 of 2 addresses; no SYN-ACK after "), "{sentence}");
        assert!(!sentence.contains("tried"), "it would say all of it twice: {sentence}");
    });
}

#[test]
fn a_peer_that_says_nothing() {
    on_alarms("silent peer", async |_| {
        let (stream, peer) = tcp_pair().await;
        stream.write_all(b"well?").await.expect("sent");
        match read_in_vain(&stream, 100 * MS).await {
            Diagnosis::PeerSilent { silent_for, last_heard, in_flight: 0, .. } => {
                assert!(
                    silent_for >= 80 * MS && last_heard >= 80 * MS,
                    "{silent_for:?}, {last_heard:?}"
                );
                assert!(silent_for < PATIENCE, "{silent_for:?}");
            }
            other => panic!("{other:?}"),
        }
        // It speaks, and falls silent: what counts is since when.
        peer.write_all(b"hm").await.expect("sent");
        stream.recv_exactly(2).await;
        sleep(60 * MS).await;
        match read_in_vain(&stream, 40 * MS).await {
            Diagnosis::PeerSilent { silent_for, .. } => {
                assert!((80 * MS..5_000 * MS).contains(&silent_for), "{silent_for:?}");
            }
            other => panic!("{other:?}"),
        }
        let now = stream.diagnose(Direction::Read);
        assert!(matches!(now, Some(Diagnosis::PeerSilent { .. })), "{now:?}");
        peer.write_all(b"there").await.expect("sent");
        stream.peek(&mut [0; 8]).await.expect("it has come");
        assert_eq!(stream.diagnose(Direction::Read), None, "there is something to read");
        assert_eq!(stream.tcp_info().map(|info| info.receive_queue).ok(), Some(5));
    });
}

#[test]
fn a_peer_that_does_not_read() {
    on_alarms("closed window", async |_| {
        let (stream, _peer) = small_tcp_pair().await;
        let (diagnosis, sent) = write_in_vain(&stream, 300 * MS).await;
        let Diagnosis::PeerWindowClosed { queued, last_heard, .. } = diagnosis else {
            panic!("{diagnosis:?}")
        };
        assert!(0 < queued && queued < sent, "{queued} of {sent}");
        assert!(last_heard < 5_000 * MS, "{last_heard:?}");
        // What is to be read then waits for the same reason.
        let diagnosis = read_in_vain(&stream, 50 * MS).await;
        assert!(matches!(diagnosis, Diagnosis::PeerWindowClosed { .. }), "{diagnosis:?}");
        assert!(matches!(stream.diagnose(Direction::Write), Some(Diagnosis::PeerWindowClosed { .. })));
    });
}

#[test]
fn x03_a_peer_that_does_not_end_its_side() {
    on_alarms("FIN_WAIT2", async |_| {
        let (stream, peer) = tcp_pair().await;
        stream.write_all(b"all").await.expect("sent");
        stream.shutdown(Shutdown::Write).expect("open");
        let diagnosis = read_in_vain(&stream, 100 * MS).await;
        let Diagnosis::HalfClosedHere { silent_for, .. } = diagnosis else { panic!("{diagnosis:?}") };
        assert!(silent_for >= 80 * MS, "{silent_for:?}");
        let armed = Armed::with(60 * MS);
        let closing = stream.close_in_order(60 * MS);
        // Its time goes from the call on, and that is what is told.
        sleep(20 * MS).await;
        let error = closing.await.expect_err("the peer keeps its side open");
        let diagnosis = armed.ended_by(&error, Phase::Shutdown);
        // It is closed: if the machine held our loop up, nobody is left to ask.
        let expected =
            matches!(diagnosis, Diagnosis::HalfClosedHere { .. } | Diagnosis::LoopLate { .. });
        assert!(expected, "{diagnosis:?}");
        drop(peer);
    });
}

#[test]
fn a_peer_that_has_ended_its_side_and_does_not_read() {
    on_alarms("CLOSE_WAIT", async |_| {
        let (stream, peer) = small_tcp_pair().await;
        peer.shutdown(Shutdown::Write).expect("open");
        assert_eq!(stream.read(&mut [0; 1]).await.expect("the end"), 0);
        let (diagnosis, sent) = write_in_vain(&stream, 300 * MS).await;
        let Diagnosis::PeerHalfClosed { queued, .. } = diagnosis else { panic!("{diagnosis:?}") };
        assert!(0 < queued && queued < sent, "{queued} of {sent}");
        drop(peer);
    });
}

#[test]
fn a_listener_to_which_nobody_comes() {
    on_alarms("nobody", async |_| {
        let (listener, _) = listen();
        listener.set_timeout(Some(50 * MS)).expect("open");
        let armed = Armed::with(50 * MS);
        let error: Error = listener.accept().await.map(drop).expect_err("nobody comes");
        let diagnosis = armed.ended_by(&error, Phase::Accept);
        let diagnosis = or_of_kernel(diagnosis, || Some(Diagnosis::NobodyConnected));
        assert_eq!(diagnosis, Diagnosis::NobodyConnected);
    });
}

#[test]
fn how_late_it_fired_is_split_as_that_of_a_sleep_is() {
    on_alarms("parts", async |_| {
        let (stream, _peer) = tcp_pair().await;
        stream.set_read_timeout(Some(100 * MS)).expect("open");
        let error = stream.read(&mut [0; 8]).await.expect_err("silent");
        // The loop slept until then: it was the kernel that woke it late, as late as it had been asked to.
        let firing = *error.deadline().and_then(|info| info.firing()).expect("how it came about");
        assert!(!(firing.quantisation + firing.kernel).is_zero(), "{firing:?}");
    });
}

/// The loop is held up for 50 ms while a deadline passes: from the turn on in which whoever spawns it begins to wait, so
/// that no wake-up, however late, comes in between.
async fn hold_the_loop_up() {
    // What no task ought to do.
    std::thread::sleep(50 * MS);
}

#[test]
fn b03_our_own_loop_that_was_late() {
    on_alarms("late loop", async |_| {
        let (stream, _peer) = tcp_pair().await;
        let holding = spawn(hold_the_loop_up());
        let (diagnosis, _) = read_and_be_late(&stream, 20 * MS).await;
        let Diagnosis::LoopLate { by, ref culprit, .. } = diagnosis else { panic!("{diagnosis:?}") };
        assert!((49 * MS..PATIENCE).contains(&by), "the whole of the 50 ms: {by:?}");
        let culprit = culprit.as_ref().expect("it is known who it was");
        assert_eq!(culprit.task(), Some(holding.id()), "{culprit}");
        let told = diagnosis.to_string();
        assert!(told.starts_with("our own loop was held up for "), "{told}");
        assert!(told.contains(", by the task spawned at tests/it/diagnosis/loopback.rs:"), "{told}");
        holding.await.expect("no panic");

        // No loop, however late, keeps a SYN from being answered: that is the kernel's doing.
        let (_listener, address, _filler) = deaf_listener();
        let holding = spawn(hold_the_loop_up());
        let armed = Armed::with(20 * MS).named("upstream");
        let error = Connect::to(address).timeout(20 * MS).name("upstream").await.expect_err("deaf");
        let diagnosis = armed.ended_by(&error, Phase::Connect);
        assert!(matches!(diagnosis, Diagnosis::NoSynAck { .. }), "{diagnosis:?}");
        assert!(error.deadline().is_some_and(|info| info.lateness() >= 30 * MS), "{error}");
        assert!(error.to_string().ends_with(" of it through our own loop"), "{error}");
        holding.await.expect("no panic");
    });
}

#[test]
fn b03_our_own_loop_that_took_the_time_there_was() {
    on_alarms("missed time", async |_| {
        // Long enough to be said of an operation, but over before it begins.
        std::thread::sleep(60 * MS);
        let (stream, _peer) = tcp_pair().await;
        std::thread::sleep(60 * MS);
        let (diagnosis, late) = read_and_be_late(&stream, 40 * MS).await;
        let silent = matches!(diagnosis, Diagnosis::PeerSilent { .. });
        assert!(silent || late >= 20 * MS, "that was before: {diagnosis:?}, {late:?} late");

        // The deadline itself is met: the loop has been free again for a while.
        let holding = spawn(hold_the_loop_up());
        let (diagnosis, late) = read_and_be_late(&stream, 60 * MS).await;
        match diagnosis {
            Diagnosis::LoopLate { by, .. } => assert!((49 * MS..PATIENCE).contains(&by), "{by:?}"),
            // By then it was less than half of the time that the read had.
            _ => assert!(late >= 39 * MS, "{diagnosis:?}, {late:?} late"),
        }
        holding.await.expect("no panic");

        // Of a long time it takes too little to be a reason.
        let holding = spawn(hold_the_loop_up());
        let (diagnosis, late) = read_and_be_late(&stream, 500 * MS).await;
        let silent = matches!(diagnosis, Diagnosis::PeerSilent { .. });
        assert!(silent || late >= 20 * MS, "{diagnosis:?}, {late:?} late");
        holding.await.expect("no panic");
    });
}

#[test]
fn k09_a_deadline_of_a_scope() {
    on_alarms("scope", async |_| {
        let (stream, _peer) = tcp_pair().await;
        let (_listener, address, _filler) = deaf_listener();
        for phase in [Phase::Read, Phase::Connect] {
            let armed = Armed::with(80 * MS).of_scope("checkout");
            let ended = scope("checkout", 80 * MS, async |_| {
                let error = match phase {
                    Phase::Read => stream.read(&mut [0; 8]).await.expect_err("silent"),
                    _ => Connect::to(address).timeout(PATIENCE).await.expect_err("deaf"),
                };
                let diagnosis = armed.ended_by(&error, phase);
                assert!(error.to_string().contains("(deadline \"checkout\" set at "), "{error}");
                let diagnosis = or_of_kernel(diagnosis, || stream.diagnose(Direction::Read));
                match (phase, diagnosis) {
                    (Phase::Read, Diagnosis::PeerSilent { .. }) => {}
                    (Phase::Connect, Diagnosis::NoSynAck { syns_sent: 1, .. }) => {}
                    (_, other) => panic!("{other:?}"),
                }
            });
            ended.await.expect("the body has returned");
        }
    });
}

#[test]
fn pol1_a_deadline_that_had_passed_beforehand() {
    on_alarms("not begun", async |_| {
        let (stream, _peer) = tcp_pair().await;
        stream.set_deadline(Some(punctual::Instant::now() - 5 * MS)).expect("open");
        let (listener, address) = listen();
        listener.set_deadline(Some(punctual::Instant::now() - 5 * MS)).expect("open");
        let connecting = Connect::to(address).timeout(Duration::ZERO);
        let errors = [
            (Phase::Read, stream.read(&mut [0; 8]).await.expect_err("too late")),
            (Phase::Write, stream.write(b"late").await.expect_err("too late")),
            (Phase::Accept, accepted(&listener).await.expect_err("too late")),
            (Phase::Connect, connecting.await.map(drop).expect_err("too late")),
        ];
        for (phase, error) in errors {
            assert_eq!(error.phase(), phase);
            let info = error.deadline().expect("a deadline");
            assert!(info.before_it_began() && info.lateness().is_zero() && info.firing().is_none());
            assert_eq!(error.diagnosis(), Some(&Diagnosis::NotBegun), "{error}");
            assert!(!error.is_retry_safe() && error.to_string().contains(" was not begun: "), "{error}");
        }
    });
}

async fn accepted(listener: &TcpListener) -> Result<(), Error> {
    listener.accept().await.map(drop)
}
