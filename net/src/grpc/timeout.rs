//! The `grpc-timeout` header: how much time a call has left, as both ends write and read it.
//!
//! ```text
//!  Timeout      → "grpc-timeout" TimeoutValue TimeoutUnit        99999999H, 500m, 1n
//!  TimeoutValue → {positive integer as ASCII string of at most 8 digits}
//!  TimeoutUnit  → H hours | M minutes | S seconds | m milliseconds | u microseconds | n nanoseconds
//! ```
//!
//! Source: gRPC's `doc/PROTOCOL-HTTP2.md`.

use std::fmt::{self, Write};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The name of the header.
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The largest value of eight digits.
const VALUE_MAX: u64 = 99_999_999;

/// The units from the finest on, each in nanoseconds.
const UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60 * 1_000_000_000),
    (b'H', 3_600 * 1_000_000_000),
];

/// `remaining` as the header says it: in the finest unit that eight digits have room for, and never more than it is.
/// The rest is dropped, which is less than a part in a hundred thousand.
///
/// `None` if nothing remains: such a call is over, and is not to be sent.
///
/// ```
/// # use std::time::Duration;
/// # use punctual_net::grpc::encode_timeout;
/// assert_eq!(encode_timeout(Duration::from_millis(500)).expect("time is left"), "500000u");
/// assert_eq!(encode_timeout(Duration::from_nanos(1)).expect("time is left"), "1n");
/// assert_eq!(encode_timeout(Duration::ZERO), None);
/// ```
#[must_use]
pub fn encode_timeout(remaining: Duration) -> Option<HeaderValue> {
    let nanos = remaining.as_nanos();
    if nanos == 0 {
        return None;
    }
    // The finest unit takes every time below its own room, so that no value but that of nothing is 0.
    let of_unit = |&(unit, in_nanos): &(u8, u64)| {
        let value = u64::try_from(nanos / u128::from(in_nanos)).ok()?;
        (value <= VALUE_MAX).then_some((value, unit))
    };
    let (value, unit) = UNITS.iter().find_map(of_unit).unwrap_or((VALUE_MAX, b'H'));
    let mut text = String::with_capacity(9);
    write!(text, "{value}{}", char::from(unit)).ok()?;
    HeaderValue::try_from(text).ok()
}

/// What such a header says.
///
/// Leading zeros are taken, and so is a value of 0, which other implementations send for a call whose time is over.
/// Nothing else is: no sign, no space, no ninth digit, no other unit.
///
/// # Errors
/// [`BadTimeout`], if it is none.
///
/// ```
/// # use std::time::Duration;
/// # use punctual_net::grpc::decode_timeout;
/// assert_eq!(decode_timeout(b"500m"), Ok(Duration::from_millis(500)));
/// assert!(decode_timeout(b"500 ms").is_err());
/// ```
pub fn decode_timeout(header: &[u8]) -> Result<Duration, BadTimeout> {
    let Some((&unit, digits)) = header.split_last() else { return Err(BadTimeout(Bad::Empty)) };
    let Some(&(_, in_nanos)) = UNITS.iter().find(|(known, _)| *known == unit) else {
        return Err(BadTimeout(Bad::Unit));
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BadTimeout(Bad::Digits));
    }
    if digits.len() > 8 {
        return Err(BadTimeout(Bad::TooLong));
    }
    // Eight digits fit into 32 bits; as many hours in nanoseconds do not fit into 64.
    let value = digits.iter().fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    Ok(Duration::from_nanos(in_nanos) * value)
}

/// The one such header among `headers`, if there is one.
///
/// # Errors
/// [`BadTimeout`], if it is none, or if there are several.
pub(crate) fn timeout_in(headers: &HeaderMap) -> Result<Option<Duration>, BadTimeout> {
    let mut all = headers.get_all(GRPC_TIMEOUT).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(only), None) => decode_timeout(only.as_bytes()).map(Some),
        (Some(_), Some(_)) => Err(BadTimeout(Bad::Several)),
    }
}

/// A `grpc-timeout` header that is none. It does not quote what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTimeout(Bad);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    Empty,
    Unit,
    Digits,
    TooLong,
    Several,
}

impl fmt::Display for BadTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Bad::Empty => "malformed grpc-timeout: it is empty",
            Bad::Unit => "malformed grpc-timeout: it does not end with one of H M S m u n",
            Bad::Digits => "malformed grpc-timeout: there is no plain number before the unit",
            Bad::TooLong => "malformed grpc-timeout: the number has more than 8 digits",
            Bad::Several => "malformed grpc-timeout: it was given more than once",
        })
    }
}

impl std::error::Error for BadTimeout {}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(remaining: Duration) -> Option<String> {
        encode_timeout(remaining).map(|value| value.to_str().expect("ASCII").to_owned())
    }

    #[test]
    fn the_finest_unit_that_has_room_is_taken_and_the_rest_is_dropped() {
        let table: [(Duration, Option<&str>); 21] = [
            (Duration::ZERO, None),
            (Duration::from_nanos(1), Some("1n")),
            (Duration::from_nanos(999), Some("999n")),
            (Duration::from_nanos(99_999_999), Some("99999999n")),
            (Duration::from_nanos(100_000_000), Some("100000u")),
            (Duration::from_nanos(100_000_999), Some("100000u")),
            (Duration::from_millis(500), Some("500000u")),
            (Duration::from_micros(99_999_999), Some("99999999u")),
            (Duration::from_nanos(99_999_999_999), Some("99999999u")),
            (Duration::from_secs(100), Some("100000m")),
            (Duration::from_millis(99_999_999), Some("99999999m")),
            (Duration::from_secs(100_000), Some("100000S")),
            (Duration::from_secs(99_999_999), Some("99999999S")),
            (Duration::from_secs(100_000_000), Some("1666666M")),
            (Duration::from_secs(99_999_999 * 60 + 59), Some("99999999M")),
            (Duration::from_secs(100_000_000 * 60), Some("1666666H")),
            (Duration::from_secs(99_999_999 * 3600), Some("99999999H")),
            (Duration::from_secs(99_999_999 * 3600 + 3599), Some("99999999H")),
            (Duration::from_secs(100_000_000 * 3600), Some("99999999H")),
            (Duration::from_secs(u64::MAX), Some("99999999H")),
            (Duration::MAX, Some("99999999H")),
        ];
        for (remaining, expected) in table {
            assert_eq!(encoded(remaining).as_deref(), expected, "{remaining:?}");
        }
    }

    #[test]
    fn every_unit_is_read_and_junk_is_not() {
        let hour = Duration::from_secs(3600);
        let good: [(&str, Duration); 12] = [
            ("0n", Duration::ZERO),
            ("0H", Duration::ZERO),
            ("1n", Duration::from_nanos(1)),
            ("7u", Duration::from_micros(7)),
            ("500m", Duration::from_millis(500)),
            ("42S", Duration::from_secs(42)),
            ("3M", Duration::from_secs(180)),
            ("2H", 2 * hour),
            ("00000001S", Duration::from_secs(1)),
            ("99999999n", Duration::from_nanos(99_999_999)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("99999999H", 99_999_999 * hour),
        ];
        for (text, expected) in good {
            assert_eq!(decode_timeout(text.as_bytes()), Ok(expected), "{text}");
        }
        let bad: [(&[u8], Bad); 18] = [
            (b"", Bad::Empty),
            (b"S", Bad::Digits),
            (b"5", Bad::Unit),
            (b"5s", Bad::Unit),
            (b"5h", Bad::Unit),
            (b"5U", Bad::Unit),
            (b"5ms", Bad::Unit),
            (b"5S ", Bad::Unit),
            (b"+5S", Bad::Digits),
            (b"-5S", Bad::Digits),
            (b" 5S", Bad::Digits),
            (b"5 S", Bad::Digits),
            (b"1.5S", Bad::Digits),
            (b"0x5S", Bad::Digits),
            (b"1_0S", Bad::Digits),
            (b"123456789n", Bad::TooLong),
            (b"000000001S", Bad::TooLong),
            (&[0xb2, b'S'], Bad::Digits),
        ];
        for (bytes, why) in bad {
            assert_eq!(decode_timeout(bytes), Err(BadTimeout(why)), "{bytes:?}");
        }
    }

    #[test]
    fn of_several_headers_none_is_chosen() {
        let mut headers = HeaderMap::new();
        assert_eq!(timeout_in(&headers), Ok(None));
        headers.append(GRPC_TIMEOUT, HeaderValue::from_static("1S"));
        assert_eq!(timeout_in(&headers), Ok(Some(Duration::from_secs(1))));
        headers.append(GRPC_TIMEOUT, HeaderValue::from_static("1S"));
        assert_eq!(timeout_in(&headers), Err(BadTimeout(Bad::Several)));
    }

    /// What is sent is never more than there is, never nothing, and as near as the room allows.
    #[test]
    fn what_is_sent_is_what_remains_rounded_down() {
        let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
        for round in 0..200_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let remaining = Duration::from_nanos((state >> (round % 64)).max(1));
            let text = encoded(remaining).expect("time is left");
            assert!(text.len() <= 9, "{remaining:?}: {text}");
            let back = decode_timeout(text.as_bytes()).expect("our own");
            assert!(back <= remaining && !back.is_zero(), "{remaining:?}: {text}");
            let lost = remaining - back;
            let unit = UNITS.iter().find(|(unit, _)| text.as_bytes().last() == Some(unit));
            let unit = Duration::from_nanos(unit.expect("a unit").1);
            assert!(lost < unit, "{remaining:?}: {text}");
            let finer = u128::from(VALUE_MAX) * unit.as_nanos() / 1000;
            assert!(unit.as_nanos() == 1 || remaining.as_nanos() > finer, "{remaining:?}: {text}");
        }
    }

    /// Whatever comes is read or refused, as the plain reading of the specification has it.
    #[test]
    fn what_comes_is_read_as_the_specification_has_it() {
        let alphabet = b"0123456789HMSmun +-.sx\xff";
        let mut state: u64 = 7;
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let length = (state >> 60) as usize;
            let text: Vec<u8> = (0..length)
                .map(|place| {
                    let next =
                        state.rotate_left(7 * place as u32).wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
                    // Mostly digits, so that good ones come up.
                    if !next.is_multiple_of(4) {
                        b'0' + (next % 10) as u8
                    } else {
                        alphabet[next as usize % alphabet.len()]
                    }
                })
                .collect();
            let plain = std::str::from_utf8(&text).ok().and_then(|text| {
                let unit = text.chars().last()?;
                let digits = text.strip_suffix(unit)?;
                let plain = !digits.is_empty() && digits.len() <= 8;
                let plain = plain && digits.chars().all(|digit| digit.is_ascii_digit());
                let value: u64 = digits.parse().ok().filter(|_| plain)?;
                Some(match unit {
                    'H' => Duration::from_secs(value * 3600),
                    'M' => Duration::from_secs(value * 60),
                    'S' => Duration::from_secs(value),
                    'm' => Duration::from_millis(value),
                    'u' => Duration::from_micros(value),
                    'n' => Duration::from_nanos(value),
                    _ => return None,
                })
            });
            assert_eq!(decode_timeout(&text).ok(), plain, "{text:?}");
        }
    }
}
