//! Numbers that people write.

use std::fmt;
use std::time::Duration;

use crate::instant::nanos;

/// The least number of a short series, times a power of ten, that is not below `duration`.
pub(super) fn round_up(duration: Duration) -> Duration {
    const TENTHS: [u64; 10] = [10, 12, 15, 20, 25, 30, 40, 50, 60, 80];
    let ns = nanos(duration);
    let mut unit = 1u64;
    loop {
        let fits = TENTHS.iter().map(|tenths| unit.saturating_mul(*tenths)).find(|step| *step >= ns);
        match fits {
            // A tenth of a nanosecond is none.
            Some(step) => return Duration::from_nanos(if unit == 1 && ns < 10 { ns } else { step }),
            None => unit = unit.saturating_mul(10),
        }
    }
}

/// `duration` so many times; at most what a clock holds.
pub(super) fn times(duration: Duration, factor: f64) -> Duration {
    // Rounded up: a product must not be below what it was to be.
    Duration::from_nanos((nanos(duration) as f64 * factor).ceil() as u64)
}

/// A duration in its largest fitting unit, to three digits: `61 µs`, `1.25 s`.
pub(super) struct Short(pub(super) Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.as_nanos();
        // What would be rounded up to a thousand is one of the next unit.
        let (unit, name) = match ns {
            0..1_000 => return f.pad(&format!("{ns} ns")),
            1_000..999_500 => (1e3, "µs"),
            999_500..999_500_000 => (1e6, "ms"),
            _ => (1e9, "s"),
        };
        f.pad(&format!("{} {name}", three_digits(ns as f64 / unit)))
    }
}

/// A share of one, in percent.
pub(super) struct Percent(pub(super) f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.0 * 100.0;
        match percent > 0.0 && percent < 0.01 {
            true => f.write_str("less than 0.01 %"),
            false => write!(f, "{} %", three_digits(percent)),
        }
    }
}

pub(super) fn three_digits(value: f64) -> String {
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_up_to_what_people_write() {
        let rounded = |ns| nanos(round_up(Duration::from_nanos(ns)));
        assert_eq!([0, 1, 9, 10, 11, 13, 61, 81, 100].map(rounded), [0, 1, 9, 10, 12, 15, 80, 100, 100]);
        assert_eq!(rounded(96_400_000), 100_000_000);
        assert_eq!(rounded(5_000_000_000), 5_000_000_000);
        assert_eq!(rounded(u64::MAX), u64::MAX);
        let mut last = 0;
        for ns in (0..100_000).chain((0..64).map(|bit| 1 << bit)) {
            let now = rounded(ns);
            assert!(now >= ns && now <= ns + ns / 3, "{ns} becomes {now}");
            assert_eq!(rounded(now), now, "once is enough");
        }
        for ns in 0..100_000 {
            assert!(rounded(ns) >= last, "not in order at {ns}");
            last = rounded(ns);
        }
    }

    #[test]
    fn words() {
        let short = |ns| Short(Duration::from_nanos(ns)).to_string();
        assert_eq!(short(999), "999 ns");
        assert_eq!(short(61_400), "61.4 µs");
        assert_eq!(short(999_600), "1 ms");
        assert_eq!(short(30_000_000_000), "30 s");
        assert_eq!(Percent(0.011).to_string(), "1.1 %");
        assert_eq!(Percent(0.000_04).to_string(), "less than 0.01 %");
        assert_eq!(Percent(0.0).to_string(), "0 %");
        assert_eq!(Percent(1.0).to_string(), "100 %");
    }
}
