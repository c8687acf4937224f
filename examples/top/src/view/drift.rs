//! How late things fired, by part, and how that is distributed.

use punctual::debug::{Distribution, State};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::format::{count, duration};
use super::table::{Cell, Cut, Table, column, width_of};
use super::{BAD, DIM, WARNING, WIDE, rule, top};
use crate::model::Model;
use crate::rates::Between;

/// How wide the table is.
const TABLE: u16 = 78;
/// Where in it the figures of the interval begin, and those of all time.
const INTERVAL: usize = 18;
const ALL_TIME: usize = 46;
const ROWS: u16 = 5;

pub(super) fn height(area: Rect) -> u16 {
    let below = match area {
        Rect { width: WIDE.., .. } => 0,
        Rect { height: ..24, .. } => 0,
        Rect { height: ..30, .. } => 2,
        _ => 4,
    };
    1 + ROWS + below
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, state: &State, between: &Between) {
    let mut rest = area;
    let width = usize::from(area.width);
    let fired = |distribution: &Distribution| format!("{} fired", count(distribution.count));
    let since = match (between.elapsed_ns, model.pinned) {
        (0, _) => "–".to_owned(),
        (elapsed, true) => format!("since r, {}", duration(elapsed)),
        (elapsed, false) => format!("last {}", duration(elapsed)),
    };
    let interval = match between.elapsed_ns {
        0 => since,
        _ => format!("{since}, {}", fired(&between.drift.total)),
    };
    let all = format!("all time, {}", fired(&state.drift.total));
    let title = rule(width, "late by", false, &[(INTERVAL, interval), (ALL_TIME, all)]);
    super::draw(frame, top(&mut rest, 1), vec![title]);

    let wide = area.width >= WIDE;
    let picture = match wide {
        true => Rect { x: rest.x + TABLE, width: rest.width - TABLE, ..rest },
        false => Rect { y: rest.y + ROWS, height: rest.height.saturating_sub(ROWS), ..rest },
    };
    super::draw(frame, top(&mut rest, ROWS), table(state, between).lines(width.min(TABLE.into())));
    let shown = if between.elapsed_ns > 0 { &between.drift.total } else { &state.drift.total };
    super::draw(frame, picture, histogram(shown, picture));
}

fn table(state: &State, between: &Between) -> Table {
    let figure = |title| column(title, Cut::Number, 7);
    let columns = vec![
        column("", Cut::End, 12),
        figure("p50"),
        figure("p99"),
        figure("max"),
        column("", Cut::Number, 0),
        figure("p50"),
        figure("p99"),
        figure("p99.9"),
        figure("max"),
    ];
    let known = between.elapsed_ns > 0;
    let row = |name: &'static str, last: &Distribution, all: &Distribution| {
        let last = [last.p50_ns, last.p99_ns, last.max_ns].map(|ns| cell(ns, known && last.count > 0));
        let all = [all.p50_ns, all.p99_ns, all.p999_ns, all.max_ns].map(|ns| cell(ns, all.count > 0));
        std::iter::once(Cell::raw(name)).chain(last).chain([Cell::raw("")]).chain(all).collect()
    };
    let (last, all) = (&between.drift, &state.drift);
    let rows = vec![
        row("total", &last.total, &all.total),
        row("quantisation", &last.quantisation, &all.quantisation),
        row("kernel", &last.kernel, &all.kernel),
        row("loop", &last.in_loop, &all.in_loop),
    ];
    Table { columns, rows }
}

fn cell(ns: u64, known: bool) -> Cell {
    if !known {
        return Cell::styled("–", DIM);
    }
    Cell::styled(duration(ns), style_of(ns))
}

/// From 20 ms on a lateness is what the loop itself warns of.
pub(super) fn style_of(ns: u64) -> Style {
    match ns {
        20_000_000.. => BAD,
        2_000_000.. => WARNING,
        _ => Style::new(),
    }
}

/// The decades of the picture: from 1 µs to 10 s.
const DECADES: [(u64, &str); 8] = [
    (1_000, "1 µs"),
    (10_000, "10"),
    (100_000, "100"),
    (1_000_000, "1 ms"),
    (10_000_000, "10"),
    (100_000_000, "100"),
    (1_000_000_000, "1 s"),
    (10_000_000_000, "10"),
];

/// Bars over the decades, whose height is the logarithm of how many there are: one in a million is seen.
fn histogram(distribution: &Distribution, area: Rect) -> Vec<Line<'static>> {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let Some(height) = usize::from(area.height).checked_sub(1).filter(|height| *height > 0) else {
        return vec![];
    };
    let width = usize::from(area.width).saturating_sub(2);
    let counts = by_column(distribution, width);
    let most = counts.iter().copied().max().unwrap_or(0);
    let eighths = |count: u64| match count {
        0 => 0,
        _ => 1 + (((count as f64).ln_1p() / (most as f64).ln_1p()) * (height * 8 - 1) as f64) as usize,
    };
    let mut lines: Vec<Line<'static>> = vec![];
    for row in (0..height).rev() {
        let mut line = Line::raw(" ");
        for (at, count) in counts.iter().enumerate() {
            let bar = BARS[eighths(*count).saturating_sub(row * 8).min(8)];
            line.push_span(Span::styled(bar.to_string(), style_of(from_ns(at, width))));
        }
        lines.push(line);
    }
    lines.push(axis(width));
    lines
}

/// The shortest lateness of a column.
fn from_ns(at: usize, width: usize) -> u64 {
    let decades = (DECADES.len() - 1) as f64;
    (DECADES[0].0 as f64 * 10f64.powf(at as f64 * decades / width as f64)) as u64
}

fn by_column(distribution: &Distribution, width: usize) -> Vec<u64> {
    let mut counts = vec![0_u64; width];
    for (to_ns, count) in &distribution.buckets_ns {
        let column = (0..width).rev().find(|at| from_ns(*at, width) <= *to_ns).unwrap_or(0);
        if let Some(counted) = counts.get_mut(column) {
            *counted = counted.saturating_add(*count);
        }
    }
    counts
}

fn axis(width: usize) -> Line<'static> {
    let mut line = String::from(" ");
    for (index, (_, name)) in DECADES.iter().enumerate() {
        let at = 1 + index * width / (DECADES.len() - 1);
        let taken = width_of(&line);
        if at >= taken && at + width_of(name) <= width + 1 {
            line.extend(std::iter::repeat_n('─', at - taken).chain(name.chars()));
        }
    }
    let taken = width_of(&line);
    line.extend(std::iter::repeat_n('─', (width + 1).saturating_sub(taken)));
    Line::styled(line, DIM)
}
