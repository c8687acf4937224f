//! What is drawn of a report, whatever is in it.

use super::axis::Axis;
use super::*;
use crate::report::{Deadline, Failure, Outcome};

const MS: u64 = 1_000_000;

fn row(name: &'static str, began_ns: u64, took_ns: u64) -> Row {
    let budget_ns = 4 * took_ns;
    Row { name, phase: name, began_ns, took_ns, budget_ns, left_ns: 3 * took_ns, ending: Some("done") }
}

fn fetched() -> Fetched {
    let hop = Hop {
        method: "GET".to_owned(),
        url: "https://a.test/?a=<b>&c=\"d\"".to_owned(),
        version: Some("HTTP/2"),
        status: Some(200),
        phases: vec![
            row("connect", 0, 25 * MS),
            row("wait", 25 * MS, 50 * MS),
            row("body", 75 * MS, 25 * MS),
        ],
        ..Hop::default()
    };
    Fetched {
        url: hop.url.clone(),
        took_ns: 100 * MS,
        budget_ns: 1_000 * MS,
        left_ns: 900 * MS,
        hops: vec![hop],
        ..Fetched::default()
    }
}

fn drawn(fetches: Vec<Fetched>) -> String {
    draw(&Report { version: 1, fetches }).expect("it can be drawn")
}

/// The rectangles of some colour, as (x, width).
fn rectangles(svg: &str, color: RGBColor) -> Vec<(i32, i32)> {
    let fill = format!("fill=\"#{:02X}{:02X}{:02X}\"", color.0, color.1, color.2);
    let number = |line: &str, name: &str| {
        let value = line.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?;
        value.parse::<i32>().ok()
    };
    let bars = svg.lines().filter(|line| line.starts_with("<rect") && line.contains(&fill));
    bars.filter_map(|line| Some((number(line, "x")?, number(line, "width")?))).collect()
}

#[test]
fn bars_and_gauges_are_to_scale() {
    let svg = drawn(vec![fetched()]);
    let plot = PLOT.1 - PLOT.0;
    let three_quarters = (GAUGE.1 - GAUGE.0) * 3 / 4;
    for (name, start, share) in [("connect", 0, 4), ("wait", plot / 4, 2), ("body", plot * 3 / 4, 4)] {
        let drawn = rectangles(&svg, color_of(name));
        assert_eq!(drawn, [(PLOT.0 + start, plot / share), (GAUGE.0, three_quarters)], "{name}");
    }
}

#[test]
fn what_took_no_time_is_seen() {
    let mut none = fetched();
    none.hops[0].phases.push(row("tls", 100 * MS, 0));
    let drawn = rectangles(&drawn(vec![none]), color_of("tls"));
    assert_eq!(drawn[0], (PLOT.1, 2));
}

#[test]
fn the_row_that_a_deadline_ended_is_another_colour_and_the_sentence_is_there() {
    let mut late = fetched();
    late.outcome = Outcome::TimedOut;
    late.hops[0].phases[1].ending = Some("timeout-own");
    let deadline =
        Deadline { whose: "own", budget_ns: Some(50 * MS), late_ns: 61_000, ..Deadline::default() };
    late.error = Some(Failure {
        name: Some("wait"),
        phase: Some("first-byte"),
        message: "peer silent for 50 ms".to_owned(),
        deadline: Some(deadline),
        ..Failure::default()
    });
    let svg = drawn(vec![late]);
    assert_eq!(rectangles(&svg, BRICK).len(), 2, "the bar and its gauge");
    assert!(rectangles(&svg, color_of("wait")).is_empty());
    for words in
        ["timeout-own", "ended by its own deadline of 50 ms, 61 µs late", "peer silent for 50 ms"]
    {
        assert!(svg.contains(words), "no {words:?} in {svg}");
    }
}

#[test]
fn what_others_say_stays_text() {
    let mut hostile = fetched();
    hostile.hops[0].url = "</text><script>\u{1b}[2J\u{0}&".to_owned();
    let svg = drawn(vec![hostile, fetched()]);
    assert!(!svg.contains("<script>") && svg.contains("&lt;script&gt;"), "{svg}");
    assert!(!svg.contains(['\u{1b}', '\u{0}']), "XML has no such characters");
    assert_eq!(svg.matches("no connection").count(), 2, "a block each");
}

#[test]
fn ticks_are_round_few_and_within() {
    for whole_ns in [0, 1, 9, 10, 999, 12_345, 100 * MS, 412 * MS, u64::MAX] {
        let ticks: Vec<_> = Axis::over(whole_ns).ticks().collect();
        assert!((2..=8).contains(&ticks.len()) && ticks[0] == 0, "{whole_ns}: {ticks:?}");
        assert!(ticks.iter().all(|tick| *tick <= whole_ns.max(1)), "{whole_ns}: {ticks:?}");
    }
}
