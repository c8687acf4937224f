//! What waits now: how much by phase, then each of them, the oldest first.

use punctual_reactor::{WaitClass, Waits, next_turn};

use super::html::{Escaped, Page};
use super::text::{count, human};

/// So many are listed.
const LISTED_MAX: usize = 10_000;
/// After so many lines the loop takes a turn.
const LINES: usize = 64;

pub(in crate::debug) async fn waits_text(waits: &Waits) -> String {
    let mut text = String::new();
    for (line, wait) in waits.oldest(LISTED_MAX).into_iter().enumerate() {
        text.push_str(&wait.to_string());
        text.push('\n');
        if line % LINES == LINES - 1 {
            next_turn().await;
        }
    }
    if waits.len() > LISTED_MAX {
        text.push_str(&format!("and {} more, which have waited less long\n", waits.len() - LISTED_MAX));
    }
    text
}

pub(in crate::debug) async fn waits_html(waits: &Waits) -> String {
    let mut page = Page::new("What waits now", 0);
    page.push(
        "<table><thead><tr><th>phase<th>waits<th>without a deadline<th>by nature<th>by choice<th>oldest<tbody>\n",
    );
    for phase in waits.by_phase() {
        let counts = phase.counts;
        let class = if counts.without_deadline > 0 { "bad" } else { "good" };
        page.write(format_args!(
            "<tr><th>{}<td>{}<td class=\"{class}\">{}<td>{}<td>{}<td>{}\n",
            Escaped(phase.phase),
            count(counts.total as u64),
            count(counts.without_deadline as u64),
            count(counts.idle as u64),
            count(counts.intended as u64),
            human(u64::try_from(phase.oldest.as_nanos()).unwrap_or(u64::MAX)),
        ));
    }
    page.push("</table>\n<section>\n<h2>The oldest first</h2>\n<ol class=\"waits\">\n");
    for (line, wait) in waits.oldest(LISTED_MAX).into_iter().enumerate() {
        let class = if wait.class() == WaitClass::Unbounded { " class=\"bad\"" } else { "" };
        page.write(format_args!("<li{class}>{}\n", Escaped(wait)));
        if line % LINES == LINES - 1 {
            next_turn().await;
        }
    }
    page.push("</ol>\n</section>\n<footer><a href=\"/\">all pages</a> · <a href=\"/debug/drift\">drift</a></footer>");
    page.finish()
}
