//! What the sleeps are held against.

use super::{Length, crowd};
use crate::report::Target;
use crate::rounds::Row;

pub(crate) fn targets(rows: &[Row]) -> Vec<Target> {
    let mut targets = Vec::new();
    for length in [Length::Short, Length::Second, Length::FiveSeconds] {
        targets.extend(of_sleeps(rows, length));
    }
    targets.extend(of_crowds(rows));
    targets.into_iter().flatten().collect()
}

fn find<'a>(rows: &'a [Row], peer: &str, variant: &str, param: &str) -> Option<&'a Row> {
    rows.iter().find(|row| {
        let subject = &row.subject;
        (subject.peer, subject.variant, subject.param.as_str()) == (peer, variant, param)
    })
}

/// How many were early, in all turns.
fn early(row: &Row) -> f64 {
    row.turns.iter().filter_map(|figures| figures.get("early")).sum()
}

fn of_sleeps(rows: &[Row], length: Length) -> Vec<Option<Target>> {
    let param = length.name();
    let ours = find(rows, "punctual", "sleep", param);
    let precise = find(rows, "punctual", "precise", param);
    let raw = find(rows, "raw", "timerfd", param);
    let ratio = |figure| ours?.ratio(raw?, figure);
    let mut targets = vec![
        Target::most(
            format!("early, {param}"),
            ours.zip(precise).map(|(a, b)| early(a) + early(b)),
            0.0,
        ),
        Target::most(format!("p50 of raw timerfd, {param}"), ratio("p50 µs"), 1.10),
        Target::most(format!("cpu of raw timerfd, {param}"), ratio("cpu µs/wake"), 1.15),
    ];
    if length == Length::Short {
        let cpu = |row: &Row| row.median("cpu µs/wake");
        let more = ours.zip(precise).and_then(|(ours, precise)| Some(cpu(precise)? - cpu(ours)?));
        targets.push(Target::most(
            format!("precise, p50 µs, {param}"),
            precise.and_then(|row| row.median("p50 µs")),
            5.0,
        ));
        targets.push(Target::most(
            format!("precise, percent of a core more, {param}"),
            more.map(|us| us * 1e3 / length.mean_ns() * 100.0),
            2.0,
        ));
    }
    targets
}

fn of_crowds(rows: &[Row]) -> Vec<Option<Target>> {
    let of = |peer, variant| find(rows, peer, variant, crowd::NAME);
    let ratio = |ours: Option<&Row>, peer, variant, figure| ours?.ratio(of(peer, variant)?, figure);
    let (exact, shared) = (of("punctual", "leeway 0"), of("punctual", "leeway 1 ms"));
    let at = |what: &str| format!("1 000 sleepers, {what}");
    vec![
        Target::most(at("early"), exact.zip(shared).map(|(a, b)| early(a) + early(b)), 0.0),
        Target::most(at("leeway 0, p50 of raw timerfd"), ratio(exact, "raw", "timerfd", "p50 µs"), 1.1),
        Target::most(at("leeway 0, cpu of raw timerfd"), ratio(exact, "raw", "timerfd", "cpu ms"), 1.05),
        Target::most(
            at("leeway 1 ms, cpu of a raw 1 ms loop"),
            ratio(shared, "raw", "1 ms loop", "cpu ms"),
            1.1,
        ),
        Target::most(at("leeway 1 ms, cpu of tokio"), ratio(shared, "tokio", "sleep", "cpu ms"), 0.8),
        Target::most(at("leeway 1 ms, p99 of tokio"), ratio(shared, "tokio", "sleep", "p99 µs"), 1.0),
        Target::most(at("leeway 0, peers ahead on both axes"), exact.map(|row| ahead(rows, row)), 0.0),
        Target::most(
            at("leeway 1 ms, peers ahead on both axes"),
            shared.map(|row| ahead(rows, row)),
            0.0,
        ),
    ]
}

/// How many runtimes are both less late (p50) and cheaper. What fires early is not less late.
fn ahead(rows: &[Row], ours: &Row) -> f64 {
    let is_less = |row: &Row, figure| row.ratio(ours, figure).is_some_and(|ratio| ratio < 1.0);
    let ahead = rows.iter().filter(|row| {
        let subject = &row.subject;
        subject.param == crowd::NAME
            && !["punctual", "raw"].contains(&subject.peer)
            && early(row) == 0.0
            && is_less(row, "p50 µs")
            && is_less(row, "cpu ms")
    });
    ahead.count() as f64
}
