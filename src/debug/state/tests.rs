use std::time::Duration;

use punctual_reactor::{Metrics, Runtime, VirtualClock, sleep, spawn};

use super::*;

/// A loop that has turned, waited and been late, on a virtual clock.
fn some_state() -> State {
    let runtime = Runtime::builder().clock(VirtualClock::new()).build().expect("a runtime");
    runtime.block_on(async {
        for _ in 0..3 {
            drop(spawn(sleep(Duration::from_secs(60))));
        }
        drop(spawn(std::future::pending::<()>()));
        sleep(Duration::from_secs(1)).await;
        State::of_current()
    })
}

#[test]
fn a_state_comes_back_as_it_was() {
    let state = some_state();
    assert!(state.counters.turns > 0 && state.drift.total.count == 1, "{state:#?}");
    assert_eq!((state.counters.live_tasks, state.waits.count), (4, 4));
    assert_eq!(state.waits.without_deadline, 1, "the task that is never woken");
    assert_eq!(state.waits.by_phase[0].phase, "sleep");
    assert_eq!(state.waits.oldest[0].waited_ns, 1_000_000_000);
    assert_eq!(state.waits.oldest[0].left_ns, Some(59_000_000_000));
    assert_eq!(state.tasks.len(), 5, "block_on and the tasks: {:#?}", state.tasks);
    assert!(
        state.tasks.iter().all(|task| task.spawned_at.contains("state/tests.rs:") && task.polls > 0)
    );
    let json = serde_json::to_string(&state).expect("JSON");
    assert_eq!(serde_json::from_str::<State>(&json).expect("a state"), state);
}

#[test]
fn phases_are_told_with_their_endings_and_with_advice() {
    use punctual_reactor::{PhaseEnding, TimeoutBy, record_phase};
    let runtime = Runtime::new().expect("a runtime");
    let state = runtime.block_on(async {
        let ms = Duration::from_millis;
        (0..10).for_each(|_| record_phase("tea", PhaseEnding::Done, ms(3), Some(ms(5))));
        record_phase("tea", PhaseEnding::Timeout(TimeoutBy::Own), ms(5), Some(ms(5)));
        State::of_current()
    });
    let tea = &state.phases[0];
    assert_eq!((tea.phase.as_str(), tea.ended, tea.timeouts, tea.done.count), ("tea", 11, 1, 10));
    assert_eq!(tea.endings.values().copied().collect::<Vec<_>>().len(), 2, "{:?}", tea.endings);
    assert_eq!(tea.endings.values().sum::<u64>(), 11);
    assert!(state.advice[0].starts_with("tea: 11"), "{:#?}", state.advice);
}

#[test]
fn a_state_of_another_release_is_read() {
    let newer = r#"{
        "version": 7, "taken_ns": 12, "mood": {"of": ["the", "loop"]},
        "counters": {"turns": 3, "somersaults": 4},
        "drift": {"total": {"count": 1, "p50_ns": 9, "p25_ns": 2, "buckets_ns": [[9, 1]]}},
        "waits": {"count": 2, "oldest": [{"phase": "tea"}]}
    }"#;
    let state: State = serde_json::from_str(newer).expect("what is not known is passed over");
    assert_eq!((state.version, state.taken_ns, state.counters.turns), (7, 12, 3));
    assert_eq!((state.process_id, state.counters.polls, state.waits.without_deadline), (0, 0, 0));
    assert_eq!((state.waits.oldest[0].phase.as_str(), state.waits.oldest[0].left_ns), ("tea", None));
    assert_eq!(serde_json::from_str::<State>("{}").expect("an empty one"), State::default());
}

#[test]
fn durations_are_integers_of_nanoseconds() {
    fn check(path: &str, value: &serde_json::Value) {
        match value {
            serde_json::Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| check(&format!("{path}/{name}"), value));
            }
            serde_json::Value::Array(values) => values.iter().for_each(|value| check(path, value)),
            serde_json::Value::Number(number) => assert!(!number.is_f64(), "{path} is {number}"),
            _ => assert!(!path.ends_with("_ns") || value.is_null(), "{path} is {value}"),
        }
    }
    check("", &serde_json::to_value(some_state()).expect("JSON"));
}

#[test]
fn no_counter_of_the_metrics_is_left_out() {
    let counters = serde_json::to_value(Counters::from(&Metrics::default())).expect("JSON");
    let metrics = format!("{:#?}", Metrics::default());
    let numbers = metrics.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    let numbers = numbers.filter_map(|line| line.trim().strip_suffix(": 0,"));
    let numbers: Vec<_> = numbers.collect();
    assert!(numbers.contains(&"turns"), "{metrics}");
    for name in numbers {
        assert!(counters.get(name).is_some(), "{name} of the metrics is not told in the state");
    }
}

#[test]
fn what_lies_between_two_states_of_a_histogram() {
    let of = |buckets: &[(u64, u64)], max_ns, mean_ns| {
        let mut distribution = Distribution { max_ns, mean_ns, ..Distribution::default() };
        distribution.buckets_ns = buckets.to_vec();
        distribution.count = buckets.iter().map(|(_, count)| count).sum();
        distribution
    };
    let before = of(&[(10, 4), (1023, 1)], 1000, 208);
    let after = of(&[(10, 4), (20, 98), (31, 1), (1023, 2)], 1001, 41);
    let between = after.since(&before);
    assert_eq!(between.buckets_ns, [(20, 98), (31, 1), (1023, 1)]);
    assert_eq!((between.count, between.p50_ns, between.p99_ns, between.max_ns), (100, 20, 31, 1001));
    assert_eq!(between.mean_ns, (105 * 41 - 5 * 208) / 100);
    let nothing = after.since(&after);
    assert_eq!((nothing.count, nothing.p50_ns, nothing.max_ns, nothing.mean_ns), (0, 0, 0, 0));
    assert_eq!(before.since(&after), before, "started anew: fewer than before");
    assert_eq!(
        of(&[(5, 9)], 5, 5).since(&before),
        of(&[(5, 9)], 5, 5),
        "started anew: a bucket is gone"
    );
}

#[test]
fn a_state_stays_small_whatever_waits() {
    let runtime = Runtime::new().expect("a runtime");
    let long: &'static str = "x".repeat(10_000).leak();
    let state = runtime.block_on(async {
        for _ in 0..5_000 {
            drop(spawn(punctual_reactor::in_scope_as(long, std::future::pending::<()>())));
        }
        while punctual_reactor::tasks().iter().any(|task| !task.id.is_main() && task.polls == 0) {
            punctual_reactor::yield_now().await;
        }
        State::of_current()
    });
    assert_eq!((state.waits.count, state.waits.without_deadline), (5_000, 5_000));
    assert_eq!((state.waits.oldest.len(), state.tasks.len()), (20, 20));
    let json = serde_json::to_string(&state).expect("JSON");
    assert!(json.len() < 100_000, "{} bytes", json.len());
}

#[test]
fn the_busiest_tasks_come_first() {
    let (runtime, clock) = {
        let clock = VirtualClock::new();
        (Runtime::builder().clock(clock.clone()).build().expect("a runtime"), clock)
    };
    let state = runtime.block_on(async {
        for n in 0..50 {
            let clock = clock.clone();
            let busy = async move { clock.advance(Duration::from_millis(n * 7 % 50)) };
            let task = async {
                busy.await;
                std::future::pending::<()>().await
            };
            drop(punctual_reactor::spawn_named(format!("task {n}"), task));
        }
        while punctual_reactor::tasks().iter().any(|task| !task.id.is_main() && task.polls == 0) {
            punctual_reactor::yield_now().await;
        }
        State::of_current()
    });
    let busy: Vec<_> = state.tasks.iter().map(|task| task.busy_ns).collect();
    let expected: Vec<_> = (30..50).rev().map(|ms| ms * 1_000_000).collect();
    assert_eq!(busy, expected);
    assert_eq!(state.tasks[0].name.as_deref(), Some("task 7"), "7 * 7 = 49 ms");
    assert_eq!(state.tasks[0].longest_poll_ns, 49_000_000);
}

#[test]
fn who_held_the_loop_is_told() {
    let clock = VirtualClock::new();
    let runtime = Runtime::builder().clock(clock.clone()).build().expect("a runtime");
    let (state, began_ns) =
        runtime.block_on(async {
            drop(spawn(sleep(Duration::from_millis(10))));
            let began_ns = Instant::now().as_nanos();
            let holds = punctual_reactor::spawn_named("holds", async move {
                clock.advance(Duration::from_millis(50))
            });
            holds.await.expect("it ends");
            sleep(Duration::from_millis(1)).await;
            (State::of_current(), began_ns)
        });
    let worst = &state.blame.worst[0];
    assert_eq!((worst.kind.as_str(), worst.name.as_deref()), ("task", Some("holds")));
    assert!(worst.location.as_deref().is_some_and(|at| at.contains("state/tests.rs:")), "{worst:?}");
    assert_eq!((worst.held_ns, worst.began_ns), (50_000_000, began_ns));
    assert_eq!((worst.late_firings, worst.lateness_ns), (1, 40_000_000));
    assert!(worst.line.contains("\"holds\"") && worst.line.contains("50"), "{}", worst.line);
    assert_eq!((state.blame.stalls, state.blame.threshold_ns > 0), (1, true));
}
