//! What is remembered, for how long, and what never is.

use punctual::VirtualClock;
use punctual::net::{DnsFailure, Kind};

use super::*;
use crate::support::net::{assert_baseline, on_alarms};
use crate::support::virtual_runtime;

const SECOND: Duration = Duration::from_secs(1);

/// Runs `body` on a virtual clock: it stands still while a server is asked, and moves when it is told to.
fn virtually(body: impl AsyncFnOnce(&VirtualClock)) {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(body(&clock));
    assert_baseline(&runtime);
}

/// Asks again just before `holds` is over, and just after; the server is asked anew only then.
async fn holds(clock: &VirtualClock, server: &Fake, resolver: &Resolver, name: &str, holds: Duration) {
    let before = server.count();
    let first = format!("{:?}", all(resolver, name).await.map_err(|error| error.dns_failure()));
    assert_eq!(server.count(), before + 2, "{name} is asked for");
    if !holds.is_zero() {
        clock.advance(holds - Duration::from_nanos(1));
        let again = format!("{:?}", all(resolver, name).await.map_err(|error| error.dns_failure()));
        assert_eq!((again, server.count()), (first, before + 2), "{name} is known");
        clock.advance(Duration::from_nanos(1));
    }
    drop(all(resolver, name).await);
    assert_eq!(server.count(), before + 4, "{name} is asked for again after {holds:?}");
}

#[test]
fn n07_ttls_of_answers_and_denials() {
    virtually(async |clock| {
        let both = ["192.0.2.1", "2001:db8::1"];
        let server = Fake::start(move |asked| {
            let soa = |reply: Reply, ttl, minimum| reply.soa("example", ttl, minimum);
            match asked.name.to_ascii_lowercase().as_str() {
                "minute.example" => asked.addresses(&both, 60),
                "never.example" => asked.addresses(&both, 0),
                "for-ever.example" => asked.addresses(&both, i32::MAX as u32),
                "negative.example" => asked.addresses(&both, u32::MAX),
                "none.example" => soa(asked.code(NXDOMAIN), 30, 20),
                "empty.example" => soa(asked.answer(), 20, 30),
                "none-for-ever.example" => soa(asked.code(NXDOMAIN), 86_400, 86_400),
                "none-without-soa.example" => asked.code(NXDOMAIN),
                "none-of-others.example" => asked.code(NXDOMAIN).soa("elsewhere", 60, 60),
                "circle.example" => asked.answer().record(1, ASKED, CNAME, 60, ASKED),
                other => panic!("{other}"),
            }
        });
        let resolver = asking(&[&server]).attempts(1).build();
        for (name, seconds) in [
            ("minute.example", 60),
            ("never.example", 0),
            ("for-ever.example", 3_600),
            ("negative.example", 0),
            ("none.example", 20),
            ("empty.example", 20),
            ("none-for-ever.example", 300),
            ("none-without-soa.example", 0),
            ("none-of-others.example", 0),
            ("circle.example", 0),
        ] {
            holds(clock, &server, &resolver, name, seconds * SECOND).await;
        }
        // The case of a name and its final dot make no other name.
        let before = server.count();
        assert_eq!(all(&resolver, "FOR-EVER.Example.").await.expect("known").len(), 2);
        assert_eq!(server.count(), before);
    });
}

#[test]
fn n07_a_denial_is_no_failure_and_a_failure_no_denial() {
    on_alarms("n07", async |_| {
        // Silence is not remembered.
        let silent = Fake::silent();
        let resolver = asking(&[&silent]).try_timeout(SHORT).attempts(1).build();
        for asked in [2, 4] {
            assert_eq!(why(&all(&resolver, "a.example").await), (Kind::Dns, Some(DnsFailure::NoAnswer)));
            assert_eq!((silent.count(), resolver.metrics().cache_entries), (asked, 0));
        }
        // A family that failed is asked for again, the other is known.
        let half = Fake::start(|asked| match asked.kind {
            A => asked.addresses(&["192.0.2.1"], 60),
            _ => asked.code(SERVFAIL),
        });
        let resolver = asking(&[&half]).attempts(1).build();
        for asked in [2, 3] {
            assert_eq!(all(&resolver, "a.example").await.expect("IPv4"), ips(&["192.0.2.1"]));
            assert_eq!(half.count(), asked);
        }
    });
}

#[test]
fn what_is_remembered_is_bounded() {
    on_alarms("bounded", async |_| {
        let server = Fake::start(|asked| asked.addresses(&["192.0.2.1", "2001:db8::1"], 60));
        let resolver = asking(&[&server]).cache_entries(10).build();
        for n in 0..50 {
            all(&resolver, &format!("name-{n}.example")).await.expect("addresses");
            assert!(resolver.metrics().cache_entries <= 10);
        }
        assert_eq!((resolver.metrics().cache_entries, server.count()), (10, 100));
        let none = asking(&[&server]).cache_entries(0).build();
        for _ in 0..2 {
            all(&none, "name.example").await.expect("addresses");
        }
        assert_eq!(
            (none.metrics().cache_entries, none.metrics().cache_hits, server.count()),
            (0, 0, 104)
        );
    });
}
