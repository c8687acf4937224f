//! What is in a directory, as a page.

use std::fs::ReadDir;
use std::io;

use crate::paths::{encode, escape};

/// More are not listed.
const MOST: usize = 1000;

/// The names of the entries that may be seen, directories with a slash behind.
pub(crate) fn names(directory: ReadDir) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in directory {
        let entry = entry?;
        // What has no name in UTF-8 has no URL here.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') || name.contains('\\') {
            continue;
        }
        if names.len() == MOST {
            break;
        }
        names.push(if entry.file_type()?.is_dir() { name + "/" } else { name });
    }
    names.sort_unstable();
    Ok(names)
}

pub(crate) fn page(path: &str, names: &[String]) -> String {
    let title = escape(path);
    let line = |name: &String| {
        let (bare, slash) = name.strip_suffix('/').map_or((name.as_str(), ""), |bare| (bare, "/"));
        format!("<li><a href=\"{}{slash}\">{}</a></li>\n", encode(bare), escape(name))
    };
    let lines: String = names.iter().map(line).collect();
    format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<h1>{title}</h1>\n<ul>\n{lines}</ul>\n"
    )
}
