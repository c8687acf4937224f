//! What the figures say, in words. Every sentence is made from the rows of this run, and is left out when they do not
//! carry it.

use crate::{results::Results, stats::Row, table::us};

/// One sentence or two on each finding.
pub(crate) fn sentences(results: &Results) -> Vec<String> {
    let mut said = vec![early(results), spins(results)];
    said.extend(rounding(results));
    said.extend(slack(results));
    said.extend(jiffies(results));
    said.extend(against_timerfd(results));
    said.extend(precise(results));
    said
}

fn early(results: &Results) -> String {
    let rows: Vec<_> = results.rows().collect();
    let mut who = Vec::new();
    for row in &results.strategies {
        let early: usize = rows.iter().filter(|r| r.name == row.name).map(|r| r.early).sum();
        if early > 0 {
            who.push(format!("{} {early} times", row.name));
        }
    }
    let total: usize = rows.iter().map(|row| row.samples).sum();
    match who.is_empty() {
        true => format!("Early: nobody, in {total} timers."),
        false => format!("Early: {}, in {total} timers in all.", who.join(", ")),
    }
}

fn spins(results: &Results) -> String {
    let timerfd_ns = results.short("timerfd").map(|row| row.cpu_ns_per_wake as f64);
    let told = |row: &Row| {
        let (waits, cpu_ns) = (row.waits_per_timer, row.cpu_ns_per_wake as f64);
        let times = timerfd_ns
            .map(|ns| format!(", {:.1}× the timerfd's", ratio(cpu_ns, ns)))
            .unwrap_or_default();
        format!("{waits:.0} system calls and {} µs of CPU per timer{times}", us(cpu_ns))
    };
    let (on_purpose, bugs): (Vec<_>, Vec<_>) = results
        .strategies
        .iter()
        .filter(|row| row.spins())
        .partition(|row| row.name == "punctual_precise");
    let mut said: Vec<_> = bugs.iter().map(|row| format!("{}, {}", row.name, told(row))).collect();
    if said.is_empty() {
        said.push("nobody by mistake".to_owned());
    }
    said.extend(on_purpose.iter().map(|row| format!("{} on purpose, {}", row.name, told(row))));
    format!("Spinning: {}.", said.join("; "))
}

fn rounding(results: &Results) -> Option<String> {
    let (ceil, exact) = (results.short("epoll_wait_ceil")?, results.short("epoll_pwait2")?);
    let cost = ceil.p50_ns - exact.p50_ns;
    Some(format!(
        "Rounding up to whole milliseconds {} {} µs at the median: epoll_wait_ceil {} µs, epoll_pwait2 {} µs.",
        if cost >= 0 { "costs" } else { "gains" },
        us(cost.abs() as f64),
        us(ceil.p50_ns as f64),
        us(exact.p50_ns as f64),
    ))
}

fn slack(results: &Results) -> Option<String> {
    let wait_ms = results.long_waits_ms().max()?;
    let (exact, timer) = (results.long("epoll_pwait2", wait_ms)?, results.long("timerfd", wait_ms)?);
    let (wait_s, cost) = (wait_ms as f64 / 1e3, exact.p50_ns - timer.p50_ns);
    let (late, control) = (us(exact.p50_ns as f64), us(timer.p50_ns as f64));
    let share = match results.loaded {
        false => format!(" ({:.2} % of the wait)", cost as f64 / wait_ms as f64 / 1e4),
        true => ", where other timers keep waking the loop".to_owned(),
    };
    Some(match cost > timer.p50_ns {
        true => format!(
            "Timer slack costs {} µs at {wait_s} s{share}: epoll_pwait2 is {late} µs late, a timerfd, \
             which has none, {control} µs.",
            us(cost as f64),
        ),
        false => format!(
            "Timer slack hides at {wait_s} s: epoll_pwait2 {late} µs late, timerfd {control} µs."
        ),
    })
}

fn jiffies(results: &Results) -> Option<String> {
    let wait_ms = results.long_waits_ms().max()?;
    let (short, long) = (results.short("so_rcvtimeo")?, results.long("so_rcvtimeo", wait_ms)?);
    let (tick, lateness) = (1e9 / results.machine.hz? as f64, short.p50_ns as f64);
    (lateness > tick / 2.0).then(|| {
        format!(
            "SO_RCVTIMEO counts ticks of {} ms: {:.1} ms late at the median, and {:.1} ms at {} s.",
            tick / 1e6,
            lateness / 1e6,
            long.p50_ns as f64 / 1e6,
            wait_ms as f64 / 1e3,
        )
    })
}

fn against_timerfd(results: &Results) -> Option<String> {
    let (ours, control) = (results.short("punctual")?, results.short("timerfd")?);
    let mut text = format!(
        "punctual is {} µs late at the median, {:.2}× a raw timerfd's {} µs, for {:.2}× its CPU ({} µs a wake)",
        us(ours.p50_ns as f64),
        ratio(ours.p50_ns as f64, control.p50_ns as f64),
        us(control.p50_ns as f64),
        ratio(ours.cpu_ns_per_wake as f64, control.cpu_ns_per_wake as f64),
        us(ours.cpu_ns_per_wake as f64),
    );
    for wait_ms in results.long_waits_ms() {
        let (ours, control) = (results.long("punctual", wait_ms)?, results.long("timerfd", wait_ms)?);
        let times = ratio(ours.p50_ns as f64, control.p50_ns as f64);
        text += &format!("; at {} s {} µs, {times:.2}×", wait_ms as f64 / 1e3, us(ours.p50_ns as f64));
    }
    Some(text + ".")
}

fn precise(results: &Results) -> Option<String> {
    let (precise, plain) = (results.short("punctual_precise")?, results.short("punctual")?);
    let gain = plain.p50_ns - precise.p50_ns;
    let cost = precise.cpu_ns_per_wake as f64 - plain.cpu_ns_per_wake as f64;
    let (from, to) = (us(plain.p50_ns as f64), us(precise.p50_ns as f64));
    Some(match gain > 0 {
        true => format!(
            "Precise mode takes the median from {from} to {to} µs (p99 {} to {}) and {} {} µs of CPU a wake.",
            us(plain.p99_ns as f64),
            us(precise.p99_ns as f64),
            if cost >= 0.0 { "costs" } else { "saves" },
            us(cost.abs()),
        ),
        false => {
            format!("Precise mode gained nothing here: {from} µs at the median without, {to} µs with.")
        }
    })
}

fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { f64::INFINITY } else { a / b }
}
