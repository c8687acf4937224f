//! The screen: a function of the [`Model`] and the moment, drawn into a frame of any size.
//!
//! ```text
//!  head       who, since when; rates; how it stands with the connection
//!  drift      by part: the last interval, all time; how it is distributed
//!  culprits   what held the loop, the longest first
//!  phases │ oldest        what waits
//!  unbounded  what waits without a deadline
//!  keys
//! ```

mod drift;
mod format;
mod head;
mod lists;
mod table;

#[cfg(test)]
mod tests;

use punctual::Instant;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};

use crate::model::{List, Model};

pub(crate) use format::harmless;

/// The narrowest and lowest screen that shows anything but a request for more.
const LEAST: (u16, u16) = (40, 10);

/// From this width on what is beside something else in a wide screen is there, and not below it.
const WIDE: u16 = 130;

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const WARNING: Style = Style::new().fg(Color::Yellow);
const TITLE: Style = Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD);

/// Draws what is known now.
pub(crate) fn view(model: &Model, now: Instant, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        return draw(frame, area, vec![Line::raw("more room, please")]);
    }
    let mut rest = area;
    draw(frame, top(&mut rest, head::HEIGHT), head::lines(model, now, area.width.into()));
    draw(frame, bottom(&mut rest, 1), vec![keys(model, area.width.into())]);
    if let (Some(state), Some(between)) = (model.state(), model.between()) {
        drift::draw(frame, top(&mut rest, drift::height(area)), model, state, &between);
        lists::draw(frame, rest, model, state);
    }
}

/// The height that shows all of it, for a screen of this `width`.
pub(crate) fn full_height(model: &Model, width: u16) -> u16 {
    let lists = model.state().map_or(0, lists::full_height);
    let drift = |height| drift::height(Rect::new(0, 0, width, height));
    let rest = head::HEIGHT + lists + 1;
    // The higher the screen, the higher the picture in it.
    let heights = [u16::MAX, 24, 0].map(|height| rest + drift(height));
    heights.into_iter().find(|height| rest + drift(*height) == *height).unwrap_or(heights[2])
}

fn keys(model: &Model, width: usize) -> Line<'static> {
    let keys = [
        ("q", "quit"),
        ("p", if model.paused { "go on" } else { "pause" }),
        ("r", "from now on"),
        ("l", "last interval"),
        ("Tab", "list"),
        ("↑↓", "scroll"),
    ];
    let mut line = Line::default();
    for (key, what) in keys {
        let spans = [Span::styled(format!(" {key}"), BOLD), Span::styled(format!(" {what} "), DIM)];
        if line.width() + spans.iter().map(Span::width).sum::<usize>() > width {
            break;
        }
        line.spans.extend(spans);
    }
    line
}

/// A line across, with texts set into it: each at its column, over what stands there before it.
fn rule(width: usize, title: &str, marked: bool, inset: &[(usize, String)]) -> Line<'static> {
    let mark = if marked { "▶ " } else { "─ " };
    let mut line = Line::from(vec![
        Span::styled(mark, if marked { BOLD } else { DIM }),
        Span::styled(table::fit(title, width.saturating_sub(3), table::Cut::End), TITLE),
        Span::raw(" "),
    ]);
    for (at, text) in inset {
        let dashes = at.saturating_sub(line.width() + 1);
        let text = format!(" {text} ");
        if line.width() + dashes + table::width_of(&text) <= width {
            line.push_span(Span::styled("─".repeat(dashes), DIM));
            line.push_span(Span::styled(text, Style::new()));
        }
    }
    let dashes = width.saturating_sub(line.width());
    line.push_span(Span::styled("─".repeat(dashes), DIM));
    line
}

/// The heading of a list and as many of its rows as have room, from where it is scrolled to.
fn list(model: &Model, list: List, title: &str, table: &table::Table, area: Rect) -> Vec<Line<'static>> {
    let width = usize::from(area.width);
    let mut lines = table.lines(width);
    let (rows, shown) = (lines.len() - 1, usize::from(area.height).saturating_sub(2));
    let from = model.scrolled(list, rows, shown);
    let to = rows.min(from + shown);
    let beyond = match (from, to) {
        (0, to) if to == rows => vec![],
        (from, to) => {
            let text = format!("{}–{to} of {rows}", from + 1);
            vec![(width.saturating_sub(table::width_of(&text) + 3), text)]
        }
    };
    let rule = rule(width, title, model.focus == Some(list), &beyond);
    let heading = lines.remove(0);
    let rows = lines.into_iter().skip(from).take(shown);
    [rule, heading].into_iter().chain(rows).collect()
}

fn draw(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>) {
    frame.render_widget(Text::from(lines), area);
}

fn top(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    let taken = Rect { height, ..*rest };
    (rest.y, rest.height) = (rest.y + height, rest.height - height);
    taken
}

fn bottom(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    rest.height -= height;
    Rect { y: rest.y + rest.height, height, ..*rest }
}
