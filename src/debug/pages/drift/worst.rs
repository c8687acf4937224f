//! Who held the loop, the worst first.

use super::picture::{self, Part};
use crate::debug::pages::html::{Escaped, Page};
use crate::debug::pages::text::{count, counted, human};
use crate::debug::{CulpritEntry, State};

/// So many are shown.
const SHOWN: usize = 12;

pub(super) fn section(page: &mut Page, state: &State) {
    page.push("<section class=\"worst\">\n<h2>Who held the loop</h2>\n");
    let blame = &state.blame;
    let threshold = human(blame.threshold_ns);
    if blame.stalls == 0 && blame.worst.is_empty() {
        page.write(format_args!(
            "<p class=\"good\">No turn has taken {threshold} or longer.</p>\n</section>\n"
        ));
        return;
    }
    page.write(format_args!(
        "<p>{} took {threshold} or longer, and made {} late by as much. The worst, longest first:</p>\n<ol>\n",
        counted(blame.stalls, "turn"),
        counted(blame.late_firings, "firing"),
    ));
    let longest_ns = blame.worst.iter().map(|culprit| culprit.held_ns).max().unwrap_or(1);
    for culprit in blame.worst.iter().take(SHOWN) {
        let ago = human(state.taken_ns.saturating_sub(culprit.began_ns));
        page.write(format_args!(
            "<li><span class=\"late\"><b>{}</b><small>{ago} ago, turn {}</small></span><span class=\"parts\">{}</span>",
            human(culprit.held_ns),
            count(culprit.turn),
            bar(culprit, longest_ns),
        ));
        who(page, culprit);
        page.push("</li>\n");
    }
    page.push(
        "</ol>\n<p class=\"caption\">How long each held it: <b class=\"loop\">on a CPU</b>, \
         <b class=\"quantisation\">blocked or waiting for one</b>.</p>\n</section>\n",
    );
}

fn bar(culprit: &CulpritEntry, longest_ns: u64) -> String {
    let ran_ns = culprit.ran_ns.unwrap_or(culprit.held_ns).min(culprit.held_ns);
    let parts = [(Part::Loop, ran_ns), (Part::Quantisation, culprit.held_ns - ran_ns)];
    let label = format!("held the loop for {}", human(culprit.held_ns));
    picture::bar(&parts, longest_ns, &label)
}

/// What held it, where that is from, and what came of it.
fn who(page: &mut Page, culprit: &CulpritEntry) {
    let kind = Escaped(&culprit.kind);
    page.push("<span class=\"culprit\">");
    match &culprit.name {
        Some(name) => page.write(format_args!("{kind} <b>{}</b>", Escaped(name))),
        None => page.write(format_args!("<b>{kind}</b>")),
    }
    if let Some(span) = &culprit.span {
        page.write(format_args!(" in span {}", Escaped(span)));
    }
    match &culprit.location {
        Some(location) => page.write(format_args!("<code>{}</code>", Escaped(location))),
        None => page.write(format_args!("<small>{}</small>", Escaped(&culprit.line))),
    }
    if culprit.late_firings > 0 {
        let (firings, by) = (counted(culprit.late_firings, "firing"), human(culprit.lateness_ns));
        page.write(format_args!("<small>{firings} late by up to {by}</small>"));
    }
    page.push("</span>");
}
