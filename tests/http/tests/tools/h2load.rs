//! h2load: many streams on few connections.

use std::time::Duration;

use punctual_tests_http::rig::watchdog;

use crate::rig::{Directory, Identity, Server, run, text, tool};

const BUDGET: Duration = Duration::from_secs(20);

#[track_caller]
fn all_succeed(arguments: &[&str], count: usize, url: &str) {
    let Some(mut h2load) = tool("h2load") else { return };
    let count = count.to_string();
    let output = run(h2load.args(arguments).args(["-n", &count, url]));
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let expected = format!(
        "{count} total, {count} started, {count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout"
    );
    assert!(said.contains(&expected), "{url}: {said}");
}

#[test]
fn many_streams_in_the_clear_and_over_tls() {
    let _watchdog = watchdog("h2load", BUDGET);
    let (directory, identity) = (Directory::new(), Identity::new());
    directory.put("page.html", "x".repeat(100_000));
    let root = ["--root", directory.text()];
    let (plain, secure) = (Server::start(&root), identity.server(&root));
    let body = directory.put("body", "y".repeat(50_000));
    for url in [plain.url(""), secure.secure_url("")] {
        all_succeed(&["-c", "8", "-m", "100"], 4_000, &format!("{url}/hello"));
        all_succeed(&["-c", "4", "-m", "32"], 400, &format!("{url}/page.html"));
        all_succeed(&["-c", "4", "-m", "16", "-d", &body], 200, &format!("{url}/echo"));
        all_succeed(&["-c", "4", "-m", "8", "--h1"], 800, &format!("{url}/hello"));
    }
    assert!(plain.is_prompt());
}

#[test]
fn many_streams_on_two_cores() {
    let _watchdog = watchdog("h2load on two cores", BUDGET);
    let identity = Identity::new();
    let server = identity.server(&["--cores", "2"]);
    all_succeed(&["-c", "16", "-m", "50"], 8_000, &server.secure_url("/hello"));
}
