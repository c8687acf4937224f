//! wrk: many requests on kept connections, with every deadline armed.

use std::time::Duration;

use punctual_tests_http::rig::watchdog;

use crate::rig::{Directory, Server, run, text, tool};

const BUDGET: Duration = Duration::from_secs(15);

/// How many requests were answered, if none went wrong.
#[track_caller]
fn requests(server: &Server, path: &str, connections: &str) -> Option<u64> {
    let mut wrk = tool("wrk")?;
    let output =
        run(wrk.args(["-t2", "-c", connections, "-d2s", "--timeout", "10s"]).arg(server.url(path)));
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    for wrong in ["Socket errors", "Non-2xx"] {
        assert!(!said.contains(wrong), "{path}: {said}");
    }
    let count = said.lines().find_map(|line| line.trim().split_once(" requests in "));
    let count = count.and_then(|(count, _)| count.parse().ok());
    let count: u64 = count.unwrap_or_else(|| panic!("no count in {said}"));
    eprintln!("{path}, {connections} connections: {count} requests in 2 s");
    Some(count)
}

#[test]
fn wrk_finds_no_error_with_all_deadlines_armed() {
    let _watchdog = watchdog("wrk", BUDGET);
    let directory = Directory::new();
    directory.put("page.html", "<p>page</p>");
    let server = Server::start(&["--root", directory.text()]);
    // Each connection is closed after a thousand requests, and begun again.
    let Some(hello) = requests(&server, "/hello", "32") else { return };
    assert!(hello > 2_000, "{hello}: no connection was ever used up, or hardly");
    let Some(pages) = requests(&server, "/page.html", "32") else { return };
    assert!(pages > 100, "{pages}");
    assert!(server.is_prompt());
}

#[test]
fn wrk_finds_no_error_on_two_cores() {
    let _watchdog = watchdog("wrk on two cores", BUDGET);
    let server = Server::start(&["--cores", "2"]);
    let Some(hello) = requests(&server, "/hello", "64") else { return };
    assert!(hello > 2_000, "{hello}");
    assert!(server.is_prompt());
}
