//! What names go through, for fuzzers: see [`crate::rig`].

use std::net::IpAddr;

use super::files::{Hosts, Nsswitch, ResolvConf, parse};
use super::message::{Family, Query, Reply, Verdict};
use super::name::Name;

/// `name` as a program gives it, and every name that a search list makes of it.
pub fn read_name(text: &str) {
    let Ok(name) = Name::parse(text) else { return };
    let again = Name::parse(name.as_str()).expect("what was taken once is taken again");
    assert_eq!(name, again);
    let wire = name.to_wire(&[0b0101_0101; 32]);
    assert!(wire.len() <= 255 && wire.last() == Some(&0), "{} bytes on the wire", wire.len());
    let search = [text.to_owned(), "example".to_owned()];
    let candidates = name.candidates(false, &search, 1);
    assert!(candidates.contains(&name) && candidates.len() <= 3);
}

/// A `resolv.conf`.
pub fn read_resolv_conf(text: &str) {
    let conf: ResolvConf = parse(text);
    assert!(!conf.servers_or_local().is_empty() && conf.servers.len() <= 3);
    assert!(conf.ndots <= 15 && (1..=5).contains(&conf.attempts));
    assert!((1..=30).contains(&conf.timeout.as_secs()), "{:?}", conf.timeout);
    assert!(conf.search.is_none_or(|search| search.len() <= 32));
}

/// An `nsswitch.conf`, and the steps it has a name looked up in.
pub fn read_nsswitch(text: &str) {
    let switch: Nsswitch = parse(text);
    for name in ["host.example", "printer.local", "_gateway"] {
        let name = Name::parse(name).expect("a name");
        let steps = switch.steps(&name, Some("own"));
        assert!(steps.len() <= text.len() + 2);
    }
}

/// A `hosts` file, and what it says of a name.
pub fn read_hosts(text: &str) {
    let hosts: Hosts = parse(text);
    for name in text.split_whitespace().take(64) {
        let addresses = hosts.get(name).unwrap_or_default();
        let mut once: Vec<&IpAddr> = addresses.iter().collect();
        once.dedup();
        assert!(addresses.len() <= 256 && once.len() == addresses.len());
    }
}

/// `packet` as the answer to a fixed question, `host.example`; with `fitted` the question and the id of the answer are
/// made right, so that what stands behind them is looked at.
pub fn judge_answer(packet: &[u8], v6: bool, over_tcp: bool, fitted: bool) {
    let name = Name::parse("host.example").expect("a name");
    let family = if v6 { Family::V6 } else { Family::V4 };
    let query = Query::fixed(&name, family, 0x1234, &[0b0110_1001; 32]).expect("a query");
    let mut packet = packet.to_vec();
    if fitted {
        fit(&mut packet, &query, &name);
    }
    let verdict = query.judge(&packet, over_tcp);
    if !fitted && packet.get(..2) != Some(&query.bytes()[..2]) {
        assert!(matches!(verdict, Verdict::Foreign(_)), "an answer with another id: {verdict:?}");
    }
    let Verdict::Answer(reply) = verdict else { return };
    match reply {
        Reply::Addresses { addresses, ttl } => {
            assert!(!addresses.is_empty() && addresses.len() <= 256 && ttl <= i32::MAX as u32);
            assert!(addresses.iter().all(|ip| ip.is_ipv6() == v6), "an address of the other family");
        }
        Reply::NoName { ttl } | Reply::NoData { ttl } => {
            assert!(ttl.is_none_or(|ttl| ttl <= i32::MAX as u32));
        }
        Reply::Truncated | Reply::Refusal(_) => {}
    }
}

/// Puts id, question and their count in front of what follows the first twelve bytes, whose other counts and flags stay.
fn fit(packet: &mut Vec<u8>, query: &Query, name: &Name) {
    packet.resize(packet.len().max(12), 0);
    let question = 12..12 + name.as_str().len() + 2 + 4;
    packet[..2].copy_from_slice(&query.bytes()[..2]);
    packet[2] |= 0x80;
    packet[2] &= !0x78;
    packet[4..6].copy_from_slice(&[0, 1]);
    packet.splice(12..12, query.bytes()[question].iter().copied());
}
