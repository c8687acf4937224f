//! The report as a person reads it: an aligned table, and the parts of punctual's drift.

use crate::{
    results::LongRow,
    stats::{Parts, Row},
};

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
            text += &format!("— waits of {} s —\n", wait_ms as f64 / 1e3);
        }
        line(&mut text, &row.row);
    }
    text
}

/// Where the lateness of the short waits came from, by punctual's own account of each firing.
pub(crate) fn parts(parts: &[Parts]) -> String {
    let columns = ["total", "quantisation", "kernel", "loop", "task"];
    let mut text = format!("{:NAME_WIDTH$}", "p50 / p99 in µs");
    columns.iter().for_each(|column| text += &format!("{column:>16}"));
    text.push('\n');
    for part in parts {
        text += &format!("{:NAME_WIDTH$}", part.name);
        for [p50, p99] in
            [part.total_ns, part.quantisation_ns, part.kernel_ns, part.loop_ns, part.task_ns]
        {
            text += &format!("{:>16}", format!("{} / {}", us(p50 as f64), us(p99 as f64)));
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
    *text += &format!("{:NAME_WIDTH$}{:>8}{:>7}", row.name, row.samples, row.early);
    for ns in [row.p50_ns, row.p90_ns, row.p99_ns, row.p999_ns, row.max_ns] {
        *text += &format!("{:>9}", us(ns as f64));
    }
    *text += &format!("{:>10}{:>13.2}\n", us(row.cpu_ns_per_wake as f64), row.waits_per_timer);
}
