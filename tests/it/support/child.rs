//! Tests that need a process of their own: they run themselves again.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

const ROLE: &str = "PUNCTUAL_CHILD";

/// Whether this process was started by [`command`] to play `role`.
pub(crate) fn plays(role: &str) -> bool {
    std::env::var(ROLE).is_ok_and(|played| played == role)
}

/// A command that runs the test with this path, and only that, as `role`.
pub(crate) fn command(test: &str, role: &str) -> Command {
    wrapped(&[], test, role)
}

/// The same through another program, as `unshare`, that runs what its arguments say.
pub(crate) fn wrapped(wrapper: &[&str], test: &str, role: &str) -> Command {
    let this = std::env::current_exe().expect("the path of this test binary");
    let mut words = wrapper.iter().map(std::ffi::OsStr::new).chain([this.as_os_str()]);
    let mut command = Command::new(words.next().expect("at least this binary"));
    command.args(words).args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).stdin(Stdio::null());
    command
}

/// Runs it to its end and fails if it does.
pub(crate) fn succeed(mut command: Command) {
    let output = command.output().expect("the child starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the child failed: {}\n{out}\n{err}", output.status);
    assert!(out.contains("1 passed"), "the child did not run its test:\n{out}\n{err}");
}

/// A child that talks: each line it [says](say) is heard by its parent.
pub(crate) struct Talking {
    pub(crate) child: Child,
    lines: BufReader<ChildStdout>,
}

const MARK: &str = "@@";

/// In the child: tells the parent.
pub(crate) fn say(word: &str) {
    println!("{MARK}{word}");
}

impl Talking {
    pub(crate) fn start(mut command: Command) -> Talking {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the child starts");
        let lines = BufReader::new(child.stdout.take().expect("it was piped"));
        Talking { child, lines }
    }

    /// Waits until the child says `word`.
    pub(crate) fn wait_for(&mut self, word: &str) {
        let wanted = format!("{MARK}{word}");
        let mut heard = String::new();
        loop {
            let from = heard.len();
            let read = self.lines.read_line(&mut heard).expect("the child's output");
            assert!(read > 0, "the child ended before it said {word:?}:\n{heard}");
            if heard[from..].contains(&wanted) {
                return;
            }
        }
    }

    /// Waits for its end, and fails if it failed.
    pub(crate) fn succeed(mut self) {
        let rest: Vec<_> = self.lines.lines().map_while(Result::ok).collect();
        let status = self.child.wait().expect("the child's end");
        assert!(status.success(), "the child failed: {status}\n{}", rest.join("\n"));
        rest.iter().for_each(|line| println!("{line}"));
    }
}

/// Whether system calls can be made to fail here; says so if not.
pub(crate) fn strace_works() -> bool {
    let works = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    let works = works.is_ok_and(|output| output.status.success());
    if !works {
        super::skip("system calls are made to fail with strace: install it, and allow ptrace");
    }
    works
}
