//! A runtime's [`Metrics`] in Prometheus' text format, through the crate
//! [`prometheus`](https://docs.rs/prometheus) 0.14.
//!
//! [`encode`] writes one snapshot as text; [`RuntimeCollector`] puts a runtime into a registry of one's own, beside
//! other metrics.
//!
//! ```
//! use punctual::{Runtime, prometheus};
//! let runtime = Runtime::new()?;
//! let text = prometheus::encode(&runtime.metrics());
//! assert!(text.contains("punctual_early_firings_total 0"));
//! # std::io::Result::Ok(())
//! ```
//!
//! Names and units follow Prometheus' conventions: seconds, and `_total` for what only grows.
//!
//! | metric | type | labels | what it is |
//! |---|---|---|---|
//! | `punctual_build_info` | gauge | `version` | always 1 |
//! | `punctual_uptime_seconds` | gauge | | time since the loop was built |
//! | `punctual_parked_seconds_total` | counter | | time asleep: `1 - rate(…)` is how busy the loop is |
//! | `punctual_spun_seconds_total` | counter | | time spun by precise mode |
//! | `punctual_turns_total` | counter | | turns of the loop |
//! | `punctual_polls_total` | counter | `mode`: `sleep`, `look`, `spin` | calls of the kernel's poll |
//! | `punctual_spurious_wakes_total` | counter | | sleeps that ended with nothing to do |
//! | `punctual_alarms_set_total` | counter | | `timerfd_settime` calls |
//! | `punctual_events_total` | counter | | readiness events delivered |
//! | `punctual_stale_events_total` | counter | | events, timers and commands of what had ended |
//! | `punctual_firings_total` | counter | | timers and deadlines fired |
//! | `punctual_coalesced_firings_total` | counter | | of these, in the turn of an earlier one |
//! | `punctual_early_firings_total` | counter | | always 0 |
//! | `punctual_lateness_seconds` | histogram | | how late each firing was |
//! | `punctual_lateness_max_seconds` | gauge | | the latest |
//! | `punctual_drift_seconds` | histogram | `part`: `quantisation`, `kernel`, `loop` | the parts of it |
//! | `punctual_drift_max_seconds` | gauge | `part` | the longest of each |
//! | `punctual_wheel_filed_total` | counter | | wheel entries made or moved for a connection |
//! | `punctual_wheel_refiled_total` | counter | | those that met an extended deadline |
//! | `punctual_remote_commands_total` | counter | | commands taken from the inbox |
//! | `punctual_remote_commands_refused_total` | counter | | commands refused by a full one |
//! | `punctual_remote_signals_total` | counter | | system calls that woke the loop from outside |
//! | `punctual_inbox_depth` | gauge | | commands that wait |
//! | `punctual_inbox_depth_max` | gauge | | the most that ever waited |
//! | `punctual_inbox_capacity` | gauge | | how many may |
//! | `punctual_tasks_spawned_total` | counter | | tasks started |
//! | `punctual_task_polls_total` | counter | | polls of tasks |
//! | `punctual_cancels_total` | counter | `of`: `source`, `scope`, `task` | what was cancelled while it lived |
//! | `punctual_scopes_elapsed_total` | counter | | scopes ended by their own deadline |
//! | `punctual_accept_backoffs_total` | counter | | pauses of listeners without descriptors |
//! | `punctual_phase_duration_seconds` | histogram | `phase` | how long each took that was done |
//! | `punctual_phase_cut_off_seconds` | histogram | `phase` | how long it had taken when something ended it |
//! | `punctual_phase_endings_total` | counter | `phase`, `ending` | how each ended: [`PhaseEnding`](crate::PhaseEnding) |
//! | `punctual_timeouts_total` | counter | `phase`, `cause` | timeouts by whose they were: [`TimeoutBy`](crate::TimeoutBy) |
//! | `punctual_stalls_total` | counter | | turns as long as the [stall threshold](crate::Builder::stall_threshold) |
//! | `punctual_late_firings_total` | counter | | firings of which the loop's part was as long |
//! | `punctual_waits` | gauge | `class`: `bounded`, `idle`, `intended`, `without_deadline` | what waits: [`WaitCounts`](crate::WaitCounts) |
//! | `punctual_sources` | gauge | | registrations that live |
//! | `punctual_timers` | gauge | | timers that live |
//! | `punctual_wheel_entries` | gauge | | entries in the wheels |
//! | `punctual_scopes` | gauge | | scopes that live |
//! | `punctual_tasks` | gauge | | tasks that live |
//! | `punctual_blocking_threads` | gauge | | threads of the blocking pool |
//! | `punctual_blocking_queued` | gauge | | calls that wait for one |
//! | `punctual_snapshot_age_seconds` | gauge | | only in a registry: see [`RuntimeCollector`] |
//!
//! The buckets of all histograms are the same 25, at powers of two from 1 µs to 17 s. Each bound is the end of a
//! bucket of [`Histogram`](crate::Histogram), so that the counts are exact: `le="0.001048575"` counts what took at
//! most 1 048 575 ns.

mod collector;
mod family;
mod table;

use prometheus::TextEncoder;
use prometheus::proto::MetricFamily;

pub use collector::RuntimeCollector;
/// What HTTP calls the text: the value of `Content-Type`.
pub use prometheus::TEXT_FORMAT as CONTENT_TYPE;

use crate::Metrics;

/// `metrics` in Prometheus' text format.
#[must_use]
pub fn encode(metrics: &Metrics) -> String {
    match TextEncoder::new().encode_to_string(&families(metrics)) {
        Ok(text) => text,
        Err(error) => unreachable!("each family has a name and a sample: {error}"),
    }
}

/// `metrics` as the types of the crate `prometheus`, for an encoder of one's own.
#[must_use]
pub fn families(metrics: &Metrics) -> Vec<MetricFamily> {
    table::FAMILIES.iter().filter_map(|family| family.collect(metrics, &[])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_every_metric_with_its_type_and_labels() {
        let listed = include_str!("mod.rs");
        for family in table::FAMILIES {
            let kind = format!("{:?}", family.kind).to_lowercase();
            let line = format!("//! | `{}` | {kind} |", family.name);
            let found = listed.lines().find(|listed| listed.starts_with(&line));
            let found = found.unwrap_or_else(|| panic!("{line} is not in the table"));
            assert!(family.labels.iter().all(|label| found.contains(&format!("`{label}`"))), "{found}");
        }
        let rows = listed.lines().filter(|line| line.starts_with("//! | `punctual_")).count();
        assert_eq!(rows, table::FAMILIES.len() + 1, "and the age of a snapshot");
    }

    #[test]
    fn a_bound_is_the_end_of_a_bucket_of_the_histogram() {
        for bound_ns in family::bounds_ns() {
            let at = std::time::Duration::from_nanos(bound_ns);
            assert_eq!(crate::Histogram::bucket_end(at), at);
        }
    }
}
