//! Figures as a person reads them.

/// A duration in its own unit, in three figures.
pub(super) fn human(ns: u64) -> String {
    let (value, unit) = match ns {
        0 => return "0".to_owned(),
        1..1_000_000 => (ns as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        1_000_000_000..120_000_000_000 => (ns as f64 / 1e9, "s"),
        120_000_000_000..7_200_000_000_000 => (ns as f64 / 60e9, "min"),
        _ => (ns as f64 / 3600e9, "h"),
    };
    let decimals = match value {
        value if value == value.trunc() || value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    let digits = format!("{value:.decimals$}");
    let digits = if decimals > 0 { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
    format!("{digits}\u{a0}{unit}")
}

/// A count, its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A count with a noun, which takes an s unless it is one.
pub(super) fn counted(number: u64, noun: &str) -> String {
    format!("{}\u{a0}{noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A rate per second.
pub(super) fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate < 9.95 => format!("{rate:.1}"),
        rate => count(rate.round() as u64),
    }
}

/// The time of day of a moment since 1970, in UTC.
pub(super) fn time_of_day(unix_ns: u64) -> String {
    let seconds = unix_ns / 1_000_000_000;
    format!("{:02}:{:02}:{:02}\u{a0}UTC", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_in_their_own_unit() {
        let plain = |text: String| text.replace(['\u{a0}', '\u{202f}'], " ");
        let human = |ns| plain(human(ns));
        assert_eq!([0, 1, 999, 61_234].map(human), ["0", "0 µs", "1 µs", "61.2 µs"]);
        let long = [50_312_000, 1_000_000_000, 119_500_000_000, 180_000_000_000, 7_200_000_000_000];
        assert_eq!(long.map(human), ["50.3 ms", "1 s", "120 s", "3 min", "2 h"]);
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(|n| plain(count(n))),
            ["0", "999", "1 000", "1 234 567"]
        );
        assert_eq!((rate(0.333), rate(1234.4)), ("0.3".to_owned(), "1\u{202f}234".to_owned()));
        assert_eq!(plain(counted(1, "task")), "1 task");
        assert_eq!(time_of_day(86_399_000_000_000), "23:59:59\u{a0}UTC");
    }
}
