//! [`Table`]: columns of fixed widths and others that share the rest, cut so that what matters stays.

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

/// Which end of a text is given up where it does not fit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// A number: to the right of its column, which is as wide as the widest.
    Number,
    /// The end, as of a name.
    End,
    /// The beginning, as of a path.
    Beginning,
}

/// What one column is.
pub(crate) struct Column {
    title: &'static str,
    cut: Cut,
    /// How wide it is; those with `None` share what is left, according to what they hold.
    width: Option<usize>,
}

pub(crate) fn column(title: &'static str, cut: Cut, width: impl Into<Option<usize>>) -> Column {
    Column { title, cut, width: width.into() }
}

/// What stands in a column of a row.
pub(crate) type Cell = Span<'static>;

/// A heading and rows, for a width.
pub(crate) struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Cell>>,
}

const GAP: usize = 2;
/// What is left free before the first column.
const MARGIN: usize = 1;

impl Table {
    /// The heading and each row, none wider than `width`. Columns that do not fit at all are left out from the right.
    pub(crate) fn lines(&self, width: usize) -> Vec<Line<'static>> {
        let widths = self.widths(width.saturating_sub(MARGIN));
        let dim = Style::new().add_modifier(Modifier::DIM);
        let heading =
            self.columns.iter().map(|column| Cell::styled(column.title, dim)).collect::<Vec<_>>();
        let all = std::iter::once(&heading).chain(&self.rows);
        all.map(|cells| self.line(cells, &widths)).collect()
    }

    /// How wide it is where all its columns have a width.
    pub(crate) fn width(&self) -> u16 {
        let columns = self.columns.iter().map(|column| column.width.unwrap_or(0) + GAP).sum::<usize>();
        u16::try_from(MARGIN + columns - GAP).unwrap_or(u16::MAX)
    }

    /// As many columns as fit, and the width of each.
    fn widths(&self, width: usize) -> Vec<usize> {
        const LEAST: usize = 6;
        let mut shown = self.columns.len();
        let least = |column: &Column| column.width.unwrap_or(LEAST) + GAP;
        while shown > 1 && self.columns[..shown].iter().map(least).sum::<usize>() > width + GAP {
            shown -= 1;
        }
        let mut widths: Vec<_> =
            self.columns[..shown].iter().map(|column| column.width.unwrap_or(0)).collect();
        widths[0] = widths[0].min(width);
        let mut left = (width + GAP).saturating_sub(widths.iter().map(|width| width + GAP).sum());
        // The one that wants least goes first: what it leaves is for those that want more.
        let mut sharing: Vec<_> =
            (0..shown).filter(|index| self.columns[*index].width.is_none()).collect();
        sharing.sort_by_key(|index| self.wanted(*index));
        for (served, index) in sharing.iter().enumerate() {
            widths[*index] = self.wanted(*index).min(left / (sharing.len() - served));
            left -= widths[*index];
        }
        widths
    }

    fn wanted(&self, index: usize) -> usize {
        let longest = self.rows.iter().filter_map(|row| row.get(index)).map(Span::width).max();
        longest.unwrap_or(0).max(width_of(self.columns[index].title))
    }

    fn line(&self, cells: &[Cell], widths: &[usize]) -> Line<'static> {
        let mut line = Line::default();
        for ((cell, column), width) in cells.iter().zip(&self.columns).zip(widths) {
            let gap = if line.spans.is_empty() { MARGIN } else { GAP };
            let shown = fit(&cell.content, *width, column.cut);
            let padding = width.saturating_sub(width_of(&shown));
            let (before, after) = match column.cut {
                Cut::Number => (gap + padding, 0),
                Cut::End | Cut::Beginning => (gap, padding),
            };
            line.push_span(Span::raw(" ".repeat(before)));
            line.push_span(Span::styled(shown, cell.style));
            line.push_span(Span::raw(" ".repeat(after)));
        }
        line
    }
}

/// How many columns of a terminal `text` takes.
pub(crate) fn width_of(text: &str) -> usize {
    Span::raw(text).width()
}

/// `text` in at most `width` columns; what is given up is marked.
pub(crate) fn fit(text: &str, width: usize, cut: Cut) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let Some(room) = width.checked_sub(1) else {
        return String::new();
    };
    let mut taken = 0;
    let mut takes = |c: &char| {
        taken += width_of(c.encode_utf8(&mut [0; 4]));
        taken <= room
    };
    if cut == Cut::Beginning {
        let end: Vec<_> = text.chars().rev().take_while(&mut takes).collect();
        return std::iter::once('…').chain(end.into_iter().rev()).collect();
    }
    text.chars().take_while(&mut takes).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_the_end_that_matters_less() {
        assert_eq!(fit("src/main.rs:12:5", 16, Cut::Beginning), "src/main.rs:12:5");
        assert_eq!(fit("src/main.rs:12:5", 10, Cut::Beginning), "…n.rs:12:5");
        assert_eq!(fit("a long name", 6, Cut::End), "a lon…");
        assert_eq!(fit("wide: 漢字漢字", 9, Cut::End), "wide: 漢…");
        assert_eq!(fit("wide: 漢字漢字", 10, Cut::End), "wide: 漢…");
        assert_eq!([fit("abc", 1, Cut::End), fit("abc", 0, Cut::End)], ["…", ""]);
    }

    fn table() -> Table {
        let columns = vec![
            column("n", Cut::Number, 4),
            column("name", Cut::End, None),
            column("where", Cut::Beginning, None),
            column("age", Cut::Number, 5),
        ];
        let row = |cells: [&'static str; 4]| cells.map(Cell::raw).to_vec();
        let rows = vec![
            row(["1", "a", "src/a/rather/deep/path.rs:1:2", "1 s"]),
            row(["22", "beta", "x", "2 s"]),
        ];
        Table { columns, rows }
    }

    fn shown(width: usize) -> Vec<String> {
        let lines = table().lines(width);
        lines.iter().for_each(|line| assert!(line.width() <= width, "{line:?} in {width}"));
        lines.iter().map(|line| line.to_string().trim_end().to_owned()).collect()
    }

    #[test]
    fn columns_share_what_is_left_and_go_when_there_is_none() {
        assert_eq!(
            shown(41),
            [
                "    n  name  where                    age",
                "    1  a     …her/deep/path.rs:1:2    1 s",
                "   22  beta  x                        2 s",
            ]
        );
        assert_eq!(shown(29)[1], "    1  a     …h.rs:1:2    1 s");
        assert_eq!(shown(21)[2], "   22  beta  x", "the last column has no room");
        assert_eq!(shown(6), ["    n", "    1", "   22"]);
        (1..60).for_each(|width| drop(shown(width)));
    }
}
