//! The rows as a person reads them.

use crate::row::Row;

const SCENARIO: usize = 21;
const SET: usize = 14;
/// Longer ones go on in a second line.
const HAPPENED: usize = 28;
const FIRED: usize = 8;
const LATE: usize = 7;
const CLASS: usize = 20;
const PHASE: usize = 11;
const LEAKED: usize = 6;
/// As above.
const DIAGNOSIS: usize = 28;

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

/// One row, of as many lines as its longest cell needs.
fn line(cells: [&str; 9]) -> String {
    let [scenario, set, happened, fired, late, class, phase, leaked, diagnosis] = cells;
    let (mut happened, mut diagnosis) = (wrapped(happened, HAPPENED), wrapped(diagnosis, DIAGNOSIS));
    let height = happened.len().max(diagnosis.len());
    happened.resize(height, String::new());
    diagnosis.resize(height, String::new());
    let mut text = format!(
        "{scenario:SCENARIO$}  {set:SET$}  {:HAPPENED$}  {fired:>FIRED$}  {late:>LATE$}  {class:CLASS$}  \
         {phase:PHASE$}  {leaked:LEAKED$}  {}",
        happened[0], diagnosis[0]
    );
    let before = SCENARIO + 2 + SET + 2;
    let between = 2 + FIRED + 2 + LATE + 2 + CLASS + 2 + PHASE + 2 + LEAKED + 2;
    for (happened, diagnosis) in happened.iter().zip(&diagnosis).skip(1) {
        text.truncate(text.trim_end().len());
        text += &format!("\n{:before$}{happened:HAPPENED$}{:between$}{diagnosis}", "", "");
    }
    text.truncate(text.trim_end().len());
    text
}

/// Broken at spaces so that no line is longer than `width`, if its words are not; at least one line.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines
            .last_mut()
            .filter(|line| line.is_empty() || line.chars().count() + 1 + word.chars().count() <= width);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => *line += &format!(" {word}"),
            None => lines.push(word.to_owned()),
        }
    }
    lines
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
