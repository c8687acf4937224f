//! Phases that the layer above the loop records, beside those that the loop records itself.

use std::time::Duration;

use punctual::net::{Connect, TcpStream};

use super::*;
use crate::support::now_ns;

#[test]
fn o8_a_connect_is_recorded_once() {
    on_alarms("connects", async |_| {
        let (listener, address) = listen();
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let before = now_ns();
            let stream = TcpStream::connect(address).await.expect("connected");
            longest = longest.max(Duration::from_nanos(now_ns() - before));
            drop((stream, listener.accept().await.expect("accepted")));
        }
        assert_eq!(endings_of("tcp-connect"), [(PhaseEnding::Done, 20)]);
        let record = record_of("tcp-connect").expect("known");
        assert!(record.done.max() <= longest, "{:?} of {longest:?}", record.done.max());
        assert_eq!(record.budgets.iter().map(|budget| budget.counts.done).sum::<u64>(), 20);
        assert_eq!(record.unbounded.count, 0, "a connect has a deadline");
        assert_eq!((endings_of("read"), endings_of("write"), endings_of("accept")), Default::default());
    });
}

#[test]
fn o8_a_connect_that_fails_is_recorded_by_its_cause() {
    on_alarms("connects in vain", async |_| {
        let (_holder, closed) = closed_port();
        TcpStream::connect(closed).await.expect_err("refused");
        assert_eq!(endings_of("tcp-connect"), [(PhaseEnding::Kernel, 1)]);
        let (_listener, deaf, _filler) = deaf_listener();
        let before = now_ns();
        let error = TcpStream::connect_timeout(deaf, 20 * MS).await.expect_err("no answer");
        assert_eq!(error.kind(), Kind::Timeout);
        assert!(now_ns() - before >= 20_000_000, "early");
        let own = PhaseEnding::Timeout(TimeoutBy::Own);
        assert_eq!(endings_of("tcp-connect"), [(own, 1), (PhaseEnding::Kernel, 1)]);
        let record = record_of("tcp-connect").expect("known");
        let budget = record.budgets.iter().find(|budget| budget.counts.timed_out > 0).expect("one did");
        assert!(budget.longest <= 20 * MS, "{budget:?}: some of it was gone when the phase began");
        let took = record.cut_off.max();
        assert!(took >= budget.longest, "cut off early: {took:?} of {:?}", budget.longest);
    });
}

#[test]
fn o8_a_deadline_is_a_budget_whoever_set_it() {
    on_alarms("connects by deadlines", async |_| {
        let (listener, address) = listen();
        let (limit, whole) = (500 * MS, Duration::from_secs(20));
        let recorded = || {
            let record = record_of("tcp-connect").expect("known");
            assert_eq!(record.unbounded.count, 0, "{record:?}");
            record.budgets.iter().map(|budget| (budget.longest, budget.counts.count)).collect::<Vec<_>>()
        };
        let by = Connect::to(address).deadline(Instant::now() + whole).connect().await;
        assert!(matches!(recorded()[..], [(longest, 1)] if longest <= whole && longest > limit));
        let in_scope = scope("connect", limit, async |_| TcpStream::connect(address).await).await;
        assert!(
            matches!(recorded()[..], [(longest, 1), (_, 1)] if longest <= limit),
            "{:?}",
            recorded()
        );
        let guarded = timeout(limit, TcpStream::connect(address)).await;
        let counts: u64 =
            recorded().iter().filter(|(longest, _)| *longest <= limit).map(|of| of.1).sum();
        assert_eq!(counts, 2, "{:?}", recorded());
        drop((by.expect("connected"), in_scope.expect("in time"), guarded.expect("in time")));
        drop(listener);
    });
}
