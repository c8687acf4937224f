//! Lookups that share queries, and what is left when they are given up.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use futures_lite::future::zip;
use punctual::net::{DnsFailure, Kind, Phase};
use punctual::{JoinHandle, Unbounded, scope, sleep, spawn, timeout};

use super::*;
use crate::support::net::on_alarms;
use crate::support::poll_once;

async fn heard(server: &Fake, questions: usize) {
    while server.count() < questions {
        sleep(MS).await;
    }
}

#[test]
fn n09_shared_lookup_cancel() {
    on_alarms("n09", async |runtime| {
        let server = Fake::start(|asked| match asked.is("silent.example") {
            true => Act::Nothing,
            false => Act::After(SHORT, asked.addresses(&["192.0.2.1", "2001:db8::1"], 60).bytes()),
        });
        let resolver = asking(&[&server]).try_timeout(PATIENCE * 4).build();
        let lookup = |name: &'static str| {
            let resolver = resolver.clone();
            spawn(async move { all(&resolver, name).await })
        };
        let mut lookups: Vec<JoinHandle<_>> = (0..10).map(|_| lookup("a.example")).collect();
        heard(&server, 2).await;
        // The first, which began it, and one of the others.
        lookups.remove(0).abort();
        lookups.remove(4).abort();
        for lookup in lookups {
            let found = lookup.await.expect("no panic").expect("an answer");
            assert_eq!(found, ips(&["2001:db8::1", "192.0.2.1"]));
        }
        assert_eq!(server.count(), 2, "one packet a family");

        // One that ends while others wait for the same, from within their wake-up.
        let first = lookup("b.example");
        let second = spawn({
            let resolver = resolver.clone();
            async move {
                let found = all(&resolver, "b.example").await.expect("an answer");
                first.abort();
                found
            }
        });
        assert_eq!(second.await.expect("no panic"), ips(&["2001:db8::1", "192.0.2.1"]));
        assert_eq!(server.count(), 4);

        // The last to go takes the query along.
        let lookups: Vec<_> = (0..3).map(|_| lookup("silent.example")).collect();
        heard(&server, 6).await;
        assert_eq!((runtime.metrics().live_sources, resolver.metrics().in_flight), (2, 2));
        lookups.iter().for_each(JoinHandle::abort);
        for lookup in lookups {
            assert!(lookup.await.expect_err("aborted").is_aborted());
        }
        assert_eq!((runtime.metrics().live_sources, resolver.metrics().in_flight), (0, 0));
    });
}

/// One who holds a lookup and does not poll it must not hold up the others.
#[test]
fn n09_a_sleeping_partner_holds_nobody_up() {
    on_alarms("n09 partner", async |_| {
        let server = Fake::start(|asked| Act::After(SHORT, asked.addresses(&["192.0.2.1"], 60).bytes()));
        let resolver = asking(&[&server]).build();
        let mut asleep = pin!(resolver.lookup("a.example"));
        assert!(poll_once(asleep.as_mut()).is_pending());
        let found = timeout(PATIENCE, all(&resolver, "a.example")).await.expect("in time");
        assert_eq!(found.expect("an answer"), ips(&["192.0.2.1"]));
        assert_eq!(server.count(), 2);
        let late = asleep.await.expect("the same answer");
        assert_eq!(late.ips().collect::<Vec<_>>(), ips(&["192.0.2.1"]));
    });
}

#[test]
fn n09_dropped_at_any_poll_nothing_is_left() {
    on_alarms("n09 drops", async |runtime| {
        let server = Fake::start(|asked| {
            let mut reply = asked.addresses(&["192.0.2.1"], 0);
            reply.flags |= if asked.tcp { 0 } else { 0x0200 };
            reply
        });
        let resolver = asking(&[&server]).build();
        for polls in 0..40 {
            let lookup = resolver.lookup("a.example");
            let mut lookup = Box::pin(lookup);
            let mut left = polls;
            let done = std::future::poll_fn(|cx| {
                if left == 0 {
                    return Poll::Ready(false);
                }
                left -= 1;
                lookup.as_mut().poll(cx).map(|found| found.is_ok())
            });
            let done = done.await;
            drop(lookup);
            let live = (runtime.metrics().live_sources, runtime.metrics().live_timers);
            assert_eq!((live, resolver.metrics().in_flight), ((0, 0), 0), "after {polls} polls");
            if done {
                assert!(polls > 2, "it takes some polls: {polls}");
                return;
            }
        }
        panic!("the lookup never ended");
    });
}

/// The scope of one who waits ends that one's wait, also if it is the one who began the query.
#[test]
fn n09_a_scope_ends_the_lookup_of_its_own() {
    on_alarms("n09 scopes", async |runtime| {
        let server = Fake::start(|asked| match asked.is("silent.example") {
            true => Act::Nothing,
            false => Act::After(SHORT * 10, asked.addresses(&["192.0.2.1"], 60).bytes()),
        });
        let resolver = asking(&[&server]).build();
        let late = scope("request", SHORT, async |_| all(&resolver, "a.example").await);
        let patient = async {
            // The other one is polled first, and has begun.
            heard(&server, 2).await;
            all(&resolver, "a.example").await
        };
        let (late, patient) = zip(late, patient).await;
        let error = late.expect("it looked").expect_err("late");
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Resolve), "{error}");
        assert_eq!(error.deadline().and_then(|info| info.name()), Some("request"), "{error}");
        assert_eq!(patient.expect("an answer"), ips(&["192.0.2.1"]));
        assert_eq!(server.count(), 2);

        let cancelled = scope("request", Unbounded, async |scope| {
            let canceller = scope.canceller();
            let stopper = std::thread::spawn(move || {
                std::thread::sleep(MS * 20);
                canceller.cancel("not wanted any more").expect("the runtime is there");
            });
            let ended = all(&resolver, "silent.example").await;
            stopper.join().expect("no panic");
            ended
        });
        let error = cancelled.await.expect("it looked").expect_err("cancelled");
        assert_eq!((error.kind(), error.phase()), (Kind::Cancelled, Phase::Resolve), "{error}");
        assert_eq!((runtime.metrics().live_sources, resolver.metrics().in_flight), (0, 0));
    });
}

#[test]
fn n12_no_socket_explosion() {
    on_alarms("n12", async |runtime| {
        let silent = Fake::silent();
        let resolver = Rc::new(asking(&[&silent]).try_timeout(SHORT).attempts(3).build());
        let begin = |n: usize| {
            let resolver = resolver.clone();
            spawn(async move { all(&resolver, &format!("name-{n}.example")).await })
        };
        for lookups in [16, 100] {
            let lookups: Vec<_> = (0..lookups).map(begin).collect();
            let mut most = 0;
            while !lookups.iter().all(JoinHandle::is_finished) {
                most = most.max(runtime.metrics().live_sources);
                sleep(MS).await;
            }
            assert!((2..=32).contains(&most), "{most} sockets");
            for lookup in lookups {
                let failed = lookup.await.expect("no panic");
                assert_eq!(why(&failed), (Kind::Dns, Some(DnsFailure::NoAnswer)));
            }
        }
        assert_eq!(silent.count(), (16 + 100) * 2 * 3);
    });
}
