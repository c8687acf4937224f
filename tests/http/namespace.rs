//! Networks of a test's own.

use std::process::Command;

use crate::rig::skip;

/// Runs the test with this path once more, in a network namespace of its own; `false` in the process that was started
/// first. Skips where there are none to be had.
///
/// # Panics
/// If the test fails there.
pub fn in_namespace(test: &str) -> bool {
    const INSIDE: &str = "PUNCTUAL_TEST_IN_NAMESPACE";
    const WAYS: [&[&str]; 2] = [&["unshare", "-n"], &["unshare", "-Urn"]];
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let up = ["sh", "-c", "ip link set lo up"];
    let works = |way: &&&[&str]| {
        let output = Command::new(way[0]).args(&way[1..]).args(up).output();
        output.is_ok_and(|output| output.status.success())
    };
    let Some(way) = WAYS.iter().find(works) else {
        skip(&format!("{test}: root, or unprivileged user namespaces, with iproute2 would run it"));
        return false;
    };
    let binary = std::env::current_exe().expect("the path of this test");
    let mut again = Command::new(way[0]);
    again.args(&way[1..]).args(["sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]).arg(binary);
    again.args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let status = again.status().expect("the test starts again");
    assert!(status.success(), "{test} in a namespace: {status}");
    false
}
