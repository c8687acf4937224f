//! Numbers and texts as they are shown: short, of a width that does not jump, and harmless to a terminal.

use std::fmt::Write;

/// Nanoseconds to three digits, in at most seven columns, as `55.2 µs`; from a minute on as `2m05s`.
pub(crate) fn duration(ns: u64) -> String {
    if ns < 1_000 {
        return format!("{ns} ns");
    }
    for (unit, name) in [(1e3, "µs"), (1e6, "ms"), (1e9, "s")] {
        let value = ns as f64 / unit;
        let digits = match value {
            _ if name == "s" && ns >= 60_000_000_000 => break,
            ..9.995 => 2,
            ..99.95 => 1,
            ..999.5 => 0,
            _ => continue,
        };
        return format!("{value:.digits$} {name}");
    }
    let seconds = ns / 1_000_000_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours) {
        (0, 0) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// How often something happens in a second, to three digits or whole.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        ..=0.0 => "0".to_owned(),
        ..9.95 => format!("{per_second:.1}"),
        ..99_999.5 => grouped(per_second.round() as u64),
        _ => count(per_second.round() as u64),
    }
}

/// A number in groups of three digits; from a hundred thousand on in thousands, then millions, and so on.
pub(crate) fn count(number: u64) -> String {
    if number < 100_000 {
        return grouped(number);
    }
    let units = [(1_000, "k"), (1_000_000, "M"), (1_000_000_000, "G"), (1_000_000_000_000, "T")];
    let shown = |(unit, _): &(u64, &str)| number / unit < 1_000;
    let (unit, name) = units.iter().find(|unit| shown(unit)).unwrap_or(&units[3]);
    let whole = number / unit;
    match whole {
        ..10 => format!("{whole}.{:02} {name}", number % unit * 100 / unit),
        10..100 => format!("{whole}.{} {name}", number % unit * 10 / unit),
        _ => format!("{} {name}", grouped(whole)),
    }
}

/// A number in groups of three digits, whole.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(' ');
        }
        shown.push(digit);
    }
    shown
}

/// What the other process has said, without anything that a terminal would obey: control characters, and those that
/// turn the direction of the text or are not seen, are escaped.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
                let _ = write!(shown, "{}", c.escape_unicode());
            }
            _ if c.is_control() => {
                let _ = write!(shown, "{}", c.escape_default());
            }
            _ => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits_and_a_unit() {
        let shown = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (55_249, "55.2 µs"),
            (9_994, "9.99 µs"),
            (9_996, "10.0 µs"),
            (99_960, "100 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (50_331_647, "50.3 ms"),
            (999_999_999, "1.00 s"),
            (59_949_999_999, "59.9 s"),
            (60_000_000_000, "1m00s"),
            (125_000_000_000, "2m05s"),
            (3_600_000_000_000, "1h00m"),
            (93_600_000_000_000, "1d02h"),
            (u64::MAX, "213503d23h"),
        ];
        for (ns, expected) in shown {
            assert_eq!(duration(ns), expected, "{ns} ns");
            assert!(ns == u64::MAX || duration(ns).chars().count() <= 7);
        }
    }

    #[test]
    fn rates_and_counts_stay_narrow() {
        assert_eq!([0.0, 0.04, 1.26, 9.96, 1234.4].map(rate), ["0", "0.0", "1.3", "10", "1 234"]);
        assert_eq!(rate(f64::NAN), "0");
        assert_eq!(rate(1_234_567.0), "1.23 M");
        let counts = [0, 999, 1_000, 99_999, 100_000, 999_999, 1_234_567, 12_345_678, u64::MAX];
        let shown =
            ["0", "999", "1 000", "99 999", "100 k", "999 k", "1.23 M", "12.3 M", "18 446 744 T"];
        assert_eq!(counts.map(count), shown);
    }

    #[test]
    fn nothing_of_theirs_is_obeyed() {
        let evil = "ok\u{1b}[2J\n\t\u{9b}31m\u{202e}txt\u{200b}größer";
        assert_eq!(harmless(evil), "ok\\u{1b}[2J\\n\\t\\u{9b}31m\\u{202e}txt\\u{200b}größer");
    }
}
