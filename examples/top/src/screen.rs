//! [`Screen`]: the terminal while it is ours, and as it was afterwards.

use std::io;

use punctual::Instant;
use ratatui::DefaultTerminal;

use crate::model::Model;
use crate::view::view;

/// The alternate screen in raw mode. What it was before is put back when this is dropped, and before a panic is told.
pub(crate) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    pub(crate) fn open() -> io::Result<Screen> {
        let terminal = ratatui::try_init().inspect_err(|_| ratatui::restore())?;
        Ok(Screen { terminal })
    }

    pub(crate) fn draw(&mut self, model: &Model) -> io::Result<()> {
        self.terminal.draw(|frame| view(model, Instant::now(), frame)).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // ratatui hides the cursor while it draws, and shows it only when its terminal is dropped.
        let _ = self.terminal.show_cursor();
        ratatui::restore();
    }
}
