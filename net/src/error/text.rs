//! Words and numbers, as sentences of errors show them.

use std::fmt;
use std::time::Duration;

/// Escapes what would break or garble a line, whoever's words it is in: a peer's, a caller's, a resolver's.
pub(super) struct OneLine<'a, 'b>(pub(super) &'a mut fmt::Formatter<'b>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        let breaks = |c: char| c.is_control() || is_invisible(c);
        while let Some((at, found)) = text.char_indices().find(|&(_, c)| breaks(c)) {
            self.0.write_str(&text[..at])?;
            write!(self.0, "{}", found.escape_default())?;
            text = &text[at + found.len_utf8()..];
        }
        self.0.write_str(text)
    }
}

/// Line and paragraph separators, and what turns the direction of writing: neither is a control character
/// to Unicode, and either makes a line look like another.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A duration in its largest fitting unit, to three digits: `61 µs`, `1.25 s`.
pub(crate) struct Short(pub(crate) Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.as_nanos();
        // What would be rounded up to a thousand is one of the next unit.
        let (unit, name) = match ns {
            0..1_000 => return write!(f, "{ns} ns"),
            1_000..999_500 => (1e3, "µs"),
            999_500..999_500_000 => (1e6, "ms"),
            _ => (1e9, "s"),
        };
        let value = ns as f64 / unit;
        let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        let text = format!("{value:.digits$}");
        let text =
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        write!(f, "{text} {name}")
    }
}

/// How long ago something was, as the kernel tells it: in milliseconds, or less.
pub(super) struct Age(pub(super) Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() { f.write_str("0 ms") } else { Short(self.0).fmt(f) }
    }
}

/// So and so many of something.
pub(super) struct Count(pub(super) u64, pub(super) &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Count(self.0, "byte").fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits_and_a_unit() {
        let short = |ns| Short(Duration::from_nanos(ns)).to_string();
        assert_eq!(short(999), "999 ns");
        assert_eq!(short(61_004), "61 µs");
        assert_eq!(short(1_234_567), "1.23 ms");
        assert_eq!(short(999_499), "999 µs");
        assert_eq!(short(999_500), "1 ms");
        assert_eq!(short(999_999), "1 ms");
        assert_eq!(short(9_996_000), "10 ms");
        assert_eq!(short(999_499_999), "999 ms");
        assert_eq!(short(999_600_000), "1 s");
        assert_eq!(short(30_000_000_000), "30 s");
        assert_eq!(short(100_000_000_000), "100 s");
        assert_eq!(Age(Duration::ZERO).to_string(), "0 ms");
    }
}
