//! What held the loop, and what waits.

use punctual::debug::{BlameState, CulpritEntry, PhaseState, PhaseWaits, State, TaskEntry, WaitState};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::drift::style_of;
use super::format::{count, duration, grouped, harmless};
use super::table::{Cell, Cut, Table, column};
use super::{BAD, BOLD, DIM, WARNING, list, top};
use crate::model::{List, Model};

/// The rule and the heading of a list.
const HEADING: u16 = 2;
/// From this width on there is room for the columns that explain more.
const ROOMY: u16 = 100;

/// How many rows each list could show: culprits, waits, those without a deadline, tasks, phases so far.
fn rows(state: &State) -> [u16; 5] {
    let rows = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).max(1);
    let waits = &state.waits;
    [
        rows(state.blame.worst.len()),
        rows(waits.by_phase.len().max(waits.oldest.len())),
        rows(waits.unbounded.len()),
        state.tasks.len().try_into().unwrap_or(u16::MAX),
        state.phases.len().try_into().unwrap_or(u16::MAX),
    ]
}

pub(super) fn full_height(state: &State) -> u16 {
    rows(state).iter().filter(|rows| **rows > 0).map(|rows| HEADING + rows).sum()
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, state: &State) {
    let mut rest = area;
    let mut show = |area: Rect, which: List, title: &str, table: &Table| {
        super::draw(frame, area, list(model, which, title, table, area));
    };
    let [culprits, waits, unbounded, tasks, record] = share(area.height, rows(state));

    let area = top(&mut rest, culprits);
    let title = culprits_title(&state.blame);
    show(area, List::Culprits, &title, &culprits_table(state, area.width));

    let mut right = top(&mut rest, waits);
    let phases = phases(state, right.width);
    let left = Rect { width: phases.width().min(right.width), ..right };
    (right.x, right.width) = (right.x + left.width + 1, right.width.saturating_sub(left.width + 1));
    show(left, List::Phases, &format!("waits: {}", count(state.waits.count)), &phases);
    show(right, List::Oldest, "oldest waits", &waits_table(&state.waits.oldest, right.width));

    let area = top(&mut rest, unbounded);
    let waits = &state.waits;
    let rightly = count(waits.idle.saturating_add(waits.intended));
    let title = format!(
        "waits without a deadline: {}; {rightly} more may go without",
        count(waits.without_deadline)
    );
    show(area, List::Unbounded, &title, &waits_table(&state.waits.unbounded, area.width));

    let area = top(&mut rest, tasks);
    show(area, List::Tasks, "busiest tasks", &tasks_table(state, area.width));

    let area = top(&mut rest, record);
    show(area, List::Record, "phases so far", &record_table(state));
}

fn culprits_title(blame: &BlameState) -> String {
    let threshold = duration(blame.threshold_ns);
    match blame.stalls {
        0 => "worst culprits: no turn was held".to_owned(),
        1 => format!("worst culprits: one turn took {threshold} or longer"),
        stalls => format!("worst culprits: {} turns took {threshold} or longer", count(stalls)),
    }
}

fn culprits_table(state: &State, width: u16) -> Table {
    let mut columns = vec![
        column("held", Cut::Number, 7),
        column("ago", Cut::Number, 7),
        column("by", Cut::End, None),
        column("from", Cut::Beginning, None),
    ];
    let roomy = width >= ROOMY;
    if roomy {
        columns.extend([
            column("in span", Cut::End, None),
            column("on CPU", Cut::Number, 7),
            column("late", Cut::Number, 5),
            column("by up to", Cut::Number, 8),
            column("in turn", Cut::Number, 10),
        ]);
    }
    let row = |culprit: &CulpritEntry| {
        let ago_ns = state.taken_ns.saturating_sub(culprit.began_ns);
        let who = culprit.name.as_ref().or(culprit.task.as_ref()).unwrap_or(&culprit.kind);
        let mut cells = vec![
            Cell::styled(duration(culprit.held_ns), style_of(culprit.held_ns)),
            Cell::raw(duration(ago_ns)),
            Cell::raw(harmless(who)),
            Cell::styled(told(&culprit.location), BOLD),
        ];
        if roomy {
            let late =
                if culprit.late_firings > 0 { duration(culprit.lateness_ns) } else { "–".to_owned() };
            cells.extend([
                Cell::raw(told(&culprit.span)),
                Cell::raw(culprit.ran_ns.map_or("–".to_owned(), duration)),
                Cell::raw(count(culprit.late_firings)),
                Cell::raw(late),
                Cell::raw(grouped(culprit.turn)),
            ]);
        }
        cells
    };
    Table { columns, rows: state.blame.worst.iter().map(row).collect() }
}

/// What `height` gives each list: three rows first, as far as it has them, and to the first three before the others; then
/// row by row. A list that has no room for a row is not begun.
fn share(height: u16, wanted: [u16; 5]) -> [u16; 5] {
    let mut given = [0; 5];
    let mut left = height;
    for (lists, most) in [(3, HEADING + 3), (5, u16::MAX)] {
        let mut before = left + 1;
        while left < before {
            before = left;
            for (given, wanted) in given.iter_mut().zip(wanted).take(lists) {
                let step = if *given == 0 { HEADING + 1 } else { 1 };
                if wanted > 0 && *given < most.min(HEADING + wanted) && left >= step {
                    *given += step;
                    left -= step;
                }
            }
        }
    }
    given
}

fn phases(state: &State, width: u16) -> Table {
    let roomy = width >= ROOMY;
    let mut columns = vec![
        column("for", Cut::End, 11),
        column("waits", Cut::Number, 5),
        column("never", Cut::Number, 5),
    ];
    if roomy {
        columns.push(column("oldest", Cut::Number, 7));
    }
    let row = |phase: &PhaseWaits| {
        let unbounded = match phase.without_deadline {
            0 => Cell::styled("–", DIM),
            some => Cell::styled(count(some), WARNING),
        };
        let mut cells =
            vec![Cell::raw(harmless(&phase.phase)), Cell::raw(count(phase.count)), unbounded];
        if roomy {
            cells.push(Cell::raw(duration(phase.oldest_ns)));
        }
        cells
    };
    Table { columns, rows: state.waits.by_phase.iter().map(row).collect() }
}

fn waits_table(waits: &[WaitState], width: u16) -> Table {
    let mut columns = vec![
        column("waited", Cut::Number, 7),
        column("left", Cut::Number, 8),
        column("for", Cut::End, None),
        column("by", Cut::Beginning, None),
    ];
    let (roomy, wide) = (width >= 70, width >= ROOMY);
    if roomy {
        columns.extend([column("with", Cut::End, None), column("in", Cut::Beginning, None)]);
    }
    if wide {
        columns.push(column("task", Cut::End, None));
    }
    let row = |wait: &WaitState| {
        let mut cells = vec![
            Cell::raw(duration(wait.waited_ns)),
            left(wait),
            Cell::raw(harmless(&wait.phase)),
            Cell::raw(told(&wait.spawned_at)),
        ];
        if roomy {
            cells.extend([Cell::raw(told(&wait.subject)), Cell::raw(told(&wait.scope))]);
        }
        if wide {
            cells.push(Cell::raw(told(&wait.name)));
        }
        cells
    };
    Table { columns, rows: waits.iter().map(row).collect() }
}

fn tasks_table(state: &State, width: u16) -> Table {
    let mut columns = vec![
        column("busy", Cut::Number, 7),
        column("polls", Cut::Number, 7),
        column("longest", Cut::Number, 7),
        column("task", Cut::End, None),
        column("spawned at", Cut::Beginning, None),
    ];
    let roomy = width >= ROOMY;
    if roomy {
        columns.push(column("in span", Cut::End, None));
    }
    let row = |task: &TaskEntry| {
        let mut cells = vec![
            Cell::raw(duration(task.busy_ns)),
            Cell::raw(count(task.polls)),
            Cell::styled(duration(task.longest_poll_ns), style_of(task.longest_poll_ns)),
            Cell::raw(harmless(task.name.as_ref().unwrap_or(&task.task))),
            Cell::raw(harmless(&task.spawned_at)),
        ];
        if roomy {
            cells.push(Cell::raw(told(&task.span)));
        }
        cells
    };
    Table { columns, rows: state.tasks.iter().map(row).collect() }
}

fn record_table(state: &State) -> Table {
    let figure = |title| column(title, Cut::Number, 7);
    let columns = vec![
        column("phase", Cut::End, 14),
        figure("ended"),
        figure("timeout"),
        figure("p50"),
        figure("p99"),
        figure("max"),
        column("by", Cut::End, None),
    ];
    let row = |phase: &PhaseState| {
        let endings: Vec<_> =
            phase.endings.iter().map(|(by, n)| format!("{} {}", harmless(by), count(*n))).collect();
        let took = |ns| Cell::raw(if phase.done.count > 0 { duration(ns) } else { "–".to_owned() });
        let style = if phase.timeouts > 0 { WARNING } else { Style::new() };
        vec![
            Cell::raw(harmless(&phase.phase)),
            Cell::raw(count(phase.ended)),
            Cell::styled(count(phase.timeouts), style),
            took(phase.done.p50_ns),
            took(phase.done.p99_ns),
            took(phase.done.max_ns),
            Cell::raw(endings.join(", ")),
        ]
    };
    Table { columns, rows: state.phases.iter().map(row).collect() }
}

fn told(text: &Option<String>) -> String {
    text.as_deref().map_or(String::new(), harmless)
}

/// How much time it has left; without a deadline whether that is as it should be.
fn left(wait: &WaitState) -> Cell {
    match wait.left_ns {
        Some(left @ 0..) => Cell::styled(duration(left.unsigned_abs()), Style::new()),
        Some(past) => Cell::styled(format!("-{}", duration(past.unsigned_abs())), BAD),
        None if wait.class == "idle" || wait.class == "intended" => {
            Cell::styled(wait.class.clone(), DIM)
        }
        None => Cell::styled("never", WARNING),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_has_a_share_and_none_has_more_than_it_wants() {
        assert_eq!(share(12, [20, 20, 20, 20, 0]), [4, 4, 4, 0, 0]);
        assert_eq!(
            share(12, [1, 20, 1, 20, 0]),
            [3, 6, 3, 0, 0],
            "what one does not want is the others'"
        );
        assert_eq!(share(9, [9, 9, 9, 9, 0]), [3, 3, 3, 0, 0]);
        assert_eq!(share(7, [9, 9, 9, 9, 0]), [4, 3, 0, 0, 0], "not begun without a row");
        assert_eq!(share(2, [9, 9, 9, 9, 0]), [0, 0, 0, 0, 0]);
        assert_eq!(share(100, [3, 4, 5, 0, 0]), [5, 6, 7, 0, 0]);
        for height in 0..120 {
            let given = share(height, [20, 3, 1, 7, 2]);
            assert!(
                given.iter().sum::<u16>() <= height && given <= [22, 5, 3, 9, 4],
                "{height}: {given:?}"
            );
        }
    }
}
