//! [`PhaseState`]: how the phases of connections have fared so far.

use std::collections::BTreeMap;

use punctual_reactor::PhaseRecord;
use serde::{Deserialize, Serialize};

use super::{Distribution, text};

/// How many phases a state has at most; the runtime itself tells 64 apart.
const LISTED: usize = 64;

/// One phase: see [`PhaseRecord`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PhaseState {
    /// Its name, as `resolve`, `tcp-connect`, `read`.
    pub phase: String,
    /// How often it has ended.
    pub ended: u64,
    /// Of these, by a deadline of ours.
    pub timeouts: u64,
    /// How often in which way; ways in which it never ended are left out.
    pub endings: BTreeMap<String, u64>,
    /// How long it took when it was done.
    pub done: Distribution,
}

impl PhaseState {
    pub(super) fn all(records: &[PhaseRecord]) -> Vec<PhaseState> {
        records.iter().take(LISTED).map(PhaseState::from).collect()
    }
}

impl From<&PhaseRecord> for PhaseState {
    fn from(record: &PhaseRecord) -> PhaseState {
        let endings = record.endings.iter().filter(|(_, count)| *count > 0);
        PhaseState {
            phase: text::cut(record.phase),
            ended: record.endings.total(),
            timeouts: record.endings.timeouts(),
            endings: endings.map(|(ending, count)| (ending.as_str().to_owned(), count)).collect(),
            done: Distribution::from(&record.done),
        }
    }
}
