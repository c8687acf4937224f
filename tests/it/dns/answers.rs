//! What counts as an answer, and what is done when there is none.

use std::net::UdpSocket;
use std::sync::mpsc;
use std::time::Duration;

use punctual::Instant;
use punctual::net::{Connect, DnsFailure, Kind, Phase};

use super::*;
use crate::support::net::{listen, on_alarms};
use crate::support::now_ns;

#[test]
fn both_families_are_found() {
    on_alarms("both families", async |_| {
        let server =
            Fake::start(|asked| asked.addresses(&["192.0.2.1", "2001:db8::1", "192.0.2.2"], 60));
        let resolver = asking(&[&server]).build();
        let found = all(&resolver, "Both.Example").await.expect("addresses");
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|ip| ips(&["2001:db8::1", "192.0.2.1", "192.0.2.2"]).contains(ip)));
        let mut kinds: Vec<u16> = server.asked().iter().map(|asked| asked.kind).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, [A, AAAA]);
    });
}

#[test]
fn a_connect_uses_the_resolver_it_is_given() {
    on_alarms("connect", async |_| {
        let (listener, address) = listen();
        let accepting = punctual::spawn(async move { listener.accept().await });
        let server = Fake::start(|asked| asked.addresses(&["127.0.0.1"], 60));
        let resolver = asking(&[&server]).build();
        let connect = Connect::to(("here.example", address.port())).resolver(&resolver);
        assert_eq!(connect.await.expect("connected").peer_addr(), address);
        accepting.await.expect("no panic").expect("accepted");

        let silent = Fake::silent();
        let resolver = asking(&[&silent]).build();
        let connect = Connect::to("here.example:80").resolver(&resolver).timeout(SHORT).name("upstream");
        let armed = now_ns();
        let error = connect.connect().await.expect_err("nobody answers");
        assert!(now_ns() - armed >= SHORT.as_nanos() as u64, "early");
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Resolve), "{error}");
        assert_eq!(resolver.metrics().in_flight, 0);
    });
}

#[test]
fn n01_silent_server() {
    on_alarms("n01", async |_| {
        let silent = Fake::silent();
        let server = Fake::start(|asked| asked.addresses(&["192.0.2.1"], 60));
        let resolver = asking(&[&silent, &server]).try_timeout(SHORT).build();
        let armed = now_ns();
        assert_eq!(all(&resolver, "a.example").await.expect("the second answers"), ips(&["192.0.2.1"]));
        assert!(now_ns() - armed >= SHORT.as_nanos() as u64, "the first has its time");
        assert_eq!((silent.count(), server.count()), (2, 2), "both families, one try each");

        // Nobody answers: each server gets its tries, each try its time.
        let other = Fake::silent();
        let resolver = asking(&[&silent, &other]).try_timeout(SHORT).attempts(3).build();
        let armed = now_ns();
        let failed = all(&resolver, "b.example").await;
        assert!(now_ns() - armed >= 6 * SHORT.as_nanos() as u64, "six tries");
        assert_eq!(why(&failed), (Kind::Dns, Some(DnsFailure::NoAnswer)));
        let error = failed.expect_err("nobody answers");
        assert!(error.is_retry_safe());
        let said = |fake: &Fake| format!("{} did not answer within 100ms, 3 tries", fake.address);
        let sentence =
            format!("resolve b.example failed: no answer: {}; {}", said(&silent), said(&other));
        assert_eq!(error.to_string(), sentence);
        assert_eq!((silent.count(), other.count()), (2 + 6, 6));

        // The time of the whole is kept.
        let resolver =
            asking(&[&silent, &other]).try_timeout(SHORT).attempts(3).timeout(SHORT * 3 / 2).build();
        let armed = now_ns();
        let late = resolver.lookup("c.example").await.expect_err("its time is over");
        assert!(now_ns() - armed >= SHORT.as_nanos() as u64 * 3 / 2, "early");
        assert_eq!((late.kind(), late.phase()), (Kind::Timeout, Phase::Resolve));
        assert_eq!(late.deadline().and_then(|info| info.budget()), Some(SHORT * 3 / 2));
        assert_eq!((resolver.metrics().in_flight, late.is_retry_safe()), (0, true));
    });
}

#[test]
fn n02_late_answer() {
    on_alarms("n02", async |_| {
        // The first answer comes after its try has ended, to a port that is closed by then; it also comes to the
        // second query, which must not take it.
        let (late, early) = mpsc::channel::<Vec<u8>>();
        let server = Fake::start(move |asked| match (asked.kind, asked.number) {
            (AAAA, _) => Act::from(asked.answer().soa("example", 60, 60)),
            _ if asked.is("first.example") => {
                let bytes = asked.addresses(&["192.0.2.66"], 60).bytes();
                late.send(bytes.clone()).expect("the receiver is there");
                Act::After(SHORT * 10, bytes)
            }
            _ => {
                let mut packets: Vec<Vec<u8>> = early.try_iter().collect();
                packets.push(asked.addresses(&["192.0.2.1"], 60).bytes());
                Act::SendAll(packets)
            }
        });
        let resolver = asking(&[&server]).try_timeout(SHORT).attempts(1).build();
        let failed = all(&resolver, "first.example").await;
        assert_eq!(why(&failed), (Kind::Dns, Some(DnsFailure::NoAnswer)));
        let second = asking(&[&server]).build();
        assert_eq!(all(&second, "second.example").await.expect("its own"), ips(&["192.0.2.1"]));
        assert_eq!(second.metrics().ignored, 1, "the late answer to another question");
    });
}

#[test]
fn n04_lame_and_rcodes() {
    on_alarms("n04", async |_| {
        let good = Fake::start(|asked| asked.addresses(&["192.0.2.1"], 60));
        type Bad = fn(&Asked) -> Reply;
        let bad: [(&str, Bad); 8] = [
            ("FORMERR", |asked| asked.code(1)),
            ("SERVFAIL", |asked| asked.code(SERVFAIL)),
            ("NOTIMP", |asked| asked.code(4)),
            ("REFUSED", |asked| asked.code(5)),
            ("an unheard-of code", |asked| asked.code(11)),
            ("a referral", |asked| {
                asked.answer().record(2, &wire("example"), NS, 60, &wire("ns.example"))
            }),
            ("neither known nor asked for", |asked| {
                let mut reply = asked.answer();
                reply.flags = 0x8100;
                reply
            }),
            ("nonsense", |asked| {
                let mut reply = asked.answer();
                reply.counts[1] = 3;
                reply.raw(&[0xff; 7])
            }),
        ];
        for (what, reply) in bad {
            let lame = Fake::start(reply);
            let resolver = asking(&[&lame, &good]).attempts(1).build();
            assert_eq!(all(&resolver, "a.example").await.expect(what), ips(&["192.0.2.1"]));
            assert!(lame.count() >= 2, "{what}: it was asked first");

            let resolver = asking(&[&lame]).attempts(2).build();
            for _ in 0..2 {
                let before = lame.count();
                let failed = all(&resolver, "b.example").await;
                assert_eq!(why(&failed), (Kind::Dns, Some(DnsFailure::ServerFailure)), "{what}");
                let error = failed.expect_err("nobody knows");
                assert!(
                    error.is_retry_safe() && error.to_string().contains(&lame.address.to_string()),
                    "{error}"
                );
                assert!(lame.count() >= before + 4, "{what} is not remembered");
                assert_eq!(resolver.metrics().cache_entries, 0, "{what}");
            }
        }
    });
}

#[test]
fn a_server_that_stumbles_over_edns_is_asked_without() {
    on_alarms("edns", async |_| {
        for header_only in [false, true] {
            let server = Fake::start(move |asked| {
                if !asked.edns {
                    return asked.addresses(&["192.0.2.1"], 60);
                }
                let mut reply = asked.code(1);
                if header_only {
                    (reply.counts, reply.question) = ([0; 4], Vec::new());
                }
                reply
            });
            let resolver = asking(&[&server]).attempts(1).build();
            assert_eq!(all(&resolver, "a.example").await.expect("without EDNS"), ips(&["192.0.2.1"]));
            assert_eq!(server.count(), 4);
        }
    });
}

#[test]
fn a_server_that_cannot_be_reached_is_followed_by_the_next() {
    on_alarms("unreachable", async |_| {
        let closed = UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
        let good = Fake::start(|asked| asked.addresses(&["192.0.2.1"], 60));
        let resolver = asking_at([closed, good.address]).build();
        let began = Instant::now();
        assert_eq!(all(&resolver, "a.example").await.expect("the second answers"), ips(&["192.0.2.1"]));
        assert!(began.elapsed() < PATIENCE, "at once");
        let failed = all(&asking_at([closed]).build(), "a.example").await;
        assert_eq!(why(&failed), (Kind::Dns, Some(DnsFailure::NoAnswer)));
        let sentence = failed.expect_err("nobody is there").to_string();
        assert!(sentence.contains("cannot be asked: Connection refused"), "{sentence}");
    });
}

#[test]
fn times_and_servers_that_make_no_sense_do_no_harm() {
    on_alarms("extremes", async |_| {
        let server = Fake::start(|asked| asked.addresses(&["192.0.2.1"], 60));
        let ever =
            asking(&[&server]).try_timeout(Duration::MAX).timeout(Duration::MAX).attempts(u32::MAX);
        assert_eq!(all(&ever.build(), "a.example").await.expect("an answer"), ips(&["192.0.2.1"]));
        let never = all(&asking(&[&server]).try_timeout(Duration::ZERO).build(), "a.example").await;
        assert_eq!(why(&never), (Kind::Dns, Some(DnsFailure::NoAnswer)));
        let nobody = all(&asking(&[]).build(), "a.example").await;
        assert_eq!(why(&nobody), (Kind::Dns, Some(DnsFailure::NoAnswer)));
        let sentence = nobody.expect_err("there is nobody to ask").to_string();
        assert_eq!(sentence, "resolve a.example failed: no answer: there is no server to ask");
    });
}

#[test]
fn what_is_not_there_is_said_by_its_kind() {
    on_alarms("denials", async |_| {
        let server = Fake::start(|asked| match asked.is("empty.example") {
            true => asked.answer().soa("example", 60, 60),
            false => asked.code(NXDOMAIN).soa("example", 60, 60),
        });
        let resolver = asking(&[&server]).build();
        let empty = all(&resolver, "empty.example").await;
        assert_eq!(why(&empty), (Kind::Dns, Some(DnsFailure::NoAddress)));
        let none = all(&resolver, "none.example").await;
        assert_eq!(why(&none), (Kind::Dns, Some(DnsFailure::NoSuchName)));
        for (error, words) in
            [(empty, "knows empty.example, and no address"), (none, "answered NXDOMAIN for none.")]
        {
            let error = error.expect_err("nothing is there");
            let sentence = error.to_string();
            assert!(
                sentence.contains(words) && sentence.contains(&server.address.to_string()),
                "{sentence}"
            );
            assert!(!error.is_retry_safe(), "it would fail again");
        }
    });
}

#[test]
fn n10_one_family_dead() {
    const DELAY: Duration = Duration::from_millis(50);
    on_alarms("n10", async |_| {
        let server = Fake::start(|asked| match asked.kind {
            A => Act::from(asked.addresses(&["192.0.2.1"], 60)),
            _ => Act::Nothing,
        });
        let resolver = asking(&[&server]).try_timeout(SHORT * 10).attempts(1).build();
        let armed = now_ns();
        let found = resolver.lookup("a.example").await.expect("IPv4 answers");
        let passed = Duration::from_nanos(now_ns() - armed);
        assert!(passed >= DELAY, "after the resolution delay, not after {passed:?}");
        assert_eq!((found.ips().collect::<Vec<_>>(), found.is_partial()), (ips(&["192.0.2.1"]), true));
        assert_eq!(resolver.metrics().in_flight, 1, "IPv6 is still asked for");
        assert_eq!(found.all().await, ips(&["192.0.2.1"]), "and is not to be had");

        // The other way round nothing waits: IPv6 is to be tried first anyway.
        let server = Fake::start(|asked| match asked.kind {
            AAAA => Act::from(asked.addresses(&["2001:db8::1"], 60)),
            _ => Act::After(SHORT * 2, asked.addresses(&["192.0.2.1"], 60).bytes()),
        });
        let resolver = asking(&[&server]).build();
        let found = resolver.lookup("a.example").await.expect("IPv6 answers");
        assert_eq!((found.ips().collect::<Vec<_>>(), found.is_partial()), (ips(&["2001:db8::1"]), true));
        assert_eq!(found.all().await, ips(&["2001:db8::1", "192.0.2.1"]));

        // Dropped, the late one is given up.
        let found = resolver.lookup("b.example").await.expect("IPv6 answers");
        assert_eq!(resolver.metrics().in_flight, 1);
        drop(found);
        assert_eq!(resolver.metrics().in_flight, 0);
    });
}
