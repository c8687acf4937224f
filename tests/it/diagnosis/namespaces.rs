//! Faults of a network: packets that are dropped on their way, before they leave, or only after the connection stood.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use punctual::net::{Connect, Diagnosis, Error, Kind, Phase, TcpListener, TcpStream};
use punctual::spawn;

use super::{Armed, read_in_vain, write_in_vain};
use crate::support::MS;
use crate::support::namespace::{SILENT_LINK, inside_namespace, sh};
use crate::support::net::*;

/// What arrives at ports from 8100 on is dropped, once a set holds the port.
const DROPS: &str = "
    nft add table inet d
    nft add set inet d ports '{ type inet_service; }'
    nft add chain inet d in '{ type filter hook input priority 0; }'
    nft add rule inet d in tcp dport @ports drop";

/// From now on what arrives at `port` is lost.
fn drop_arriving_at(port: u16) {
    sh(&format!("nft add element inet d ports '{{ {port} }}'"));
}

/// A connection to `port` of this host: who connected, who accepted.
async fn connected_to(port: u16) -> (TcpStream, TcpStream) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).expect("a free port");
    let accepting = spawn(async move { listener.accept().await });
    let near = TcpStream::connect(address).await.expect("connected");
    (near, accepting.await.expect("no panic").expect("accepted").0)
}

#[test]
fn c03_a_syn_that_the_network_drops() {
    if !inside_namespace("diagnosis::namespaces::c03_a_syn_that_the_network_drops") {
        return;
    }
    sh(SILENT_LINK);
    on_alarms("black holes", async |_| {
        let holes: [SocketAddr; 4] = [
            "10.77.0.2:80".parse().expect("an address"),
            "[fd77::2]:80".parse().expect("an address"),
            (Ipv4Addr::LOCALHOST, 81).into(),
            (Ipv6Addr::LOCALHOST, 81).into(),
        ];
        // The second SYN is sent after one second (RFC 6298, section 2), the third a second (where
        // tcp_syn_linear_timeouts says so) or two later.
        let dials = holes.map(|hole| {
            spawn(async move {
                let armed = Armed::with(3_500 * MS).named("upstream");
                let error = Connect::to(hole)
                    .timeout(3_500 * MS)
                    .name("upstream")
                    .await
                    .expect_err("a black hole");
                let diagnosis = armed.ended_by(&error, Phase::Connect);
                let Diagnosis::NoSynAck { syns_sent, .. } = diagnosis else { panic!("{diagnosis:?}") };
                assert!((3..=4).contains(&syns_sent), "{error}");
            })
        });
        for dial in dials {
            dial.await.expect("as it should be");
        }
    });
}

#[test]
fn c05_unreachable() {
    if !inside_namespace("diagnosis::namespaces::c05_unreachable") {
        return;
    }
    on_alarms("unreachable", async |_| {
        let error = TcpStream::connect("192.0.2.1:80").await.expect_err("no route");
        assert_eq!((error.kind(), error.phase()), (Kind::Kernel(libc::ENETUNREACH), Phase::Connect));
        assert!(error.deadline().is_none() && error.diagnosis().is_none() && error.is_retry_safe());
        assert_eq!(
            error.to_string(),
            "connect to 192.0.2.1:80 failed: Network is unreachable (os error 101)"
        );
    });
}

#[test]
fn what_we_sent_is_not_acknowledged() {
    if !inside_namespace("diagnosis::namespaces::what_we_sent_is_not_acknowledged") {
        return;
    }
    sh(DROPS);
    let runtime = punctual::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (stream, _peer) = connected_to(8_100).await;
        drop_arriving_at(8_100);
        stream.write_all(&[0x5a; 4_096]).await.expect("the kernel takes it");
        // Retransmitted after 0.2, 0.6 and 1.4 s.
        let diagnosis = read_in_vain(&stream, 1_200 * MS).await;
        let Diagnosis::Unacknowledged { bytes: 4_096, retransmits, last_heard, .. } = diagnosis else {
            panic!("{diagnosis:?}")
        };
        assert!((1..=3).contains(&retransmits), "{diagnosis}");
        assert!((1_150 * MS..PATIENCE).contains(&last_heard), "{diagnosis}");
        let (diagnosis, _) = write_in_vain(&stream, 100 * MS).await;
        assert!(matches!(diagnosis, Diagnosis::Unacknowledged { .. }), "{diagnosis:?}");

        // Too short for a retransmission; it is not acknowledged all the same.
        let (stream, _peer) = connected_to(8_101).await;
        drop_arriving_at(8_101);
        stream.write_all(b"well?").await.expect("the kernel takes it");
        let diagnosis = read_in_vain(&stream, 100 * MS).await;
        let expected = matches!(diagnosis, Diagnosis::Unacknowledged { bytes: 5, retransmits: 0, .. });
        assert!(expected, "{diagnosis:?}");

        // The end of the stream is lost.
        let (stream, _peer) = connected_to(8_102).await;
        drop_arriving_at(8_102);
        let armed = Armed::with(500 * MS);
        let error = stream.close_in_order(500 * MS).await.expect_err("the peer cannot know");
        let diagnosis = armed.ended_by(&error, Phase::Shutdown);
        let expected = matches!(diagnosis, Diagnosis::Unacknowledged { bytes: 0, retransmits: 1.., .. });
        assert!(expected, "{diagnosis:?}");
    });
    assert_baseline(&runtime);
}

#[test]
fn what_our_own_firewall_drops() {
    if !inside_namespace("diagnosis::namespaces::what_our_own_firewall_drops") {
        return;
    }
    let runtime = punctual::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (stream, _peer) = connected_to(8_110).await;
        sh("nft add table inet t
            nft add chain inet t out '{ type filter hook output priority 0; }'
            nft add rule inet t out tcp dport 8110 drop");
        stream.write_all(b"well?").await.expect("the kernel takes it");
        // The kernel has sent nothing, and the window is open.
        let diagnosis = read_in_vain(&stream, 700 * MS).await;
        let expected = matches!(diagnosis, Diagnosis::Unacknowledged { bytes: 5, retransmits: 1.., .. });
        assert!(expected, "{diagnosis:?}");
    });
}

#[test]
fn a_path_that_is_slower_than_we_write() {
    if !inside_namespace("diagnosis::namespaces::a_path_that_is_slower_than_we_write") {
        return;
    }
    let tc = "tc qdisc add dev lo root tbf rate 2mbit burst 128kb latency 20s";
    if std::process::Command::new("sh").args(["-c", tc]).status().is_ok_and(|status| !status.success()) {
        return crate::support::skip("no token bucket filter here: tc and sch_tbf would run it");
    }
    let runtime = punctual::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (stream, peer) = connected_to(8_120).await;
        let reading = spawn(async move {
            let mut scratch = vec![0; 1 << 20];
            while peer.read(&mut scratch).await.is_ok_and(|bytes| bytes > 0) {}
        });
        let (diagnosis, _) = write_in_vain(&stream, 1_000 * MS).await;
        let Diagnosis::SlowPath { queued, .. } = diagnosis else { panic!("{diagnosis:?}") };
        assert!(queued > 0);
        stream.close();
        reading.abort();
    });
}

/// The kernel gives up by itself, and says so of itself.
#[track_caller]
fn is_of_the_kernel(error: &Error, phase: Phase, whose: &str) {
    assert_eq!((error.kind(), error.phase()), (Kind::Kernel(libc::ETIMEDOUT), phase), "{error}");
    assert!(!error.is_timeout() && error.deadline().is_none() && error.diagnosis().is_none());
    assert_eq!(error.is_retry_safe(), phase == Phase::Connect);
    let sentence = error.to_string();
    assert!(
        sentence.contains("the kernel gave up after its own ") && sentence.contains(whose),
        "{sentence}"
    );
    assert!(sentence.ends_with("Connection timed out (os error 110)"), "{sentence}");
}

#[test]
fn pol7_a_kernel_that_gives_up_by_itself() {
    if !inside_namespace("diagnosis::namespaces::pol7_a_kernel_that_gives_up_by_itself") {
        return;
    }
    sh(SILENT_LINK);
    sh(DROPS);
    sh("echo 1 > /proc/sys/net/ipv4/tcp_syn_retries
        test ! -e /proc/sys/net/ipv4/tcp_syn_linear_timeouts || echo 0 > /proc/sys/net/ipv4/tcp_syn_linear_timeouts");
    let runtime = punctual::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let dialling = spawn(Connect::to("10.77.0.2:80").timeout(PATIENCE).connect());
        let (stream, _peer) = connected_to(8_130).await;
        let patience = Some(Duration::from_millis(500));
        stream.with_socket(|socket| socket.set_tcp_user_timeout(patience)).expect("open").expect("set");
        drop_arriving_at(8_130);
        stream.write_all(b"well?").await.expect("the kernel takes it");
        stream.set_read_timeout(Some(PATIENCE)).expect("open");
        let error = stream.read(&mut [0; 8]).await.expect_err("the kernel gives up");
        is_of_the_kernel(&error, Phase::Read, "TCP_USER_TIMEOUT");
        let error = dialling.await.expect("no panic").expect_err("the kernel gives up");
        is_of_the_kernel(&error, Phase::Connect, "tcp_syn_retries");
    });
    assert_baseline(&runtime);
}
