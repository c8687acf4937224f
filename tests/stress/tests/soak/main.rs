//! B05: the soak, bounded: ten thousand connections for half a minute.
//!
//! ```text
//! PUNCTUAL_SEED=7 cargo test -p punctual-tests-stress --test soak -- --nocapture
//! ```

use std::process::Command;

use punctual_tests_stress::child::in_namespace;

/// For how long, ramp included.
const MINUTES: &str = "0.5";

#[test]
fn b05_ten_thousand_connections_through_faults_and_cancels_leave_nothing() {
    let seed = std::env::var("PUNCTUAL_SEED").unwrap_or_else(|_| "5".to_owned());
    let soak = [env!("CARGO_BIN_EXE_soak"), "--minutes", MINUTES, "--seed", &seed, "--pause-ms", "4000"];
    let mut words = in_namespace().iter().copied().chain(soak);
    let mut command = Command::new(words.next().expect("at least the soak"));
    let output = command.args(words).output().expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}\n{err}");
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert!(out.contains("no leak, nothing early, nothing astray, nothing lost"), "{out}");
}
