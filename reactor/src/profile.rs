//! What a sample of a CPU profile was taken in: the task, and the innermost span (feature `profile`).
//!
//! The samples carry labels ([`wrap_handler`]). Whenever a thread goes on to something else, the label of the samples
//! taken since the last change, if there were any, is noted with what the thread has been doing.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Metadata;

use crate::executor::{TaskId, context, current_task, task_info};
use crate::sys;

pub use crate::sys::profile::{read_label, signals, stop_timer, unwinds_anywhere, wrap_handler};

/// How many contexts a profile tells apart. What comes beyond that is [`Place::Beyond`].
pub const MOST_CONTEXTS: usize = 10_000;

/// Where a sample was taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// Outside of every runtime.
    Outside,
    /// In a loop, between two polls.
    Loop,
    /// In the future that `block_on` was given.
    Main,
    /// In a task.
    Task(TaskLabel),
    /// In what came after [`MOST_CONTEXTS`] others.
    Beyond,
}

/// The task that a sample was taken in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TaskLabel {
    /// Which of all tasks it is.
    pub id: TaskId,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Where it was spawned.
    pub spawned_at: &'static Location<'static>,
    /// The name of the span in which it was spawned, if it was in one.
    pub spawned_in: Option<&'static str>,
}

impl fmt::Display for TaskLabel {
    /// Its name, or where it was spawned.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.spawned_at),
        }
    }
}

/// What a sample was taken in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Context {
    /// Where.
    pub place: Place,
    /// The innermost span that was entered, with its fields, and before it those that it is in, the outermost first.
    pub spans: Vec<String>,
}

/// What the labels of a profile stand for.
#[derive(Debug, Default)]
pub struct Labels {
    contexts: HashSet<Arc<Context>>,
    by_label: HashMap<u32, Arc<Context>>,
}

impl Labels {
    /// `None` for a label whose thread has not gone on to anything else yet.
    #[must_use]
    pub fn get(&self, label: u32) -> Option<&Context> {
        self.by_label.get(&label).map(|context| &**context)
    }

    fn note(&mut self, label: u32, mut context: Context) {
        if self.contexts.len() >= MOST_CONTEXTS && !self.contexts.contains(&context) {
            context = Context { place: Place::Beyond, spans: Vec::new() };
        }
        let context = match self.contexts.get(&context) {
            Some(known) => known.clone(),
            None => {
                let new = Arc::new(context);
                self.contexts.insert(new.clone());
                new
            }
        };
        self.by_label.insert(label, context);
    }
}

/// What was noted in the profile that runs. The profile is of all threads.
static LABELS: Mutex<Option<Labels>> = Mutex::new(None);

/// Begins to note, anew.
pub fn begin() {
    *LABELS.lock().unwrap_or_else(PoisonError::into_inner) = Some(Labels::default());
}

/// Ends to note, and hands out what was.
pub fn end() -> Labels {
    LABELS.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
}

thread_local! {
    static ENTERED: RefCell<Vec<(u64, Arc<SpanLabel>)>> = const { RefCell::new(Vec::new()) };
}

/// This thread goes on to something else after this.
#[inline]
pub(crate) fn changes() {
    if let Some(label) = sys::profile::take_label() {
        note(label);
    }
}

#[cold]
fn note(label: u32) {
    // A thread that ends has no spans any more.
    let spans = ENTERED.try_with(|entered| {
        let entered = entered.try_borrow().ok()?;
        entered.last().map(|(_, span)| span.path())
    });
    let context = Context { place: place(), spans: spans.ok().flatten().unwrap_or_default() };
    if let Some(labels) = &mut *LABELS.lock().unwrap_or_else(PoisonError::into_inner) {
        labels.note(label, context);
    }
}

fn place() -> Place {
    if context::with(|driver| driver.is_none()) {
        return Place::Outside;
    }
    match current_task() {
        None => Place::Loop,
        Some(task) if task.is_main() => Place::Main,
        Some(task) => task_info(task).map_or(Place::Loop, |task| {
            let spawned_in = task.span.map(Metadata::name);
            Place::Task(TaskLabel {
                id: task.id,
                name: task.name,
                spawned_at: task.spawned_at,
                spawned_in,
            })
        }),
    }
}

/// A span, as it is put on samples.
#[derive(Debug)]
pub struct SpanLabel {
    metadata: &'static Metadata<'static>,
    text: Mutex<String>,
    parent: Option<Arc<SpanLabel>>,
}

impl SpanLabel {
    /// `text` is the span's name with its fields.
    #[must_use]
    pub fn new(
        metadata: &'static Metadata<'static>,
        text: String,
        parent: Option<Arc<SpanLabel>>,
    ) -> Arc<SpanLabel> {
        Arc::new(SpanLabel { metadata, text: Mutex::new(text), parent })
    }

    /// What it is called, and where it is in the source.
    #[must_use]
    pub fn metadata(&self) -> &'static Metadata<'static> {
        self.metadata
    }

    /// Has `change` change the text, as fields become known.
    pub fn edit(&self, change: impl FnOnce(&mut String)) {
        change(&mut self.text.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The texts from the outermost span to this one.
    #[must_use]
    pub fn path(&self) -> Vec<String> {
        let mut path = Vec::new();
        let mut next = Some(self);
        while let Some(span) = next {
            path.push(span.text.lock().unwrap_or_else(PoisonError::into_inner).clone());
            next = span.parent.as_deref();
        }
        path.reverse();
        path
    }
}

/// A span is entered on this thread.
pub fn enter_span(id: u64, span: Arc<SpanLabel>) {
    changes();
    let _ = ENTERED.try_with(|entered| entered.borrow_mut().push((id, span)));
}

/// A span is left on this thread, which need not be the one entered last.
pub fn exit_span(id: u64) {
    changes();
    let left = ENTERED.try_with(|entered| {
        let mut entered = entered.borrow_mut();
        let at = entered.iter().rposition(|(entered, _)| *entered == id)?;
        Some(entered.remove(at))
    });
    drop(left);
}

/// The innermost span that is entered on this thread, if it was told of by the layer.
#[must_use]
pub fn current_span() -> Option<Arc<SpanLabel>> {
    let entered = ENTERED.try_with(|entered| entered.borrow().last().map(|(_, span)| span.clone()));
    entered.ok().flatten()
}
