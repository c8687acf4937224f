//! `examples/fetch` as a child process: what it says of peers that stall, redirect, close, and of those that do not.

mod bodies;
mod hops;
mod looks;
mod secure;
mod stalls;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use punctual_tests_http::rig::{now_ns, since};
use serde_json::Value;

/// What one run of it came to.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    /// From before it was started until it had ended, by the tests' own clock.
    pub(crate) took: Duration,
}

/// It, as built beside this test.
pub(crate) fn program() -> PathBuf {
    let mut path = std::env::current_exe().expect("the path of this test");
    path.pop();
    path.pop();
    path.push("examples");
    path.push("fetch");
    let how = "`cargo test --workspace --all-features` builds it, or `cargo build --features http,tls --example fetch`";
    assert!(path.exists(), "{} is not built: {how}", path.display());
    path
}

pub(crate) fn fetch(arguments: &[&str]) -> Ran {
    ran(Command::new(program()).args(arguments))
}

/// Runs it, or something that runs it.
pub(crate) fn ran(command: &mut Command) -> Ran {
    // What the terminal of whoever runs the tests says of colours is not their business.
    for (name, value) in [("NO_COLOR", ""), ("TERM", "xterm-256color")] {
        if command.get_envs().all(|(set, _)| set != name) {
            command.env(name, value);
        }
    }
    let began = now_ns();
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    let took = since(began);
    Ran { code: status.code(), stdout, stderr: String::from_utf8(stderr).expect("text"), took }
}

impl Ran {
    /// Stdout as text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("text")
    }

    /// The fetches of `--json`.
    #[track_caller]
    pub(crate) fn fetches(&self) -> Vec<Value> {
        let report: Value = serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in {:?}, {}", self.text(), self.stderr));
        assert_eq!(report["version"], 1);
        report["fetches"].as_array().expect("fetches").clone()
    }

    /// The one fetch of `--json`.
    #[track_caller]
    pub(crate) fn fetched(&self) -> Value {
        let [fetched] = self.fetches().try_into().expect("one fetch");
        fetched
    }
}

/// The hops of a fetch.
pub(crate) fn hops(fetched: &Value) -> &Vec<Value> {
    fetched["hops"].as_array().expect("hops")
}

/// The names of the phases of a hop, in order.
pub(crate) fn names(hop: &Value) -> Vec<&str> {
    let phases = hop["phases"].as_array().expect("phases");
    phases.iter().map(|phase| phase["name"].as_str().expect("a name")).collect()
}

/// The phase of that name.
#[track_caller]
pub(crate) fn phase<'a>(hop: &'a Value, name: &str) -> &'a Value {
    let mut phases = hop["phases"].as_array().expect("phases").iter();
    phases.find(|phase| phase["name"] == name).unwrap_or_else(|| panic!("no {name} in {hop}"))
}

/// A duration of the report, in nanoseconds.
#[track_caller]
pub(crate) fn ns(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or_else(|| panic!("no {name} in {of}"))
}
