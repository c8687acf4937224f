//! The picture: a bar for each row, of the figure that says most. Rows of one size stand together, and have their own scale.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::{Report, table};
use crate::rounds::Row;
use crate::workloads::renew;

/// The figure that is drawn, for each workload.
pub(super) fn figure(workload: &str) -> &'static str {
    match workload {
        "echo" | "cores" => "cpu µs/request",
        "renew" => "instructions/request",
        "idle" => "bytes/connection",
        "wheel" => "churn ns",
        "tasks" => "spawn+join ns",
        "size" => "hello KiB",
        _ => "p50 µs",
    }
}

const WIDTH: u32 = 900;
const LINE: i32 = 22;
const TOP: i32 = 64;
/// Between two groups.
const GAP: i32 = 10;
/// Where the bars begin, and how long they may be.
const BARS: i32 = 250;
const LONGEST: f64 = 520.0;

const OURS: RGBColor = RGBColor(0, 110, 190);
const THEIRS: RGBColor = RGBColor(160, 170, 180);
/// What a deadline costs, on top.
const DEADLINE: RGBColor = RGBColor(222, 120, 40);
const QUIET: RGBColor = RGBColor(90, 90, 90);

/// One row, drawn.
struct Bar<'row> {
    row: &'row Row,
    value: f64,
    /// How much of the value is the deadline's.
    deadline: Option<f64>,
}

impl Bar<'_> {
    fn of<'row>(row: &'row Row, figure: &str) -> Option<Bar<'row>> {
        Some(Bar { row, value: row.median(figure)?, deadline: row.median(renew::COST) })
    }

    fn name(&self) -> String {
        format!("{} {}", self.row.subject.peer, self.row.subject.variant)
    }

    fn told(&self, figure: &str) -> String {
        match self.deadline {
            Some(deadline) => format!("{:.0} + {deadline:.0}", self.value - deadline),
            None => table::cell(self.row, figure),
        }
    }
}

pub(super) fn draw(report: &Report, path: &Path) -> Result<(), Box<dyn Error>> {
    let figure = figure(report.workload);
    let mut groups: Vec<(&str, Vec<Bar<'_>>)> = Vec::new();
    for rows in table::by_param(&report.rows) {
        let mut bars: Vec<Bar<'_>> = rows.iter().filter_map(|row| Bar::of(row, figure)).collect();
        // What a peer does without a deadline is a part of its bar with one.
        let with: Vec<&str> =
            bars.iter().filter(|bar| bar.deadline.is_some()).map(|bar| bar.row.subject.peer).collect();
        bars.retain(|bar| bar.deadline.is_some() || !with.contains(&bar.row.subject.peer));
        if !bars.is_empty() {
            groups.push((&rows[0].subject.param, bars));
        }
    }
    let lines: i32 = groups.iter().map(|(_, bars)| bars.len() as i32 + 1).sum();
    let height = TOP + lines * LINE + groups.len() as i32 * GAP;
    let root = SVGBackend::new(path, (WIDTH, height as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let text = |size: f64, color: RGBColor| ("sans-serif", size).into_font().color(&color);
    root.draw_text(&title(report, figure), &text(17.0, BLACK), (12, 10))?;
    root.draw_text(&report.machine, &text(12.0, QUIET), (12, 36))?;

    let mut top = TOP;
    for (param, bars) in &groups {
        root.draw_text(param, &text(13.0, QUIET), (12, top))?;
        let most = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
        let across = |value: f64| BARS + (LONGEST * value / most) as i32;
        for bar in bars {
            top += LINE;
            let (bottom, end) = (top + LINE - 5, across(bar.value).max(BARS + 1));
            let color = if bar.row.subject.peer == "punctual" { OURS } else { THEIRS };
            let deadline = across(bar.value - bar.deadline.unwrap_or(0.0));
            root.draw_text(&bar.name(), &text(12.0, BLACK), (12, top + 3))?;
            root.draw(&Rectangle::new([(BARS, top), (end, bottom)], color.filled()))?;
            if bar.deadline.is_some() {
                root.draw(&Rectangle::new([(deadline, top), (end, bottom)], DEADLINE.filled()))?;
            }
            root.draw_text(&bar.told(figure), &text(12.0, BLACK), (end + 6, top + 3))?;
        }
        top += LINE + GAP;
    }
    root.present()?;
    Ok(())
}

fn title(report: &Report, figure: &str) -> String {
    match report.workload {
        "renew" => format!("{figure} of an echo, and what a deadline that each renews adds"),
        workload => format!("{workload}: {figure}, medians of {} rounds", report.rounds),
    }
}
