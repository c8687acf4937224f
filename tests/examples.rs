//! Every example runs, says what it promises, and refuses wrong input in one line.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

#[cfg(feature = "dns")]
#[path = "examples/timeout_lab.rs"]
mod timeout_lab;

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
fn proxy_hands_a_half_close_on_and_says_why_it_dropped_a_client() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = server.local_addr().expect("its address").to_string();
    let mut proxy = example("proxy")
        .args(["127.0.0.1:0", &address, "--idle", "200ms"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example starts");
    let mut lines = BufReader::new(proxy.stdout.take().expect("piped")).lines();
    let mut line = || lines.next().expect("a line").expect("in UTF-8");
    let listening = line();
    let address = listening.split([' ', ',']).find(|word| word.starts_with("127.0.0.1:"));
    let address = address.unwrap_or_else(|| panic!("no address in {listening:?}"));
    let connect = || {
        let client = TcpStream::connect(address).expect("connected");
        client.set_read_timeout(Some(Duration::from_secs(20))).expect("a bound on this test");
        client
    };

    let mut client = connect();
    client.write_all(b"request").expect("sent");
    client.shutdown(std::net::Shutdown::Write).expect("ended");
    let (mut served, _) = server.accept().expect("the proxy connects");
    let mut request = String::new();
    served.read_to_string(&mut request).expect("the request, then its end");
    served.write_all(b"response").expect("sent");
    drop(served);
    let mut response = String::new();
    client.read_to_string(&mut response).expect("the response, then its end");
    assert_eq!((&*request, &*response), ("request", "response"));
    let said = line();
    assert!(
        said.ends_with("7 bytes had gone from client to server (ended) and 8 back (ended)"),
        "{said}"
    );

    let mut silent = connect();
    let reset = silent.read(&mut [0; 8]).expect_err("reset, and not ended");
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    let said = line();
    assert!(said.contains("timed out after 200 ms (idle timeout set at "), "{said}");
    proxy.kill().expect("killed");
    proxy.wait().expect("reaped");
}

#[test]
fn proxy_refuses_wrong_input() {
    refuses("proxy", &["nowhere", "127.0.0.1:1"], "nowhere");
    refuses("proxy", &["127.0.0.1:0", "127.0.0.1:1", "--min-rate", "0"], "min-rate");
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

/// B03: the task that blocks is found out by the place where it was spawned.
#[test]
fn b03_culprit_names_the_task_that_blocks() {
    let output = run("culprit", &["--seconds", "1", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(report["early"], 0, "{report}");
    let worst = report["worst"].as_array().expect("culprits");
    let source = include_str!("../examples/culprit.rs");
    let line =
        source.lines().position(|line| line.contains("spawn_named(\"blocks\"")).expect("it is there");
    let place = format!("examples/culprit.rs:{}:", line + 1);
    let found = worst.iter().find(|culprit| {
        culprit["location"].as_str().is_some_and(|location| location.starts_with(&place))
    });
    let found = found.unwrap_or_else(|| panic!("nothing of {place} in {report}"));
    assert_eq!((found["kind"].as_str(), found["name"].as_str()), (Some("task"), Some("blocks")));
    assert!(found["held_ns"].as_u64().is_some_and(|held_ns| held_ns >= 50_000_000), "{report}");
    let lines = run("culprit", &["--seconds", "1"]);
    let told = String::from_utf8_lossy(&lines.stdout);
    assert!(told.contains(&format!("task \"blocks\" spawned at {place}")), "{told}");
    refuses("culprit", &["--seconds", "0"], "--seconds");
}
