//! The budget, and the caps of its phases.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use punctual::net::{Connect, Error, Kind, Phase};
use punctual::{Instant, Leeway};

use super::{assert_no_syns_to, fails};
use crate::support::namespace::{inside_namespace, sh};
use crate::support::net::*;
use crate::support::{MS, now_ns, skip};

/// Connects in vain, not ended before `cap`, and returns what is said.
async fn capped(connect: Connect, cap: Duration) -> Error {
    let armed = now_ns();
    let error = connect.connect().await.expect_err("nobody answers");
    let passed = Duration::from_nanos(now_ns() - armed);
    assert!(passed >= cap, "early: {passed:?} of {cap:?}: {error}");
    assert!(passed < PATIENCE / 6, "after {passed:?}, not after {cap:?}: {error}");
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    let info = error.deadline().expect("a deadline");
    assert_eq!((info.budget(), info.before_it_began()), (Some(cap), false), "{error}");
    error
}

#[test]
fn the_budget_ends_it_whatever_the_caps_are() {
    on_alarms("budget", async |_| {
        let (_listener, deaf, _filler) = deaf_listener();
        let wide = Connect::to(deaf).connect_timeout(PATIENCE).resolve_timeout(PATIENCE);
        let error = fails(wide.name("checkout"), 50 * MS).await;
        assert_eq!(error.deadline().and_then(|info| info.name()), Some("checkout"));
        // Nor does a deadline give way to them.
        let by = Instant::now() + 50 * MS;
        let error = Connect::to(deaf).deadline(by).connect().await.expect_err("nobody answers");
        let info = error.deadline().expect("a deadline");
        assert_eq!((info.deadline(), info.budget(), info.name()), (by, None, None));
    });
}

#[test]
fn a_cap_ends_its_phase_and_is_named() {
    on_alarms("cap", async |runtime| {
        let (_listener, deaf, _filler) = deaf_listener();
        let connect = Connect::to(deaf).timeout(PATIENCE).connect_timeout(60 * MS);
        let error = capped(connect.clone(), 60 * MS).await;
        assert_eq!((error.phase(), error.peer()), (Phase::Connect, Some(deaf)));
        let info = error.deadline().expect("a deadline");
        assert_eq!(info.name(), Some("tcp-connect cap"));
        let here = format!("{:?}", info.location().map(|at| (at.file(), at.line())));
        assert!(here.contains("caps.rs"), "{here}");
        let text = error.to_string();
        assert!(
            text.contains("timed out in tcp-connect after 60 ms (deadline \"tcp-connect cap\""),
            "{text}"
        );
        assert_no_syns_to(deaf.port());

        let error = capped(connect.name("checkout"), 60 * MS).await;
        assert_eq!(
            error.deadline().and_then(|info| info.name()),
            Some("tcp-connect cap of checkout"),
            "{error}"
        );
        assert_eq!(runtime.metrics().live_sources, 0);
    });
}

#[test]
fn a_cap_of_nothing_lets_nothing_begin() {
    on_alarms("no time", async |_| {
        let (_listener, address) = listen();
        let named = Connect::to(("localhost", address.port()));
        for (connect, phase, name) in [
            (named.clone().resolve_timeout(Duration::ZERO), Phase::Resolve, "resolve cap"),
            (named.connect_timeout(Duration::ZERO), Phase::Connect, "tcp-connect cap"),
        ] {
            let error = connect.connect().await.expect_err("no time");
            assert_eq!((error.kind(), error.phase()), (Kind::Timeout, phase), "{error}");
            let info = error.deadline().expect("a deadline");
            assert_eq!((info.name(), info.before_it_began()), (Some(name), true), "{error}");
        }
    });
}

#[test]
fn a_leeway_of_none_is_taken_at_its_word() {
    on_alarms("leeway", async |_| {
        let (_listener, deaf, _filler) = deaf_listener();
        let error = fails(Connect::to(deaf).leeway(Leeway::NONE), 150 * MS).await;
        let firing = *error.deadline().and_then(|info| info.firing()).expect("it fired");
        assert!(firing.quantisation < MS, "{firing:?}: with a leeway it is armed a millisecond later");
    });
}

/// The first server of resolv.conf, with an address of IPv4.
fn name_server() -> Option<Ipv4Addr> {
    let conf = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    let servers = conf.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers.filter_map(|server| server.trim().parse().ok()).next()
}

#[test]
fn a_lookup_that_hangs_is_ended_by_its_cap() {
    if name_server().is_none() {
        return skip("resolv.conf names no server of IPv4; one would run it");
    }
    if !inside_namespace("connect::caps::a_lookup_that_hangs_is_ended_by_its_cap") {
        return;
    }
    // Here it is us, and we never answer.
    let server = name_server().expect("as before");
    if !server.is_loopback() {
        sh(&format!("ip addr add {server}/32 dev lo"));
    }
    let _silent = UdpSocket::bind((server, 53)).expect("its port");
    on_alarms("lookup", async |_| {
        let connect = Connect::to("silence.example:80").timeout(PATIENCE).resolve_timeout(80 * MS);
        let error = capped(connect, 80 * MS).await;
        assert_eq!(error.phase(), Phase::Resolve, "{error}");
        assert_eq!(error.deadline().and_then(|info| info.name()), Some("resolve cap"), "{error}");
        let error = fails(Connect::to("silence.example:80"), 80 * MS).await;
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Resolve), "{error}");
    });
}
