//! The sentence that an [`Error`] says.

use std::error::Error as StdError;
use std::fmt::{self, Write};
use std::time::Duration;

use super::{DeadlineInfo, Error, Kind, Phase};

/// How many of several addresses' errors are spelt out.
const SOURCES_SHOWN: usize = 3;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.say(&mut OneLine(f))
    }
}

impl Error {
    fn say(&self, f: &mut OneLine<'_, '_>) -> fmt::Result {
        self.subject(f)?;
        match self.kind() {
            Kind::Timeout => self.timed_out(f)?,
            Kind::Cancelled => {
                f.write_str(" was cancelled")?;
                if let Some(cause) = self.cause() {
                    write!(f, ": {cause}")?;
                }
            }
            Kind::Closed => f.write_str(" ended: it was closed on this side")?,
            Kind::Shutdown => f.write_str(" ended: the runtime is shutting down")?,
            Kind::Overloaded => f.write_str(" failed: too many names are being looked up at once")?,
            Kind::UnexpectedEof => f.write_str(" ended early: the peer has sent all it will send")?,
            Kind::SelfConnect => {
                f.write_str(
                    " reached its own socket: nobody listens there, and the kernel joined both ends",
                )?;
            }
            Kind::Kernel(_) | Kind::Dns | Kind::Protocol | Kind::InvalidInput => {
                f.write_str(" failed")?;
                if let Some(source) = &self.0.source {
                    write!(f, ": {source}")?;
                }
            }
        }
        if self.transferred() > 0 {
            write!(f, "; {} had been moved", Bytes(self.transferred()))?;
        }
        self.attempts(f)
    }

    /// Who did what to whom.
    fn subject(&self, f: &mut OneLine<'_, '_>) -> fmt::Result {
        let nobody = self.0.target.is_none() && self.0.peer.is_none();
        f.write_str(match self.phase() {
            Phase::Resolve => "resolve",
            Phase::Bind if nobody => return f.write_str("listen"),
            Phase::Connect if nobody => return f.write_str("connect"),
            Phase::Bind => "listen on",
            Phase::Connect => "connect to",
            Phase::Accept => "accept on",
            Phase::Read => "read from",
            Phase::Write => "write to",
            Phase::Shutdown => "shutdown of",
            Phase::Configure => "setting up",
        })?;
        match (&self.0.target, self.0.peer) {
            (Some(target), Some(peer)) if **target != *peer.to_string() => {
                write!(f, " {target} ({peer})")
            }
            (Some(target), _) => write!(f, " {target}"),
            (None, Some(peer)) => write!(f, " {peer}"),
            (None, None) => f.write_str(" a socket"),
        }
    }

    fn timed_out(&self, f: &mut OneLine<'_, '_>) -> fmt::Result {
        let Some(info) = self.deadline() else { return f.write_str(" timed out") };
        if info.before_it_began {
            return info.not_begun(f);
        }
        let mut what = None;
        match info.budget {
            Some(budget) => {
                write!(f, " timed out after {}", Short(budget))?;
                if self.phase() == Phase::Read {
                    what = Some(if info.idle { "idle timeout" } else { "read timeout" });
                }
            }
            None => f.write_str(" missed its deadline")?,
        }
        info.origin(f, what)?;
        write!(f, ", fired {} late", Short(info.lateness()))
    }

    /// What became of the single addresses.
    fn attempts(&self, f: &mut OneLine<'_, '_>) -> fmt::Result {
        let sources = self.sources();
        if sources.is_empty() {
            return Ok(());
        }
        let noun = if sources.len() == 1 { "address" } else { "addresses" };
        write!(f, "; tried {} {noun}", sources.len())?;
        for (index, source) in sources.iter().take(SOURCES_SHOWN).enumerate() {
            write!(f, "{}{source}", if index == 0 { ": " } else { "; " })?;
        }
        match sources.len().saturating_sub(SOURCES_SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl DeadlineInfo {
    /// What it is, what it is called, and where it was set.
    fn origin(&self, f: &mut OneLine<'_, '_>, what: Option<&str>) -> fmt::Result {
        let mut separator = " (";
        if let Some(what) = what {
            write!(f, "{separator}{what}")?;
            separator = ", ";
        }
        if let Some(name) = &self.name {
            write!(f, "{separator}`{name}`")?;
            separator = ", ";
        }
        if let Some(at) = self.set_at {
            write!(f, "{separator}set at {at}")?;
            separator = ", ";
        }
        if separator == ", " { f.write_str(")") } else { Ok(()) }
    }

    /// Nothing was late here but the caller.
    fn not_begun(&self, f: &mut OneLine<'_, '_>) -> fmt::Result {
        f.write_str(" was not begun: ")?;
        let before = self.fired - self.deadline;
        match self.budget {
            Some(Duration::ZERO) => f.write_str("it was given no time")?,
            _ if before.is_zero() => f.write_str("its deadline had come")?,
            _ => write!(f, "its deadline had passed {} before", Short(before))?,
        }
        self.origin(f, None)
    }
}

/// Escapes what would break or garble a line, whoever's words it is in: a peer's, a caller's, a resolver's.
struct OneLine<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        while let Some((at, found)) = text.char_indices().find(|&(_, c)| breaks(c)) {
            self.0.write_str(&text[..at])?;
            write!(self.0, "{}", found.escape_default())?;
            text = &text[at + found.len_utf8()..];
        }
        self.0.write_str(text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {:?}: {self}", self.kind(), self.phase())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.source {
            Some(source) => Some(source),
            None => self.sources().last().map(|last| last as &dyn StdError),
        }
    }
}

/// A duration in its largest fitting unit, to three digits: `61 µs`, `1.25 s`.
struct Short(Duration);

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

struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} byte{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use punctual_reactor::{Cause, Instant};

    fn timeout(phase: Phase, budget: Option<Duration>) -> Error {
        let deadline = Instant::from_nanos(1_000);
        let fired = deadline + Duration::from_micros(61);
        let info = DeadlineInfo {
            deadline,
            fired,
            budget,
            set_at: None,
            name: None,
            before_it_began: false,
            idle: false,
        };
        Error::timeout(phase, info).with_peer("10.0.0.1:443".parse().expect("an address"))
    }

    #[test]
    fn an_error_is_a_sentence_one_can_act_on() {
        let ms = Duration::from_millis;
        let says = |error: Error, sentence: &str| assert_eq!(error.to_string(), sentence);
        says(
            timeout(Phase::Read, Some(ms(500))).with_deadline(|info| info.idle = true),
            "read from 10.0.0.1:443 timed out after 500 ms (idle timeout), fired 61 µs late",
        );
        says(
            timeout(Phase::Write, None).with_transferred(1),
            "write to 10.0.0.1:443 missed its deadline, fired 61 µs late; 1 byte had been moved",
        );
        says(
            timeout(Phase::Connect, Some(ms(1_250)))
                .with_target("example.org:443")
                .with_deadline(|info| info.name = Some("upstream".into())),
            "connect to example.org:443 (10.0.0.1:443) timed out after 1.25 s (`upstream`), fired 61 µs late",
        );
        let mut cancelled = Error::new(Kind::Cancelled, Phase::Accept).with_target("0.0.0.0:80");
        cancelled.0.cause = Some(Cause::from("drained"));
        says(cancelled, "accept on 0.0.0.0:80 was cancelled: drained");
    }

    #[test]
    fn what_was_late_is_said_of_the_right_one() {
        let says = |error: Error, sentence: &str| assert_eq!(error.to_string(), sentence);
        let second = Some(Duration::from_secs(1));
        says(
            timeout(Phase::Read, second),
            "read from 10.0.0.1:443 timed out after 1 s (read timeout), fired 61 µs late",
        );
        let past = timeout(Phase::Write, None).with_deadline(|info| {
            info.fired = info.deadline + Duration::from_millis(1_500);
            info.before_it_began = true;
        });
        assert_eq!(past.deadline().map(DeadlineInfo::lateness), Some(Duration::ZERO));
        assert!(!past.is_retry_safe());
        says(past, "write to 10.0.0.1:443 was not begun: its deadline had passed 1.5 s before");
        let none = timeout(Phase::Read, Some(Duration::ZERO)).with_deadline(|info| {
            info.fired = info.deadline;
            info.before_it_began = true;
        });
        says(none, "read from 10.0.0.1:443 was not begun: it was given no time");
        let here = std::panic::Location::caller();
        let placed = timeout(Phase::Read, second).with_deadline(|info| {
            (info.idle, info.set_at, info.name) = (true, Some(here), Some("header".into()));
        });
        let origin = format!("after 1 s (idle timeout, `header`, set at {here}), fired");
        assert!(placed.to_string().contains(&origin), "{placed}");
        says(
            Error::invalid(Phase::Connect, "no address was given"),
            "connect failed: no address was given",
        );
    }

    #[test]
    fn an_error_is_one_line_whatever_it_is_about() {
        let odd = "a\nb\r\u{1b}[31m\u{85}\u{2028}\0c";
        let mut cancelled = Error::new(Kind::Cancelled, Phase::Accept).with_target(odd);
        cancelled.0.cause = Some(Cause::from(odd));
        let named = timeout(Phase::Connect, None).with_deadline(|info| info.name = Some(odd.into()));
        let invalid = Error::invalid(Phase::Connect, odd).with_sources(vec![cancelled]);
        for sentence in [named.to_string(), invalid.to_string(), format!("{invalid:?}")] {
            let breaks = |c: char| c.is_control() || c == '\u{2028}';
            assert!(!sentence.contains(breaks), "{sentence:?}");
            assert!(sentence.contains("a\\nb\\r\\u{1b}[31m\\u{85}\\u{2028}\\u{0}c"), "{sentence}");
        }
    }

    #[test]
    fn three_of_many_addresses_are_spelt_out() {
        let refused = |n: u8| {
            Error::kernel(Phase::Connect, std::io::Error::from_raw_os_error(libc::ECONNREFUSED))
                .with_peer(([127, 0, 0, n], 9).into())
        };
        let all = (1..=5).map(refused).collect();
        let text = Error::new(Kind::Kernel(libc::ECONNREFUSED), Phase::Connect)
            .with_target("many:9")
            .with_sources(all)
            .to_string();
        assert!(text.starts_with("connect to many:9 failed; tried 5 addresses: connect to 127.0.0.1:9"));
        assert!(text.ends_with("; and 2 more"), "{text}");
    }

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
    }
}
