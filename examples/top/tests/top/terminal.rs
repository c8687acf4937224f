//! A real terminal, of tmux's, on a server of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// A terminal in which a shell runs one line.
pub(crate) struct Terminal {
    /// Where the server listens; nobody else's is touched.
    socket: PathBuf,
}

/// Whether there is a tmux to have terminals from.
pub(crate) fn is_here() -> bool {
    let version = Command::new("tmux").arg("-V").output();
    let here = version.is_ok_and(|output| output.status.success());
    if !here {
        crate::skip("no tmux here: Debian's package tmux would run this test");
    }
    here
}

impl Terminal {
    /// Runs `line` by the shell in a terminal of this size, which stays when the line is done.
    pub(crate) fn run(name: &str, width: u16, height: u16, line: &str) -> Terminal {
        let socket = std::env::temp_dir().join(format!("punctual-top-{}-{name}", std::process::id()));
        let terminal = Terminal { socket };
        let (width, height) = (width.to_string(), height.to_string());
        let stays = format!("{line}\nexec sleep 600");
        let output = terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &width,
            "-y",
            &height,
            "sh",
            "-c",
            &stays,
        ]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        terminal
    }

    fn tmux(&self, words: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.env_remove("TMUX").env("LC_ALL", "C.UTF-8").arg("-u").arg("-S").arg(&self.socket);
        command.args(words).output().expect("tmux runs")
    }

    /// What stands on it now.
    pub(crate) fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    /// Waits until `seen` is true of the screen, for as long as it takes within reason.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, seen: impl Fn(&str) -> bool) -> String {
        // What is waited for is another process; the bound is that of a test that hangs.
        for _ in 0..1_200 {
            let screen = self.screen();
            if seen(&screen) {
                return screen;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{what} was never seen:\n{}", self.screen());
    }

    pub(crate) fn press(&self, keys: &[&str]) {
        assert!(self.tmux(&[&["send-keys"], keys].concat()).status.success());
    }

    pub(crate) fn resize(&self, width: u16, height: u16) {
        let (width, height) = (width.to_string(), height.to_string());
        assert!(self.tmux(&["resize-window", "-x", &width, "-y", &height]).status.success());
    }

    /// A variable of the terminal's, as `alternate_on` or `cursor_flag`.
    pub(crate) fn is(&self, variable: &str) -> bool {
        let output = self.tmux(&["display-message", "-p", &format!("#{{{variable}}}")]);
        String::from_utf8_lossy(&output.stdout).trim() == "1"
    }

    /// A file of its own for what the line writes.
    pub(crate) fn file(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("punctual-top-{}-{name}", std::process::id()))
    }
}

pub(crate) fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
        let _ = std::fs::remove_file(&self.socket);
    }
}
