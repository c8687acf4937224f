//! The first lines: who is looked at, what it does in a second, and whether it answers.

use punctual::Instant;
use punctual::debug::State;
use ratatui::text::{Line, Span};

use super::format::{count, duration, harmless, rate};
use super::table::{Cut, fit};
use super::{BAD, BOLD, DIM, WARNING};
use crate::model::{Link, Model};
use crate::rates::Between;

pub(super) const HEIGHT: u16 = 3;

pub(super) fn lines(model: &Model, now: Instant, width: usize) -> Vec<Line<'static>> {
    let (state, between) = (model.state(), model.between());
    let figures = state.zip(between.as_ref());
    vec![
        who(model, state, now, width),
        figures.map(|(_, between)| rates(between, width)).unwrap_or_default(),
        figures.map(|(state, _)| living(state, width)).unwrap_or_default(),
    ]
}

fn who(model: &Model, state: Option<&State>, now: Instant, width: usize) -> Line<'static> {
    let (status, style) = status(model, now);
    let mut words = vec![];
    if let Some(state) = state {
        words.push(Span::styled(format!(" {}", harmless(&state.process_name)), BOLD));
        words.push(Span::raw(format!(" ({})", state.process_id)));
        words.push(Span::raw(format!(" up {}", duration(state.counters.uptime_ns))));
    }
    words.push(Span::styled(format!(" {}", harmless(&model.target)), DIM));
    let mut line = Line::from(words);
    // What is wrong matters more than who it is.
    let status = fit(&status, width.saturating_sub(3), Cut::End);
    let status = Span::styled(format!(" {status} "), style);
    let mut room = width.saturating_sub(status.width() + 1);
    for span in &mut line.spans {
        *span = Span::styled(fit(&span.content, room, Cut::End), span.style);
        room -= span.width();
    }
    line.push_span(Span::raw(" ".repeat(room + 1)));
    line.push_span(status);
    line
}

fn status(model: &Model, now: Instant) -> (String, ratatui::style::Style) {
    let told = |age: std::time::Duration| duration(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX));
    let version = model.state().map_or(0, |state| state.version);
    match model.link(now) {
        _ if model.paused => {
            (format!("paused, as of {} ago", told(model.age(now).unwrap_or_default())), WARNING)
        }
        Link::Starting => ("asking".to_owned(), DIM),
        Link::Answering if version > State::VERSION => {
            (format!("its document is newer than this program (version {version})"), WARNING)
        }
        Link::Answering => (format!("every {}", told(model.interval)), DIM),
        Link::Stuck(silent) => (format!("no answer for {}: the loop does not turn", told(silent)), BAD),
        Link::Failing(failing, why) => {
            (format!("{}, for {}; trying again", harmless(&why), told(failing)), BAD)
        }
    }
}

/// Names and numbers in a row, as many as have room.
fn figures(width: usize, figures: Vec<(&str, String, ratatui::style::Style)>) -> Line<'static> {
    let mut line = Line::default();
    for (name, number, style) in figures {
        let spans =
            [Span::styled(format!(" {name} "), DIM), Span::styled(number, style), Span::raw(" ")];
        if line.width() + spans.iter().map(Span::width).sum::<usize>() > width {
            break;
        }
        line.spans.extend(spans);
    }
    line
}

fn rates(between: &Between, width: usize) -> Line<'static> {
    let known = between.elapsed_ns > 0;
    let told = |per_second: f64| if known { rate(per_second) } else { "–".to_owned() };
    figures(
        width,
        vec![
            (
                "busy",
                if known { format!("{:.1} %", between.busy * 100.0) } else { "–".to_owned() },
                BOLD,
            ),
            ("turns/s", told(between.turns), BOLD),
            ("polls/s", told(between.polls), BOLD),
            ("task polls/s", told(between.task_polls), BOLD),
            ("fired/s", told(between.fired), BOLD),
            ("events/s", told(between.events), BOLD),
        ],
    )
}

fn living(state: &State, width: usize) -> Line<'static> {
    let counters = &state.counters;
    let early = if counters.early > 0 { BAD } else { BOLD };
    figures(
        width,
        vec![
            ("tasks", count(counters.live_tasks), BOLD),
            ("timers", count(counters.live_timers), BOLD),
            ("sources", count(counters.live_sources), BOLD),
            ("scopes", count(counters.live_scopes), BOLD),
            ("inbox", count(counters.inbox_depth), BOLD),
            ("early", count(counters.early), early),
            ("stale", count(counters.stale_events), BOLD),
        ],
    )
}
