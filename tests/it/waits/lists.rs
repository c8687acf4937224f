//! What is said of all that waits together.

use super::*;

use punctual::net::duplex;
use punctual::{Unbounded, in_scope_as, scope, waits};

#[test]
fn summaries_count_by_phase_and_class_and_tell_the_oldest() {
    let (runtime, clock) = virtual_runtime();
    let mut tasks = Vec::new();
    for round in 0..4_u32 {
        let wait = async move {
            match round {
                0 => drop(in_scope_as("slow", pending::<()>()).await),
                1 => drop(timeout(LONG, in_scope_as("fast", pending::<()>())).await),
                2 => drop(
                    scope("queue", Unbounded, async |_| in_scope_as("fast", pending::<()>()).await)
                        .await,
                ),
                _ => drop(in_scope_as("fast", pending::<()>()).await),
            }
        };
        tasks.push(runtime.spawn(wait));
        tasks.push(runtime.spawn(punctual::shutdown_requested()));
        run(&runtime);
        clock.advance(MS);
    }
    let found = runtime.waits();
    let counts = found.counts();
    assert_eq!(counts, runtime.wait_counts());
    assert_eq!((counts.total, counts.without_deadline, counts.idle, counts.intended), (8, 2, 4, 1));
    assert_eq!(counts.total - counts.without_deadline - counts.idle - counts.intended, 1, "bounded");

    let phases = found.by_phase();
    let told: Vec<_> = phases.iter().map(|of| (of.phase, of.counts.total, of.oldest)).collect();
    assert_eq!(told, [("shutdown", 4, 4 * MS), ("fast", 3, 3 * MS), ("slow", 1, 4 * MS)]);
    assert_eq!(phases[1].counts.without_deadline, 1, "{phases:?}");

    let ages: Vec<_> = found.oldest(3).iter().map(|wait| wait.age()).collect();
    assert_eq!(ages, [4 * MS, 4 * MS, 3 * MS]);
    assert!(found.oldest(0).is_empty() && found.oldest(100).len() == 8);
    let lacking: Vec<_> = found.without_deadline().map(|wait| (wait.what(), wait.age())).collect();
    assert_eq!(lacking, [("slow", 4 * MS), ("fast", MS)]);
    assert_eq!(found.of_class(WaitClass::Intended).len(), 1);
    assert_eq!(found.to_string().lines().count(), 8);
    assert!(
        found.to_string().contains("without a deadline (as intended), in queue, by the task"),
        "{found}"
    );
    tasks.iter().for_each(|task| task.abort());
    assert_baseline(&runtime);
    assert_eq!(runtime.wait_counts(), punctual::WaitCounts::default());
}

#[test]
fn what_is_meant_to_wait_is_the_body_of_an_unbounded_scope_and_not_what_is_in_that() {
    let (runtime, _clock) = virtual_runtime();
    let task = runtime.spawn(async {
        scope("server", Unbounded, async |server| {
            server.spawn(async { in_scope_as("task", pending::<()>()).await.is_ok() });
            let nested =
                scope("request", LONG, async |_| in_scope_as("nested", pending::<()>()).await.is_ok());
            let by_choice =
                scope("queue", Unbounded, async |_| in_scope_as("queue", pending::<()>()).await.is_ok());
            let mut all = (pin!(in_scope_as("body", pending::<()>())), pin!(nested), pin!(by_choice));
            std::future::poll_fn(|cx| {
                use std::future::Future;
                assert!(all.0.as_mut().poll(cx).is_pending());
                assert!(all.1.as_mut().poll(cx).is_pending());
                assert!(all.2.as_mut().poll(cx).is_pending());
                std::task::Poll::<()>::Pending
            })
            .await;
        })
        .await
        .is_ok()
    });
    run(&runtime);
    let found = runtime.waits();
    let class = |what| only(&found, what).class();
    assert_eq!(class("body"), WaitClass::Intended);
    assert_eq!(class("queue"), WaitClass::Intended);
    assert_eq!(class("task"), WaitClass::Unbounded, "nobody has said so of the tasks");
    assert_eq!(class("nested"), WaitClass::Bounded);
    task.abort();
    assert_baseline(&runtime);
}

#[test]
fn what_is_idle_by_nature_and_has_a_deadline_is_bounded() {
    let (runtime, _clock) = virtual_runtime();
    let task = runtime.spawn(async { timeout(LONG, punctual::shutdown_requested()).await.is_ok() });
    run(&runtime);
    assert_eq!(only(&runtime.waits(), "shutdown").class(), WaitClass::Bounded);
    task.abort();
    assert_baseline(&runtime);
}

#[test]
fn two_thousand_waits_leave_nothing_and_none_is_missing() {
    let (runtime, _clock) = virtual_runtime();
    let tasks: Vec<_> = (0..500)
        .flat_map(|n| {
            [
                runtime.spawn(async move { timeout(LONG, sleep(2 * LONG)).await.unwrap_or_default() }),
                runtime.spawn(async { drop(in_scope_as("named", pending::<()>()).await) }),
                runtime.spawn(async move {
                    let (near, _far) = duplex(1 + n % 7);
                    drop(near.read(&mut [0; 1]).await);
                }),
                runtime.spawn(pending()),
            ]
        })
        .collect();
    while runtime.wait_counts().total < tasks.len() {
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
    }
    let counts = runtime.wait_counts();
    assert_eq!((counts.total, counts.without_deadline), (2_000, 1_500));
    tasks.iter().for_each(|task| task.abort());
    while runtime.metrics().live_tasks > 0 {
        runtime.turn(Some(Duration::ZERO)).expect("a turn");
    }
    assert_baseline(&runtime);
    runtime.block_on(async { assert!(waits().is_empty()) });
}

#[test]
fn on_another_thread_or_outside_of_a_runtime_nothing_waits() {
    assert!(waits().is_empty());
    assert_eq!(punctual::wait_counts(), punctual::WaitCounts::default());
    assert!(Waits::default().by_phase().is_empty());
}
