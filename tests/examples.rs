//! Every example runs, says what it promises, and refuses wrong input in one line.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn example(name: &str) -> Command {
    let mut path: PathBuf = std::env::current_exe().expect("the path of this test");
    path.pop();
    path.pop();
    path.push("examples");
    path.push(name);
    assert!(
        path.exists(),
        "{} is not built: `cargo test` without a target selection builds it",
        path.display()
    );
    Command::new(path)
}

fn run(name: &str, arguments: &[&str]) -> Output {
    example(name).args(arguments).output().expect("the example starts")
}

#[track_caller]
fn refuses(name: &str, arguments: &[&str], names: &str) {
    let output = run(name, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{name} {arguments:?}: {stderr}");
    assert!(stderr.contains(names), "{name} {arguments:?} does not name the cause {names:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{name} {arguments:?} printed a result all the same");
}

#[test]
fn drift_prints_one_json_object_and_a_picture() {
    let svg = std::env::temp_dir().join(format!("punctual-drift-{}.svg", std::process::id()));
    let svg_path = svg.to_str().expect("a path in UTF-8");
    let output = run(
        "drift",
        &["--samples", "30", "--min", "200us", "--max", "1ms", "--json", "--svg", svg_path],
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert!(report["machine"].is_object());
    let rows = |key: &str| report[key].as_array().expect("rows").clone();
    let names: Vec<_> =
        rows("strategies").iter().map(|row| row["name"].as_str().map(String::from)).collect();
    let expected = [
        "epoll_wait_truncated",
        "epoll_wait_ceil",
        "epoll_pwait2",
        "timerfd",
        "punctual",
        "punctual_precise",
        "thread_sleep",
        "so_rcvtimeo",
    ];
    for name in expected {
        assert!(names.contains(&Some(name.to_owned())), "{name} is missing in {names:?}");
    }
    for row in rows("strategies").iter().chain(&rows("long")) {
        for field in ["samples", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns", "cpu_ns_per_wake"] {
            assert!(row[field].is_number(), "{field} is missing in {row}");
        }
        assert!(row["waits_per_timer"].is_number());
        if row["name"].as_str().is_some_and(|name| name.starts_with("punctual")) {
            assert_eq!(row["early"], 0, "{row}");
        }
    }
    assert!(rows("long").iter().all(|row| row["wait_ms"].is_number()));
    let picture = std::fs::read_to_string(&svg).expect("the picture");
    assert!(picture.contains("<svg") && picture.contains("punctual"));
    std::fs::remove_file(&svg).expect("the picture can be removed");
}

#[test]
fn drift_refuses_what_it_cannot_measure() {
    refuses("drift", &["--min", "quick"], "quick");
    refuses("drift", &["--min", "5ms", "--max", "1ms"], "--min");
    refuses("drift", &["--samples", "0"], "samples");
    refuses("drift", &["--svg", "/nonexistent/drift.svg"], "/nonexistent/drift.svg");
}

#[test]
fn echo_server_echoes_and_says_why_it_dropped_a_client() {
    let mut server = example("echo_server")
        .args(["127.0.0.1:0", "--idle", "100ms"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example starts");
    let mut lines = BufReader::new(server.stdout.take().expect("piped")).lines();
    let mut line = || lines.next().expect("a line").expect("in UTF-8");
    let listening = line();
    let address = listening.split_whitespace().find(|word| word.starts_with("127.0.0.1:"));
    let address = address.unwrap_or_else(|| panic!("no address in {listening:?}")).trim_end_matches(',');
    let mut client = TcpStream::connect(address).expect("connected");
    client.set_read_timeout(Some(Duration::from_secs(20))).expect("a bound on this test");
    client.write_all(b"punctual").expect("sent");
    let mut echoed = [0; 8];
    client.read_exact(&mut echoed).expect("echoed");
    assert_eq!(&echoed, b"punctual");
    assert_eq!(client.read(&mut echoed).expect("closed, not reset"), 0, "the idle client is dropped");
    let peer = client.local_addr().expect("our address").to_string();
    let why = loop {
        let line = line();
        if line.contains("timed out") {
            break line;
        }
    };
    assert!(why.contains(&peer), "{why:?} does not name {peer}");
    server.kill().expect("killed");
    server.wait().expect("reaped");
}

#[test]
fn echo_server_refuses_wrong_input() {
    refuses("echo_server", &["nowhere", "--idle", "1s"], "nowhere");
    refuses("echo_server", &["127.0.0.1:0", "--idle", "soon"], "soon");
}

#[test]
fn embed_runs_in_somebody_elses_poll() {
    let output = run("embed", &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stdout.is_empty());
}

#[test]
fn scheduler_fires_cancels_and_rearms() {
    let output = run("scheduler", &["--timers", "20000", "--over", "500ms"]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("20000") || stdout.contains("20 000"), "{stdout}");
    refuses("scheduler", &["--timers", "many"], "many");
}

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
fn timeout_lab_sees_every_scenario_behave() {
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
fn timeout_lab_prints_a_table_of_what_was_asked_for() {
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
fn timeout_lab_notices_what_misbehaves() {
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
fn timeout_lab_leaves_nothing_when_it_is_killed() {
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
fn timeout_lab_refuses_wrong_input() {
    refuses("timeout_lab", &["--only", "everything"], "everything");
    refuses("timeout_lab", &["--sabotage", "refused=gently"], "gently");
    refuses("timeout_lab", &["--frobnicate"], "--frobnicate");
}
