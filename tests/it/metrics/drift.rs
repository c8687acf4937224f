//! Drift against the test's own log-linear reference: exact on the virtual clock, within the test's own clock reads
//! before and after on the real one.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::Duration;

use punctual::reactor::{Event, Reactor};
use punctual::{AlarmKind, Drift, Histogram, Instant, Leeway, Runtime, sleep_until};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::support::{MS, drain, now_ns, seeds, virtual_reactor};

/// The last value of the bucket of `ns`, by the definition: exact below 32, then 32 buckets an octave.
fn bucket_end(ns: u64) -> u64 {
    let mut width = 1;
    while ns / width >= 64 {
        width *= 2;
    }
    ns / width * width + (width - 1)
}

fn assert_exact(recorded: &Histogram, of: &[u64]) {
    let mut reference = BTreeMap::new();
    of.iter().for_each(|ns| *reference.entry(bucket_end(*ns)).or_insert(0_u64) += 1);
    let found: Vec<_> = recorded.buckets().map(|(end, count)| (end.as_nanos() as u64, count)).collect();
    assert_eq!(found, reference.into_iter().collect::<Vec<_>>());
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    let max = sorted.last().copied().unwrap_or(0);
    assert_eq!((recorded.count(), recorded.max().as_nanos() as u64), (of.len() as u64, max));
    assert_eq!(recorded.sum().as_nanos() as u64, of.iter().sum::<u64>());
    for (percent, q) in [(50, 0.5), (90, 0.9), (99, 0.99), (100, 1.0)] {
        let rank = (of.len() * percent).div_ceil(100).max(1);
        let expected = sorted.get(rank - 1).map_or(0, |ns| bucket_end(*ns).min(max));
        assert_eq!(recorded.quantile(q).as_nanos() as u64, expected, "p{percent}");
    }
}

/// Each recorded value lies between one of `least` and the same one of `most`; so do their ranks.
fn assert_between(recorded: &Histogram, least: &[u64], most: &[u64]) {
    let (mut least, mut most) = (least.to_vec(), most.to_vec());
    least.sort_unstable();
    most.sort_unstable();
    assert_eq!((recorded.count(), least.len()), (most.len() as u64, most.len()));
    let sum = recorded.sum().as_nanos() as u64;
    assert!(least.iter().sum::<u64>() <= sum && sum <= most.iter().sum(), "the sum {sum}");
    for (percent, q) in [(50, 0.5), (90, 0.9), (99, 0.99), (100, 1.0)] {
        let rank = (most.len() * percent).div_ceil(100).max(1) - 1;
        let found = recorded.quantile(q).as_nanos() as u64;
        assert!(found >= least[rank], "p{percent}: {found} and at least {}", least[rank]);
        assert!(found <= bucket_end(most[rank]), "p{percent}: {found} and at most {}", most[rank]);
    }
    let max = recorded.max().as_nanos() as u64;
    assert!(max <= most[most.len() - 1] && max >= least[least.len() - 1], "the longest {max}");
}

/// The parts add up to the whole, and nothing was early.
fn assert_whole(drift: &Drift) {
    let parts = [&drift.quantisation, &drift.kernel, &drift.in_loop];
    assert_eq!(parts.iter().map(|part| part.sum()).sum::<Duration>(), drift.total.sum());
    assert!(parts.iter().all(|part| part.count() == drift.total.count()));
    assert_eq!(drift.early, 0);
}

#[test]
fn m17_on_a_virtual_clock_every_bucket_is_that_of_the_reference() {
    for seed in seeds(&[1, 2, 3]) {
        println!("PUNCTUAL_SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut reactor, clock) = virtual_reactor();
        let mut late = Vec::new();
        for _ in 0..200 {
            for _ in 0..random.u32(0..20) {
                let wait = Duration::from_nanos(1 << random.u32(0..24))
                    + random.u32(0..1000) * Duration::from_nanos(1);
                reactor.insert_timer(clock.now() + wait, Leeway::NONE);
            }
            clock.advance(Duration::from_nanos(random.u64(0..3_000_000)));
            reactor.turn(Some(Duration::ZERO)).expect("a turn");
            let now = clock.now();
            for event in drain(&mut reactor) {
                let Event::Timer { firing, .. } = event else { panic!("{event:?}") };
                late.push((now - firing.deadline).as_nanos() as u64);
            }
        }
        assert!(late.len() > 1000, "{}", late.len());
        let drift = reactor.metrics().drift;
        assert_exact(&drift.total, &late);
        // The loop never slept: all of it is its own.
        assert_exact(&drift.in_loop, &late);
        assert_exact(&drift.kernel, &vec![0; late.len()]);
        assert_exact(&drift.quantisation, &vec![0; late.len()]);
        assert_whole(&drift);
    }
}

/// Sleeps in a poll of the test's own; returns when that had ended.
fn sleep_outside(inner: &impl AsFd, wait: Option<Duration>) -> u64 {
    let wait = wait.map(|wait| Timespec::try_from(wait).expect("a sane wait"));
    // One that is interrupted has ended.
    let _ = poll(&mut [PollFd::new(inner, PollFlags::IN)], wait.as_ref());
    now_ns()
}

/// Deadlines close together, so that some are met asleep and some by a loop that runs.
fn deadlines(random: &mut fastrand::Rng) -> Vec<Instant> {
    let start = now_ns() + 1_000_000;
    (0..200).map(|_| Instant::from_nanos(start + random.u64(0..30_000_000))).collect()
}

#[test]
fn m18_a_firing_lies_between_the_wake_up_and_the_moment_it_is_given_out() {
    for seed in seeds(&[4, 5]) {
        println!("PUNCTUAL_SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let alarm = AlarmKind::TimerFd;
        let mut reactor = Reactor::builder().alarm(alarm).build_reactor().expect("a reactor");
        for deadline in deadlines(&mut random) {
            reactor.insert_timer(deadline, Leeway::NONE);
        }
        let (mut least, mut most, mut in_loop, mut before_loop) = (vec![], vec![], vec![], vec![]);
        while least.len() < 200 {
            let wait = reactor.prepare().expect("prepared");
            let mut from = sleep_outside(&reactor, wait);
            // Of what is late already when it does not sleep, all is the loop's.
            let woke = if wait == Some(Duration::ZERO) { 0 } else { from };
            reactor.turn(Some(Duration::ZERO)).expect("a turn");
            let turned = now_ns();
            while let Some(event) = reactor.next_event() {
                let given = now_ns();
                let Event::Timer { firing, .. } = event else { panic!("{event:?}") };
                let deadline = firing.deadline.as_nanos();
                assert!(given >= deadline, "never early");
                least.push(from.saturating_sub(deadline));
                most.push(given - deadline);
                in_loop.push(given - woke.max(deadline));
                before_loop.push(turned.saturating_sub(deadline));
                // A slow handler: what comes after it in this turn is later by that.
                let until = given + 50_000;
                while now_ns() < until {}
                from = now_ns();
            }
        }
        let drift = reactor.metrics().drift;
        assert_whole(&drift);
        assert_between(&drift.total, &least, &most);
        assert_between(&drift.in_loop, &vec![0; least.len()], &in_loop);
        assert_between(&drift.kernel, &vec![0; least.len()], &before_loop);
        assert_eq!(drift.quantisation.max(), Duration::ZERO, "no leeway, and an alarm without a unit");
    }
}

#[test]
fn m19_a_sleep_fires_between_the_wake_up_and_the_moment_its_task_sees_it() {
    for seed in seeds(&[6]) {
        println!("PUNCTUAL_SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let runtime = Runtime::new().expect("a runtime");
        let tasks: Vec<_> = deadlines(&mut random)
            .into_iter()
            .map(|deadline| {
                let see = async move {
                    sleep_until(deadline).await;
                    (deadline.as_nanos(), now_ns())
                };
                runtime.spawn(see)
            })
            .collect();
        let mut turns = Vec::new();
        while tasks.iter().any(|task| !task.is_finished()) {
            let wait = runtime.prepare().expect("prepared");
            let woke = sleep_outside(&runtime, wait);
            runtime.turn(Some(Duration::ZERO)).expect("a turn");
            turns.push((woke, now_ns()));
        }
        let seen: Vec<(u64, u64)> = runtime.block_on(async {
            let mut seen = Vec::new();
            for task in tasks {
                seen.push(task.await.expect("no panic"));
            }
            seen
        });
        let (mut least, mut most) = (Vec::new(), Vec::new());
        for (deadline, at) in seen {
            assert!(at >= deadline, "never early");
            most.push(at - deadline);
            // It fired in the turn in which the task saw it, or in one before if that had more to do.
            let first = turns.iter().find(|(_, ended)| *ended >= deadline).expect("a turn after it");
            least.push(first.0.saturating_sub(deadline));
        }
        let metrics = runtime.metrics();
        assert_whole(&metrics.drift);
        assert_between(&metrics.drift.total, &least, &most);
        assert_eq!((metrics.fired, metrics.early), (200, 0));
    }
}

#[test]
fn m20_what_a_handler_held_up_is_late_by_as_much() {
    let mut reactor = Reactor::new().expect("a reactor");
    let deadline = reactor.now() + MS;
    for _ in 0..3 {
        reactor.insert_timer(deadline, Leeway::NONE);
    }
    let mut firings = Vec::new();
    while firings.len() < 3 {
        reactor.turn(None).expect("a turn");
        while let Some(event) = reactor.next_event() {
            let Event::Timer { firing, .. } = event else { panic!("{event:?}") };
            let until = now_ns() + 5_000_000;
            while now_ns() < until {}
            firings.push((firing, now_ns()));
        }
    }
    for pair in firings.windows(2) {
        let (handled, next) = (pair[0].1, pair[1].0);
        assert!(next.fired.as_nanos() >= handled, "given out after the one before was handled");
    }
}
