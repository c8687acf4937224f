//! Where the waterfalls go, and what they may look like there.

use std::io::{self, IsTerminal, Write};

use crate::waterfall::Look;

/// Characters in a line of what is no terminal.
const WIDTH: usize = 100;

/// Stdout, or stderr if stdout is taken.
#[derive(Clone, Copy)]
pub(crate) struct Terminal {
    on_stderr: bool,
    pub(crate) look: Look,
}

impl Terminal {
    pub(crate) fn new(stdout_is_taken: bool) -> Terminal {
        let (is_terminal, size) = match stdout_is_taken {
            true => (io::stderr().is_terminal(), rustix::termios::tcgetwinsize(io::stderr())),
            false => (io::stdout().is_terminal(), rustix::termios::tcgetwinsize(io::stdout())),
        };
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colours = is_terminal && !is_set("NO_COLOR") && !is_dumb;
        let width = size.map_or(WIDTH, |size| usize::from(size.ws_col));
        Terminal {
            on_stderr: stdout_is_taken,
            look: Look { width: if width == 0 { WIDTH } else { width }, colours },
        }
    }

    pub(crate) fn print(self, text: &str) -> io::Result<()> {
        match self.on_stderr {
            true => io::stderr().write_all(text.as_bytes()),
            false => io::stdout().write_all(text.as_bytes()),
        }
    }
}
