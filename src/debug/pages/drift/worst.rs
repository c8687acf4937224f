//! The worst firings, and what held the loop.

use super::picture::{self, Part};
use crate::debug::State;
use crate::debug::pages::html::{Escaped, Page};
use crate::debug::pages::text::{count, human};

/// So many are shown.
const SHOWN: usize = 12;

/// One late firing.
#[derive(Clone, Debug, Default)]
pub(super) struct Worst {
    pub(super) ago_ns: u64,
    pub(super) quantisation_ns: u64,
    pub(super) kernel_ns: u64,
    pub(super) in_loop_ns: u64,
    pub(super) turn: u64,
    pub(super) culprit: Option<Culprit>,
}

/// What held the loop meanwhile.
#[derive(Clone, Debug, Default)]
pub(super) struct Culprit {
    pub(super) name: String,
    pub(super) location: String,
    pub(super) span: Option<String>,
    pub(super) held_ns: u64,
}

impl Worst {
    fn late_ns(&self) -> u64 {
        self.quantisation_ns.saturating_add(self.kernel_ns).saturating_add(self.in_loop_ns)
    }
}

pub(super) fn section(page: &mut Page, state: &State) {
    show(page, &of(state));
}

fn of(_: &State) -> Vec<Worst> {
    Vec::new()
}

fn show(page: &mut Page, worst: &[Worst]) {
    page.push("<section class=\"worst\">\n<h2>The latest, and who held the loop</h2>\n");
    if worst.is_empty() {
        page.push("<p class=\"good\">None was late because of the loop.</p>\n</section>\n");
        return;
    }
    let longest = worst.iter().map(Worst::late_ns).max().unwrap_or(1);
    page.push("<ol>\n");
    for firing in worst.iter().take(SHOWN) {
        let parts = [
            (Part::Quantisation, firing.quantisation_ns),
            (Part::Kernel, firing.kernel_ns),
            (Part::Loop, firing.in_loop_ns),
        ];
        let label = format!(
            "quantisation {}, kernel {}, loop {}",
            human(firing.quantisation_ns),
            human(firing.kernel_ns),
            human(firing.in_loop_ns)
        );
        page.write(format_args!(
            "<li><span class=\"late\"><b>{}</b><small>{} ago, turn {}</small></span><span class=\"parts\">{}</span>",
            human(firing.late_ns()),
            human(firing.ago_ns),
            count(firing.turn),
            picture::bar(parts, longest, &label),
        ));
        match &firing.culprit {
            Some(culprit) => by(page, culprit),
            None => page.push("<span class=\"culprit\"><small>nobody held it for long</small></span>"),
        }
        page.push("</li>\n");
    }
    page.push("</ol>\n</section>\n");
}

fn by(page: &mut Page, culprit: &Culprit) {
    let Culprit { name, location, span, held_ns } = culprit;
    page.write(format_args!(
        "<span class=\"culprit\"><b>{}</b> held it for {}<code>{}</code>",
        Escaped(name),
        human(*held_ns),
        Escaped(location)
    ));
    if let Some(span) = span {
        page.write(format_args!("<small>in span {}</small>", Escaped(span)));
    }
    page.push("</span>");
}
