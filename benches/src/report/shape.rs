//! The document of every workload: exactly these keys, and a number for every target there is.

use serde_json::Value;

use super::*;
use crate::rounds::{Figures, Subject};
use crate::workloads::{connect, cores, drift, echo, idle, renew, size, tasks, wheel};

/// A row whose figures are all there.
fn row(peer: &'static str, variant: &'static str, param: &str, figures: &[&'static str]) -> Row {
    let turn: Figures = figures.iter().map(|name| ((*name).into(), 1.0)).collect();
    Row { subject: Subject { peer, variant, param: param.into() }, turns: vec![turn.clone(), turn] }
}

fn rows(subjects: &[(&'static str, &'static str)], param: &str, figures: &[&'static str]) -> Vec<Row> {
    subjects.iter().map(|(peer, variant)| row(peer, variant, param, figures)).collect()
}

/// Its keys, and the names of its targets, each with a number; and that it can be drawn.
#[track_caller]
fn check(workload: &'static str, rows: Vec<Row>, targets: Vec<Target>, names: &[&str]) {
    let report = Report { workload, rounds: 2, machine: "a machine".into(), rows, targets };
    let document = document(&report);
    let keys = |value: &Value| {
        let mut keys: Vec<String> = value.as_object().expect("an object").keys().cloned().collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(keys(&document), ["machine", "ratios", "rounds", "rows", "workload"]);
    assert_eq!((&document["workload"], &document["rounds"]), (&json!(workload), &json!(2)));
    for row in document["rows"].as_array().expect("rows") {
        let object = row.as_object().expect("a row is an object");
        for (key, value) in object {
            let is_word = ["peer", "variant", "param"].contains(&key.as_str());
            assert_eq!((value.is_string(), value.is_number()), (is_word, !is_word), "{key}");
        }
        assert!(object.len() > 3 && object.contains_key(picture::figure(workload)), "{row}");
    }
    let mut names: Vec<&str> = names.to_vec();
    names.sort_unstable();
    assert_eq!(keys(&document["ratios"]), names);
    assert!(document["ratios"].as_object().is_some_and(|all| all.values().all(Value::is_number)));
    let file = std::env::temp_dir().join(format!("punctual-{workload}-{}.svg", std::process::id()));
    picture::draw(&report, &file).expect("a picture");
    let picture = std::fs::read_to_string(&file).expect("it was written");
    std::fs::remove_file(&file).expect("it is there");
    assert!(picture.contains("punctual") && picture.contains(workload));
}

const TIMED: [&str; 4] = ["requests/s", "p50 µs", "p99 µs", "cpu µs/request"];
const LATE: [&str; 5] = ["early", "p50 µs", "p99 µs", "cpu µs/wake", "cpu ms"];

#[test]
fn echo_and_renew() {
    let peers = [
        ("raw", "no deadline"),
        ("punctual", "no deadline"),
        ("punctual", "read timeout"),
        ("tokio", "timeout"),
    ];
    let mut all = rows(&peers, "64 connections", &TIMED);
    let counted = ["instructions/request", "system calls/request", renew::COST];
    let counted = rows(&peers, "8 connections, counted", &counted);
    check("renew", counted.clone(), renew::targets(&counted), &["instructions of a renewed deadline"]);
    all.extend(counted);
    let targets = echo::targets(&all);
    // What is counted is not drawn with what is timed.
    all.truncate(peers.len());
    let names = [
        "cpu of raw without deadlines, 64 connections",
        "cpu of tokio with timeout, 64 connections",
        "system calls/request over raw's",
        "instructions/request, deadline renewed",
    ];
    check("echo", all, targets, &names);
}

#[test]
fn drift() {
    let peers = [
        ("raw", "timerfd"),
        ("punctual", "sleep"),
        ("punctual", "precise"),
        ("tokio", "sleep"),
        ("Go", "time.Sleep"),
    ];
    let mut all = Vec::new();
    ["0.2–12 ms", "1 s", "5 s"].iter().for_each(|param| all.extend(rows(&peers, param, &LATE)));
    let crowds = [
        ("raw", "timerfd"),
        ("raw", "1 ms loop"),
        ("punctual", "leeway 0"),
        ("punctual", "leeway 1 ms"),
        ("tokio", "sleep"),
    ];
    all.extend(rows(&crowds, "1 000 sleepers, 1–50 ms", &LATE));
    let targets = drift::targets(&all);
    let names = [
        "early, 0.2–12 ms",
        "early, 1 s",
        "early, 5 s",
        "p50 of raw timerfd, 0.2–12 ms",
        "p50 of raw timerfd, 1 s",
        "p50 of raw timerfd, 5 s",
        "cpu of raw timerfd, 0.2–12 ms",
        "cpu of raw timerfd, 1 s",
        "cpu of raw timerfd, 5 s",
        "precise, p50 µs, 0.2–12 ms",
        "precise, percent of a core more, 0.2–12 ms",
        "1 000 sleepers, early",
        "1 000 sleepers, leeway 0, p50 of raw timerfd",
        "1 000 sleepers, leeway 0, cpu of raw timerfd",
        "1 000 sleepers, leeway 1 ms, cpu of a raw 1 ms loop",
        "1 000 sleepers, leeway 1 ms, cpu of tokio",
        "1 000 sleepers, leeway 1 ms, p99 of tokio",
        "1 000 sleepers, leeway 0, peers ahead on both axes",
        "1 000 sleepers, leeway 1 ms, peers ahead on both axes",
    ];
    check("drift", all, targets, &names);
}

#[test]
fn wheel() {
    use punctual_benches::queues::turn::*;
    let figures = [INSERT, PAIR, NEXT, REARM, CHURN, CANCEL, WAKE, FIRING, WORST, BYTES];
    let sizes = [100_000, 1_000_000, 10_000_000];
    let of = |size: &usize| {
        rows(
            &[("punctual", ""), ("slab-wheel", ""), ("BTreeMap", "")],
            &format!("{size} timers"),
            &figures,
        )
    };
    let all: Vec<Row> = sizes.iter().flat_map(of).collect();
    let mut names: Vec<String> = [
        "insert+cancel ns, 1000000 timers",
        "re-arm of the best peer's, 100000 timers",
        "re-arm of the best peer's, 1000000 timers",
        "firing of the best wheel's, 1000000 timers",
        "bytes/timer, 10000000 timers",
        "worst turn ms, 10000000 timers",
    ]
    .map(String::from)
    .into();
    for size in sizes {
        names.extend([INSERT, CANCEL, REARM, FIRING].map(|figure| format!("{figure}, {size} timers")));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    check("wheel", all.clone(), wheel::targets(&all, &sizes), &names);
}

#[test]
fn idle() {
    let peers = [
        ("punctual", "read timeout"),
        ("punctual", "pooled, no deadline"),
        ("punctual", "pooled, read timeout"),
        ("tokio", "timeout"),
    ];
    let all = rows(&peers, "19500 connections", &["bytes/connection", "wakes/s", "cpu ms/s"]);
    let names = [
        "bytes/connection, reads pooled",
        "bytes of a deadline",
        "of tokio with timeout, without the buffers",
        "wakes/s",
    ];
    check("idle", all.clone(), idle::targets(&all), &names);
}

#[test]
fn connect() {
    let peers = [("raw", "timerfd"), ("punctual", "default leeway"), ("punctual", "leeway 0")];
    let all = rows(&peers, "200 dials, 20 at a time", &LATE);
    let names = [
        "early, default leeway",
        "early, leeway 0",
        "p50 of raw timerfd, default leeway",
        "p50 of raw timerfd, leeway 0",
    ];
    check("connect", all.clone(), connect::targets(&all), &names);
}

#[test]
fn tasks() {
    use tasks::{CALLS, CANCEL, IDLE_WAKE, REMOTE_WAKE, SELF_WAKE, SPAWN};
    let figures = [SPAWN, SELF_WAKE, REMOTE_WAKE, IDLE_WAKE, CALLS, CANCEL];
    let all = rows(&[("punctual", ""), ("tokio", ""), ("smol", "")], "200000 times", &figures);
    let names = [
        "spawn+join ns",
        "self-wake ns",
        "spawn+join of tokio",
        "spawn+join of smol",
        "self-wake of tokio",
        "self-wake of smol",
        "wake of a busy loop ns",
        "system calls of a busy loop's wake",
        "cancel ns",
    ];
    check("tasks", all.clone(), tasks::targets(&all), &names);
}

#[test]
fn cores() {
    let all = rows(&[("punctual", "1 reactor"), ("punctual", "2 reactors")], "64 connections", &TIMED);
    check("cores", all.clone(), cores::targets(&all), &["cpu of 1 reactor's"]);
}

#[test]
fn size() {
    let all = rows(&[("punctual", "no features")], "hello", &[size::BUILD, size::CRATES, size::HELLO]);
    let names = ["release build of the core, s", "crates pulled in", "hello-sleep, stripped, KiB"];
    check("size", all.clone(), size::targets(&all), &names);
}
