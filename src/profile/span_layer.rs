//! [`SpanLayer`]: tells the profiler which span a thread is in.

use std::fmt::{self, Write};
use std::sync::Arc;

use punctual_reactor::profile::{SpanLabel, enter_span, exit_span};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// How much of a span's name and fields is put on samples, in bytes.
const MOST_TEXT: usize = 256;

/// A layer of a `tracing` subscriber that puts spans on the samples of profiles, with their fields.
///
/// ```
/// use punctual::profile::SpanLayer;
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let subscriber = tracing_subscriber::registry().with(SpanLayer::new());
/// # drop(subscriber);
/// ```
///
/// A sample carries the innermost span that its thread has entered, and those it is in: its parents, not what else happens to be entered. It
/// costs a string for each span, whether or not a profile is taken, so that spans which are older than
/// the profile have their fields too. At most 256 bytes of a span are kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpanLayer {
    _private: (),
}

impl SpanLayer {
    /// The layer.
    #[must_use]
    pub fn new() -> SpanLayer {
        SpanLayer::default()
    }
}

/// What is kept with a span.
struct Labelled(Arc<SpanLabel>);

impl<S> Layer<S> for SpanLayer
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let metadata = attributes.metadata();
        let mut text = metadata.name().to_owned();
        attributes.record(&mut Fields(&mut text));
        let parent = span.parent().and_then(|parent| label(&parent.extensions()));
        span.extensions_mut().replace(Labelled(SpanLabel::new(metadata, text, parent)));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(label) = label(&span.extensions()) {
            label.edit(|text| values.record(&mut Fields(text)));
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let label = label(&span.extensions());
        if let Some(label) = label {
            enter_span(id.into_u64(), label);
        }
    }

    fn on_exit(&self, id: &Id, _context: Context<'_, S>) {
        exit_span(id.into_u64());
    }
}

fn label(extensions: &tracing_subscriber::registry::Extensions<'_>) -> Option<Arc<SpanLabel>> {
    extensions.get::<Labelled>().map(|labelled| labelled.0.clone())
}

/// Writes fields after a span's name: `request{id=7 path=/}`.
struct Fields<'a>(&'a mut String);

impl Fields<'_> {
    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let text = &mut *self.0;
        if text.ends_with('…') {
            return;
        }
        let before = if text.ends_with('}') {
            text.pop();
            ' '
        } else {
            '{'
        };
        // Writing to a string cannot fail; a value's own account of itself may, and is left out then.
        let _ = write!(OneLine(text), "{before}{}={value}", field.name());
        if text.len() < MOST_TEXT {
            text.push('}');
        } else {
            let end = (0..=MOST_TEXT).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or(0));
            text.push('…');
        }
    }
}

/// Writes control characters as spaces.
struct OneLine<'a>(&'a mut String);

impl Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
        Ok(())
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, format_args!("{value:?}"));
    }
}
