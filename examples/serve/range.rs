//! Ranges of bytes (RFC 9110, section 14).

use std::ops::Range;

/// What of a file is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of it; also if what was asked for makes no sense, or is several parts, which we do not send.
    All,
    Part(Range<u64>),
    /// Nothing that is there.
    Beyond,
}

pub(crate) fn of(header: &str, length: u64) -> Asked {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Asked::All;
    };
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    let part = match (first, last) {
        ("", last) => number(last).map(|count: u64| length.saturating_sub(count)..length),
        (first, "") => number(first).map(|first| first..length),
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => {
                Some(first..last.saturating_add(1).min(length))
            }
            _ => None,
        },
    };
    match part {
        Some(part) if part.start < part.end => Asked::Part(part),
        Some(_) => Asked::Beyond,
        None => Asked::All,
    }
}
