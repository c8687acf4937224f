//! Bars on stderr while long bodies come in, if that is a terminal.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use punctual::Instant;

/// What is over sooner needs no bar.
const LONG: Duration = Duration::from_millis(300);

/// One line for each body that takes long.
#[derive(Clone, Default)]
pub(crate) struct Progress {
    bars: MultiProgress,
}

/// The bar of one body; goes with it.
pub(crate) struct Bar {
    bars: MultiProgress,
    bar: Option<ProgressBar>,
    began: Instant,
    url: String,
    received: u64,
    expected: Option<u64>,
}

impl Progress {
    pub(crate) fn of(&self, url: &str, expected: Option<u64>) -> Bar {
        let url = crate::words::cut(&crate::words::harmless(url), 40);
        Bar { bars: self.bars.clone(), bar: None, began: Instant::now(), url, received: 0, expected }
    }

    /// Prints, with the bars out of the way.
    pub(crate) fn aside<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bars.suspend(print)
    }
}

impl Bar {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.received += bytes as u64;
        if self.bar.is_none() && Instant::now() - self.began >= LONG {
            self.bar = Some(self.bars.add(self.shown()));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.received);
        }
    }

    fn shown(&self) -> ProgressBar {
        let (bar, template) = match self.expected {
            Some(expected) => (
                ProgressBar::new(expected),
                "{msg} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}",
            ),
            None => {
                (ProgressBar::no_length(), "{msg} {spinner} {decimal_bytes} {decimal_bytes_per_sec}")
            }
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.with_message(self.url.clone())
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
    }
}
