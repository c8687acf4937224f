//! Answers that nobody means well with, over the wire. The parser's own cases are beside the parser.

use punctual::Instant;
use punctual::net::{DnsFailure, Kind};

use super::*;
use crate::support::net::on_alarms;

#[test]
fn n06_hostile_packets() {
    on_alarms("n06", async |_| {
        type Evil = fn(&Asked) -> Vec<u8>;
        type Packet = Box<dyn Fn(&Asked) -> Vec<u8> + Send>;
        let record = |owner: &'static [u8]| {
            move |asked: &Asked| asked.answer().record(1, owner, asked.kind, 60, &[0; 4]).bytes()
        };
        let to_itself = record(&[0xc0, 0xff]);
        let forward = record(&[0xff, 0xff]);
        let evil: [(&str, Packet); 8] = [
            ("a pointer beyond the end", Box::new(to_itself)),
            ("a pointer forward", Box::new(forward)),
            (
                "a pointer to itself",
                Box::new(|asked: &Asked| {
                    let at = 12 + asked.answer().bytes().len() as u8 - 12;
                    asked.answer().record(1, &[0xc0, at], asked.kind, 60, &[0; 4]).bytes()
                }),
            ),
            (
                "counts that lie",
                Box::new(|asked: &Asked| {
                    let mut reply = asked.addresses(&["192.0.2.66", "2001:db8::66"], 60);
                    reply.counts[1] = u16::MAX;
                    reply.bytes()
                }),
            ),
            (
                "5000 records of nobody, over TCP",
                Box::new(|asked: &Asked| {
                    let mut reply = asked.answer();
                    if !asked.tcp {
                        reply.flags |= 0x0200;
                        return reply.bytes();
                    }
                    reply = (0..5_000).fold(reply, |reply, _| reply.record(1, &[0], 16, 60, &[]));
                    reply.raw(&[0xff; 9]).bytes()
                }),
            ),
            ("nothing but zeros", Box::new((|_| vec![0; 512]) as Evil)),
            ("nothing", Box::new((|_| Vec::new()) as Evil)),
            ("a header and no more", Box::new((|asked| asked.answer().bytes()[..12].to_vec()) as Evil)),
        ];
        for (what, packet) in evil {
            let server = Fake::start(move |asked| Act::Send(packet(asked)));
            let resolver = asking(&[&server]).attempts(1).try_timeout(SHORT).build();
            let began = Instant::now();
            let (kind, failure) = why(&all(&resolver, "a.example").await);
            assert_eq!(kind, Kind::Dns, "{what}");
            assert!(failure != Some(DnsFailure::NoSuchName), "{what}");
            assert!(began.elapsed() < PATIENCE, "{what} took {:?}", began.elapsed());
            assert_eq!(resolver.metrics().cache_entries, 0, "{what}");
        }
    });
}

#[test]
fn n06_a_server_that_trickles_over_tcp_is_given_up_in_time() {
    on_alarms("n06 tcp", async |runtime| {
        // The length of an answer, and never the answer.
        let server = Fake::start(|asked| {
            let mut reply = asked.answer();
            reply.flags |= 0x0200;
            if asked.tcp { Act::Nothing } else { Act::from(reply) }
        });
        let resolver = asking(&[&server]).attempts(1).try_timeout(SHORT).build();
        let (kind, failure) = why(&all(&resolver, "a.example").await);
        assert_eq!(kind, Kind::Dns);
        assert!(matches!(failure, Some(DnsFailure::NoAnswer | DnsFailure::ServerFailure)));
        assert_eq!(runtime.metrics().live_sources, 0);
    });
}
