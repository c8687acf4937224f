//! What scripts read, and what they read when there is nothing.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::TOP;
use crate::endpoint::{Says, listen};

fn run(arguments: &[&str]) -> Output {
    Command::new(TOP).args(arguments).env_remove("COLUMNS").output().expect("top starts")
}

fn once(says: Says) -> Output {
    run(&[&listen(says).to_string(), "--once", "--interval", "50ms"])
}

#[track_caller]
fn fails(output: &Output, telling: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(telling), "{telling:?} is not told: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
    assert!(output.stdout.is_empty(), "it printed something all the same");
}

#[test]
fn once_prints_one_screen_of_one_interval() {
    let output = once(Says::States);
    let screen = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for told in [
        "fake\\u{1b}[2J (4321)",
        "turns/s 50 ",
        "tasks 12 ",
        "last 1.00 s, 1 fired",
        "all time, 2 fired",
    ] {
        assert!(screen.contains(told), "{told:?} is missing:\n{screen}");
    }
    let worst = screen.lines().find(|line| line.contains("src/hog.rs:1:2")).expect("the culprit");
    let worst: Vec<_> = worst.split_whitespace().collect();
    assert_eq!((&worst[..2], worst[4]), (&["50.0", "ms"][..], "hog"), "{screen}");
    assert!(
        !screen.contains('\u{1b}') && screen.lines().all(|line| line.chars().count() <= 120),
        "{screen}"
    );
}

#[test]
fn json_is_the_document() {
    let address = listen(Says::States).to_string();
    let output = run(&[&address, "--once", "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!((&document["process_id"], &document["counters"]["turns"]), (&4321.into(), &50.into()));
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1, "in one line");
}

#[test]
fn why_there_is_nothing_to_see_is_told_in_one_line() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let closed = closed.expect("a port that was free").to_string();
    fails(&run(&[&closed, "--once"]), &closed);
    fails(&run(&[&closed, "--json"]), "refused");
    fails(
        &once(Says::Raw("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")),
        "404 Not Found to /debug/state",
    );
    fails(
        &once(Says::Raw("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")),
        "something else than a state",
    );
    fails(&once(Says::Raw("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{")), "broke off");
    fails(&once(Says::Raw("SSH-2.0-OpenSSH_9.2\u{1b}[2J\r\n")), "speaks no HTTP");
    fails(&once(Says::Raw("")), "speaks no HTTP");
    fails(&run(&[&closed]), "standard output is no terminal");
}

#[test]
fn a_loop_that_does_not_turn_is_told_from_one_that_is_gone() {
    let began = Instant::now();
    let output = once(Says::Nothing);
    assert!(began.elapsed() >= Duration::from_secs(5), "it was not given its time");
    fails(&output, "the loop does not turn");
}

#[test]
fn wrong_words_are_refused() {
    for words in [&["nowhere"][..], &["127.0.0.1:1", "--interval", "0s"], &[]] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(output.stdout.is_empty());
    }
}
