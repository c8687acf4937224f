//! The flame graph.

use std::io;

use pprof::flamegraph::{Options, from_lines};

use crate::profile::Place;
use crate::profile::report::Profile;
use crate::profile::stacks::{Key, Stacks};

/// The frames of the runtime's own below a task's poll say nothing of the task.
const POLLS: &str = "::Driver::poll_task";

pub(crate) fn graph(profile: &Profile) -> io::Result<Vec<u8>> {
    let mut lines: Vec<String> =
        profile.stacks.counts.iter().map(|(key, count)| line(&profile.stacks, key, *count)).collect();
    if lines.is_empty() {
        // The crate draws nothing of nothing.
        lines.push("no samples 1".to_owned());
    }
    lines.sort_unstable();
    let mut options = Options::default();
    options.title = "CPU by thread, task and span".to_owned();
    options.subtitle = Some(format!(
        "{} samples, {:.1?} of CPU in {:.1?}, {} lost",
        profile.samples(),
        profile.cpu(),
        profile.duration(),
        profile.lost()
    ));
    options.deterministic = true;
    let mut svg = Vec::new();
    from_lines(&mut options, lines.iter().map(String::as_str), &mut svg).map_err(io::Error::other)?;
    Ok(svg)
}

/// One folded stack: `thread;task;span;function;function 12`.
fn line(stacks: &Stacks, key: &Key, count: u64) -> String {
    let mut line = frame(&key.thread);
    let mut push = |text: &str| {
        line.push(';');
        line.push_str(&frame(text));
    };
    match &key.context.place {
        Place::Outside => {}
        Place::Loop => push("loop"),
        Place::Main => push("main future"),
        Place::Task(task) => push(&format!("task {task}")),
        _ => push("others"),
    }
    key.context.spans.iter().for_each(|span| push(span));
    let innermost_first = key.stack.iter().filter_map(|address| stacks.functions.get(address)).flatten();
    let mut functions: Vec<&str> = innermost_first.map(|function| function.name.as_str()).collect();
    if matches!(key.context.place, Place::Task(_))
        && let Some(at) = functions.iter().position(|name| name.contains(POLLS))
    {
        functions.truncate(at);
    }
    functions.iter().rev().for_each(|name| push(name));
    format!("{line} {count}")
}

/// `text` as one frame: semicolons part frames, and ends of lines stacks.
fn frame(text: &str) -> String {
    let text = if text.is_empty() { "?" } else { text };
    text.chars()
        .map(|c| {
            if c == ';' {
                ','
            } else if c.is_control() {
                ' '
            } else {
                c
            }
        })
        .collect()
}
