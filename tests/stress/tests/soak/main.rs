//! B05: the soak, bounded: ten thousand connections for half a minute.
//!
//! ```text
//! PUNCTUAL_SEED=7 cargo test -p punctual-tests-stress --test soak -- --nocapture
//! ```

use std::process::Command;

use punctual_tests_stress::rig::skip;

/// For how long, ramp included.
const MINUTES: &str = "0.5";

#[test]
fn b05_ten_thousand_connections_through_faults_and_cancels_leave_nothing() {
    let seed = std::env::var("PUNCTUAL_SEED").unwrap_or_else(|_| "5".to_owned());
    let soak = [env!("CARGO_BIN_EXE_soak"), "--minutes", MINUTES, "--seed", &seed, "--pause-ms", "4000"];
    // Thousands of connections stay in TIME_WAIT, where they take time from whoever lists sockets.
    let script = "ip link set lo up && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-n", "sh", "-c", script, "sh"]).args(soak);
    if !Command::new("unshare").args(["-n", "true"]).status().is_ok_and(|status| status.success()) {
        skip("no network namespace here (root would have one): the soak runs outside of one");
        command = Command::new(soak[0]);
        command.args(&soak[1..]);
    }
    let output = command.output().expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}\n{err}");
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert!(out.contains("no leak, nothing early, nothing astray, nothing lost"), "{out}");
}
