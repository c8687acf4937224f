//! [`Row`]: what came of one scenario, as it is printed.

use serde::{Deserialize, Serialize};

/// One line of the report. What is not known, because the scenario did not run or did not end, is `None`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) scenario: String,
    /// Whether it ran and everything held.
    pub(crate) ok: bool,
    /// What ended the operation: `Ok`, or the kind of its error, with the kernel's name for an errno.
    pub(crate) class: Option<String>,
    pub(crate) phase: Option<String>,
    /// The bound that counts.
    pub(crate) set_ms: f64,
    /// From before the bound was set to the end of the operation.
    pub(crate) fired_ms: Option<f64>,
    /// How much later than set; 0 for what ended before.
    pub(crate) late_us: Option<f64>,
    /// Everything leaked: the sum of the three below.
    pub(crate) leaked: Option<u64>,
    pub(crate) leaked_fds: u64,
    /// Tasks and scopes.
    pub(crate) leaked_tasks: u64,
    /// Timers, entries in the wheel, and registrations.
    pub(crate) leaked_timers: u64,
    /// What the bound is of.
    pub(crate) set: String,
    pub(crate) happened: String,
    pub(crate) diagnosis: Option<String>,
    /// The whole error, in its own words.
    pub(crate) error: Option<String>,
    /// Why it could not run.
    pub(crate) skipped: Option<String>,
    /// What did not hold.
    pub(crate) wrong: Vec<String>,
}

impl Row {
    /// It behaved, or could not run.
    pub(crate) fn is_acceptable(&self) -> bool {
        self.ok || self.skipped.is_some()
    }
}
