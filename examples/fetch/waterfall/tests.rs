//! What is seen of a report, whatever is in it.

use super::*;

const PLAIN: Look = Look { width: 100, colours: false };

fn row(name: &'static str, began_ns: u64, took_ns: u64, budget_ns: u64) -> Row {
    let left_ns = budget_ns.saturating_sub(took_ns);
    Row { name, phase: name, began_ns, took_ns, budget_ns, left_ns, ending: Some("done") }
}

/// 100 ms: each phase begins where the one before ends.
fn fetched() -> Fetched {
    let ms = 1_000_000;
    let phases = vec![
        row("resolve", 0, 0, 5_000 * ms),
        row("connect", 0, 10 * ms, 30_000 * ms),
        row("tls", 10 * ms, 20 * ms, 10_000 * ms),
        row("write", 30 * ms, 1, 30_000 * ms),
        row("wait", 30 * ms, 50 * ms, 30_000 * ms),
        row("body", 80 * ms, 20 * ms, 30_000 * ms),
    ];
    let hop = Hop {
        method: "GET".to_owned(),
        url: "https://a.test/".to_owned(),
        peer: Some("192.0.2.1:443".to_owned()),
        version: Some("HTTP/2"),
        status: Some(200),
        body_bytes: 20_480_000,
        phases,
        ..Hop::default()
    };
    Fetched {
        url: hop.url.clone(),
        took_ns: 100 * ms,
        budget_ns: 300_000 * ms,
        left_ns: 299_900 * ms,
        status: hop.status,
        hops: vec![hop],
        ..Fetched::default()
    }
}

fn drawn(fetched: Fetched, look: Look) -> Vec<String> {
    text(&fetched, look).lines().map(ToOwned::to_owned).collect()
}

/// The row of a phase: its figures, and from where to where its bar goes, in characters of the line.
fn row_of<'a>(lines: &'a [String], name: &str) -> (&'a str, usize, usize) {
    let line = lines.iter().find(|line| line.split_whitespace().any(|word| word == name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {lines:#?}"));
    let is_bar = |c: char| ('\u{2588}'..='\u{258f}').contains(&c);
    let cells: Vec<_> = line.chars().collect();
    let start = cells.iter().position(|c| is_bar(*c)).unwrap_or_else(|| panic!("no bar in {line}"));
    assert!(cells[start..].iter().all(|c| is_bar(*c)), "a bar is in one piece: {line}");
    (line, start, cells.len())
}

#[test]
fn bars_are_in_order_and_to_scale() {
    let lines = drawn(fetched(), PLAIN);
    let cells = PLAIN.width - BEFORE;
    let mut before = 0;
    for each in &fetched().hops[0].phases {
        let (line, start, end) = row_of(&lines, each.name);
        let at = |ns: u64| BEFORE as f64 + ns as f64 / 100e6 * cells as f64;
        assert!((start as f64 - at(each.began_ns)).abs() <= 1.0, "{line}");
        assert!((end as f64 - at(each.began_ns + each.took_ns)).abs() <= 1.0, "{line}");
        assert!(start >= before, "it begins before the one before it: {line}");
        before = start;
    }
    assert_eq!(row_of(&lines, "body").2, PLAIN.width, "the last ends where the scale does");
}

#[test]
fn each_row_shows_what_it_took_what_it_had_and_what_was_left() {
    let lines = drawn(fetched(), PLAIN);
    let figures = |name| {
        let line = row_of(&lines, name).0;
        let figures: String = line.chars().skip(NAME).take(3 * FIGURE).collect();
        figures.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(figures("connect"), "10 ms 30 s 30 s");
    assert_eq!(figures("tls"), "20 ms 10 s 9.98 s");
    let total = lines.iter().find(|line| line.contains("total")).expect("a last row");
    assert_eq!(total.split_whitespace().collect::<Vec<_>>().join(" "), "total 100 ms 5m00s 4m59s");
    let names = lines.iter().position(|line| line.contains("took")).expect("the columns have names");
    let ends = |line: &str, what: &str| line.find(what).map(|at| at + what.len());
    assert_eq!(ends(&lines[names], "took"), Some(NAME + FIGURE));
    assert_eq!(ends(&lines[names], "budget"), Some(NAME + 2 * FIGURE));
    assert_eq!(ends(&lines[names], "left"), Some(NAME + 3 * FIGURE));
}

#[test]
fn what_took_no_time_is_seen_wherever_it_is() {
    let mut at_the_end = fetched();
    at_the_end.hops[0].phases.push(row("late", 100_000_000, 0, 1));
    let lines = drawn(at_the_end, PLAIN);
    for name in ["resolve", "write", "late"] {
        let (line, start, end) = row_of(&lines, name);
        assert_eq!(end - start, 1, "{line}");
    }
    let mut nothing = fetched();
    nothing.took_ns = 0;
    for each in &mut nothing.hops[0].phases {
        (each.began_ns, each.took_ns) = (0, 0);
    }
    let lines = drawn(nothing, PLAIN);
    assert_eq!(row_of(&lines, "body").1, BEFORE, "all of it at once is at the beginning");
}

#[test]
fn no_line_is_wider_than_it_may_be() {
    let mut wide = fetched();
    wide.hops[0].url = "https://a.test/".to_owned() + &"é✓".repeat(300);
    wide.headers = vec![("x-long".to_owned(), "v".repeat(500))];
    wide.error =
        Some(Failure { message: "no spaces: ".to_owned() + &"x".repeat(400), ..Failure::default() });
    wide.hops[0].phases.push(row("body", u64::MAX - 1, u64::MAX, u64::MAX));
    for width in [0, 48, 49, 80, 100, 140, 1000] {
        let allowed = width.clamp(WIDTH_MIN, WIDTH_MAX);
        for line in drawn(wide.clone(), Look { width, ..PLAIN }) {
            assert!(line.chars().count() <= allowed, "{width}: {line}");
        }
    }
}

#[test]
fn the_row_that_a_deadline_ended_is_marked_and_the_sentence_is_whole() {
    let mut late = fetched();
    late.outcome = Outcome::TimedOut;
    late.hops[0].phases.truncate(5);
    late.hops[0].phases[4].ending = Some("timeout-own");
    late.error = Some(Failure {
        kind: "Timeout".to_owned(),
        name: Some("wait"),
        phase: Some("first-byte"),
        message: "peer silent for 50 ms".to_owned(),
        diagnosis: None,
        deadline: Some(Deadline {
            whose: "own",
            budget_ns: Some(50_000_000),
            late_ns: 61_000,
            ..Deadline::default()
        }),
    });
    let lines = drawn(late, PLAIN);
    let marked: Vec<_> = lines.iter().filter(|line| line.starts_with('✗')).collect();
    assert_eq!(marked.len(), 2, "the row and the verdict: {lines:#?}");
    assert!(marked[0].contains("wait"), "{lines:#?}");
    assert_eq!(marked[1], "✗ wait was ended by its own deadline of 50 ms, 61 µs late");
    assert_eq!(lines.last().map(String::as_str), Some("  peer silent for 50 ms"));
}

#[test]
fn what_others_say_cannot_reach_the_terminal() {
    let mut hostile = fetched();
    let evil = "\x1b]0;owned\x07\r\n\u{9b}31m\u{202e}";
    hostile.hops[0].url += evil;
    hostile.hops[0].method += evil;
    hostile.headers = vec![(evil.to_owned(), evil.to_owned())];
    hostile.error = Some(Failure { message: evil.to_owned(), ..Failure::default() });
    let shown = text(&hostile, PLAIN);
    assert!(
        !shown.contains(|c: char| c.is_control() && c != '\n') && !shown.contains('\u{202e}'),
        "{shown:?}"
    );
}

#[test]
fn colours_change_nothing_but_the_colour() {
    let coloured = drawn(fetched(), Look { colours: true, ..PLAIN }).join("\n");
    assert!(coloured.contains("\x1b["));
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some(at) = rest.find('\x1b') {
        plain += &rest[..at];
        let end = rest[at..].find('m').expect("only colours") + at;
        rest = &rest[end + 1..];
    }
    assert_eq!(plain + rest, drawn(fetched(), PLAIN).join("\n"));
}

#[test]
fn hops_are_rows_of_one_scale_and_say_what_connection_they_used() {
    let mut two = fetched();
    let mut second = two.hops[0].clone();
    second.reused = true;
    second.phases = vec![row("wait", 90_000_000, 10_000_000, 30_000_000_000)];
    two.hops[0].status = Some(301);
    two.hops.push(second);
    let lines = drawn(two, PLAIN);
    let heads: Vec<_> = lines.iter().filter(|line| line.starts_with("GET ")).collect();
    assert!(
        heads[0].contains("→ 301 ") && heads[1].contains("→ 200 over HTTP/2, 20.5 MB"),
        "{lines:#?}"
    );
    assert!(lines.iter().any(|line| line.ends_with("192.0.2.1:443, new connection")));
    assert!(lines.iter().any(|line| line.ends_with("192.0.2.1:443, connection reused")));
    assert_eq!(
        lines.iter().filter(|line| line.contains("budget")).count(),
        1,
        "one scale for all of it"
    );
}
