//! What the error of a timeout says of its reason. Every fault is made for real; what needs its own network runs this
//! binary again inside a namespace.

use std::time::Duration;

use punctual::net::{Connect, Diagnosis, Error, Kind, Phase};

use crate::support::net::*;
use crate::support::{MS, now_ns};

/// What every timeout of ours has to say of itself, whatever its reason.
#[track_caller]
fn is_timeout_in(phase: Phase, error: &Error, bound: Duration, armed_ns: u64) {
    let passed = Duration::from_nanos(now_ns() - armed_ns);
    assert_eq!((error.kind(), error.phase()), (Kind::Timeout, phase), "{error}");
    assert!(passed >= bound, "early: {passed:?} of {bound:?}: {error}");
    let info = error.deadline().expect("a deadline");
    assert_eq!(info.budget(), Some(bound), "{error}");
    assert!(info.fired() >= info.deadline(), "never early");
    assert_eq!(info.lateness(), info.fired() - info.deadline());
    let firing = info.firing().expect("how it came about");
    assert_eq!(firing.quantisation + firing.kernel + firing.in_loop, info.lateness(), "{firing:?}");
    assert!(info.location().is_some_and(|at| at.file().contains("diagnosis")), "{error}");
    assert_eq!(error.is_retry_safe(), phase == Phase::Connect, "{error}");
    let sentence = error.to_string();
    if let Some(diagnosis) = error.diagnosis() {
        assert!(sentence.contains(&format!("; {diagnosis}), fired ")), "{sentence}");
    }
}

#[test]
fn c02_a_syn_that_is_dropped() {
    on_alarms("dropped SYN", async |_| {
        let (_listener, address, _filler) = deaf_listener();
        let armed = now_ns();
        let error = Connect::to(address).timeout(100 * MS).name("checkout").await.expect_err("deaf");
        is_timeout_in(Phase::Connect, &error, 100 * MS, armed);
        assert!(
            matches!(error.diagnosis(), Some(Diagnosis::NoSynAck { syns_sent: 1, .. })),
            "{error:?}"
        );
        let start = format!(
            "connect to {address} timed out in tcp-connect after 100 ms (deadline \"checkout\" set at"
        );
        let sentence = error.to_string();
        assert!(sentence.starts_with(&start), "{sentence}");
        assert!(sentence.contains("; no SYN-ACK after 1 SYN), fired "), "{sentence}");
    });
}

#[test]
fn a_peer_that_says_nothing() {
    on_alarms("silent peer", async |_| {
        let (stream, peer) = tcp_pair().await;
        stream.write_all(b"well?").await.expect("sent");
        let armed = now_ns();
        stream.set_read_timeout(Some(100 * MS)).expect("open");
        let error = stream.read(&mut [0; 8]).await.expect_err("silent");
        is_timeout_in(Phase::Read, &error, 100 * MS, armed);
        match error.diagnosis() {
            Some(Diagnosis::PeerSilent { silent_for, in_flight: 0, .. }) => {
                assert!(*silent_for >= 80 * MS, "{error}");
            }
            other => panic!("{other:?}: {error}"),
        }
        drop(peer);
    });
}
