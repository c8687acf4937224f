//! From the profiler's raw samples to stacks with names.

use std::collections::HashMap;

use pprof::{Frames, UnresolvedReport};
use punctual_reactor::profile::{Context, Labels, Place, read_label};

/// One function of a stack; several are at one address where some were inlined.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) mangled: String,
    /// Empty if it is not known.
    pub(crate) file: String,
    /// Zero if it is not known.
    pub(crate) line: u32,
}

/// What distinguishes one kind of sample from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) thread: String,
    pub(crate) context: Context,
    /// Addresses of code, that of the function interrupted first.
    pub(crate) stack: Vec<usize>,
}

/// What was sampled, and how often.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stacks {
    pub(crate) counts: HashMap<Key, u64>,
    /// What is at an address, the innermost of those inlined first.
    pub(crate) functions: HashMap<usize, Vec<Function>>,
}

/// Takes the labels out of the stacks, adds up what is the same then, and looks up the names.
pub(crate) fn read(report: UnresolvedReport, labels: &Labels) -> Stacks {
    let mut stacks = Stacks::default();
    for (mut sample, count) in report.data {
        let label = read_label(sample.frames.iter().map(|frame| frame.symbol_address() as usize));
        if let Some((_, depth)) = label {
            sample.frames.drain(..depth.min(sample.frames.len()));
        }
        let context = label.and_then(|(label, _)| labels.get(label)).cloned();
        let context = context.unwrap_or(Context { place: Place::Outside, spans: Vec::new() });
        let stack: Vec<usize> = sample.frames.iter().map(|frame| frame.ip() as usize).collect();
        for (at, address) in stack.iter().enumerate() {
            stacks.functions.entry(*address).or_insert_with(|| {
                let mut one = sample.clone();
                one.frames.truncate(at + 1);
                one.frames.drain(..at);
                functions(Frames::from(one))
            });
        }
        let thread =
            String::from_utf8_lossy(&sample.thread_name[..sample.thread_name_length]).into_owned();
        *stacks.counts.entry(Key { thread, context, stack }).or_default() += count.unsigned_abs() as u64;
    }
    stacks
}

fn functions(frames: Frames) -> Vec<Function> {
    let symbols = frames.frames.into_iter().flatten();
    let function = |symbol: pprof::Symbol| Function {
        name: symbol.name(),
        mangled: symbol.sys_name().into_owned(),
        file: symbol
            .filename
            .as_deref()
            .map(|file| file.to_string_lossy().into_owned())
            .unwrap_or_default(),
        line: symbol.lineno(),
    };
    symbols.map(function).collect()
}
