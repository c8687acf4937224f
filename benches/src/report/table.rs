//! The table.

use std::fmt::Write;

use super::Report;
use crate::rounds::Row;

/// How wide the columns are.
const LABEL: usize = 34;
const COLUMN: usize = 22;

pub(super) fn of(report: &Report) -> String {
    let mut out = String::new();
    let _ =
        writeln!(out, "{}: medians of {} rounds; {}", report.workload, report.rounds, report.machine);
    for rows in by_param(&report.rows) {
        let names = Row::names_of(rows);
        let _ = write!(out, "\n{:<LABEL$}", rows[0].subject.param);
        names.iter().for_each(|name| out.push_str(&format!("{name:>COLUMN$}")));
        out.push('\n');
        for row in rows {
            let label = format!("{:<9} {}", row.subject.peer, row.subject.variant);
            let _ = write!(out, "{label:<LABEL$}");
            names.iter().for_each(|name| out.push_str(&format!("{:>COLUMN$}", cell(row, name))));
            out.push('\n');
        }
    }
    out.push('\n');
    for target in &report.targets {
        let word = if target.is_met() { "PASS" } else { "FAIL" };
        let _ = writeln!(out, "{word}  {}: {:.3} (at most {})", target.name, target.value, target.most);
    }
    out
}

/// Rows that stand together: what they measured is of one size.
pub(super) fn by_param(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    rows.chunk_by(|a, b| a.subject.param == b.subject.param)
}

/// With as many digits as say something.
pub(super) fn cell(row: &Row, figure: &str) -> String {
    row.median(figure).map_or("–".into(), |value| {
        let digits = if value.abs() >= 100.0 { 0 } else { 2 };
        format!("{value:.digits$}")
    })
}
