//! The picture: a bar for each row, of the figure that says most.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::Report;
use crate::rounds::Row;

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
const BAR: u32 = 22;
const TOP: u32 = 64;
const LABEL: i32 = 360;

pub(super) fn draw(report: &Report, path: &Path) -> Result<(), Box<dyn Error>> {
    let figure = figure(report.workload);
    let bars: Vec<(&Row, f64)> =
        report.rows.iter().filter_map(|row| Some((row, row.median(figure)?))).collect();
    let most = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let root = SVGBackend::new(path, (WIDTH, TOP + BAR * bars.len() as u32 + 16)).into_drawing_area();
    root.fill(&WHITE)?;
    let text = |size: f64, color: RGBColor| ("sans-serif", size).into_font().color(&color);
    root.draw_text(
        &format!("{}: {figure}, medians of {} rounds", report.workload, report.rounds),
        &text(17.0, BLACK),
        (12, 10),
    )?;
    root.draw_text(&report.machine, &text(12.0, RGBColor(90, 90, 90)), (12, 36))?;
    for (at, (row, value)) in bars.iter().enumerate() {
        let top = (TOP + BAR * at as u32) as i32;
        let length = (f64::from(WIDTH as i32 - LABEL - 90) * value / most) as i32;
        let color =
            if row.subject.peer == "punctual" { RGBColor(0, 110, 190) } else { RGBColor(160, 170, 180) };
        let name = format!("{} · {} · {}", row.subject.peer, row.subject.variant, row.subject.param);
        root.draw_text(&name, &text(12.0, BLACK), (12, top + 3))?;
        let bar = Rectangle::new(
            [(LABEL, top), (LABEL + length.max(1), top + BAR as i32 - 5)],
            color.filled(),
        );
        root.draw(&bar)?;
        root.draw_text(&format!("{value:.1}"), &text(12.0, BLACK), (LABEL + length + 6, top + 3))?;
    }
    root.present()?;
    Ok(())
}
