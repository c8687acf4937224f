//! `--svg`: the waterfall as a picture. Of each hop a headline, of each phase a bar over one axis of time, and beside it what
//! it took, what it had, and how much of that is left.

use std::{error::Error, io};

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

mod axis;

use axis::Axis;

use crate::report::{Fetched, Hop, Report, Row};
use crate::waterfall::verdict;
use crate::words::{bytes, cut, duration, harmless, wrapped};

const WIDTH: i32 = 1200;
const MARGIN: i32 = 40;
const HEAD: i32 = 76;
/// Headline of a hop, a phase, the axis, a line of an error, and the gap after a fetch.
const HOP: i32 = 66;
const ROW: i32 = 28;
const AXIS: i32 = 40;
const LINE: i32 = 20;
const GAP: i32 = 22;

/// Left and right end of the axis, the right ends of the columns beside it, and the gauge of what is left.
const PLOT: (i32, i32) = (130, 850);
const TOOK_END: i32 = 930;
const BUDGET_END: i32 = 1000;
const LEFT_END: i32 = 1070;
const GAUGE: (i32, i32) = (1084, 1160);
/// Room for how a phase ended.
const LABEL: i32 = 110;
/// Characters that fit into a headline, and into a line of an error.
const HEADLINE: usize = 110;
const SENTENCE: usize = 150;

const FONT: &str = "Inter, Helvetica Neue, Helvetica, Arial, DejaVu Sans, sans-serif";
const INK: RGBColor = RGBColor(0x1f, 0x29, 0x33);
const GREY: RGBColor = RGBColor(0x6b, 0x77, 0x85);
const FAINT: RGBColor = RGBColor(0xe4, 0xe8, 0xec);
const PAPER: RGBColor = RGBColor(0xfd, 0xfd, 0xfb);
const BRICK: RGBColor = RGBColor(0xb8, 0x4a, 0x39);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// The picture, as the text of an SVG file.
pub(crate) fn draw(report: &Report) -> io::Result<String> {
    let height = HEAD + report.fetches.iter().map(height).sum::<i32>();
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32)).into_drawing_area();
        paint(&area, report).map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(svg)
}

fn paint(area: &Area<'_>, report: &Report) -> Drawn {
    area.fill(&PAPER)?;
    write(area, "Where the time of a request went", (MARGIN, 38), 24, INK, HPos::Left, true)?;
    let mut top = HEAD;
    for fetched in &report.fetches {
        block(area, fetched, top)?;
        top += height(fetched);
    }
    Ok(())
}

fn height(fetched: &Fetched) -> i32 {
    let hops: i32 = fetched.hops.iter().map(|hop| HOP + ROW * hop.phases.len() as i32).sum();
    let hops = if fetched.hops.is_empty() { HOP } else { hops };
    hops + AXIS + LINE * sentences(fetched).len() as i32 + GAP
}

/// All of one fetch, from `top` on.
fn block(area: &Area<'_>, fetched: &Fetched, mut top: i32) -> Drawn {
    let axis = Axis::over(fetched.took_ns);
    let columns = [("took", TOOK_END), ("budget", BUDGET_END), ("left", LEFT_END)];
    for (name, end) in columns {
        write(area, name, (end, top + HOP - 14), 12, GREY, HPos::Right, false)?;
    }
    if fetched.hops.is_empty() {
        let url = cut(&harmless(&fetched.url), HEADLINE);
        write(area, &url, (MARGIN, top + 24), 15, INK, HPos::Left, true)?;
        top += HOP;
    }
    for hop in &fetched.hops {
        headline(area, hop, top)?;
        top += HOP;
        let bottom = top + ROW * hop.phases.len() as i32;
        axis.grid(area, top, bottom)?;
        for row in &hop.phases {
            bar(area, &axis, row, top)?;
            top += ROW;
        }
    }
    axis.scale(area, top)?;
    for (text, end) in [(duration(fetched.took_ns), TOOK_END), (duration(fetched.budget_ns), BUDGET_END)]
    {
        write(area, &text, (end, top + 16), 13, GREY, HPos::Right, true)?;
    }
    write(area, &left(fetched.left_ns), (LEFT_END, top + 16), 13, GREY, HPos::Right, true)?;
    gauge(area, fetched.left_ns, fetched.budget_ns, GREY, top + 16)?;
    top += AXIS;
    for (index, sentence) in sentences(fetched).iter().enumerate() {
        let ink = if index == 0 { BRICK } else { INK };
        write(area, sentence, (MARGIN, top + 8), 13, ink, HPos::Left, index == 0)?;
        top += LINE;
    }
    Ok(())
}

fn headline(area: &Area<'_>, hop: &Hop, top: i32) -> Drawn {
    let answer = match (hop.status, hop.version) {
        (Some(status), Some(version)) => {
            format!(" → {status} over {version}, {}", bytes(hop.body_bytes))
        }
        _ => " → no answer".to_owned(),
    };
    let asked = format!("{} {}", harmless(&hop.method), harmless(&hop.url));
    let room = HEADLINE - answer.chars().count().min(HEADLINE);
    let words = format!("{}{answer}", cut(&asked, room));
    write(area, &words, (MARGIN, top + 24), 15, INK, HPos::Left, true)?;
    let use_of_it = if hop.reused { "connection reused" } else { "new connection" };
    let peer =
        hop.peer.as_ref().map_or("no connection".to_owned(), |peer| format!("{peer}, {use_of_it}"));
    write(area, &peer, (MARGIN, top + 45), 13, GREY, HPos::Left, false)
}

/// One phase: its name, its bar, its figures, and the gauge of its budget.
fn bar(area: &Area<'_>, axis: &Axis, row: &Row, top: i32) -> Drawn {
    let middle = top + ROW / 2;
    let (color, ink) = if row.is_done() { (color_of(row.name), INK) } else { (BRICK, BRICK) };
    write(area, row.name, (MARGIN, middle), 14, ink, HPos::Left, !row.is_done())?;
    let (start, end) = (axis.x(row.began_ns), axis.x(row.began_ns.saturating_add(row.took_ns)));
    let corners = [(start, top + 6), (end.max(start + 2), top + ROW - 6)];
    area.draw(&Rectangle::new(corners, color.filled()))?;
    if !row.is_done() {
        // After its end, or where there is no room before its beginning, or in it.
        let (x, side, ink) = match () {
            () if end < PLOT.1 - LABEL => (end + 6, HPos::Left, BRICK),
            () if start > PLOT.0 + LABEL => (start - 6, HPos::Right, BRICK),
            () => (start + 8, HPos::Left, PAPER),
        };
        write(area, row.ending.unwrap_or("under way"), (x, middle), 12, ink, side, true)?;
    }
    write(area, &duration(row.took_ns), (TOOK_END, middle), 13, INK, HPos::Right, true)?;
    write(area, &duration(row.budget_ns), (BUDGET_END, middle), 13, INK, HPos::Right, false)?;
    write(area, &left(row.left_ns), (LEFT_END, middle), 13, ink, HPos::Right, false)?;
    gauge(area, row.left_ns, row.budget_ns, color, middle)
}

/// How much of a budget is left: full to the right if all of it is.
fn gauge(area: &Area<'_>, left_ns: u64, budget_ns: u64, color: RGBColor, middle: i32) -> Drawn {
    let share = left_ns as f64 / budget_ns.max(1) as f64;
    let end = GAUGE.0 + (share.min(1.0) * f64::from(GAUGE.1 - GAUGE.0)).round() as i32;
    area.draw(&Rectangle::new([(GAUGE.0, middle - 3), (GAUGE.1, middle + 3)], FAINT.filled()))?;
    Ok(area.draw(&Rectangle::new([(GAUGE.0, middle - 3), (end, middle + 3)], color.mix(0.6).filled()))?)
}

fn left(ns: u64) -> String {
    if ns == 0 { "none".to_owned() } else { duration(ns) }
}

/// What is said of a failure, in lines.
fn sentences(fetched: &Fetched) -> Vec<String> {
    let Some(failure) = &fetched.error else { return Vec::new() };
    let verdict = failure.deadline.as_ref().map(|deadline| verdict(failure, deadline));
    let all = verdict.into_iter().chain([failure.message.clone()]);
    all.flat_map(|sentence| wrapped(&harmless(&sentence), SENTENCE)).collect()
}

fn color_of(name: &str) -> RGBColor {
    match name {
        "resolve" => RGBColor(0x8e, 0x6b, 0xb0),
        "connect" => RGBColor(0xd0, 0x8c, 0x2f),
        "tls" => RGBColor(0x2a, 0x9d, 0xa8),
        "write" => RGBColor(0x4a, 0x6f, 0xb5),
        "wait" => RGBColor(0x5c, 0x9e, 0x5a),
        _ => RGBColor(0x5f, 0x87, 0xad),
    }
}

fn write(
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    size: i32,
    ink: RGBColor,
    side: HPos,
    bold: bool,
) -> Drawn {
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    // plotters takes a font's size for 1.24 times what SVG takes it for.
    let font = FontDesc::new(FontFamily::Name(FONT), f64::from(size) * 1.24, style);
    let style = TextStyle::from(font).color(&ink).pos(Pos::new(side, VPos::Center));
    Ok(area.draw(&Text::new(text, at, style))?)
}

#[cfg(test)]
mod tests;
