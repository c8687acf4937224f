//! A runtime in a registry: gathered from other threads, while it runs, while it is held up, when it is gone.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use ::prometheus::{Encoder, Registry, TextEncoder};
use punctual::prometheus::RuntimeCollector;
use punctual::{Runtime, sleep, spawn, yield_now};

use super::exposition::{promtool, read};
use crate::support::{MS, watchdog};

const LONG: Duration = Duration::from_secs(20);

fn text(registry: &Registry) -> String {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).expect("it is complete");
    String::from_utf8(text).expect("text")
}

#[test]
fn m22_a_registry_gathers_the_loop_from_another_thread_as_it_is_now() {
    let _watchdog = watchdog("gathering", Duration::from_secs(5));
    let runtime = Runtime::new().expect("a runtime");
    let registry = Registry::new();
    let collector = RuntimeCollector::new(&runtime.handle()).answer_within(LONG);
    registry.register(Box::new(collector)).expect("the first");
    let text = runtime.block_on(async {
        let _idle: Vec<_> = (0..4).map(|_| spawn(std::future::pending::<()>())).collect();
        let gathering = std::thread::spawn(move || text(&registry));
        while !gathering.is_finished() {
            sleep(MS).await;
        }
        gathering.join().expect("no panic")
    });
    let samples = read(&text);
    assert_eq!(samples["punctual_tasks"], 4.0);
    assert_eq!(samples["punctual_snapshot_age_seconds"], 0.0);
    assert_eq!(samples["punctual_early_firings_total"], 0.0);
    if let Some((accepted, said)) = promtool(&text) {
        assert!(accepted && said.is_empty(), "{said}\n{text}");
    }
}

#[test]
fn m23_on_the_loop_itself_nobody_is_waited_for() {
    let runtime = Runtime::builder().inbox_capacity(1).build().expect("a runtime");
    let registry = Registry::new();
    let collector = RuntimeCollector::new(&runtime.handle()).answer_within(LONG);
    registry.register(Box::new(collector)).expect("the first");
    runtime.block_on(async {
        let began = Instant::now();
        let samples = read(&text(&registry));
        assert!(began.elapsed() < LONG);
        assert_eq!((samples["punctual_tasks"], samples["punctual_remote_commands_total"]), (0.0, 0.0));
        yield_now().await;
    });
    // No command was sent for it.
    assert_eq!(runtime.metrics().messages, 0);
}

#[test]
fn m24_a_loop_that_is_held_up_is_shown_as_it_was_with_its_age_and_one_that_is_gone_not_at_all() {
    let _watchdog = watchdog("gathering from a loop that is held up", Duration::from_secs(5));
    let runtime = Runtime::new().expect("a runtime");
    let registry = Registry::new();
    let collector = RuntimeCollector::new(&runtime.handle()).answer_within(MS);
    registry.register(Box::new(collector)).expect("the first");
    let off_loop = |registry: &Registry| {
        std::thread::scope(|s| s.spawn(|| text(registry)).join().expect("no panic"))
    };
    assert_eq!(off_loop(&registry), "", "it has never answered");
    // The question that nobody waits for any more is answered all the same.
    runtime.block_on(yield_now());
    let before = Instant::now();
    let turns = runtime.block_on(async { read(&text(&registry))["punctual_turns_total"] });
    runtime.block_on(async { std::thread::sleep(20 * MS) });
    let held_up = read(&off_loop(&registry));
    assert_eq!(held_up["punctual_turns_total"], turns, "as it was");
    let age = held_up["punctual_snapshot_age_seconds"];
    assert!(age >= 0.02 && age <= before.elapsed().as_secs_f64(), "{age}");
    drop(runtime);
    assert_eq!(off_loop(&registry), "", "it is gone");
}

#[test]
fn m25_runtimes_in_one_registry_are_told_apart_by_a_label() {
    let (one, two) = (Runtime::new().expect("a runtime"), Runtime::new().expect("a runtime"));
    let registry = Registry::new();
    for (runtime, name) in [(&one, "one"), (&two, "two")] {
        let collector = RuntimeCollector::with_labels(&runtime.handle(), &[("runtime", name)]);
        let collector = collector.expect("a label").answer_within(LONG);
        registry.register(Box::new(collector)).expect("another label");
    }
    let again = RuntimeCollector::with_labels(&one.handle(), &[("runtime", "one")]).expect("a label");
    registry.register(Box::new(again)).expect_err("it is there");
    RuntimeCollector::with_labels(&one.handle(), &[("part", "one")]).expect_err("a label of its own");
    let (gathered, done) = channel();
    std::thread::spawn(move || {
        gathered.send(text(&registry)).expect("somebody listens");
    });
    let text = loop {
        one.block_on(yield_now());
        two.block_on(yield_now());
        if let Ok(text) = done.try_recv() {
            break text;
        }
    };
    let samples = read(&text);
    assert!(samples.keys().all(|series| series.contains("runtime=\"")), "{samples:?}");
    for name in ["one", "two"] {
        assert!(samples[&format!("punctual_turns_total{{runtime=\"{name}\"}}")] > 0.0);
    }
    if let Some((accepted, said)) = promtool(&text) {
        assert!(accepted && said.is_empty(), "{said}\n{text}");
    }
}
