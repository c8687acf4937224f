//! Numbers and texts as they are shown: short, and harmless to a terminal.

use std::fmt::Write;

/// Nanoseconds to three digits, as `55.2 µs`; from two minutes on as `4m59s`. Never more than is true of what is left,
/// which is why those are not rounded.
pub(crate) fn duration(ns: u64) -> String {
    let (unit, name) = match ns {
        0 => return "0".to_owned(),
        1..1_000 => return format!("{ns} ns"),
        1_000..999_500 => (1e3, "µs"),
        999_500..999_500_000 => (1e6, "ms"),
        999_500_000..120_000_000_000 => (1e9, "s"),
        _ => {
            let seconds = ns / 1_000_000_000;
            return match seconds {
                0..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
                3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
                86_400..8_640_000 => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
                _ => "no end".to_owned(),
            };
        }
    };
    let value = ns as f64 / unit;
    format!("{} {name}", three_digits(value))
}

/// Bytes, as `20.5 MB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let (unit, name) = match bytes {
        1 => return "1 byte".to_owned(),
        0..1_000 => return format!("{bytes} bytes"),
        1_000..999_500 => (1e3, "kB"),
        999_500..999_500_000 => (1e6, "MB"),
        _ => (1e9, "GB"),
    };
    format!("{} {name}", three_digits(bytes as f64 / unit))
}

fn three_digits(value: f64) -> String {
    let digits = match value {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// What somebody else has said, without anything that a terminal would obey: control characters, and those that turn the
/// direction of the text or are not seen, are escaped.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let is_invisible = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if c.is_control() || is_invisible {
            let _ = write!(shown, "{}", c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// At most `width` characters of it; that some are missing is seen.
pub(crate) fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) if width == 0 => String::new(),
        Some(_) => text.chars().take(width - 1).chain(['…']).collect(),
    }
}

/// Broken at spaces so that no line has more than `width` characters; what has no spaces is broken where it must be.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        for c in word.chars() {
            if used == width {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(c);
            used += 1;
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits_and_a_unit() {
        let cases = [
            (0, "0"),
            (1, "1 ns"),
            (1_500, "1.5 µs"),
            (999_499, "999 µs"),
            (999_500, "1 ms"),
            (55_240_000, "55.2 ms"),
            (5_000_000_000, "5 s"),
            (30_000_000_000, "30 s"),
            (299_999_000_000, "4m59s"),
            (7_322_000_000_000, "2h02m"),
            (u64::MAX, "no end"),
        ];
        for (ns, text) in cases {
            assert_eq!(duration(ns), text, "{ns}");
        }
    }

    #[test]
    fn sizes_have_three_digits_and_a_unit() {
        let cases = [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1_000, "1 kB"),
            (20_480_000, "20.5 MB"),
        ];
        for (size, text) in cases {
            assert_eq!(bytes(size), text, "{size}");
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        let shown = harmless("a\x1b[2Jb\r\n\u{9b}c\u{202e}d\u{200b}e é✓");
        assert!(shown.chars().all(|c| !c.is_control()), "{shown:?}");
        assert!(!shown.contains(['\u{202e}', '\u{200b}']), "{shown:?}");
        assert!(shown.starts_with("a\\u{1b}[2Jb\\r\\n") && shown.ends_with("e é✓"), "{shown:?}");
    }

    #[test]
    fn cutting_and_wrapping_count_characters() {
        assert_eq!(
            (cut("ééé", 3).as_str(), cut("éééé", 3).as_str(), cut("é", 0).as_str()),
            ("ééé", "éé…", "")
        );
        let text = "peer silent for 300 ms, éééééééééééé";
        for width in 1..40 {
            let lines = wrapped(text, width);
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}: {lines:?}");
            let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            assert_eq!(letters(&lines.concat()), letters(text), "{width}");
        }
        assert_eq!(wrapped("a b c", 3), ["a b", "c"]);
    }
}
