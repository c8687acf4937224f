//! The report as a person reads it: an aligned table, and the parts of punctual's drift.

use std::fmt::Write as _;

use crate::{results::LongRow, stats::Row, strategies::Parts};

const NAME_WIDTH: usize = 22;

/// The table of the short waits.
pub(crate) fn short(rows: &[Row]) -> String {
    let mut text = head();
    rows.iter().for_each(|row| line(&mut text, row));
    text
}

/// The table of the long waits, a block for each length.
pub(crate) fn long(rows: &[LongRow]) -> String {
    let mut text = head();
    let mut wait_ms = 0;
    for row in rows {
        if row.wait_ms != wait_ms {
            wait_ms = row.wait_ms;
            writeln!(text, "— waits of {} s —", wait_ms as f64 / 1e3)
                .expect("a String takes everything");
        }
        line(&mut text, &row.row);
    }
    text
}

/// Where punctual's lateness came from, by its own drift report.
pub(crate) fn parts(parts: &[(&str, Parts)]) -> String {
    let columns = ["total", "quantisation", "kernel", "loop"];
    let mut text = format!("{:NAME_WIDTH$}", "p50 / p99, µs");
    columns.iter().for_each(|column| write!(text, "{column:>20}").expect("a String takes everything"));
    text.push('\n');
    for (name, part) in parts {
        write!(text, "{name:NAME_WIDTH$}").expect("a String takes everything");
        for [p50, p99] in [part.total_ns, part.quantisation_ns, part.kernel_ns, part.loop_ns] {
            let cell = format!("{} / {}", us(p50 as f64), us(p99 as f64));
            write!(text, "{cell:>20}").expect("a String takes everything");
        }
        text.push('\n');
    }
    text
}

/// Nanoseconds as microseconds: two decimals below 10, one below 1000, none above.
pub(crate) fn us(ns: f64) -> String {
    let us = ns / 1e3;
    match us.abs() {
        x if x < 9.995 => format!("{us:.2}"),
        x if x < 999.95 => format!("{us:.1}"),
        _ => format!("{us:.0}"),
    }
}

fn head() -> String {
    format!(
        "{:NAME_WIDTH$}{:>8}{:>7}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}{:>13}\n",
        "lateness in µs",
        "samples",
        "early",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "CPU/wake",
        "waits/timer"
    )
}

fn line(text: &mut String, row: &Row) {
    write!(text, "{:NAME_WIDTH$}{:>8}{:>7}", row.name, row.samples, row.early)
        .expect("a String takes everything");
    for ns in [row.p50_ns, row.p90_ns, row.p99_ns, row.p999_ns, row.max_ns] {
        write!(text, "{:>9}", us(ns as f64)).expect("a String takes everything");
    }
    writeln!(text, "{:>10}{:>13.2}", us(row.cpu_ns_per_wake as f64), row.waits_per_timer)
        .expect("a String takes everything");
}
