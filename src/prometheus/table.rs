//! The table of what is told of a runtime. The documentation of the module repeats the names.

use super::family::{Family, Kind, Sample, Value, seconds};
use crate::{Histogram, Metrics, PhaseEnding, PhaseRecord, WaitCounts};

type Told = Family<Metrics>;

const fn counter(name: &'static str, help: &'static str, read: Read) -> Told {
    Told::new(Kind::Counter, name, help, &[], read)
}

const fn gauge(name: &'static str, help: &'static str, read: Read) -> Told {
    Told::new(Kind::Gauge, name, help, &[], read)
}

type Read = for<'a> fn(&'a Metrics) -> Vec<Sample<'a>>;

fn one<'a>(number: f64) -> Vec<Sample<'a>> {
    vec![Sample { labels: Vec::new(), value: Value::Number(number) }]
}

fn count<'a>(count: u64) -> Vec<Sample<'a>> {
    one(count as f64)
}

fn live<'a>(count: usize) -> Vec<Sample<'a>> {
    one(count as f64)
}

/// One series for each value of the only label.
fn by<'a, const N: usize>(counts: [(&'static str, u64); N]) -> Vec<Sample<'a>> {
    let number = |(label, count)| Sample { labels: vec![label], value: Value::Number(count as f64) };
    counts.map(number).into()
}

fn parts(metrics: &Metrics) -> [(&'static str, &Histogram); 3] {
    let drift = &metrics.drift;
    [("quantisation", &drift.quantisation), ("kernel", &drift.kernel), ("loop", &drift.in_loop)]
}

fn spread<'a>(label: &'static str, recorded: &'a Histogram) -> Sample<'a> {
    Sample { labels: vec![label], value: Value::Histogram(recorded) }
}

fn endings(of: &PhaseRecord) -> impl Iterator<Item = Sample<'_>> {
    of.endings.iter().map(|(ending, count)| {
        let labels = vec![of.phase, ending.as_str()];
        Sample { labels, value: Value::Number(count as f64) }
    })
}

fn timeouts(of: &PhaseRecord) -> impl Iterator<Item = Sample<'_>> {
    of.endings.iter().filter_map(|(ending, count)| {
        let PhaseEnding::Timeout(by) = ending else { return None };
        let labels = vec![of.phase, by.as_str()];
        Some(Sample { labels, value: Value::Number(count as f64) })
    })
}

fn longest(histogram: &Histogram) -> f64 {
    histogram.max().as_secs_f64()
}

pub(super) const FAMILIES: &[Told] = &[
    Told::new(
        Kind::Gauge,
        "punctual_build_info",
        "The version of punctual, as a label; the value is always 1.",
        &["version"],
        |_| vec![Sample { labels: vec![env!("CARGO_PKG_VERSION")], value: Value::Number(1.0) }],
    ),
    gauge("punctual_uptime_seconds", "Time since the loop was built.", |m| one(seconds(m.uptime_ns))),
    counter("punctual_parked_seconds_total", "Time asleep, with nothing to do.", |m| {
        one(seconds(m.parked_ns))
    }),
    counter("punctual_spun_seconds_total", "Time spun by precise mode.", |m| one(seconds(m.spun_ns))),
    counter("punctual_turns_total", "Turns of the loop.", |m| count(m.turns)),
    Told::new(
        Kind::Counter,
        "punctual_polls_total",
        "Calls of the kernel's poll: that may sleep, that only look, and that spin.",
        &["mode"],
        |m| by([("sleep", m.polls - m.zero_polls), ("look", m.zero_polls), ("spin", m.spin_polls)]),
    ),
    counter("punctual_spurious_wakes_total", "Sleeps that ended with nothing to do.", |m| {
        count(m.spurious_wakes)
    }),
    counter("punctual_alarms_set_total", "System calls that set the alarm.", |m| count(m.settimes)),
    counter("punctual_events_total", "Readiness events delivered.", |m| count(m.events)),
    counter(
        "punctual_stale_events_total",
        "Events, timers and remote commands of what had ended, dropped.",
        |m| count(m.stale_events),
    ),
    counter("punctual_firings_total", "Timers and deadlines fired.", |m| count(m.fired)),
    counter("punctual_coalesced_firings_total", "Firings in the turn of an earlier one.", |m| {
        count(m.coalesced)
    }),
    counter("punctual_early_firings_total", "Firings before their deadline: always 0.", |m| {
        count(m.early)
    }),
    Told::new(
        Kind::Histogram,
        "punctual_lateness_seconds",
        "How late each timer and deadline fired.",
        &[],
        |m| vec![Sample { labels: Vec::new(), value: Value::Histogram(&m.drift.total) }],
    ),
    gauge("punctual_lateness_max_seconds", "The latest firing so far.", |m| {
        one(longest(&m.drift.total))
    }),
    Told::new(
        Kind::Histogram,
        "punctual_drift_seconds",
        "The parts of each lateness: chosen, the kernel's, the loop's.",
        &["part"],
        |m| parts(m).map(|(part, recorded)| spread(part, recorded)).into(),
    ),
    Told::new(
        Kind::Gauge,
        "punctual_drift_max_seconds",
        "The longest of each part so far.",
        &["part"],
        |m| {
            let sample = |(part, recorded)| Sample {
                labels: vec![part],
                value: Value::Number(longest(recorded)),
            };
            parts(m).map(sample).into()
        },
    ),
    counter("punctual_wheel_filed_total", "Wheel entries made or moved for a connection.", |m| {
        count(m.filed)
    }),
    counter("punctual_wheel_refiled_total", "Wheel entries that met an extended deadline.", |m| {
        count(m.refiled)
    }),
    counter("punctual_remote_commands_total", "Commands taken from the inbox.", |m| count(m.messages)),
    counter("punctual_remote_commands_refused_total", "Commands refused by a full inbox.", |m| {
        count(m.messages_refused)
    }),
    counter("punctual_remote_signals_total", "System calls that woke the loop from outside.", |m| {
        count(m.remote_signals)
    }),
    gauge("punctual_inbox_depth", "Commands that wait in the inbox.", |m| live(m.inbox_depth)),
    gauge("punctual_inbox_depth_max", "The most that ever waited there.", |m| live(m.inbox_depth_max)),
    gauge("punctual_inbox_capacity", "How many may wait there.", |m| live(m.inbox_capacity)),
    counter("punctual_tasks_spawned_total", "Tasks started.", |m| count(m.tasks_spawned)),
    counter("punctual_task_polls_total", "Polls of tasks.", |m| count(m.task_polls)),
    Told::new(
        Kind::Counter,
        "punctual_cancels_total",
        "What was cancelled while it lived.",
        &["of"],
        |m| {
            by([
                ("source", m.cancelled_sources),
                ("scope", m.cancelled_scopes),
                ("task", m.aborted_tasks),
            ])
        },
    ),
    counter("punctual_scopes_elapsed_total", "Scopes ended by their own deadline.", |m| {
        count(m.elapsed_scopes)
    }),
    counter("punctual_accept_backoffs_total", "Pauses of listeners without descriptors.", |m| {
        count(m.accept_backoffs)
    }),
    Told::new(
        Kind::Histogram,
        "punctual_phase_duration_seconds",
        "How long each phase took that was done.",
        &["phase"],
        |m| m.phases.iter().map(|phase| spread(phase.phase, &phase.done)).collect(),
    ),
    Told::new(
        Kind::Histogram,
        "punctual_phase_cut_off_seconds",
        "How long each phase had taken that something ended before it was done.",
        &["phase"],
        |m| m.phases.iter().map(|phase| spread(phase.phase, &phase.cut_off)).collect(),
    ),
    Told::new(
        Kind::Counter,
        "punctual_phase_endings_total",
        "How each phase ended.",
        &["phase", "ending"],
        |m| m.phases.iter().flat_map(endings).collect(),
    ),
    Told::new(
        Kind::Counter,
        "punctual_timeouts_total",
        "Phases that a timeout ended, by whose it was.",
        &["phase", "cause"],
        |m| m.phases.iter().flat_map(timeouts).collect(),
    ),
    counter("punctual_stalls_total", "Turns that took as long as a stall.", |m| count(m.stalls)),
    counter("punctual_late_firings_total", "Firings that the loop made late by a stall.", |m| {
        count(m.late_firings)
    }),
    Told::new(
        Kind::Gauge,
        "punctual_waits",
        "What waits: bounded by a deadline, without one by its nature or by choice, or without one.",
        &["class"],
        |m| {
            let WaitCounts { total, without_deadline, idle, intended, .. } = m.waits;
            let bounded = total - without_deadline - idle - intended;
            by([
                ("bounded", bounded as u64),
                ("idle", idle as u64),
                ("intended", intended as u64),
                ("without_deadline", without_deadline as u64),
            ])
        },
    ),
    gauge("punctual_sources", "Registrations that live.", |m| live(m.live_sources)),
    gauge("punctual_timers", "Timers that live.", |m| live(m.live_timers)),
    gauge("punctual_wheel_entries", "Entries in the timer wheels.", |m| live(m.live_wheel_entries)),
    gauge("punctual_scopes", "Scopes that live.", |m| live(m.live_scopes)),
    gauge("punctual_tasks", "Tasks that live.", |m| live(m.live_tasks)),
    gauge("punctual_blocking_threads", "Threads of the blocking pool.", |m| live(m.blocking_threads)),
    gauge("punctual_blocking_queued", "Calls that wait for one of them.", |m| live(m.blocking_queued)),
];
