//! The sentence that an [`Error`] says.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::{DeadlineInfo, Error, Kind, Phase};

/// How many of several addresses' errors are spelt out.
const SOURCES_SHOWN: usize = 3;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
}

impl Error {
    /// Who did what to whom.
    fn subject(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.phase() {
            Phase::Resolve => "resolve",
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

    fn timed_out(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(info) = self.deadline() else { return f.write_str(" timed out") };
        match info.budget {
            Some(budget) if self.phase() == Phase::Read => {
                write!(f, " timed out after {} (idle timeout)", Short(budget))?;
            }
            Some(budget) => write!(f, " timed out after {}", Short(budget))?,
            None => f.write_str(" missed its deadline")?,
        }
        info.origin(f)?;
        write!(f, ", fired {} late", Short(info.lateness()))
    }

    /// What became of the single addresses.
    fn attempts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    fn origin(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.set_at) {
            (Some(name), Some(at)) => write!(f, " (`{name}`, set at {at})"),
            (Some(name), None) => write!(f, " (`{name}`)"),
            (None, Some(at)) => write!(f, " (set at {at})"),
            (None, None) => Ok(()),
        }
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
        let (unit, name) = match ns {
            0..1_000 => return write!(f, "{ns} ns"),
            1_000..1_000_000 => (1e3, "µs"),
            1_000_000..1_000_000_000 => (1e6, "ms"),
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
        Error::timeout(phase, DeadlineInfo { deadline, fired, budget, set_at: None, name: None })
            .with_peer("10.0.0.1:443".parse().expect("an address"))
    }

    #[test]
    fn an_error_is_a_sentence_one_can_act_on() {
        let ms = Duration::from_millis;
        let says = |error: Error, sentence: &str| assert_eq!(error.to_string(), sentence);
        says(
            timeout(Phase::Read, Some(ms(500))),
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
        assert_eq!(short(30_000_000_000), "30 s");
        assert_eq!(short(100_000_000_000), "100 s");
    }
}
