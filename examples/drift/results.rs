//! All figures of one run; serialised, it is the object that `--json` prints.

use std::time::Duration;

use serde::Serialize;

use crate::{
    machine::Machine,
    stats::{Parts, Row, Tally},
};

#[derive(Serialize)]
pub(crate) struct Results {
    /// Whether the loops had other timers to serve.
    #[serde(skip)]
    pub(crate) loaded: bool,
    pub(crate) machine: Machine,
    /// The short waits.
    pub(crate) strategies: Vec<Row>,
    /// The long waits, by length and then by strategy.
    pub(crate) long: Vec<LongRow>,
    /// The parts of punctual's drift over the short waits.
    #[serde(skip)]
    pub(crate) parts: Vec<Parts>,
    /// Early firings that punctual counted itself, those of the load included.
    #[serde(skip)]
    pub(crate) confessed_early: u64,
}

/// The figures of one strategy at long waits of one length.
#[derive(Serialize)]
pub(crate) struct LongRow {
    #[serde(flatten)]
    pub(crate) row: Row,
    pub(crate) wait_ms: u64,
}

impl LongRow {
    pub(crate) fn new(tally: &Tally, wait: Duration) -> LongRow {
        LongRow { row: tally.row(), wait_ms: wait.as_millis() as u64 }
    }
}

impl Results {
    /// Every row, short and long.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.strategies.iter().chain(self.long.iter().map(|long| &long.row))
    }

    pub(crate) fn short(&self, name: &str) -> Option<&Row> {
        self.strategies.iter().find(|row| row.name == name)
    }

    pub(crate) fn long(&self, name: &str, wait_ms: u64) -> Option<&Row> {
        let long = self.long.iter().find(|long| long.row.name == name && long.wait_ms == wait_ms)?;
        Some(&long.row)
    }

    /// The lengths of the long waits, each once.
    pub(crate) fn long_waits_ms(&self) -> impl Iterator<Item = u64> {
        let mut waits_ms: Vec<_> = self.long.iter().map(|long| long.wait_ms).collect();
        waits_ms.dedup();
        waits_ms.into_iter()
    }

    /// Firings of punctual that came before their deadline, by our count or by its own: a broken promise.
    pub(crate) fn punctual_early(&self) -> u64 {
        let ours = self.rows().filter(|row| row.name.starts_with("punctual"));
        ours.map(|row| row.early as u64).sum::<u64>() + self.confessed_early
    }
}
