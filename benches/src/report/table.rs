//! The table.

use std::fmt::Write;

use super::Report;

/// How wide the columns are.
const LABEL: usize = 34;
const COLUMN: usize = 22;

pub(super) fn of(report: &Report) -> String {
    let mut out = String::new();
    let _ =
        writeln!(out, "{}: medians of {} rounds; {}", report.workload, report.rounds, report.machine);
    let mut param = None;
    for row in &report.rows {
        let names = row.names();
        if param != Some(&row.subject.param) {
            param = Some(&row.subject.param);
            let _ = write!(out, "\n{:<LABEL$}", row.subject.param);
            names.iter().for_each(|name| out.push_str(&format!("{name:>COLUMN$}")));
            out.push('\n');
        }
        let label = format!("{:<9} {}", row.subject.peer, row.subject.variant);
        let _ = write!(out, "{label:<LABEL$}");
        for name in names {
            let value = row.median(name).unwrap_or(f64::NAN);
            let _ = write!(out, "{value:>COLUMN$.*}", digits(value));
        }
        out.push('\n');
    }
    out.push('\n');
    for target in &report.targets {
        let word = if target.is_met() { "PASS" } else { "FAIL" };
        let _ = writeln!(out, "{word}  {}: {:.3} (at most {})", target.name, target.value, target.most);
    }
    out
}

/// As many as say something.
pub(super) fn digits(value: f64) -> usize {
    if value.abs() >= 100.0 { 0 } else { 2 }
}
