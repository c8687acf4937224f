//! Peers that serve.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};

use crate::child::command;

/// A child that is killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `peer` under `wrapper`, as `strace` and its arguments; nothing for none.
    pub(crate) fn start(
        wrapper: &[OsString],
        peer: &str,
        variant: &str,
        connections: usize,
    ) -> Result<Server, String> {
        Server::start_as("echo", wrapper, peer, variant, connections)
    }

    /// As [`start`](Server::start), of another kind of server.
    pub(crate) fn start_as(
        what: &str,
        wrapper: &[OsString],
        peer: &str,
        variant: &str,
        connections: usize,
    ) -> Result<Server, String> {
        let mut child = command(wrapper, what, peer, variant, connections as u64)?
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("it cannot be started: {error}"))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
        }
        match line.trim().parse() {
            Ok(address) => Ok(Server { child, address }),
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                Err("it does not listen".into())
            }
        }
    }

    /// The processor time that all its threads have had, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten();
        let of = |path: std::path::PathBuf| {
            let line = fs::read_to_string(path.join("schedstat")).ok()?;
            line.split(' ').next()?.parse::<u64>().ok()
        };
        tasks.flatten().filter_map(|task| of(task.path())).sum()
    }

    /// Its memory that is not shared with others, in bytes.
    pub(crate) fn memory(&self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    }

    /// How often one of its threads has waited for something.
    pub(crate) fn waits(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten();
        let of = |path: std::path::PathBuf| {
            let text = fs::read_to_string(path.join("status")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            line.trim().parse::<u64>().ok()
        };
        tasks.flatten().filter_map(|task| of(task.path())).sum()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(mut self) -> Result<(), String> {
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("it ended with {status}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
