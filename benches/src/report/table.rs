//! The table.

use std::fmt::Write;

use super::Report;

pub(super) fn of(report: &Report) -> String {
    let mut out = String::new();
    let _ =
        writeln!(out, "{}: medians of {} rounds; {}", report.workload, report.rounds, report.machine);
    let mut param = None;
    for row in &report.rows {
        let names = row.names();
        if param != Some(&row.subject.param) {
            param = Some(&row.subject.param);
            let _ = write!(out, "\n{:<34}", row.subject.param);
            names.iter().for_each(|name| out.push_str(&format!("{name:>24}")));
            out.push('\n');
        }
        let _ = write!(out, "{:<10}{:<24}", row.subject.peer, row.subject.variant);
        for name in names {
            let value = row.median(name).unwrap_or(f64::NAN);
            let digits = if value.abs() >= 100.0 { 0 } else { 2 };
            let _ = write!(out, "{value:>24.digits$}");
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
