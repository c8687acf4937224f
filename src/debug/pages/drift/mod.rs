//! How late everything fired, through whom, and who held the loop.

mod axis;
mod picture;
mod worst;

use punctual_reactor::next_turn;

use self::axis::{Axis, LEAST_NS};
use self::picture::Part;
use super::html::{Escaped, Page};
use super::text::{count, counted, human, rate, time_of_day};
use crate::debug::{Distribution, State};

/// Waits without a deadline that are shown, the oldest first.
const UNBOUNDED_SHOWN: usize = 5;

/// What the page tells, and how often it is to be told anew.
pub(in crate::debug) struct Look {
    pub(in crate::debug) state: State,
    pub(in crate::debug) turns_per_second: f64,
    pub(in crate::debug) refresh: u64,
}

/// The page. The loop takes a turn between its parts, so that what has become due is fired.
pub(in crate::debug) async fn drift(look: &Look) -> String {
    let Look { state, refresh, .. } = look;
    // To take the state took a while.
    next_turn().await;
    let mut page = Page::new("How late timers fire", *refresh);
    head(&mut page, look);
    figures(&mut page, look);
    let drift = &state.drift;
    let parts = [
        (Part::Total, "all of it", "from deadline to firing", &drift.total),
        (Part::Quantisation, "quantisation", "leeway and alarm unit", &drift.quantisation),
        (Part::Kernel, "kernel", "from alarm to wake-up", &drift.kernel),
        (Part::Loop, "loop", "what the loop did first", &drift.in_loop),
    ];
    let axis = Axis::over(&parts.map(|(_, _, _, distribution)| distribution));
    page.push("<section class=\"ridges\">\n");
    page.push(
        "<div class=\"row names\"><span></span><span></span>\
         <span class=\"numbers\"><b>p50</b><b>p90</b><b>p99</b><b>p99.9</b><b>max</b></span></div>\n",
    );
    for (part, name, about, distribution) in parts {
        ridge(&mut page, &axis, part, (name, about), distribution);
        next_turn().await;
    }
    ticks(&mut page, &axis, "row");
    page.push(
        "<p class=\"caption\">Where the firings lie, on a logarithmic axis. A ridge’s height is the square root of the \
         density, scaled to its own peak; the line is the median.</p>\n</section>\n",
    );
    worst::section(&mut page, state);
    next_turn().await;
    tail(&mut page, &axis, &parts.map(|(part, _, _, distribution)| (part, distribution)));
    next_turn().await;
    waits(&mut page, state);
    page.push("<footer><a href=\"/\">all pages</a> · <a href=\"/debug/waits\">what waits</a> · ");
    page.push("<a href=\"/debug/state\">JSON</a> · <a href=\"/metrics\">metrics</a></footer>");
    page.finish()
}

fn head(page: &mut Page, look: &Look) {
    let (name, id) = (Escaped(&look.state.process_name), look.state.process_id);
    let at = time_of_day(look.state.taken_unix_ns);
    page.write(format_args!("<p class=\"of\"><b>{name}</b>, process {id} · {at}"));
    match look.refresh {
        0 => page.push(" · <a href=\"?refresh=2\">keep it live</a></p>\n"),
        every => page.write(format_args!(
            " · every {} · <a href=\"?refresh=0\">hold it</a></p>\n",
            human(every.saturating_mul(1_000_000_000))
        )),
    }
}

/// The handful of numbers that say whether there is anything to look for.
fn figures(page: &mut Page, look: &Look) {
    let state = &look.state;
    let (total, counters) = (&state.drift.total, &state.counters);
    let early = if state.drift.early == 0 { "good" } else { "bad" };
    page.push("<dl class=\"figures\">\n");
    let mut figure = |class: &str, name: &str, value: &str| {
        page.write(format_args!("<div class=\"{class}\"><dt>{name}</dt><dd>{value}</dd></div>\n"));
    };
    figure("", "fired", &count(total.count));
    figure(early, "early", &count(state.drift.early));
    figure("", "p50 late", &human(total.p50_ns));
    figure("", "p99 late", &human(total.p99_ns));
    figure("", "latest", &human(total.max_ns));
    figure("", "turns per second", &rate(look.turns_per_second));
    figure(if state.blame.stalls == 0 { "good" } else { "bad" }, "stalls", &count(state.blame.stalls));
    figure("", "tasks", &count(counters.live_tasks));
    page.push("</dl>\n");
}

fn ridge(page: &mut Page, axis: &Axis, part: Part, (name, about): (&str, &str), of: &Distribution) {
    let class = format!("{part:?}").to_lowercase();
    let svg = picture::ridge(axis, part, of, &format!("Distribution of the lateness: {name}"));
    let below: u64 =
        of.buckets_ns.iter().filter(|(to_ns, _)| *to_ns < LEAST_NS).map(|(_, count)| count).sum();
    page.write(format_args!(
        "<div class=\"row {class}\"><span class=\"name\"><b>{name}</b><small>{about}</small></span>{svg}<span \
         class=\"numbers\">"
    ));
    for ns in [of.p50_ns, of.p90_ns, of.p99_ns, of.p999_ns, of.max_ns] {
        page.write(format_args!("<span>{}</span>", human(ns)));
    }
    page.push("</span>");
    if below > 0 && of.count > 0 {
        let share = below as f64 / of.count as f64 * 100.0;
        page.write(format_args!("<small class=\"below\">{share:.0}\u{a0}% under 0.1\u{a0}µs</small>"));
    }
    page.push("</div>\n");
}

/// The names of the decades, spread under whatever is as wide as they are.
fn ticks(page: &mut Page, axis: &Axis, class: &str) {
    page.write(format_args!("<div class=\"{class} ticks\"><span></span><span class=\"decades\">"));
    axis.ticks().for_each(|ns| page.write(format_args!("<i>{}</i>", human(ns))));
    page.push("</span><span></span></div>\n");
}

fn tail(page: &mut Page, axis: &Axis, parts: &[(Part, &Distribution)]) {
    page.push("<section class=\"tails\">\n<h2>How often how late</h2>\n<div class=\"plot\"><span class=\"shares\">");
    for rarity in 0..=picture::rarities(parts) {
        match rarity {
            0 => page.push("<i>all</i>"),
            _ => page.write(format_args!("<i>1 in {}</i>", count(10u64.pow(rarity)))),
        }
    }
    page.push("</span>");
    page.push(&picture::tail(axis, parts, "Share of the firings that were later than each lateness"));
    page.push("</div>\n");
    ticks(page, axis, "under");
    page.push(
        "<p class=\"caption\">The share of the firings that was later than what stands below: \
         <b class=\"total\">all of it</b>, and of it <b class=\"quantisation\">quantisation</b>, \
         <b class=\"kernel\">kernel</b>, <b class=\"loop\">loop</b>.</p>\n</section>\n",
    );
}

fn waits(page: &mut Page, state: &State) {
    let waits = &state.waits;
    let class = if waits.without_deadline == 0 { "good" } else { "loop" };
    let (all, without) = (counted(waits.count, "wait"), count(waits.without_deadline));
    page.write(format_args!(
        "<section>\n<h2>What waits</h2>\n<p>{all} now, <b class=\"{class}\">{without} without a deadline</b>.</p>\n\
         <ol class=\"waits\">\n"
    ));
    for wait in waits.unbounded.iter().take(UNBOUNDED_SHOWN) {
        let (phase, waited) = (Escaped(&wait.phase), human(wait.waited_ns));
        page.write(format_args!("<li><b>{phase}</b> for {waited}"));
        if let Some(scope) = &wait.scope {
            page.write(format_args!(" in {}", Escaped(scope)));
        }
        let task = wait.spawned_at.as_deref().unwrap_or("a future that has returned");
        page.write(format_args!(" <code>{}</code></li>\n", Escaped(task)));
    }
    page.push("</ol>\n</section>\n");
}
