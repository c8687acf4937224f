//! Culprits to the nanosecond, on the virtual clock: a task that holds the loop is one that moves it.

use std::panic::Location;
use std::time::Duration;

use punctual::{
    Blame, Culprit, CulpritKind, Instant, Runtime, VirtualClock, held_by, metrics, sleep, sleep_until,
    spawn, spawn_named, yield_now,
};

use crate::support::{MS, NS, virtual_runtime};

/// The task named `name` holds the loop for `time`, from `at` on; returns the turn.
async fn hold(name: &'static str, clock: &VirtualClock, at: Instant, time: Duration) -> u64 {
    let clock = clock.clone();
    let holding = spawn_named(name, async move {
        sleep_until(at).await;
        clock.advance(time);
        metrics().turns
    });
    holding.await.expect("no panic")
}

fn only(blame: &Blame) -> &Culprit {
    assert_eq!(blame.worst.len(), 1, "{blame:?}");
    &blame.worst[0]
}

#[test]
fn b03_who_held_the_loop_past_a_deadline_is_named_and_nobody_else() {
    let (runtime, clock) = virtual_runtime();
    let (turn, began) = runtime.block_on(async {
        let began = Instant::now();
        let innocent = spawn_named("innocent", async move {
            for n in 1..=20 {
                let deadline = began + n * 5 * MS;
                sleep_until(deadline).await;
                assert!(Instant::now() >= deadline, "never early");
            }
        });
        let turn = hold("holds it", &clock, began + 7 * MS, 50 * MS).await;
        innocent.await.expect("no panic");
        (turn, began)
    });
    let (blame, drift) = (runtime.blame(), runtime.drift());
    // The deadline at 10 ms, at 57 ms. Those that came after it were set then, and are late by their own task only.
    assert_eq!((blame.stalls, blame.threshold, blame.accounts), (1, 20 * MS, true));
    assert_eq!((drift.early, drift.in_loop.max()), (0, 47 * MS));
    let culprit = only(&blame);
    assert_eq!((culprit.kind(), culprit.name()), (CulpritKind::Task, Some("holds it")));
    assert_eq!((culprit.held(), culprit.turn(), culprit.polls()), (50 * MS, turn, 1));
    assert_eq!(culprit.began(), began + 7 * MS);
    assert_eq!((culprit.lateness(), culprit.others(), culprit.ran()), (47 * MS, 0, None));
    assert_eq!(culprit.late_firings(), blame.late_firings);
    let at = culprit.location().expect("where it was spawned");
    assert!(at.file().ends_with("blame/culprits.rs"), "{at}");
    let told = culprit.to_string();
    let start = format!("task \"holds it\" spawned at {at} held the loop for 50.0ms in turn {turn}, ");
    assert!(told.starts_with(&start), "{told}");
}

#[test]
fn b03_a_turn_that_takes_the_threshold_is_a_stall_without_any_deadline() {
    for threshold in [20 * MS, 3 * MS] {
        let clock = VirtualClock::new();
        let builder = Runtime::builder().clock(clock.clone()).stall_threshold(threshold);
        let runtime = builder.build().expect("a runtime");
        let short = threshold - NS;
        let hold = |time| runtime.block_on(async { clock.advance(time) });
        hold(short);
        assert_eq!((runtime.blame().stalls, runtime.blame().worst.len()), (0, 0));
        let line = Location::caller().line() + 1;
        runtime.block_on(async { clock.advance(threshold) });
        let blame = runtime.blame();
        let culprit = only(&blame);
        assert_eq!((blame.stalls, blame.late_firings, blame.threshold), (1, 0, threshold));
        assert_eq!((culprit.held(), culprit.late_firings()), (threshold, 0));
        assert!(culprit.task().is_some_and(|task| task.is_main()), "{culprit}");
        assert_eq!(culprit.location().map(Location::line), Some(line), "where block_on was called");
        assert_eq!(culprit.turn(), runtime.metrics().turns);
        assert!(culprit.to_string().starts_with("the future of block_on at "), "{culprit}");
    }
}

#[test]
fn b03_a_firing_late_by_less_than_the_threshold_is_no_news() {
    for (time, late) in [(20 * MS, 1), (20 * MS - NS, 0)] {
        let (runtime, clock) = virtual_runtime();
        runtime.block_on(async {
            let began = Instant::now();
            let due = spawn(sleep_until(began + 7 * MS));
            // Held from the very deadline on: the loop's part is all of it.
            hold("holds it", &clock, began + 7 * MS, time).await;
            due.await.expect("no panic");
            let next = spawn(sleep(MS));
            next.await.expect("no panic");
        });
        assert_eq!(runtime.blame().stalls, late);
    }
}

#[test]
fn b03_polls_that_add_up_are_told_of_together() {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(async {
        let began = Instant::now();
        let due = spawn(sleep_until(began + 12 * MS));
        let polls = [("short", 5), ("longest", 9), ("middle", 8)].map(|(name, time)| {
            let clock = clock.clone();
            spawn_named(name, async move {
                sleep_until(began + 11 * MS).await;
                clock.advance(time * MS);
            })
        });
        for poll in polls {
            poll.await.expect("no panic");
        }
        due.await.expect("no panic");
    });
    let blame = runtime.blame();
    let culprit = only(&blame);
    assert_eq!((blame.stalls, blame.late_firings), (1, 1));
    assert_eq!((culprit.name(), culprit.held()), (Some("longest"), 9 * MS));
    assert_eq!((culprit.others(), culprit.others_held()), (2, 13 * MS));
    assert_eq!(culprit.lateness(), 21 * MS);
    let told = culprit.to_string();
    assert!(told.ends_with(", 2 more for 13.0ms, 1 firing late by 21.0ms"), "{told}");
}

#[test]
fn b03_one_task_that_is_polled_again_and_again_adds_up() {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(async {
        let other = clock.clone();
        let once = spawn_named("once", async move { other.advance(9 * MS) });
        let often = spawn_named("often", async move {
            for _ in 0..3 {
                clock.advance(5 * MS);
                yield_now().await;
            }
        });
        once.await.expect("no panic");
        often.await.expect("no panic");
    });
    let blame = runtime.blame();
    let culprit = only(&blame);
    assert_eq!((culprit.name(), culprit.held(), culprit.polls()), (Some("often"), 15 * MS, 3));
    assert_eq!((culprit.others(), culprit.others_held()), (1, 9 * MS));
}

#[test]
fn b03_many_short_polls_add_up_too() {
    let clock = VirtualClock::new();
    let mut budget = punctual::Budget::DEFAULT;
    (budget.tasks, budget.task_time) = (1_000, Duration::from_secs(1));
    let builder = Runtime::builder().clock(clock.clone()).budget(budget);
    let runtime = builder.build().expect("a runtime");
    let short = Duration::from_micros(100);
    for n in 0..250u32 {
        let (clock, time) = (clock.clone(), if n == 77 { 2 * short } else { short });
        drop(runtime.spawn_named(format!("task {n}"), async move {
            clock.advance(time);
            std::future::pending::<()>().await;
        }));
    }
    runtime.turn(Some(Duration::ZERO)).expect("a turn");
    let blame = runtime.blame();
    let culprit = only(&blame);
    assert_eq!((blame.stalls, culprit.name(), culprit.held()), (1, Some("task 77"), 2 * short));
    assert_eq!((culprit.others(), culprit.others_held()), (249, 249 * short));
}

#[test]
fn b03_many_firings_late_for_one_reason_are_one_culprit() {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(async {
        let began = Instant::now();
        let sleepers: Vec<_> =
            (0..1_000u32).map(|n| spawn(sleep_until(began + 10 * MS + n * NS))).collect();
        hold("holds it", &clock, began + 9 * MS, 50 * MS).await;
        for sleeper in sleepers {
            sleeper.await.expect("no panic");
        }
    });
    let blame = runtime.blame();
    let culprit = only(&blame);
    assert_eq!((blame.stalls, blame.late_firings, culprit.late_firings()), (1, 1_000, 1_000));
    assert_eq!((culprit.lateness(), culprit.name()), (49 * MS, Some("holds it")));
}

#[test]
fn b03_each_late_firing_is_put_down_to_who_held_the_loop_then() {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(async {
        let began = Instant::now();
        let (first, second) = (clock.clone(), clock.clone());
        let tasks = [
            spawn_named("first", async move {
                sleep_until(began + MS).await;
                first.advance(30 * MS);
            }),
            spawn_named("second", async move {
                sleep_until(began + MS).await;
                second.advance(25 * MS);
            }),
        ];
        // The one while the first runs, the other while the second does.
        let due = [2 * MS, 32 * MS].map(|after| spawn(sleep_until(began + after)));
        for task in tasks {
            task.await.expect("no panic");
        }
        for sleeper in due {
            sleeper.await.expect("no panic");
        }
    });
    let blame = runtime.blame();
    let told: Vec<_> = blame
        .worst
        .iter()
        .map(|culprit| (culprit.name(), culprit.held(), culprit.late_firings(), culprit.lateness()))
        .collect();
    let expected = [(Some("first"), 30 * MS, 1, 54 * MS), (Some("second"), 25 * MS, 1, 24 * MS)];
    assert_eq!(told, expected);
    assert_eq!((blame.stalls, blame.late_firings), (1, 2));
}

#[test]
fn b03_the_worst_are_kept_in_order_and_no_more_than_asked_for() {
    let clock = VirtualClock::new();
    let builder = Runtime::builder().clock(clock.clone()).culprits_kept(3);
    let runtime = builder.build().expect("a runtime");
    for time in [21, 25, 23, 30, 22, 24] {
        runtime.block_on(async { clock.advance(time * MS) });
    }
    let blame = runtime.blame();
    let held: Vec<_> = blame.worst.iter().map(Culprit::held).collect();
    assert_eq!((blame.stalls, held), (6, vec![30 * MS, 25 * MS, 24 * MS]));
    let turns: Vec<_> = blame.worst.iter().map(Culprit::turn).collect();
    assert_eq!(turns, [4, 2, 6]);
}

#[test]
fn b03_without_accounting_stalls_are_counted_and_nobody_is_named() {
    let clock = VirtualClock::new();
    let builder = Runtime::builder().clock(clock.clone()).account_polls(false);
    let runtime = builder.build().expect("a runtime");
    runtime.block_on(async {
        let began = Instant::now();
        let due = spawn(sleep_until(began + 10 * MS));
        hold("holds it", &clock, began + 7 * MS, 50 * MS).await;
        due.await.expect("no panic");
    });
    let blame = runtime.blame();
    assert_eq!((blame.stalls, blame.late_firings, blame.accounts), (1, 1, false));
    assert!(blame.worst.iter().all(|culprit| culprit.kind() == CulpritKind::Unknown), "{blame:?}");
    assert!(blame.worst.iter().all(|culprit| culprit.location().is_none()), "{blame:?}");
}

#[test]
fn b03_who_held_the_loop_between_two_moments() {
    let (runtime, clock) = virtual_runtime();
    runtime.block_on(async {
        let began = Instant::now();
        hold("early", &clock, began + 10 * MS, 10 * MS).await;
        hold("later", &clock, began + 30 * MS, 15 * MS).await;
        let name = |from: u32, to: u32| {
            let culprit = held_by(began + from * MS, began + to * MS);
            culprit.and_then(|culprit| culprit.name().map(str::to_owned))
        };
        assert_eq!(name(0, 25).as_deref(), Some("early"));
        assert_eq!(name(0, 50).as_deref(), Some("later"));
        assert_eq!(name(11, 32).as_deref(), Some("early"), "9 ms of it against 2");
        assert_eq!((name(0, 10), name(20, 30)), (None, None));
    });
    let now = runtime.now();
    assert!(held_by(now - Duration::from_secs(1), now).is_none(), "outside of a runtime");
}
