//! Whom to believe: forged answers, floods, aliases, and how hard a forger has to guess.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};

use punctual::net::{DnsFailure, Kind};

use super::*;
use crate::support::net::on_alarms;

const FORGED: &str = "192.0.2.66";
const TRUE: &str = "192.0.2.1";

/// Looks a name up at a server whose UDP answers are `packets`, followed by the true one; TCP tells the truth.
async fn against(
    packets: impl Fn(&Asked) -> Vec<Reply> + Send + 'static,
) -> (Vec<IpAddr>, Resolver, Fake) {
    let server = Fake::start(move |asked| {
        let truth = asked.addresses(&[TRUE], 60);
        if asked.tcp {
            return Act::from(truth);
        }
        let packets = packets(asked).into_iter().chain([truth]);
        Act::SendAll(packets.map(|packet| packet.bytes()).collect())
    });
    let resolver = asking(&[&server]).build();
    let found = all(&resolver, "a-rather-long-name.example").await.expect("the truth");
    (found, resolver, server)
}

/// What a forger would send who knows all but one thing.
fn forged(asked: &Asked) -> Reply {
    let mut reply = asked.answer();
    reply.flags |= 0x0400;
    reply
        .address(FORGED.parse().expect("an address"), 3_600)
        .address("2001:db8::66".parse().expect("an address"), 3_600)
}

#[test]
fn n03_an_answer_matches_in_id_and_question() {
    on_alarms("n03", async |_| {
        let (found, resolver, server) = against(|asked| {
            let mut packets = vec![forged(asked); 7];
            packets[0].id ^= 1;
            packets[1].flags &= 0x7fff; // a question
            packets[2].flags |= 0x2800; // an update
            packets[3].question = [wire("another.example"), vec![0, asked.kind as u8, 0, 1]].concat();
            packets[4].question = [wire(&asked.name), vec![0, 15, 0, 1]].concat();
            packets[5].question = [wire(&asked.name), vec![0, asked.kind as u8, 0, 3]].concat();
            packets[6].counts[0] = 2;
            packets[6].question = packets[6].question.repeat(2);
            packets
        })
        .await;
        assert_eq!(found, ips(&[TRUE]));
        let metrics = resolver.metrics();
        assert_eq!((metrics.ignored, metrics.queries, metrics.queries_over_tcp), (14, 2, 0));
        assert_eq!(server.count(), 2);
    });
}

/// A socket that is connected hears nobody but its server.
#[test]
fn n03_an_answer_comes_from_the_server_that_was_asked() {
    on_alarms("n03 server", async |_| {
        let elsewhere = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let server = Fake::start(move |asked| {
            elsewhere.send_to(&forged(asked).bytes(), asked.from).expect("sent");
            asked.addresses(&[TRUE], 60)
        });
        let resolver = asking(&[&server]).build();
        assert_eq!(all(&resolver, "a.example").await.expect("the truth"), ips(&[TRUE]));
        assert_eq!(resolver.metrics().ignored, 0, "the kernel keeps it away");
    });
}

#[test]
fn n03_capitals_have_to_match_or_tcp_tells() {
    on_alarms("n03 capitals", async |_| {
        let (found, resolver, server) = against(|asked| {
            let mut reply = forged(asked);
            // Another choice of capitals, in one letter.
            reply.question[1] ^= 0x20;
            vec![reply]
        })
        .await;
        assert_eq!(found, ips(&[TRUE]));
        assert_eq!((resolver.metrics().suspected, resolver.metrics().queries_over_tcp), (2, 2));
        assert_eq!(server.asked().iter().filter(|asked| asked.tcp).count(), 2);

        // A server that folds case is believed over TCP.
        let folding = Fake::start(|asked| {
            let mut reply = asked.addresses(&[TRUE], 60);
            reply.question = reply.question.to_ascii_lowercase();
            reply
        });
        let resolver = asking(&[&folding]).build();
        assert_eq!(all(&resolver, "a-rather-long-name.example").await.expect("the truth"), ips(&[TRUE]));
    });
}

#[test]
fn n03_a_flood_makes_a_query_leave_for_tcp() {
    on_alarms("n03 flood", async |_| {
        let wrong_ids = |many: u16| {
            move |asked: &Asked| {
                let guess = |n: u16| {
                    let mut reply = forged(asked);
                    reply.id = asked.id.wrapping_add(n + 1);
                    reply
                };
                (0..many).map(guess).collect()
            }
        };
        let (found, resolver, _) = against(wrong_ids(16)).await;
        assert_eq!((found, resolver.metrics().queries_over_tcp), (ips(&[TRUE]), 0));
        let (found, resolver, _) = against(wrong_ids(40)).await;
        assert_eq!((found, resolver.metrics().queries_over_tcp), (ips(&[TRUE]), 2));
        assert_eq!((resolver.metrics().suspected, resolver.metrics().ignored), (2, 34));
    });
}

#[test]
fn what_does_not_fit_comes_over_tcp() {
    on_alarms("truncation", async |_| {
        let many: Vec<String> = (0..200).map(|n| format!("192.0.2.{n}")).collect();
        let expected: Vec<IpAddr> = many.iter().map(|ip| ip.parse().expect("an address")).collect();
        let server = Fake::start(move |asked| {
            let many: Vec<&str> = many.iter().map(String::as_str).collect();
            let mut reply =
                if asked.tcp { asked.addresses(&many, 60) } else { asked.addresses(&many[..3], 60) };
            reply.flags |= if asked.tcp { 0 } else { 0x0200 };
            reply
        });
        let resolver = asking(&[&server]).build();
        assert_eq!(all(&resolver, "a.example").await.expect("all of them"), expected);
        assert_eq!((resolver.metrics().truncated, resolver.metrics().queries_over_tcp), (2, 2));

        // One that cuts over TCP too has no answer.
        let cutting = Fake::start(|asked| {
            let mut reply = asked.addresses(&[TRUE], 60);
            reply.flags |= 0x0200;
            reply
        });
        let resolver = asking(&[&cutting]).attempts(1).build();
        assert_eq!(
            why(&all(&resolver, "a.example").await),
            (Kind::Dns, Some(DnsFailure::ServerFailure))
        );
    });
}

#[test]
fn aliases_are_followed_within_the_answer_and_nothing_else_is() {
    on_alarms("aliases", async |_| {
        let server = Fake::start(|asked| {
            let ip = |n: u8| IpAddr::from([192, 0, 2, n]);
            let (answer, no) = (asked.answer(), "2001:db8::66".parse().expect("an address"));
            let chain = |links: usize| {
                let link = |n: usize| wire(&format!("link-{n}.example"));
                let first = asked.answer().record(1, ASKED, CNAME, 60, &link(1));
                let chain = (1..links)
                    .fold(first, |reply, n| reply.record(1, &link(n), CNAME, 60, &link(n + 1)));
                chain.address_of(&link(links), ip(7), 60)
            };
            if asked.kind == AAAA {
                return answer.soa("example", 60, 60);
            }
            match asked.name.to_ascii_lowercase().split_once('.').map_or("", |(label, _)| label) {
                // Out of order, in other capitals, with a stranger among them.
                "alias" => answer
                    .address_of(&wire("elsewhere.example"), ip(66), 60)
                    .address_of(&wire("REAL.example"), ip(1), 60)
                    .record(1, &wire("Middle.Example"), CNAME, 60, &wire("real.EXAMPLE"))
                    .record(1, ASKED, CNAME, 60, &wire("middle.example"))
                    .address_of(&wire("real.example"), no, 60),
                "sixteen" => chain(16),
                "seventeen" => chain(17),
                "circle" => answer.record(1, ASKED, CNAME, 60, &wire("there.example")).record(
                    1,
                    &wire("there.example"),
                    CNAME,
                    60,
                    ASKED,
                ),
                "self" => answer.record(1, ASKED, CNAME, 60, ASKED),
                "dangling" => {
                    answer.record(1, ASKED, CNAME, 60, &wire("nowhere.example")).soa("example", 60, 60)
                }
                // Records that were not asked for, in the answer and beside it.
                "poison" => answer
                    .address_of(&wire("bank.example"), ip(66), 60)
                    .soa("example", 60, 60)
                    .record(3, &wire("poison.example"), A, 60, &[192, 0, 2, 66]),
                other => panic!("{other}"),
            }
        });
        let resolver = asking(&[&server]).attempts(1).build();
        assert_eq!(all(&resolver, "alias.example").await.expect("an address"), ips(&["192.0.2.1"]));
        assert_eq!(all(&resolver, "sixteen.example").await.expect("an address"), ips(&["192.0.2.7"]));
        for (name, expected) in [
            ("seventeen.example", DnsFailure::ServerFailure),
            ("circle.example", DnsFailure::ServerFailure),
            ("self.example", DnsFailure::ServerFailure),
            ("dangling.example", DnsFailure::NoAddress),
            ("poison.example", DnsFailure::NoAddress),
        ] {
            assert_eq!(why(&all(&resolver, name).await), (Kind::Dns, Some(expected)), "{name}");
        }
    });
}

/// How far `counts` are from all being alike: chi-squared, in standard deviations from what chance would do.
fn unevenness(counts: &[u32]) -> f64 {
    let total: u32 = counts.iter().sum();
    let expected = f64::from(total) / counts.len() as f64;
    let chi2: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    let freedom = (counts.len() - 1) as f64;
    (chi2 - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn n11_id_port_entropy() {
    on_alarms("n11", async |_| {
        let server = Fake::start(|asked| asked.addresses(&[TRUE, "2001:db8::1"], 60));
        let resolver = asking(&[&server]).cache_entries(0).build();
        const LOOKUPS: usize = 5_000;
        for _ in 0..LOOKUPS {
            all(&resolver, "sixteen-letters.example").await.expect("an answer");
        }
        let asked = server.asked();
        assert_eq!(asked.len(), LOOKUPS * 2);
        let numbers: [(&str, Vec<u16>); 2] = [
            ("ids", asked.iter().map(|asked| asked.id).collect()),
            ("ports", asked.iter().map(|asked| asked.from.port()).collect()),
        ];
        for (what, numbers) in numbers {
            // Both halves of the number, so that neither a counter nor a short cycle passes.
            for shift in [0, 7] {
                let mut counts = [0; 128];
                numbers.iter().for_each(|number| counts[usize::from(number >> shift & 0x7f)] += 1);
                let unevenness = unevenness(&counts);
                assert!(unevenness < 8.0, "{what} >> {shift}: {unevenness} standard deviations off");
            }
            let steps = numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
            let commonest = steps.fold(BTreeMap::<u16, u32>::new(), |mut steps, step| {
                *steps.entry(step).or_default() += 1;
                steps
            });
            let commonest = commonest.values().max().copied().unwrap_or(0);
            assert!(commonest < 20, "{what}: one step {commonest} times");
            let distinct = numbers.iter().collect::<BTreeSet<_>>().len();
            assert!(distinct > 7_000, "{what}: {distinct} of 10000 are distinct");
        }
        // The capitals: each letter about as often large as small.
        let names: Vec<&[u8]> = asked.iter().map(|asked| asked.name.as_bytes()).collect();
        for (at, letter) in names[0].iter().enumerate().filter(|(_, byte)| byte.is_ascii_alphabetic()) {
            let large = names.iter().filter(|name| name[at].is_ascii_uppercase()).count();
            assert!((4_600..5_400).contains(&large), "{}: {large} of 10000 large", *letter as char);
        }
        let ports: Vec<SocketAddr> = asked.iter().map(|asked| asked.from).collect();
        assert!(ports.iter().all(|from| from.ip().is_loopback()));
    });
}
