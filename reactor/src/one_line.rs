//! [`OneLine`]: what others have said, as a line of a log shows it.

use std::fmt::{self, Write};

/// Escapes control characters, which would break or garble the line; quotes and the like stay as they are.
pub(crate) struct OneLine<'a>(pub(crate) &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c.is_control() {
                true => write!(f, "{}", c.escape_default())?,
                false => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_a_line_and_words_stay_words() {
        let shown = OneLine("can't \"read\"\n\u{1b}[31m: größer").to_string();
        assert_eq!(shown, "can't \"read\"\\n\\u{1b}[31m: größer");
    }
}
