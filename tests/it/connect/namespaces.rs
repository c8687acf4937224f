//! What needs a network of its own.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use punctual::net::{Connect, Kind, Phase, TcpOptions};
use punctual::{Instant, sleep};

use super::fails;
use crate::support::namespace::{SILENT_LINK, inside_namespace, sh};
use crate::support::net::*;
use crate::support::{MS, now_ns};

#[test]
fn c03_blackhole_netns() {
    if !inside_namespace("connect::namespaces::c03_blackhole_netns") {
        return;
    }
    sh(SILENT_LINK);
    on_alarms("c03", async |runtime| {
        let holes: [SocketAddr; 4] = [
            "10.77.0.2:80".parse().expect("an address"),
            "[fd77::2]:80".parse().expect("an address"),
            (Ipv4Addr::LOCALHOST, 81).into(),
            (Ipv6Addr::LOCALHOST, 81).into(),
        ];
        for hole in holes {
            let error = fails(Connect::to(hole), 100 * MS).await;
            assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Connect), "{error}");
        }
        assert_eq!(runtime.metrics().live_sources, 0);
    });
    let open = Command::new("ss").args(["-Htan", "state", "syn-sent"]).output().expect("ss");
    assert_eq!(String::from_utf8_lossy(&open.stdout), "", "no SYN is left");
}

#[test]
fn c05_route_errors() {
    if !inside_namespace("connect::namespaces::c05_route_errors") {
        return;
    }
    sh(SILENT_LINK);
    sh("ip route add unreachable 10.78.0.0/24
        ip route add prohibit 10.79.0.0/24
        ip route add blackhole 10.80.0.0/24
        nft add rule inet t out tcp dport 82 reject with tcp reset
        nft add rule inet t out ip daddr 10.77.0.2 tcp dport 83 reject with icmp type host-unreachable
        nft add rule inet t out tcp dport 84 reject with icmpx type admin-prohibited");
    on_alarms("c05", async |_| {
        let cases = [
            ("10.78.0.1:80", libc::EHOSTUNREACH),
            ("10.79.0.1:80", libc::EACCES),
            ("10.80.0.1:80", libc::EINVAL),
            ("192.0.2.1:80", libc::ENETUNREACH),
            ("10.77.0.2:82", libc::ECONNREFUSED),
            ("10.77.0.2:83", libc::EHOSTUNREACH),
            ("10.77.0.2:84", libc::EHOSTUNREACH),
        ];
        for (address, errno) in cases {
            let start = Instant::now();
            let error = fails(Connect::to(address), PATIENCE).await;
            assert_eq!((error.kind(), error.phase()), (Kind::Kernel(errno), Phase::Connect), "{error}");
            assert!(start.elapsed() < PATIENCE / 6, "at once, not after {:?}: {error}", start.elapsed());
        }
    });
}

#[test]
fn pol7_a_timeout_of_the_kernel_is_no_deadline() {
    if !inside_namespace("connect::namespaces::pol7_a_timeout_of_the_kernel_is_no_deadline") {
        return;
    }
    sh(SILENT_LINK);
    sh("echo 1 > /proc/sys/net/ipv4/tcp_syn_retries
        test ! -e /proc/sys/net/ipv4/tcp_syn_linear_timeouts || echo 0 > /proc/sys/net/ipv4/tcp_syn_linear_timeouts");
    on_alarms("pol7", async |_| {
        let error = fails(Connect::to("10.77.0.2:80"), PATIENCE).await;
        assert_eq!(error.kind(), Kind::Kernel(libc::ETIMEDOUT), "{error}");
        assert!(error.deadline().is_none() && !error.is_timeout());
    });
}

#[test]
fn pol7_the_kernel_gives_up_before_us_if_told_to() {
    if !inside_namespace("connect::namespaces::pol7_the_kernel_gives_up_before_us_if_told_to") {
        return;
    }
    sh(SILENT_LINK);
    sh(
        "test ! -e /proc/sys/net/ipv4/tcp_syn_linear_timeouts || echo 0 > /proc/sys/net/ipv4/tcp_syn_linear_timeouts",
    );
    on_alarms("syn count", async |_| {
        let once = Connect::to("10.77.0.2:80").options(TcpOptions::new().syn_count(1));
        let error = fails(once.clone(), PATIENCE).await;
        assert_eq!(error.kind(), Kind::Kernel(libc::ETIMEDOUT), "{error}");
        assert!(error.deadline().is_none() && !error.is_timeout(), "{error}");
        let error = fails(once, 200 * MS).await;
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
        // Told to take our deadline for its own, it comes after us.
        let ours = Connect::to("10.77.0.2:80").options(TcpOptions::new().user_timeout_from_deadline());
        let error = fails(ours, 200 * MS).await;
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
        let theirs = Connect::to("10.77.0.2:80").options(TcpOptions::new().user_timeout(200 * MS));
        let error = fails(theirs, PATIENCE).await;
        assert_eq!(error.kind(), Kind::Kernel(libc::ETIMEDOUT), "{error}");
    });
}

#[test]
fn c16_he_dead_v6() {
    if !inside_namespace("connect::namespaces::c16_he_dead_v6") {
        return;
    }
    sh(SILENT_LINK);
    let delay = 250 * MS;
    on_alarms("c16", async |runtime| {
        let (_listener, alive) = listen();
        let dead = SocketAddr::from((Ipv6Addr::from([0xfd77, 0, 0, 0, 0, 0, 0, 2]), alive.port()));
        let (mut raced, mut control) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let armed = now_ns();
            let stream = Connect::to(vec![dead, alive]).timeout(PATIENCE / 2).await.expect("connected");
            raced.push(now_ns() - armed);
            assert_eq!(stream.peer_addr(), alive);
            assert_eq!(runtime.metrics().live_sources, 2, "the winner and the listener");
            drop(stream);
            let armed = now_ns();
            sleep(delay).await;
            let stream = Connect::to(alive).timeout(PATIENCE / 2).await.expect("connected");
            control.push(now_ns() - armed);
            drop(stream);
        }
        for passed in &raced {
            assert!(Duration::from_nanos(*passed) >= delay, "before the delay: {passed} ns");
        }
        raced.sort_unstable();
        control.sort_unstable();
        let ratio = raced[2] as f64 / control[2] as f64;
        println!("c16: p50 {} µs, {ratio:.3} of a sleep and a connect", raced[2] / 1_000);
        assert!(ratio <= 1.3, "{ratio}");
    });
    let open = Command::new("ss").args(["-Htan", "state", "syn-sent"]).output().expect("ss");
    assert_eq!(String::from_utf8_lossy(&open.stdout), "", "no SYN is left");
}
