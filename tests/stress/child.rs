//! Tests that need a process of their own: they run themselves again.

use std::process::{Command, Stdio};

const ROLE: &str = "PUNCTUAL_CHILD";

/// Whether this process was started to play `role`; if not, starts one that does and fails if that fails. `test` is the
/// path of the calling test.
///
/// # Panics
/// If the child fails.
#[must_use]
pub fn alone(test: &str) -> bool {
    if std::env::var(ROLE).is_ok_and(|played| played == test) {
        return true;
    }
    let output = command(&[], test).output().expect("the child starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the child failed: {}\n{out}\n{err}", output.status);
    assert!(out.contains("1 passed"), "the child did not run its test:\n{out}\n{err}");
    println!("{out}");
    false
}

/// A command that runs the test with this path, and only that, in a process of its own, through `wrapper`: a program that
/// runs what its arguments say.
///
/// # Panics
/// If this program does not know where it is.
#[must_use]
pub fn command(wrapper: &[&str], test: &str) -> Command {
    let this = std::env::current_exe().expect("the path of this test binary");
    let mut words = wrapper.iter().map(std::ffi::OsStr::new).chain([this.as_os_str()]);
    let mut command = Command::new(words.next().expect("at least this binary"));
    command.args(words).args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(ROLE, test).stdin(Stdio::null());
    command
}
