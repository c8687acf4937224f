//! Connecting to who does not answer, too late, or with no.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use punctual::net::{Connect, Kind, Phase};
use punctual::{sleep, spawn};

use super::{Scenario, Setting, ms};
use crate::judge::{Judged, Skipped, now};
use crate::kernel::{look, syns_to};
use crate::lab::Lab;
use crate::peers::{Deaf, closed_port, listen};
use crate::stalls::Stalls;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "dropped_syn",
        fault: "accept queue full, every SYN dropped",
        set: "connect",
        bound: ms(200),
        lasts: ms(200),
        setting: Setting::Plain,
        run: |lab| Box::pin(dropped_syn(lab)),
    },
    Scenario {
        name: "dropped_syn_firewall",
        fault: "a packet filter drops every SYN",
        set: "connect",
        bound: ms(200),
        lasts: ms(200),
        setting: Setting::Network(DROPPING),
        run: |lab| Box::pin(dropped_syn_firewall(lab)),
    },
    Scenario {
        name: "dead_host",
        fault: "a neighbour that is not there",
        set: "connect",
        bound: ms(200),
        lasts: ms(200),
        setting: Setting::Network(DEAD_NEIGHBOURS),
        run: |lab| Box::pin(dead_host(lab)),
    },
    Scenario {
        name: "late_syn_ack",
        fault: "SYN-ACK after the deadline",
        set: "connect",
        bound: ms(400),
        lasts: ms(1_500),
        setting: Setting::Plain,
        run: |lab| Box::pin(late_syn_ack(lab)),
    },
    Scenario {
        name: "refused",
        fault: "nobody listens: RST",
        set: "connect",
        bound: ms(5_000),
        lasts: ms(100),
        setting: Setting::Plain,
        run: |lab| Box::pin(refused(lab)),
    },
    Scenario {
        name: "unreachable",
        fault: "an `unreachable` route",
        set: "connect",
        bound: ms(5_000),
        lasts: ms(100),
        setting: Setting::Network("ip route add unreachable 192.0.2.0/24"),
        run: |lab| Box::pin(unreachable(lab, (Ipv4Addr::new(192, 0, 2, 7), 443))),
    },
    Scenario {
        name: "unreachable_icmp",
        fault: "ICMP host unreachable comes back",
        set: "connect",
        bound: ms(5_000),
        lasts: ms(100),
        setting: Setting::Network(REJECTING),
        run: |lab| Box::pin(unreachable(lab, (Ipv4Addr::LOCALHOST, FILTERED))),
    },
    Scenario {
        name: "dead_first_of_three",
        fault: "the first of three addresses drops SYNs",
        set: "connect",
        bound: ms(5_000),
        lasts: ms(300),
        setting: Setting::Plain,
        run: |lab| Box::pin(dead_first_of_three(lab)),
    },
    Scenario {
        name: "dead_ipv6",
        fault: "IPv6 drops SYNs, IPv4 answers",
        set: "connect",
        bound: ms(5_000),
        lasts: ms(300),
        setting: Setting::Plain,
        run: |lab| Box::pin(dead_ipv6(lab)),
    },
    Scenario {
        name: "dead_ipv6_host",
        fault: "an IPv6 neighbour that is not there",
        set: "connect",
        bound: ms(5_000),
        lasts: ms(300),
        setting: Setting::Network(DEAD_NEIGHBOURS),
        run: |lab| Box::pin(dead_ipv6_host(lab)),
    },
];

/// The port that the packet filters below look for.
const FILTERED: u16 = 4081;

const DROPPING: &str = "nft add table ip lab
    nft add chain ip lab out { type filter hook output priority 0 ; }
    nft add rule ip lab out tcp dport 4081 drop";

const REJECTING: &str = "nft add table ip lab
    nft add chain ip lab out { type filter hook output priority 0 ; }
    nft add rule ip lab out tcp dport 4081 reject with icmp type host-unreachable";

/// Addresses of a link whose other end says nothing: what is sent there is lost.
const DEAD_NEIGHBOURS: &str = "ip link add lab0 type veth peer name lab1
    ip address add 198.51.100.1/24 dev lab0
    ip address add 2001:db8::1/64 dev lab0 nodad
    ip link set lab0 up
    ip link set lab1 up
    ip neighbour add 198.51.100.2 lladdr 02:00:00:00:00:66 dev lab0 nud permanent
    ip neighbour add 2001:db8::2 lladdr 02:00:00:00:00:66 dev lab0 nud permanent";

/// Connects to an address that does not answer, and sees the kernel try.
async fn unanswered(lab: &Lab, address: SocketAddr) -> Judged {
    let during = look(lab.bound / 2, move || syns_to(address));
    let (_, outcome) = lab.measure(async || Connect::to(address).timeout(lab.bound).await).await;
    let mut outcome = outcome.must_be(Kind::Timeout, Phase::Connect).explained_by("no SYN-ACK");
    let after = syns_to(address);
    outcome.must(after == 0, || "the socket still sends SYNs after the deadline".to_owned());
    let during = during.join().expect("no panic");
    outcome.must(during == 1, || format!("no fault: {during} sockets waited for a SYN-ACK"));
    Ok(outcome)
}

async fn dropped_syn(lab: &Lab) -> Judged {
    let deaf = Deaf::new();
    unanswered(lab, deaf.address).await
}

async fn dropped_syn_firewall(lab: &Lab) -> Judged {
    let address = (Ipv4Addr::LOCALHOST, FILTERED).into();
    let _listener = std::net::TcpListener::bind(address).expect("a free port: the network is ours");
    unanswered(lab, address).await
}

async fn dead_host(lab: &Lab) -> Judged {
    unanswered(lab, (Ipv4Addr::new(198, 51, 100, 2), 443).into()).await
}

/// Two connect at the same time. The queue has room again at 300 ms, so the SYNs that the kernel repeats after a second are
/// answered: that of the one whose deadline was later.
async fn late_syn_ack(lab: &Lab) -> Judged {
    let deaf = Deaf::new();
    let control = Connect::to(deaf.address).timeout(ms(10_000)).connect();
    let (began, stalls) = (now(), Stalls::watch());
    let control = spawn(async move { (control.await, now() - began) });
    let (_, outcome) = lab
        .measure(async || {
            let connecting = spawn(Connect::to(deaf.address).timeout(lab.bound).connect());
            sleep(ms(300)).await;
            deaf.accept_all();
            connecting.await.expect("no panic")
        })
        .await;
    let (connected, at) = control.await.expect("no panic");
    let stalled = stalls.longest();
    if stalled >= ms(300) {
        // The deadline and the SYN-ACK may have been seen at once, and then the connection is as good as one in time.
        return Err(Skipped(format!("this machine is too busy: it stood still for {stalled:?}")));
    }
    let mut outcome = outcome.must_be(Kind::Timeout, Phase::Connect).explained_by("no SYN-ACK");
    outcome.must(at > outcome.fired, || format!("no fault: the SYN-ACK came at {at:?}"));
    // Whatever else the kernel would answer now has come.
    sleep(ms(50)).await;
    let accepted = deaf.accept_all();
    let only = connected.as_ref().ok().and_then(|stream| stream.local_addr().ok());
    outcome.must(only.is_some() && accepted == Vec::from_iter(only), || {
        format!("the late SYN-ACK was delivered: {accepted:?} were accepted, and only {only:?} still wanted it")
    });
    outcome.happened(format!("SYN-ACK at {} ms, reached only a control", at.as_millis()));
    Ok(outcome)
}

async fn refused(lab: &Lab) -> Judged {
    let (_held, address) = closed_port();
    let (_, outcome) = lab.measure(async || Connect::to(address).timeout(lab.bound).await).await;
    Ok(outcome.must_be(Kind::Kernel(libc::ECONNREFUSED), Phase::Connect))
}

async fn unreachable(lab: &Lab, address: (Ipv4Addr, u16)) -> Judged {
    let (_, outcome) = lab.measure(async || Connect::to(address).timeout(lab.bound).await).await;
    Ok(outcome.must_be(Kind::Kernel(libc::EHOSTUNREACH), Phase::Connect))
}

/// What an address is given before the next is tried beside it (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = ms(250);

/// Connects to several addresses of which the first does not answer, and `live` does.
async fn one_answers(lab: &Lab, addresses: Vec<SocketAddr>, live: SocketAddr) -> Judged {
    let first = addresses[0];
    let (result, outcome) = lab.measure(async || Connect::to(addresses).timeout(lab.bound).await).await;
    let mut outcome = outcome.must_succeed(Phase::Connect);
    let peer = result.as_ref().ok().map(|stream| stream.peer_addr());
    outcome.must(peer == Some(live), || format!("connected to {peer:?}, not to {live}"));
    let (fired, bound) = (outcome.fired, lab.bound);
    outcome.must(fired < bound, || format!("after {fired:?}, beyond {bound:?}"));
    outcome
        .must(fired >= ATTEMPT_DELAY, || format!("a second attempt after {fired:?}: it is too early"));
    let left = syns_to(first);
    outcome.must(left == 0, || format!("{left} attempts at the dead address go on"));
    outcome.happened(format!("{first} is dead, the next answered"));
    Ok(outcome)
}

async fn dead_first_of_three(lab: &Lab) -> Judged {
    let deaf = Deaf::new();
    let ((_one, live), (_other, third)) = (listen(), listen());
    one_answers(lab, vec![deaf.address, live, third], live).await
}

async fn dead_ipv6(lab: &Lab) -> Judged {
    let deaf = Deaf::on_ipv6().map_err(|error| Skipped(format!("loopback has no IPv6: {error}")))?;
    let (_listener, live) = listen();
    one_answers(lab, vec![deaf.address, live], live).await
}

async fn dead_ipv6_host(lab: &Lab) -> Judged {
    let (_listener, live) = listen();
    let dead = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2), 443).into();
    one_answers(lab, vec![dead, live], live).await
}
