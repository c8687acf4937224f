//! Packets that nobody means well with.

use std::time::Duration;

use super::*;
use crate::resolve::timed;

const NAME: &str = "host.example";

fn query(family: Family) -> Query {
    let name = Name::parse(NAME).expect("a name");
    Query::new(&name, family, true, &mut Random::new()).expect("a query")
}

/// An answer to `query` in the making.
struct Packet(Vec<u8>);

impl Packet {
    fn answering(query: &Query, counts: [u16; 3]) -> Packet {
        let question = &query.bytes()[12..12 + query.name.len() + 4];
        let words = [query.id, 0x8180, 1].into_iter().chain(counts);
        let mut packet: Vec<u8> = words.flat_map(u16::to_be_bytes).collect();
        packet.extend_from_slice(question);
        Packet(packet)
    }

    fn record(mut self, owner: &[u8], rtype: u16, ttl: u32, data: &[u8]) -> Packet {
        self.0.extend_from_slice(owner);
        self.0.extend([rtype, 1].iter().flat_map(|word| word.to_be_bytes()));
        self.0.extend(ttl.to_be_bytes());
        self.0.extend((data.len() as u16).to_be_bytes());
        self.0.extend_from_slice(data);
        self
    }

    fn here(&self) -> u16 {
        self.0.len() as u16
    }
}

fn pointer(to: u16) -> [u8; 2] {
    (0xc000 | to).to_be_bytes()
}

const ASKED: [u8; 2] = [0xc0, 12];
const A: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;

fn reply(query: &Query, packet: &Packet) -> Reply {
    let (verdict, took) = timed(|| query.judge(&packet.0, true));
    assert!(took < Duration::from_secs(10), "{} bytes took {took:?}", packet.0.len());
    match verdict {
        Verdict::Answer(reply) => reply,
        other => panic!("{other:?}"),
    }
}

#[test]
fn n06_names_that_lead_nowhere_are_errors() {
    let query = query(Family::V4);
    let at = Packet::answering(&query, [1, 0, 0]).here();
    let chain: Vec<u8> = (0..300).flat_map(|n| pointer(at + n * 2)).collect();
    let long_label = [&[63][..], &[b'x'; 63]].concat();
    let long = [long_label.repeat(4), vec![0]].concat();
    let owners: [(&str, Vec<u8>); 8] = [
        ("itself", pointer(at).to_vec()),
        ("two that point at each other", [pointer(at + 2), pointer(at)].concat()),
        ("forward", pointer(at + 40).to_vec()),
        ("beyond the end", pointer(0x3fff).to_vec()),
        ("a loop through a label", [&[1, b'x'][..], &pointer(at)].concat()),
        ("257 bytes", long.clone()),
        ("a kind of label there is none of", vec![0x80, 0]),
        ("cut", vec![40, b'x']),
    ];
    for (what, owner) in owners {
        let packet = Packet::answering(&query, [1, 0, 0]).record(&owner, A, 60, &[192, 0, 2, 1]);
        assert_eq!(reply(&query, &packet), Reply::Refusal(Refusal::Malformed), "{what}");
    }
    // 300 pointers in a row, each to the one before it: in an alias, whose data may hold them.
    let packet = Packet::answering(&query, [2, 0, 0]).record(&[0], 16, 60, &chain);
    let end = packet.here() - 2;
    let packet = packet.record(&pointer(end), A, 60, &[192, 0, 2, 1]);
    assert_eq!(reply(&query, &packet), Reply::Refusal(Refusal::Malformed), "a chain");
    // A name that grows beyond 255 bytes by a pointer.
    let packet = Packet::answering(&query, [2, 0, 0]).record(
        &[0],
        16,
        60,
        &[long_label.repeat(3), vec![0]].concat(),
    );
    let tail = packet.here() - 64 * 3 - 1;
    let owner = [&long_label[..], &pointer(tail)].concat();
    let packet = packet.record(&owner, A, 60, &[192, 0, 2, 1]);
    assert_eq!(reply(&query, &packet), Reply::Refusal(Refusal::Malformed), "257 bytes, compressed");
}

#[test]
fn n06_counts_and_lengths_that_lie_are_errors() {
    let query = query(Family::V4);
    let honest = |counts| Packet::answering(&query, counts).record(&ASKED, A, 60, &[192, 0, 2, 1]);
    let one = Reply::Addresses { addresses: vec!["192.0.2.1".parse().expect("an address")], ttl: 60 };
    assert_eq!(reply(&query, &honest([1, 0, 0])), one);
    for counts in [[2, 0, 0], [u16::MAX, 0, 0]] {
        assert_eq!(reply(&query, &honest(counts)), Reply::Refusal(Refusal::Malformed), "{counts:?}");
    }
    // What is not looked at may lie.
    assert_eq!(reply(&query, &honest([1, u16::MAX, u16::MAX])), one);
    for length in [0, 3, 5, 200, u16::MAX] {
        let mut packet = honest([1, 0, 0]);
        let at = packet.0.len() - 6;
        packet.0[at..at + 2].copy_from_slice(&length.to_be_bytes());
        assert_eq!(reply(&query, &packet), Reply::Refusal(Refusal::Malformed), "{length}");
    }
    let whole = honest([1, 0, 0]).0;
    for cut in 0..whole.len() {
        let accepted =
            matches!(query.judge(&whole[..cut], false), Verdict::Answer(Reply::Addresses { .. }));
        assert!(!accepted, "cut after {cut} bytes");
    }
}

#[test]
fn n06_the_largest_packets_take_bounded_time_and_memory() {
    let query = query(Family::V4);
    let fill = |owner: &[u8], rtype: u16, data: &dyn Fn(u16) -> Vec<u8>| {
        let mut packet = Packet::answering(&query, [0, 0, 0]);
        let mut count = 0_u16;
        while packet.0.len() + owner.len() + 10 + data(count).len() <= 65_535 {
            packet = packet.record(owner, rtype, 60, &data(count));
            count += 1;
        }
        packet.0[6..8].copy_from_slice(&count.to_be_bytes());
        assert!(count > 3_000, "{count} records");
        packet
    };
    let many = fill(&ASKED, A, &|n| [&[10, 0][..], &n.to_be_bytes()].concat());
    match reply(&query, &many) {
        Reply::Addresses { addresses, .. } => assert_eq!(addresses.len(), ADDRESSES_MAX),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        reply(&query, &fill(&[0], 16, &|_| Vec::new())),
        Reply::NoData { ttl: None },
        "no owner, no data"
    );
    let circle = fill(&ASKED, CNAME, &|_| ASKED.to_vec());
    assert_eq!(reply(&query, &circle), Reply::Refusal(Refusal::Aliases));
    // Sixteen aliases, the last of all records first, and names as long as they may be.
    let link = |n: u16| {
        let mut name: Vec<u8> = (0..120_u16).flat_map(|_| [1, b'x']).collect();
        name[1] = b'a' + n as u8;
        name.push(0);
        name
    };
    let mut backwards = Packet::answering(&query, [0, 0, 0]);
    let mut count = 0;
    for n in (0..17).rev() {
        let owner = if n == 0 { ASKED.to_vec() } else { link(n) };
        backwards = backwards.record(&owner, CNAME, 60, &link(n + 1));
        count += 1;
    }
    let target = backwards.here() - 241;
    while backwards.0.len() < 65_000 {
        backwards = backwards.record(&pointer(target), 16, 60, &[]);
        count += 1;
    }
    backwards.0[6..8].copy_from_slice(&u16::to_be_bytes(count));
    assert_eq!(reply(&query, &backwards), Reply::Refusal(Refusal::Aliases));
    let cost = |packet: &Packet| {
        let one = |_| timed(|| drop(query.judge(&packet.0, true))).1;
        (0..5).map(one).min().unwrap_or_default()
    };
    let (plain, worst) = (cost(&many), cost(&backwards));
    println!("64 KiB of addresses {plain:?}, of aliases and long names {worst:?}");
    assert!(worst < plain * 20, "{worst:?}, as long as {plain:?} for as many bytes");
}

#[test]
fn a_ttl_is_that_of_the_shortest_link_and_never_negative() {
    let query = query(Family::V4);
    let answer = |alias: u32, address: u32| {
        let packet = Packet::answering(&query, [2, 0, 0]).record(&ASKED, CNAME, alias, b"\x01b\0");
        let packet = packet.record(b"\x01b\0", A, address, &[192, 0, 2, 1]);
        match reply(&query, &packet) {
            Reply::Addresses { ttl, .. } => ttl,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((answer(60, 30), answer(30, 60)), (30, 30));
    assert_eq!((answer(0x8000_0000, 60), answer(60, u32::MAX)), (0, 0), "RFC 2181, section 8");
    let denied = |zone: &[u8], ttl: u32, minimum: u32| {
        let mut data = vec![0, 0];
        data.extend([1, 2, 3, 4, minimum].iter().flat_map(|word: &u32| word.to_be_bytes()));
        let packet = Packet::answering(&query, [0, 1, 0]).record(zone, SOA, ttl, &data);
        match reply(&query, &packet) {
            Reply::NoData { ttl } => ttl,
            other => panic!("{other:?}"),
        }
    };
    let parent = b"\x07EXAMPLE\0";
    assert_eq!(
        (denied(parent, 60, 30), denied(parent, 30, 60)),
        (Some(30), Some(30)),
        "RFC 2308, section 5"
    );
    assert_eq!(denied(b"\0", 60, 60), Some(60), "the root is above all");
    assert_eq!(denied(b"\x03com\0", 60, 60), None, "of another zone");
}

#[test]
fn a_denial_holds_no_longer_than_the_aliases_that_led_to_it() {
    let query = query(Family::V4);
    let data =
        [b"\0\0".to_vec(), [1, 1, 1, 1, 300].iter().flat_map(|n: &u32| n.to_be_bytes()).collect()];
    let mut packet = Packet::answering(&query, [1, 1, 0])
        .record(&ASKED, CNAME, 5, b"\x05alias\x07example\0")
        .record(b"\x07example\0", SOA, 300, &data.concat());
    assert_eq!(reply(&query, &packet), Reply::NoData { ttl: Some(5) });
    packet.0[3] |= 3;
    assert_eq!(reply(&query, &packet), Reply::NoName { ttl: Some(5) });
}

/// Small, and the same everywhere (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % most.max(1)
    }
}

fn templates(query: &Query) -> Vec<Vec<u8>> {
    let soa = {
        let mut data = b"\x02ns\xc0\x0c\x05admin\xc0\x0c".to_vec();
        data.extend([0; 16].iter().chain(&[0, 0, 0, 60]));
        data
    };
    let opt: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    let mut chained = Packet::answering(query, [3, 0, 1])
        .record(&ASKED, CNAME, 60, b"\x05alias\xc0\x0c")
        .record(b"\x05alias\xc0\x0c", CNAME, 60, b"\x04real\x07example\0")
        .record(b"\x04real\x07example\0", A, 60, &[192, 0, 2, 1]);
    chained.0.extend_from_slice(opt);
    let mut denied = Packet::answering(query, [0, 1, 1]).record(&ASKED, SOA, 60, &soa);
    denied.0[3] |= 3;
    denied.0.extend_from_slice(opt);
    let several = (1..9).fold(Packet::answering(query, [8, 0, 0]), |packet, n| {
        packet.record(&ASKED, A, 60, &[192, 0, 2, n])
    });
    [chained, denied, several].map(|packet| packet.0).into()
}

fn mutate(packet: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(6) {
        let at = dice.below(packet.len());
        match dice.below(8) {
            0 => packet.truncate(at),
            1 => packet.extend((0..dice.below(64)).map(|n| n as u8)),
            2 => drop(packet.drain(at..(at + dice.below(9)).min(packet.len()))),
            3 => {
                let piece = packet[at..(at + dice.below(40)).min(packet.len())].to_vec();
                let to = dice.below(packet.len());
                drop(packet.splice(to..to, piece));
            }
            4 if packet.len() > 12 => packet[4 + dice.below(8)] = dice.below(256) as u8,
            5 if packet.len() > at + 1 => {
                packet[at..at + 2].copy_from_slice(&pointer(dice.below(80) as u16))
            }
            6 if !packet.is_empty() => packet[at] = [0, 1, 0x3f, 0x40, 0xc0, 0xff][dice.below(6)],
            _ if !packet.is_empty() => packet[at] ^= 1 << dice.below(8),
            _ => {}
        }
    }
}

#[test]
fn n06_fuzz() {
    let seed =
        std::env::var("PUNCTUAL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x9e37_79b9);
    let mut dice = Dice(seed);
    println!("PUNCTUAL_SEED={seed}");
    let query = query(Family::V4);
    let templates = templates(&query);
    let question = query.bytes()[12..12 + query.name.len() + 4].to_vec();
    let (mut accepted, mut denied, mut refused, mut foreign) = (0, 0, 0, 0);
    for round in 0..60_000 {
        let mut packet = templates[dice.below(templates.len())].clone();
        mutate(&mut packet, &mut dice);
        let matches = packet.starts_with(&query.id.to_be_bytes())
            && packet.get(2).is_some_and(|flags| flags & 0xf8 == 0x80)
            && packet.get(12..).is_some_and(|rest| rest.starts_with(&question));
        match query.judge(&packet, round % 2 == 0) {
            Verdict::Answer(Reply::Addresses { addresses, .. }) => {
                // Over TCP the capitals are the server's to choose.
                let folded =
                    packet[12..].to_ascii_lowercase().starts_with(&question.to_ascii_lowercase());
                assert!(
                    matches || round % 2 == 0 && folded,
                    "round {round} of seed {seed}: {packet:x?}"
                );
                assert!((1..=ADDRESSES_MAX).contains(&addresses.len()));
                accepted += 1;
            }
            Verdict::Answer(Reply::NoName { .. } | Reply::NoData { .. }) => denied += 1,
            Verdict::Answer(_) => refused += 1,
            Verdict::Foreign(_) | Verdict::Suspicious => foreign += 1,
        }
    }
    println!("accepted {accepted}, denied {denied}, refused {refused}, foreign {foreign}");
    assert!(
        accepted > 1_000 && denied > 1_000 && refused > 1_000 && foreign > 1_000,
        "every way out is taken"
    );
}
