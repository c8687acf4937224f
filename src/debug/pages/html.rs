//! HTML: its frame, and the escaping of all that comes from elsewhere.

use std::fmt::{self, Display, Write};

/// Displays what it holds so that it is text wherever it is put, in an element or in a quoted attribute. Control
/// characters, which could break a line or turn its direction, are shown by their code.
pub(super) struct Escaped<T>(pub(super) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.write_str("&amp;")?,
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                hidden if hidden.is_control() || turns_the_line(hidden) => {
                    write!(self.0, "{}", hidden.escape_unicode())?;
                }
                plain => self.0.write_char(plain)?,
            }
        }
        Ok(())
    }
}

/// Unicode's directional overrides and isolates.
fn turns_the_line(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// A page that is being written.
pub(super) struct Page {
    text: String,
}

impl Page {
    /// One called `title`, that is loaded anew every `refresh` seconds, if that is not zero.
    pub(super) fn new(title: &str, refresh: u64) -> Page {
        let mut page = Page { text: String::with_capacity(16 * 1024) };
        let title = Escaped(title);
        page.write(format_args!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
             <link rel=\"icon\" href=\"data:,\">\n<link rel=\"stylesheet\" href=\"/style.css\">\n"
        ));
        if refresh > 0 {
            page.write(format_args!(
                "<noscript><meta http-equiv=\"refresh\" content=\"{refresh}\"></noscript>\n\
                 <script src=\"/live.js\" data-every=\"{refresh}\" defer></script>\n"
            ));
        }
        page.write(format_args!("<main>\n<h1>{title}</h1>\n"));
        page
    }

    pub(super) fn push(&mut self, html: &str) {
        self.text.push_str(html);
    }

    /// Writes HTML: what comes from elsewhere is to be [`Escaped`].
    pub(super) fn write(&mut self, html: fmt::Arguments<'_>) {
        // Writing into a string does not fail.
        let _ = self.text.write_fmt(html);
    }

    pub(super) fn finish(mut self) -> String {
        self.push("\n</main>\n</html>\n");
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_comes_from_elsewhere_is_markup() {
        let name = "<script>alert(1)</script> \" onload='x' & \n\u{1b}[31m \u{202e}";
        let shown = Escaped(name).to_string();
        assert_eq!(
            shown,
            "&lt;script&gt;alert(1)&lt;/script&gt; &quot; onload=&#39;x&#39; &amp; \\u{a}\\u{1b}[31m \\u{202e}"
        );
    }
}
