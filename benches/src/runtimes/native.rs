//! The peers that are not Rust: programs in `benches/peers_native`, compiled when they are wanted.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{NONE, Peer};

/// Where the sources are.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers_native");

pub(crate) const GO: Peer = Peer {
    name: "Go",
    program: Some(&Program {
        file: "go",
        source: "peer.go",
        compile: |source, file| command("go", &["build".as_ref(), "-o".as_ref(), file, source]),
        debian: "golang-go",
        // valgrind does not know Go's runtime before 1.25.
        runs_in_valgrind: false,
    }),
    bounds: &[NONE, "SetReadDeadline"],
    sleeps: &["time.Sleep"],
    crowds: &["time.Sleep"],
    dials: &["Dialer.Timeout"],
    ..Peer::IDLER
};

pub(crate) const LIBUV: Peer = Peer {
    name: "libuv",
    program: Some(&Program {
        file: "libuv",
        source: "peer.c",
        compile: |source, file| {
            let words = ["-O2", "-Wall", "-o"].map(Path::new);
            command("cc", &[&words[..], &[file, source, Path::new("-luv")]].concat())
        },
        debian: "libuv1-dev gcc",
        runs_in_valgrind: true,
    }),
    bounds: &[NONE, "uv_timer_again"],
    sleeps: &["uv_timer"],
    crowds: &["uv_timer"],
    dials: &["uv_timer"],
    ..Peer::IDLER
};

/// A program of another language.
pub(crate) struct Program {
    file: &'static str,
    source: &'static str,
    /// Compiles the first into the second.
    compile: fn(&Path, &Path) -> Command,
    /// The packages that it takes.
    debian: &'static str,
    pub(crate) runs_in_valgrind: bool,
}

impl Program {
    /// Where it is, beside this program.
    pub(crate) fn path(&self) -> Result<PathBuf, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        Ok(program.with_file_name("peers_native").join(self.file))
    }

    /// Compiles it, unless that was done after its source was changed.
    pub(crate) fn build(&self) -> Result<(), String> {
        let (source, path) = (Path::new(SOURCES).join(self.source), self.path()?);
        let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
        if changed(&path).is_ok_and(|built| changed(&source).is_ok_and(|changed| changed < built)) {
            return Ok(());
        }
        let directory = path.parent().ok_or("it has no place")?;
        std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
        let output = (self.compile)(&source, &path).output();
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!(
                "{} cannot be compiled (Debian: apt-get install {}): {}",
                self.source,
                self.debian,
                String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default()
            )),
            Err(error) => Err(format!("no compiler (Debian: apt-get install {}): {error}", self.debian)),
        }
    }
}

fn command(program: &str, words: &[&Path]) -> Command {
    let mut command = Command::new(program);
    command.args(words);
    command
}
