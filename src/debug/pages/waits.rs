//! What waits now.

use punctual_reactor::{Wait, yield_now};

use super::html::{Escaped, Page};

/// So many are listed.
const LISTED_MAX: usize = 10_000;
/// After so many lines it is the others' turn.
const LINES: usize = 64;

pub(in crate::debug) async fn waits_text(waits: &[Wait]) -> String {
    let mut text = String::new();
    for (line, wait) in waits.iter().take(LISTED_MAX).enumerate() {
        text.push_str(&wait.to_string());
        text.push('\n');
        if line % LINES == LINES - 1 {
            yield_now().await;
        }
    }
    if waits.len() > LISTED_MAX {
        text.push_str(&format!("and {} more\n", waits.len() - LISTED_MAX));
    }
    text
}

pub(in crate::debug) async fn waits_html(waits: &[Wait]) -> String {
    let mut page = Page::new("What waits now", 0);
    page.push("<ol class=\"waits\">");
    for (line, wait) in waits.iter().take(LISTED_MAX).enumerate() {
        page.write(format_args!("<li>{}\n", Escaped(wait)));
        if line % LINES == LINES - 1 {
            yield_now().await;
        }
    }
    page.push("</ol>");
    page.finish()
}
