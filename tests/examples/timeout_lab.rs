//! What `timeout_lab` promises: its rows, its verdict, and that nothing is left.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{example, refuses, run};

/// The rows that `timeout_lab --json` prints with these arguments, and its exit status.
fn lab(arguments: &[&str]) -> (Vec<serde_json::Value>, Option<i32>) {
    let output = run("timeout_lab", &[&["--json"], arguments].concat());
    let keys =
        ["scenario", "ok", "class", "phase", "set_ms", "fired_ms", "late_us", "leaked"].map(|key| {
            // As they are written, with what comes before.
            format!("{}\"{key}\":", if key == "scenario" { "{" } else { "," })
        });
    let stdout = String::from_utf8(output.stdout).expect("text");
    let row = |line: &str| {
        let places: Vec<_> = keys.iter().map(|key| line.find(key.as_str())).collect();
        assert!(places.iter().all(Option::is_some), "a key is missing: {line}");
        assert!(places.is_sorted() && places[0] == Some(0), "the keys are out of order: {line}");
        serde_json::from_str(line).expect("a JSON object")
    };
    (stdout.lines().map(row).collect(), output.status.code())
}

#[test]
fn sees_every_scenario_behave() {
    let (rows, status) = lab(&[]);
    for row in &rows {
        if row["skipped"].is_string() {
            println!("SKIPPED: {}: {}", row["scenario"], row["skipped"]);
            assert_eq!(row["ok"], false, "what could not run has not behaved: {row}");
            continue;
        }
        assert_eq!((&row["ok"], &row["leaked"]), (&true.into(), &0.into()), "{row}");
        let number = |key: &str| row[key].as_f64().unwrap_or_else(|| panic!("no {key}: {row}"));
        if row["class"] == "Timeout" {
            assert!(number("fired_ms") >= number("set_ms"), "early: {row}");
            assert!(number("late_us") >= 0.0, "{row}");
        }
    }
    assert_eq!(status, Some(0));
    let listed = run("timeout_lab", &["--list"]).stdout;
    let listed = String::from_utf8(listed).expect("text");
    let listed = listed.lines().filter_map(|line| line.split_whitespace().next());
    let ran = rows.iter().map(|row| row["scenario"].as_str().expect("its name"));
    assert!(ran.eq(listed), "--list names what runs, in that order");
}

#[test]
fn prints_a_table_of_what_was_asked_for() {
    let output = run("timeout_lab", &["--only", "refused", "--only", "stalled_read"]);
    let stdout = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<_> = stdout.lines().collect();
    assert!(output.status.success(), "{stdout}");
    assert!(lines[0].starts_with("scenario ") && lines[0].ends_with(" diagnosis"), "{stdout}");
    assert!(lines[1].starts_with("refused ") && lines[1].contains(" Kernel(ECONNREFUSED) "), "{stdout}");
    assert!(lines[2].starts_with("stalled_read ") && lines[2].contains(" 0/0/0"), "{stdout}");
    assert!(lines.last().is_some_and(|last| last.starts_with("2 of 2 scenarios behaved")), "{stdout}");
}

#[test]
fn notices_what_misbehaves() {
    let defects = [
        ("early", "early: "),
        ("leak", "leaked 1 descriptors"),
        ("class", "Protocol where only Timeout is right"),
        ("panic", "sabotaged"),
        ("hang", "it hung"),
    ];
    std::thread::scope(|scope| {
        for (how, noticed) in defects {
            scope.spawn(move || {
                let sabotage = format!("stalled_read={how}");
                let (rows, status) =
                    lab(&["--only", "stalled_read", "--only", "reset", "--sabotage", &sabotage]);
                assert_eq!(status, Some(1), "{how}");
                let [bad, good] = rows.as_slice() else { panic!("{how}: {rows:?}") };
                assert_eq!((&bad["ok"], &good["ok"]), (&false.into(), &true.into()), "{how}: {rows:?}");
                assert!(bad["wrong"].to_string().contains(noticed), "{how}: {bad}");
            });
        }
    });
}

#[test]
fn leaves_nothing_when_it_is_killed() {
    let mut lab = example("timeout_lab")
        .args(["--only", "dead_host", "--only", "late_syn_ack"])
        .stdout(Stdio::null())
        .spawn()
        .expect("the example starts");
    let children = format!("/proc/{0}/task/{0}/children", lab.id());
    // Whether a process with this number is the lab's, be it as unshare(1) still.
    let lives = |pid: &str| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.contains("--subject")
    };
    let subject = loop {
        let listed = std::fs::read_to_string(&children).expect("the lab runs");
        if let Some(pid) = listed.split_whitespace().find(|pid| lives(pid)) {
            break pid.to_owned();
        }
    };
    lab.kill().expect("killed");
    lab.wait().expect("reaped");
    let killed = Instant::now();
    while lives(&subject) {
        assert!(killed.elapsed() < Duration::from_secs(20), "{subject} outlives the lab");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn refuses_wrong_input() {
    refuses("timeout_lab", &["--only", "everything"], "everything");
    refuses("timeout_lab", &["--sabotage", "refused=gently"], "gently");
    refuses("timeout_lab", &["--frobnicate"], "--frobnicate");
}
