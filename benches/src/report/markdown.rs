//! Markdown, and its place in a document.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::Report;
use super::table::{by_param, cell};
use crate::rounds::Row;

pub(super) fn of(report: &Report) -> String {
    let mut out = String::new();
    let Report { workload, rounds, machine, .. } = report;
    let _ = writeln!(
        out,
        "`cargo run --release -p punctual-benches -- {workload}`: medians of {rounds} rounds; {machine}"
    );
    for rows in by_param(&report.rows) {
        let names = Row::names_of(rows);
        let _ = writeln!(out, "\n| {} | | {} |", rows[0].subject.param, names.join(" | "));
        let _ = writeln!(out, "|---|---|{}", "---:|".repeat(names.len()));
        for row in rows {
            let _ = write!(out, "| {} | {} |", row.subject.peer, row.subject.variant);
            names.iter().for_each(|name| out.push_str(&format!(" {} |", cell(row, name))));
            out.push('\n');
        }
    }
    out.push_str("\n| target | measured | at most | |\n|---|---:|---:|---|\n");
    for target in &report.targets {
        let word = if target.is_met() { "met" } else { "missed" };
        let _ = writeln!(out, "| {} | {:.3} | {:.3} | {word} |", target.name, target.value, target.most);
    }
    out
}

/// Puts it into the document at `path`, where its workload has its place.
pub(super) fn write(report: &Report, path: &Path) -> Result<(), String> {
    let why = |error: std::io::Error| format!("{}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(why)?;
    let text = placed(&text, report.workload, &of(report))
        .ok_or_else(|| format!("{}: it has no place for `{}`", path.display(), report.workload))?;
    fs::write(path, text).map_err(why)
}

fn placed(text: &str, workload: &str, figures: &str) -> Option<String> {
    let (before, rest) = text.split_once(&format!("<!-- {workload} -->\n"))?;
    let (_, after) = rest.split_once(&format!("<!-- /{workload} -->\n"))?;
    Some(format!("{before}<!-- {workload} -->\n{figures}<!-- /{workload} -->\n{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_their_place_in_a_document() {
        let text = "a\n<!-- echo -->\nold\n<!-- /echo -->\nb\n";
        let new = "a\n<!-- echo -->\nnew\n<!-- /echo -->\nb\n";
        assert_eq!(placed(text, "echo", "new\n").as_deref(), Some(new));
        assert_eq!(placed(text, "idle", "new\n"), None);
    }
}
