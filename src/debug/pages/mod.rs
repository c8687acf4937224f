//! The pages: what a person looks at.

mod drift;
mod html;
mod text;
mod waits;

pub(super) use drift::{Look, drift};
pub(super) use waits::{waits_html, waits_text};

use html::{Escaped, Page};

pub(super) const STYLE: &str = include_str!("style.css");
pub(super) const SCRIPT: &str = include_str!("live.js");

/// The list of what there is, each with a line about it.
pub(super) fn index<'a>(routes: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut page = Page::new("What this loop tells of itself", 0);
    page.push("<dl class=\"routes\">");
    for (path, about) in routes.filter(|(_, about)| !about.is_empty()) {
        let (path, about) = (Escaped(path), Escaped(about));
        page.write(format_args!("<dt><a href=\"{path}\">{path}</a><dd>{about}"));
    }
    page.push("</dl>");
    page.finish()
}
