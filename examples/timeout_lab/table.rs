//! The rows as a person reads them.

use crate::row::Row;

const SCENARIO: usize = 23;
const SET: usize = 17;
const HAPPENED: usize = 43;
const FIRED: usize = 9;
const LATE: usize = 9;
const CLASS: usize = 20;
const PHASE: usize = 11;
const LEAKED: usize = 6;

pub(crate) fn head() -> String {
    line(["scenario", "set", "what happened", "fired", "late", "class", "phase", "leaked", "diagnosis"])
}

/// The row, and under it what did not hold.
pub(crate) fn row(row: &Row) -> String {
    let set = format!("{} {}", row.set, ms(row.set_ms));
    if let Some(why) = &row.skipped {
        let skipped = format!("skipped: {why}");
        return format!("{:SCENARIO$}  {set:SET$}  {skipped}", row.scenario);
    }
    let fired = row.fired_ms.map_or_else(String::new, ms);
    let late = match (row.late_us, row.class.as_deref()) {
        (Some(us), Some("Timeout")) => late(us),
        _ => "-".to_owned(),
    };
    let leaked = format!("{}/{}/{}", row.leaked_fds, row.leaked_tasks, row.leaked_timers);
    let mut text = line([
        &row.scenario,
        &set,
        &row.happened,
        &fired,
        &late,
        row.class.as_deref().unwrap_or("-"),
        row.phase.as_deref().unwrap_or("-"),
        &leaked,
        row.diagnosis.as_deref().unwrap_or(""),
    ]);
    for wrong in &row.wrong {
        text += &format!("\n{:SCENARIO$}  FAILED: {wrong}", "");
    }
    text
}

/// What it all comes to.
pub(crate) fn verdict(rows: &[Row]) -> String {
    let count = |which: fn(&Row) -> bool| rows.iter().filter(|row| which(row)).count();
    let behaved = count(|row| row.ok);
    let skipped = count(|row| row.skipped.is_some());
    let mut text = format!("{behaved} of {} scenarios behaved", rows.len());
    if skipped > 0 {
        text += &format!(", {skipped} could not run here");
    }
    let failed: Vec<_> =
        rows.iter().filter(|row| !row.is_acceptable()).map(|row| row.scenario.as_str()).collect();
    if !failed.is_empty() {
        text += &format!("; FAILED: {}", failed.join(", "));
    }
    text + ". Leaked: descriptors/tasks/timers."
}

fn line(cells: [&str; 9]) -> String {
    let [scenario, set, happened, fired, late, class, phase, leaked, diagnosis] = cells;
    let text = format!(
        "{scenario:SCENARIO$}  {set:SET$}  {happened:HAPPENED$}  {fired:>FIRED$}  {late:>LATE$}  \
         {class:CLASS$}  {phase:PHASE$}  {leaked:LEAKED$}  {diagnosis}"
    );
    text.trim_end().to_owned()
}

fn ms(ms: f64) -> String {
    match ms {
        ms if ms >= 999.5 => format!("{} s", trimmed(ms / 1e3, 2)),
        ms if ms < 9.995 => format!("{} ms", trimmed(ms, 2)),
        ms => format!("{} ms", trimmed(ms, 1)),
    }
}

fn late(us: f64) -> String {
    if us < 999.5 { format!("{us:.0} µs") } else { ms(us / 1e3) }
}

/// Without noughts at the end.
fn trimmed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
