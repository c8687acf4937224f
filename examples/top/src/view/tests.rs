use std::time::Duration;

use punctual::Instant;
use punctual::debug::State;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::{Value, json};

use crate::model::{Failure, Key, List, Message, Model};
use crate::once::text_of;
use crate::view::{full_height, view};

fn at(seconds: f64) -> Instant {
    Instant::from_nanos((100e9 + seconds * 1e9) as u64)
}

fn distribution(buckets: &[(u64, u64)]) -> Value {
    let count: u64 = buckets.iter().map(|(_, count)| count).sum();
    let max = buckets.last().map_or(0, |(to, _)| *to);
    let mean = buckets.iter().map(|(to, count)| to * count).sum::<u64>() / count.max(1);
    json!({
        "count": count, "p50_ns": buckets[0].0, "p90_ns": buckets[0].0, "p99_ns": buckets[0].0,
        "p999_ns": max, "max_ns": max, "mean_ns": mean, "buckets_ns": buckets,
    })
}

/// A loop that was looked at `second` seconds after its start.
fn document(second: u64) -> Value {
    let wait = |phase: &str, waited: u64, left: Option<i64>, task: Option<&str>, scope: Option<&str>| {
        json!({"phase": phase, "waited_ns": waited, "left_ns": left, "spawned_at": task, "scope": scope,
            "subject": "10.0.0.7:443", "name": "worker", "class": if phase == "accept" { "idle" } else { "unbounded" }})
    };
    let accept = wait("accept", 3_723_000_000_000, None, Some("examples/culprit.rs:20:5"), None);
    let deep =
        "/home/somebody/.cargo/registry/src/index.crates.io/some-crate-1.2.3/src/deep/inside.rs:131:25";
    let read = wait("read", 12_300_000_000, Some(-2_100_000), Some(deep), Some("request/upstream"));
    let sleep = wait("sleep", 1_500_000, Some(998_500_000), Some("examples/culprit.rs:9:1"), None);
    let phase = |phase: &str, count: u64, oldest: u64, without: u64| json!({"phase": phase, "count": count, "oldest_ns": oldest, "without_deadline": without});
    let culprit = |name: Option<&str>, held: u64, turn: u64, span: Option<&str>| {
        json!({
            "kind": "task", "name": name, "task": "TaskId(7#1 of reactor 1)", "span": span, "held_ns": held,
            "turn": turn, "location": "examples/culprit.rs:31:12", "began_ns": 98_000_000_000u64, "ran_ns": 120_000,
            "late_firings": 3, "lateness_ns": 49_000_000,
        })
    };
    let total = distribution(&[(57_343, 900 * second), (1_015_807, 5 * second), (51_380_223, second)]);
    json!({
        "version": 1, "taken_ns": 100_000_000_000 + second * 1_000_000_000, "process_id": 4321,
        "process_name": "culprit",
        "counters": {
            "uptime_ns": 7_500_000_000_000u64 + second * 1_000_000_000, "parked_ns": 877_000_000 * second,
            "inbox_depth": 3, "turns": 1_234 * second, "polls": 1_300 * second, "task_polls": 2_500 * second, "fired": 906 * second,
            "events": 0, "live_tasks": 12, "live_timers": 8, "live_sources": 3, "live_scopes": 1,
        },
        "drift": {
            "total": total, "quantisation": distribution(&[(0, 906 * second)]),
            "kernel": distribution(&[(55_295, 906 * second)]), "in_loop": total,
        },
        "blame": {
            "stalls": 41, "threshold_ns": 20_000_000,
            "worst": [
                culprit(Some("ticker"), 51_200_000, 123_456, Some("request")),
                culprit(None, 50_100_000, 99_999, None),
                culprit(Some("ticker \u{1b}[31mred"), 2_100_000, 5, None),
            ],
        },
        "phases": [
            {"phase": "tcp-connect", "ended": 12, "timeouts": 2, "endings": {"done": 10, "own deadline": 2},
             "done": distribution(&[(1_015_807, 10)])},
        ],
        "tasks": [
            {"task": "TaskId(9#1 of reactor 1)", "name": "ticker", "spawned_at": "examples/culprit.rs:31:12", "span": null,
             "polls": 1_000, "busy_ns": 51_000_000_000u64, "longest_poll_ns": 51_200_000},
            {"task": "TaskId(7#1 of reactor 1)", "spawned_at": "examples/culprit.rs:88:9", "polls": 12, "busy_ns": 12_000,
             "longest_poll_ns": 2_000},
        ],
        "waits": {
            "count": 1_203, "without_deadline": 2, "idle": 1,
            "by_phase": [
                phase("sleep", 1_200, 1_500_000, 0), phase("read", 2, 12_300_000_000, 2),
                phase("accept", 1, 3_723_000_000_000, 0),
            ],
            "oldest": [accept, read, sleep], "unbounded": [wait("read", 2_000, None, Some(deep), None), wait("write", 1_000, None, None, None)],
        },
    })
}

fn state(document: Value) -> Box<State> {
    Box::new(serde_json::from_value(document).expect("a state"))
}

fn model() -> Model {
    let mut model = Model::new("127.0.0.1:7070".to_owned(), Duration::from_secs(1));
    for second in [1, 2] {
        model.update(Message::Asked(at(second as f64)));
        model.update(Message::Answered(state(document(second)), at(second as f64)));
    }
    model
}

fn shown(model: &Model, now: Instant, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| view(model, now, frame)).expect("drawn");
    text_of(terminal.backend().buffer())
}

#[test]
fn eighty_by_twenty_four() {
    let screen = shown(&model(), at(2.1), 80, 24);
    assert_eq!(screen, include_str!("screen.txt"), "\n{screen}");
}

#[test]
fn a_wide_screen_tells_more_of_each() {
    let screen = shown(&model(), at(2.1), 160, 50);
    for told in [
        "request",
        "123 456",
        "request/upstream",
        "src/index.crates.io/some-crate-1.2.3/src/deep/inside.rs:131:25",
    ] {
        assert!(screen.contains(told), "{told} is missing:\n{screen}");
    }
    let axis = screen.lines().position(|line| line.contains("1 ms──")).expect("a picture");
    assert!(
        screen.lines().nth(axis).is_some_and(|line| line.contains("loop")),
        "beside the table:\n{screen}"
    );
}

#[test]
fn it_fits_into_every_screen() {
    let model = model();
    for width in [1, 39, 40, 41, 57, 78, 80, 99, 100, 129, 130, 131, 198] {
        for height in [1, 9, 10, 15, 24, 40, 70] {
            let screen = shown(&model, at(2.1), width, height);
            assert!(
                height < 10 || width < 40 || screen.contains("turns/s 1 234"),
                "{width}x{height}:\n{screen}"
            );
        }
    }
    let whole = shown(&model, at(2.1), 80, full_height(&model, 80));
    assert!(!whole.contains(" of 3 "), "all rows have room:\n{whole}");
    assert!(whole.contains("examples/culprit.rs:88:9"), "the tasks are shown as well:\n{whole}");
    assert!(whole.contains("done 10, own"), "and the phases:\n{whole}");
}

#[test]
fn nothing_of_theirs_reaches_the_terminal() {
    let mut document = document(1);
    let evil = "\u{1b}[2J\u{9b}31m\r\n\u{202e}evil";
    document["process_name"] = json!(evil);
    for (list, name) in [
        ("/blame/worst/0", "name"),
        ("/blame/worst/0", "location"),
        ("/blame/worst/0", "span"),
        ("/waits/oldest/0", "phase"),
        ("/waits/oldest/0", "spawned_at"),
        ("/waits/oldest/0", "subject"),
        ("/waits/oldest/0", "name"),
        ("/waits/oldest/0", "scope"),
        ("/waits/by_phase/0", "phase"),
        ("/tasks/0", "name"),
        ("/tasks/0", "spawned_at"),
        ("/tasks/0", "span"),
    ] {
        document.pointer_mut(list).expect(list)[name] = json!(evil);
    }
    let mut model = Model::new(format!("{evil}:1"), Duration::from_secs(1));
    model.update(Message::Answered(state(document), at(1.0)));
    model.update(Message::Asked(at(2.0)));
    model.update(Message::Failed(Failure::Told(evil.to_owned())));
    let screen = shown(&model, at(2.1), 200, 60);
    assert!(screen.matches("evil").count() >= 10, "{screen}");
    let obeyed = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    assert_eq!(screen.find(obeyed), None, "{screen:?}");
}

#[test]
fn a_list_is_scrolled_to_its_end_and_back() {
    let mut model = model();
    let rows = |model: &Model| -> Vec<String> {
        let screen = shown(model, at(2.1), 80, 24);
        let list = screen.lines().skip_while(|line| !line.contains("worst culprits"));
        list.take(4).map(String::from).collect()
    };
    assert!(
        rows(&model)[0].contains("1–2 of 3") && rows(&model)[2].contains("51.2 ms"),
        "{:#?}",
        rows(&model)
    );
    for _ in 0..5 {
        model.update(Message::Key(Key::Down));
    }
    assert!(
        rows(&model)[0].starts_with('▶') && rows(&model)[0].contains("2–3 of 3"),
        "{:#?}",
        rows(&model)
    );
    model.update(Message::Key(Key::Up));
    assert!(rows(&model)[0].contains("1–2 of 3"), "the first key counts: {:#?}", rows(&model));
    model.update(Message::Key(Key::NextList));
    assert_eq!(model.focus, Some(List::Phases));
}

#[test]
fn a_loop_that_does_not_answer_is_shown_as_stuck() {
    let mut model = model();
    let first_line = |model: &Model, now: f64| {
        let screen = shown(model, at(now), 80, 24);
        screen.lines().next().map(String::from).unwrap_or_default()
    };
    model.update(Message::Asked(at(3.0)));
    assert!(first_line(&model, 3.9).ends_with("every 1.00 s"), "not yet");
    assert!(first_line(&model, 5.3).ends_with("no answer for 2.30 s: the loop does not turn"));
    model.update(Message::Failed(Failure::Silent));
    model.update(Message::Asked(at(8.0)));
    let line = first_line(&model, 8.5);
    assert!(
        line.ends_with("no answer for 5.50 s: the loop does not turn"),
        "since the first question: {line}"
    );
    model.update(Message::Failed(Failure::Told("connection refused".to_owned())));
    assert!(first_line(&model, 9.0).ends_with("connection refused, for 6.00 s; trying again"));
    model.update(Message::Answered(state(document(9)), at(9.0)));
    assert!(first_line(&model, 9.1).ends_with("every 1.00 s"));
}

#[test]
fn figures_are_those_of_the_interval_that_was_chosen() {
    let mut model = model();
    let line = |model: &Model| {
        let screen = shown(model, at(9.0), 80, 24);
        screen.lines().find(|line| line.contains("late by")).map(String::from).unwrap_or_default()
    };
    assert!(line(&model).contains("last 1.00 s, 906 fired"), "{}", line(&model));
    model.update(Message::Key(Key::Reset));
    model.update(Message::Answered(state(document(4)), at(4.0)));
    model.update(Message::Answered(state(document(6)), at(6.0)));
    assert!(line(&model).contains("since r, 4.00 s, 3 624 fired"), "{}", line(&model));
    model.update(Message::Key(Key::Last));
    model.update(Message::Answered(state(document(7)), at(7.0)));
    assert!(line(&model).contains("last 1.00 s, 906 fired"), "{}", line(&model));

    model.update(Message::Key(Key::Pause));
    model.update(Message::Answered(state(document(8)), at(8.0)));
    assert!(shown(&model, at(9.0), 80, 24).contains("paused, as of 2.00 s ago"));
    model.update(Message::Key(Key::Pause));

    let mut anew = document(10);
    anew["process_id"] = json!(4322);
    model.update(Message::Answered(state(anew), at(10.0)));
    let screen = shown(&model, at(10.0), 80, 24);
    assert!(
        screen.contains("busy –  turns/s –") && screen.contains("(4322)"),
        "another process:\n{screen}"
    );
    let total: Vec<_> = screen
        .lines()
        .find(|line| line.contains(" total "))
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(total[..4], ["total", "–", "–", "–"], "it has no figures of an interval yet:\n{screen}");
}

#[test]
fn before_the_first_answer_there_is_little_to_see() {
    let mut model = Model::new("127.0.0.1:1".to_owned(), Duration::from_secs(1));
    assert!(shown(&model, at(0.0), 80, 24).starts_with(" 127.0.0.1:1 "));
    model.update(Message::Asked(at(0.0)));
    model.update(Message::Failed(Failure::Told("refused".to_owned())));
    assert!(shown(&model, at(0.5), 80, 24).contains("refused, for 500 ms; trying again"));
}
