//! Networks in which more can go wrong than on loopback.
//!
//! A network namespace lives as long as a process in it: it is entered by unshare(1), which becomes this program, so nothing is
//! named, and nothing is left however the process ends.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::judge::Skipped;

/// `unshare` with what it takes here to be given a network, or why there is none to be had.
pub(crate) fn unshare() -> Result<Command, String> {
    static WAY: OnceLock<Option<&[&str]>> = OnceLock::new();
    let way = WAY.get_or_init(|| {
        let ways: [&[&str]; 2] = [&["--net"], &["--map-root-user", "--net"]];
        ways.into_iter().find(|way| runs(Command::new("unshare").args(*way).arg("true")))
    });
    let Some(way) = way else {
        return Err("a network of its own takes unshare(1), and root or user namespaces for everybody"
            .to_owned());
    };
    let mut command = Command::new("unshare");
    command.args(*way);
    Ok(command)
}

/// What is made in it: commands of ip(8) and nft(8), one a line.
pub(crate) fn build(commands: &str) -> Result<(), Skipped> {
    for line in ["ip link set lo up"].into_iter().chain(commands.lines()) {
        let mut words = line.split_whitespace();
        let Some(program) = words.next() else { continue };
        let output = Command::new(program).args(words).stdin(Stdio::null()).output();
        match output {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr);
                let why = why.lines().next().unwrap_or("it does not say why");
                return Err(Skipped(format!("`{line}` failed: {why}")));
            }
            Err(error) => return Err(Skipped(format!("`{program}` does not run: {error}"))),
        }
    }
    Ok(())
}

fn runs(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
