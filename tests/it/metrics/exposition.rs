//! The text as Prometheus reads it: promtool's judgement, and a reader of our own, figure by figure.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use punctual::net::TcpListener;
use punctual::{
    Histogram, Metrics, PhaseEnding, Runtime, blocking, prometheus, record_phase, sleep, spawn,
};

use crate::support::{MS, skip};

/// Something of everything, so that every family has samples.
pub(super) fn busy_runtime() -> Runtime {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let task = spawn(async { sleep(2 * MS).await });
        drop(blocking(|| ()).await);
        drop(task.await);
        drop(listener);
        for (number, ending) in PhaseEnding::ALL.into_iter().enumerate() {
            for (phase, times) in [("first", number + 1), ("second", 100 + number)] {
                for time in 1..=times as u32 {
                    record_phase(phase, ending, time * MS, Some(MS));
                }
            }
        }
    });
    runtime
}

/// What promtool says of `text`: whether it accepts it, and every line that it has to say.
pub(super) fn promtool(text: &str) -> Option<(bool, String)> {
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            skip(&format!("promtool judges the text: install prometheus ({error})"));
            return None;
        }
    };
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn m01_promtool_accepts_the_text_and_has_nothing_to_say() {
    let fresh = Runtime::new().expect("a runtime");
    for metrics in [fresh.metrics(), busy_runtime().metrics(), Metrics::default()] {
        let text = prometheus::encode(&metrics);
        let Some((accepted, said)) = promtool(&text) else { return };
        assert!(accepted && said.is_empty(), "{said}\n{text}");
    }
    let (accepted, said) = promtool("# TYPE a_ms gauge\na_ms 1\n").expect("it ran above");
    assert!(!accepted && said.contains("a_ms"), "it would say so: {said}");
}

/// The samples of a text: what stands before the value, as `name{label="value"}`, and the value.
pub(super) fn read(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value in {line:?}"));
        let value = value.parse().unwrap_or_else(|_| panic!("no number in {line:?}"));
        assert!(samples.insert(series.to_owned(), value).is_none(), "{series} is there twice");
    }
    samples
}

/// The series of a histogram named `name`, with `labels` in each, against what was recorded.
pub(super) fn assert_histogram(
    samples: &mut BTreeMap<String, f64>,
    name: &str,
    labels: &str,
    recorded: &Histogram,
) {
    let alone = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    let comma = if labels.is_empty() { "" } else { "," };
    let mut take = |series: String| samples.remove(&series).unwrap_or_else(|| panic!("no {series}"));
    let mut bounds = 0;
    for power in 10..=34 {
        let bound_ns = (1_u64 << power) - 1;
        let le = format!("{name}_bucket{{{labels}{comma}le=\"{}\"}}", bound_ns as f64 / 1e9);
        let full = recorded.buckets().filter(|(longest, _)| longest.as_nanos() <= u128::from(bound_ns));
        let below: u64 = full.map(|(_, count)| count).sum();
        assert_eq!(take(le.clone()), below as f64, "{le}");
        bounds += 1;
    }
    assert_eq!(bounds, 25);
    let count = recorded.count() as f64;
    assert_eq!(take(format!("{name}_bucket{{{labels}{comma}le=\"+Inf\"}}")), count);
    assert_eq!(take(format!("{name}_count{alone}")), count);
    assert_eq!(take(format!("{name}_sum{alone}")), recorded.sum().as_secs_f64());
}

/// Gives each number a value that no other has, so that none can stand in for another.
fn make_distinct(m: &mut Metrics) {
    let wide = [
        &mut m.uptime_ns,
        &mut m.parked_ns,
        &mut m.spun_ns,
        &mut m.turns,
        &mut m.zero_polls,
        &mut m.spin_polls,
        &mut m.spurious_wakes,
        &mut m.settimes,
        &mut m.events,
        &mut m.stale_events,
        &mut m.fired,
        &mut m.coalesced,
        &mut m.early,
        &mut m.filed,
        &mut m.refiled,
        &mut m.messages,
        &mut m.messages_refused,
        &mut m.remote_signals,
        &mut m.tasks_spawned,
        &mut m.task_polls,
        &mut m.cancelled_sources,
        &mut m.cancelled_scopes,
        &mut m.aborted_tasks,
        &mut m.elapsed_scopes,
        &mut m.accept_backoffs,
        &mut m.stalls,
        &mut m.late_firings,
        &mut m.polls,
    ];
    (1_000_001..).zip(wide).for_each(|(value, field)| *field = value);
    m.polls *= 2;
    let now = [
        &mut m.inbox_depth,
        &mut m.inbox_depth_max,
        &mut m.inbox_capacity,
        &mut m.live_sources,
        &mut m.live_timers,
        &mut m.live_wheel_entries,
        &mut m.live_scopes,
        &mut m.live_tasks,
        &mut m.blocking_threads,
        &mut m.blocking_queued,
    ];
    let waits = &mut m.waits;
    (waits.without_deadline, waits.idle, waits.intended) = (11, 22, 33);
    waits.total = 11 + 22 + 33 + 44;
    (2_001..).zip(now).for_each(|(value, field)| *field = value);
}

#[test]
fn m02_every_sample_of_the_text_is_a_figure_of_the_struct() {
    let mut metrics = busy_runtime().metrics();
    make_distinct(&mut metrics);
    let mut samples = read(&prometheus::encode(&metrics));
    let m = &metrics;
    let seconds = |ns: u64| ns as f64 / 1e9;
    let numbers = [
        ("build_info{version=\"0.1.0\"}", 1.0),
        ("uptime_seconds", seconds(m.uptime_ns)),
        ("parked_seconds_total", seconds(m.parked_ns)),
        ("spun_seconds_total", seconds(m.spun_ns)),
        ("turns_total", m.turns as f64),
        ("polls_total{mode=\"sleep\"}", (m.polls - m.zero_polls) as f64),
        ("polls_total{mode=\"look\"}", m.zero_polls as f64),
        ("polls_total{mode=\"spin\"}", m.spin_polls as f64),
        ("spurious_wakes_total", m.spurious_wakes as f64),
        ("alarms_set_total", m.settimes as f64),
        ("events_total", m.events as f64),
        ("stale_events_total", m.stale_events as f64),
        ("firings_total", m.fired as f64),
        ("coalesced_firings_total", m.coalesced as f64),
        ("early_firings_total", m.early as f64),
        ("lateness_max_seconds", m.drift.total.max().as_secs_f64()),
        ("drift_max_seconds{part=\"quantisation\"}", m.drift.quantisation.max().as_secs_f64()),
        ("drift_max_seconds{part=\"kernel\"}", m.drift.kernel.max().as_secs_f64()),
        ("drift_max_seconds{part=\"loop\"}", m.drift.in_loop.max().as_secs_f64()),
        ("wheel_filed_total", m.filed as f64),
        ("wheel_refiled_total", m.refiled as f64),
        ("remote_commands_total", m.messages as f64),
        ("remote_commands_refused_total", m.messages_refused as f64),
        ("remote_signals_total", m.remote_signals as f64),
        ("inbox_depth", m.inbox_depth as f64),
        ("inbox_depth_max", m.inbox_depth_max as f64),
        ("inbox_capacity", m.inbox_capacity as f64),
        ("tasks_spawned_total", m.tasks_spawned as f64),
        ("task_polls_total", m.task_polls as f64),
        ("cancels_total{of=\"source\"}", m.cancelled_sources as f64),
        ("cancels_total{of=\"scope\"}", m.cancelled_scopes as f64),
        ("cancels_total{of=\"task\"}", m.aborted_tasks as f64),
        ("scopes_elapsed_total", m.elapsed_scopes as f64),
        ("accept_backoffs_total", m.accept_backoffs as f64),
        ("stalls_total", m.stalls as f64),
        ("late_firings_total", m.late_firings as f64),
        ("waits{class=\"without_deadline\"}", 11.0),
        ("waits{class=\"idle\"}", 22.0),
        ("waits{class=\"intended\"}", 33.0),
        ("waits{class=\"bounded\"}", 44.0),
        ("sources", m.live_sources as f64),
        ("timers", m.live_timers as f64),
        ("wheel_entries", m.live_wheel_entries as f64),
        ("scopes", m.live_scopes as f64),
        ("tasks", m.live_tasks as f64),
        ("blocking_threads", m.blocking_threads as f64),
        ("blocking_queued", m.blocking_queued as f64),
    ];
    for (name, number) in numbers {
        let found = samples.remove(&format!("punctual_{name}"));
        assert_eq!(found, Some(number), "{name}");
    }
    let drift = &m.drift;
    assert!(drift.total.count() > 0, "something fired");
    assert_histogram(&mut samples, "punctual_lateness_seconds", "", &drift.total);
    for (part, recorded) in
        [("quantisation", &drift.quantisation), ("kernel", &drift.kernel), ("loop", &drift.in_loop)]
    {
        let label = format!("part=\"{part}\"");
        assert_histogram(&mut samples, "punctual_drift_seconds", &label, recorded);
    }
    for phase in &m.phases {
        let of = format!("phase=\"{}\"", phase.phase);
        assert_histogram(&mut samples, "punctual_phase_duration_seconds", &of, &phase.done);
        assert_histogram(&mut samples, "punctual_phase_cut_off_seconds", &of, &phase.cut_off);
    }
    let timeouts = ["own", "idle", "scope", "cap", "guard", "kernel"];
    for (phase, fewest) in [("first", 1), ("second", 100)] {
        for (number, ending) in PhaseEnding::ALL.into_iter().enumerate() {
            let count = Some((fewest + number) as f64);
            let of = format!("phase=\"{phase}\",ending=\"{ending}\"");
            assert_eq!(samples.remove(&format!("punctual_phase_endings_total{{{of}}}")), count, "{of}");
            if let Some(cause) = timeouts.iter().find(|by| ending.as_str() == format!("timeout-{by}")) {
                let of = format!("phase=\"{phase}\",cause=\"{cause}\"");
                assert_eq!(samples.remove(&format!("punctual_timeouts_total{{{of}}}")), count, "{of}");
            }
        }
    }
    assert!(samples.is_empty(), "nothing is known of {samples:?}");
}
