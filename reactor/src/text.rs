//! [`Text`]: words that are cheap to copy.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A name or a cause. It is copied into the error of whatever it ended, which may travel to another thread; a
/// literal costs nothing.
#[derive(Clone)]
pub(crate) enum Text {
    Literal(&'static str),
    Shared(Arc<str>),
}

impl<S: Into<Cow<'static, str>>> From<S> for Text {
    fn from(words: S) -> Text {
        match words.into() {
            Cow::Borrowed(literal) => Text::Literal(literal),
            Cow::Owned(words) => Text::Shared(words.into()),
        }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Literal(words) => words,
            Text::Shared(words) => words,
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
