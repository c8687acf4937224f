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
        let Some(label) = label(&span.extensions()) else { return };
        // A value's own account of itself is anybody's code, which may enter spans or record more: no lock is held.
        let mut values_told = Told::default();
        values.record(&mut values_told);
        label.edit(|text| {
            values_told
                .0
                .iter()
                .for_each(|(name, value)| Fields(text).write(name, format_args!("{value}")));
        });
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
    fn write(&mut self, name: &str, value: fmt::Arguments<'_>) {
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
        let _ = write!(OneLine(text), "{before}{name}={value}");
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
        self.write(field.name(), format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field.name(), format_args!("{value:?}"));
    }
}

/// Fields with their values, as they are on their way into a span's text.
#[derive(Default)]
struct Told(Vec<(&'static str, String)>);

impl Told {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let mut text = String::new();
        // A value whose own account of itself fails is left out from there on.
        let _ = text.write_fmt(value);
        self.0.push((field.name(), text));
    }
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use punctual_reactor::profile::current_span;
    use tracing::field::debug;
    use tracing::{Span, info_span};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// A value that has more to say of the span as it is told.
    struct Talkative;

    impl fmt::Debug for Talkative {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            Span::current().record("more", 2);
            f.write_str("one")
        }
    }

    #[test]
    fn what_is_recorded_may_record() {
        let (done, told) = channel();
        std::thread::spawn(move || {
            let subscriber = tracing_subscriber::registry().with(SpanLayer::new());
            tracing::subscriber::with_default(subscriber, || {
                let empty = tracing::field::Empty;
                let span = info_span!("span", first = empty, more = empty).entered();
                span.record("first", debug(Talkative));
                let path = current_span().map(|span| span.path());
                done.send(path).expect("somebody waits");
            });
        });
        let path = told.recv_timeout(Duration::from_secs(60)).expect("it is not stuck");
        assert_eq!(path, Some(vec!["span{more=2 first=one}".to_owned()]));
    }
}
