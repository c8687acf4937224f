//! Every figure against a measurement from outside of what is measured.
//!
//! A loop is turned by hand, so that its turns are counted by who turns it; timers of known lateness are made on it, and
//! stamped by wakers of the test's own; and what waits in it is known, for the test made it wait.

use std::process::Command;

use punctual::debug::State;

use crate::TOP;
use crate::subject::{LATE_TIMERS, Subject, WAITS};

/// `ours` is what was measured from outside; a histogram puts it into a bucket a 32nd wide, and a screen shows three
/// digits of that.
#[track_caller]
fn within_a_bucket(what: &str, shown_ns: f64, ours_ns: f64) {
    let off = (shown_ns - ours_ns).abs() / ours_ns;
    assert!(off <= 1.0 / 32.0 + 0.005, "{what}: {shown_ns} ns is shown, {ours_ns} ns it was, {off} off");
}

fn top(subject: &Subject, arguments: &[&str]) -> String {
    let mut command = Command::new(TOP);
    command.arg(subject.address.to_string()).args(arguments).env("COLUMNS", "120");
    let output = command.output().expect("top starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// `55.2 µs` as nanoseconds.
fn nanoseconds(number: &str, unit: &str) -> f64 {
    let factor = match unit {
        "ns" => 1.0,
        "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => panic!("{unit:?} is no unit"),
    };
    number.parse::<f64>().expect("a number") * factor
}

/// The durations in a line.
fn durations(line: &str) -> Vec<f64> {
    let words: Vec<_> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let pairs = words.windows(2).filter(|pair| ["ns", "µs", "ms", "s"].contains(&pair[1]));
    pairs.map(|pair| nanoseconds(pair[0], pair[1])).collect()
}

#[track_caller]
fn line_with<'a>(screen: &'a str, beginning: &str) -> &'a str {
    let found = screen.lines().find(|line| line.trim_start().starts_with(beginning));
    found.unwrap_or_else(|| panic!("no line begins with {beginning:?}:\n{screen}"))
}

#[test]
fn lateness_is_what_wakers_of_another_saw() {
    let subject = Subject::start();
    let late_ns = subject.late_ns();
    assert_eq!(late_ns.len(), LATE_TIMERS);
    let screen = top(&subject, &["--once", "--interval", "50ms"]);
    assert!(screen.contains(&format!("all time, {} fired", grouped(LATE_TIMERS))), "{screen}");
    let shown = durations(line_with(&screen, "total"));
    let [.., p50, p99, p999, max] = shown[..] else { panic!("{shown:?}:\n{screen}") };
    let ours = |q: f64| late_ns[((q * late_ns.len() as f64).ceil() as usize).max(1) - 1] as f64;
    within_a_bucket("p50", p50, ours(0.5));
    within_a_bucket("p99", p99, ours(0.99));
    within_a_bucket("p99.9", p999, ours(0.999));
    within_a_bucket("max", max, ours(1.0));
    // They were held up by a task: that is the loop's part, and no other's.
    let in_loop = durations(line_with(&screen, "loop"));
    within_a_bucket("p50 of the loop's part", in_loop[in_loop.len() - 4], ours(0.5));
}

#[test]
fn turns_are_those_that_were_taken() {
    let subject = Subject::start();
    subject.turns();
    let document: State =
        serde_json::from_str(&top(&subject, &["--once", "--json"])).expect("one document");
    let taken = subject.turns_before(document.taken_ns);
    let counted = document.counters.turns;
    assert!(counted.abs_diff(taken) <= 1, "{counted} turns are told, {taken} were taken");

    let screen = top(&subject, &["--once", "--interval", "400ms"]);
    let shown =
        screen.split("turns/s ").nth(1).and_then(|rest| rest.split("  ").next()).unwrap_or_default();
    let shown: f64 = shown.replace(' ', "").parse().unwrap_or_else(|_| panic!("{shown:?}:\n{screen}"));
    let interval = durations(line_with(&screen, "─ late by"))[0];
    let (least, most) = subject.turns_in_any(interval as u64);
    // One turn more or less at each end, and the interval is shown by three digits.
    let seconds = interval / 1e9;
    let (least, most) = ((least - 2.0) / seconds * 0.99 - 1.0, (most + 2.0) / seconds * 1.01 + 1.0);
    assert!(
        shown >= least && shown <= most,
        "{shown} turns/s are shown, {least} to {most} were taken:\n{screen}"
    );
}

#[test]
fn waits_are_those_that_were_made() {
    let subject = Subject::start();
    let screen = top(&subject, &["--once", "--interval", "50ms"]);
    let unbounded: usize = WAITS.iter().filter(|(_, _, lacks)| *lacks).map(|(_, count, _)| count).sum();
    assert!(screen.contains(&format!("waits without a deadline: {unbounded};")), "{screen}");
    for (phase, count, lacks) in WAITS {
        let words: Vec<_> = line_with(&screen, phase).split_whitespace().take(3).collect();
        // The endpoint accepts as well.
        let count = count + usize::from(phase == "accept");
        let without = if lacks { count.to_string() } else { "–".to_owned() };
        assert_eq!(words, [phase, &count.to_string(), &without], "{screen}");
    }
}

fn grouped(number: usize) -> String {
    format!("{} {:03}", number / 1_000, number % 1_000)
}

#[test]
fn a_loop_that_was_held_up_is_heard_again() {
    let subject = Subject::start();
    subject.stops();
    let output =
        Command::new(TOP).args([&subject.address.to_string(), "--once"]).output().expect("top starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("the loop does not turn"), "{stderr}");
    subject.goes_on();
    assert!(top(&subject, &["--once", "--interval", "50ms"]).contains("turns/s"));
}
