//! What can be counted instead of timed: instructions in user space, and system calls. Each is the difference of two runs
//! with fixed numbers of requests, so that starting and ending cost nothing.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::child::command;
use crate::load::{Until, ping_pong};
use crate::server::Server;

const FEW: u64 = 200;
const MANY: u64 = 1_200;

/// What counts.
#[derive(Clone, Copy)]
pub(crate) enum Counter {
    /// valgrind's callgrind: instructions of the process outside of the kernel. It makes a system call of a clock read, so the
    /// some 60 instructions that the vDSO needs for one are not among them, for nobody.
    Instructions,
    /// strace.
    SystemCalls,
}

impl Counter {
    pub(crate) fn tool(self) -> &'static str {
        match self {
            Counter::Instructions => "valgrind",
            Counter::SystemCalls => "strace",
        }
    }

    pub(crate) fn is_here(self) -> bool {
        Command::new(self.tool()).arg("--version").output().is_ok()
    }

    /// Per request of an echo on so many connections.
    pub(crate) fn per_request(
        self,
        peer: &str,
        variant: &str,
        connections: usize,
    ) -> Result<f64, String> {
        let program = crate::runtimes::find(peer).and_then(|peer| peer.program);
        if matches!(self, Counter::Instructions)
            && program.is_some_and(|program| !program.runs_in_valgrind)
        {
            return Err("valgrind does not know its runtime".into());
        }
        let few = self.count(peer, variant, connections, FEW)?;
        let many = self.count(peer, variant, connections, MANY)?;
        Ok((many - few) / ((MANY - FEW) as f64 * connections as f64))
    }

    fn count(self, peer: &str, variant: &str, connections: usize, each: u64) -> Result<f64, String> {
        let file = Scratch::new();
        let words: Vec<OsString> = match self {
            Counter::Instructions => {
                let mut out = OsString::from("--callgrind-out-file=");
                out.push(&file.0);
                vec!["valgrind".into(), "--tool=callgrind".into(), "-q".into(), out]
            }
            Counter::SystemCalls => {
                vec!["strace".into(), "-f".into(), "-c".into(), "-o".into(), file.0.clone().into()]
            }
        };
        let server = Server::start(&words, peer, variant, connections)?;
        ping_pong(server.address, connections, Until::Each(each), || {})
            .map_err(|error| format!("under {}: {error}", self.tool()))?;
        server.ended()?;
        let text = fs::read_to_string(&file.0).map_err(|error| error.to_string())?;
        let total = match self {
            Counter::Instructions => instructions(&text),
            Counter::SystemCalls => total(&text),
        };
        total.ok_or_else(|| format!("{} has counted nothing", self.tool()))
    }
}

/// How often `peer`, doing `what`, makes the system call `call` for each time that it is done: by the difference of two runs that do it so
/// often.
pub(crate) fn system_calls(call: &str, peer: &str, what: &str, times: [u64; 2]) -> Result<f64, String> {
    if !Counter::SystemCalls.is_here() {
        return Err("strace is not installed".into());
    }
    let count = |times| {
        let file = Scratch::new();
        let trace = format!("trace={call}");
        let words = ["strace", "-f", "-c", "-e", &trace, "-o"].map(OsString::from);
        let wrapper = [&words[..], &[file.0.clone().into()]].concat();
        let output = command(&wrapper, what, peer, "", times)?.output();
        let status = output.map_err(|error| error.to_string())?.status;
        let text = fs::read_to_string(&file.0).unwrap_or_default();
        // Without any there is no table.
        status
            .success()
            .then(|| total(&text).unwrap_or(0.0))
            .ok_or_else(|| format!("it ended with {status}"))
    };
    let [few, many] = [count(times[0])?, count(times[1])?];
    Ok((many - few) / (times[1] - times[0]) as f64)
}

fn instructions(text: &str) -> Option<f64> {
    let line =
        text.lines().find_map(|line| line.strip_prefix("summary:").or(line.strip_prefix("totals:")))?;
    line.trim().parse().ok()
}

/// The fourth column of the last line: `100.00 0.1 3 1234 5 total`.
fn total(text: &str) -> Option<f64> {
    let line = text.lines().rev().find(|line| line.trim_end().ends_with("total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// A file that is gone when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let name = format!("punctual-benches-{}", std::process::id());
        Scratch(Path::new(&std::env::temp_dir()).join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tools_write_is_read() {
        assert_eq!(instructions("events: Ir\nsummary: 1234\n\ntotals: 99\n"), Some(1234.0));
        let strace = "% time seconds usecs/call calls errors syscall\n\
            60.0 0.1 3 20 1 recvfrom\n------ ----\n100.00 0.1 3 30 1 total\n";
        assert_eq!(total(strace), Some(30.0));
        assert_eq!((instructions(""), total("")), (None, None));
    }
}
