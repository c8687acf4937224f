//! Tests that need a process of their own: they run themselves again.

use std::process::{Command, Stdio};

use crate::rig::skip;

const ROLE: &str = "PUNCTUAL_CHILD";

/// Whether this process was started to run `test`, and only that; if not, starts one that does, through `wrapper`, and fails if
/// that fails. `test` is the path of the calling test; [`alone!`](crate::alone) knows it.
///
/// # Panics
/// If the child fails.
#[must_use]
pub fn alone(test: &str, wrapper: impl FnOnce() -> &'static [&'static str]) -> bool {
    if std::env::var(ROLE).is_ok_and(|played| played == test) {
        return true;
    }
    let output = command(wrapper(), test).output().expect("the child starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the child failed: {}\n{out}\n{err}", output.status);
    assert!(out.contains("1 passed"), "the child did not run its test:\n{out}\n{err}");
    println!("{out}");
    false
}

/// [`alone`] for the test that this is written in; with an argument, through that wrapper.
#[macro_export]
macro_rules! alone {
    () => {
        $crate::alone!(|| &[])
    };
    ($wrapper:expr) => {{
        fn here() {}
        $crate::child::alone($crate::child::path_around(here), $wrapper)
    }};
}

/// Runs a program in a network namespace of its own, with loopback; without one, and says so, where there is none to be had. Thousands
/// of connections in TIME_WAIT take ports, and time from whoever lists sockets.
#[must_use]
pub fn in_namespace() -> &'static [&'static str] {
    if !Command::new("unshare").args(["-n", "true"]).status().is_ok_and(|status| status.success()) {
        skip("no network namespace here (root would have one): it runs outside of one");
        return &[];
    }
    &["unshare", "-n", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]
}

/// The path of the test around `here`, a function in it, as the harness has it: without the crate.
#[must_use]
pub fn path_around<F>(_here: F) -> &'static str {
    let here = std::any::type_name::<F>();
    let in_crate = here.split_once("::").map_or(here, |(_, path)| path);
    in_crate.rsplit_once("::").map_or(in_crate, |(test, _)| test)
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
