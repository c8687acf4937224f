//! The sentence that an [`Error`] says.

use std::error::Error as StdError;
use std::fmt::{self, Write};
use std::time::Duration;

use super::text::{Bytes, OneLine, Short};
use super::{DeadlineInfo, Diagnosis, Error, Kind, Phase};

/// How many of several addresses' errors are spelt out.
const SOURCES_SHOWN: usize = 3;

/// From which lateness on it is said through whom.
const NOTICEABLE: Duration = Duration::from_millis(1);

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
                    if let Some(scope) = cause.scope() {
                        write!(f, " (scope \"{scope}\")")?;
                    }
                }
            }
            Kind::Closed => f.write_str(" ended: it was closed on this side")?,
            Kind::Shutdown => f.write_str(" ended: the runtime is shutting down")?,
            Kind::Overloaded => f.write_str(" failed: too many names are being looked up at once")?,
            Kind::LimitExceeded => match &self.0.source {
                Some(what) => write!(f, " failed: {what}")?,
                None => f.write_str(" failed: more came than was allowed")?,
            },
            Kind::UnexpectedEof => {
                match self.0.source.as_ref().filter(|source| source.get_ref().is_some()) {
                    Some(why) => write!(f, " ended early: {why}")?,
                    None => f.write_str(" ended early: the peer has sent all it will send")?,
                }
            }
            Kind::SelfConnect => {
                f.write_str(
                    " reached its own socket: nobody listens there, and the kernel joined both ends",
                )?;
            }
            Kind::Kernel(_)
            | Kind::Dns
            | Kind::Protocol
            | Kind::Tls
            | Kind::InvalidInput
            | Kind::Unsupported => {
                f.write_str(" failed")?;
                if let Some(patience) = self.patience_of_the_kernel() {
                    write!(f, ": {patience}")?;
                }
                if let Some(source) = &self.0.source {
                    write!(f, ": {source}")?;
                }
            }
        }
        if let Some(copied) = self.copied() {
            write!(f, "; {copied}")?;
        } else if self.transferred() > 0 {
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
            Phase::Tls => "TLS handshake with",
            Phase::Request => "request to",
            Phase::FirstByte => "first byte from",
            Phase::GrpcHeader => "gRPC headers from",
            Phase::Body => "body from",
            Phase::RequestFirstByte => "first request from",
            Phase::RequestHeader => "request headers from",
            Phase::RequestBody => "request body from",
            Phase::RequestTotal => "request of",
            Phase::ResponseWrite => "response to",
            Phase::KeepAlive => "next request from",
            Phase::Accept => "accept on",
            Phase::Read => "read from",
            Phase::Write => "write to",
            Phase::Shutdown => "shutdown of",
            Phase::Configure => "setting up",
            Phase::Copy => "copy between",
        })?;
        match (&self.0.target, self.0.peer) {
            (Some(target), Some(peer)) if **target != *peer.to_string() => {
                write!(f, " {target} ({peer})")
            }
            (Some(target), _) => write!(f, " {target}"),
            (None, Some(peer)) => write!(f, " {peer}"),
            (None, None) if self.phase().is_of_a_protocol() => f.write_str(" the peer"),
            (None, None) => f.write_str(" a socket"),
        }
    }

    fn timed_out(&self, f: &mut OneLine<'_, '_>) -> fmt::Result {
        let Some(info) = self.deadline() else {
            f.write_str(" timed out")?;
            return match &self.0.source {
                Some(source) => write!(f, ": {source}"),
                None => Ok(()),
            };
        };
        if info.before_it_began {
            return info.not_begun(f);
        }
        match (info.budget, &info.name) {
            (Some(_), _) => f.write_str(" timed out")?,
            (None, None) => f.write_str(" missed its deadline")?,
            (None, Some(name)) => write!(f, " missed its deadline {name:?}")?,
        }
        // What other operations are in is said already.
        if self.phase() == Phase::Connect {
            write!(f, " in {}", self.phase())?;
        }
        if let Some(budget) = info.budget {
            write!(f, " after {}", Short(budget))?;
        }
        let mut aside = Aside { f, open: false };
        info.origin(&mut aside, self.noun(info))?;
        if self.0.addresses > 1 {
            write!(aside.next(", ")?, "{} of {} addresses", self.sources().len(), self.0.addresses)?;
        }
        if let Some(diagnosis) = self.diagnosis() {
            write!(aside.next("; ")?, "{diagnosis}")?;
        } else if let Some(source) = &self.0.source {
            write!(aside.next("; ")?, "{source}")?;
        }
        aside.close()?;
        write!(f, ", fired {} late", Short(info.lateness()))?;
        match self.diagnosis() {
            Some(Diagnosis::LoopLate { .. }) => Ok(()),
            _ => info.through_whom(f),
        }
    }

    /// What bounded it.
    fn noun<'a>(&self, info: &'a DeadlineInfo) -> &'a str {
        if info.of_scope {
            return "deadline";
        }
        if let (Some(_), Some(description)) = (info.budget, info.description()) {
            return description;
        }
        match self.phase() {
            Phase::Read => "read timeout",
            Phase::Write => "write timeout",
            Phase::Accept => "accept timeout",
            _ => "deadline",
        }
    }

    /// Whose patience it was, if it was the kernel's and not a deadline of ours.
    fn patience_of_the_kernel(&self) -> Option<&'static str> {
        if self.kind() != Kind::Kernel(libc::ETIMEDOUT) || !self.sources().is_empty() {
            return None;
        }
        Some(match self.phase() {
            Phase::Connect => {
                "the kernel gave up after its own SYNs (tcp_syn_retries, TCP_SYNCNT or TCP_USER_TIMEOUT)"
            }
            _ => {
                "the kernel gave up after its own retransmissions or probes (tcp_retries2, TCP_USER_TIMEOUT or keepalive)"
            }
        })
    }

    /// What became of the single addresses.
    fn attempts(&self, f: &mut OneLine<'_, '_>) -> fmt::Result {
        let sources = self.sources();
        // That all ran out of time has been said.
        let counted = self.is_timeout() && self.0.addresses > 1;
        if sources.is_empty() || counted && sources.iter().all(Error::is_timeout) {
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
    fn origin(&self, aside: &mut Aside<'_, '_, '_>, noun: &str) -> fmt::Result {
        if self.budget.is_none() {
            // What it is, and what it is called, is said already.
            return match self.set_at {
                Some(at) => write!(aside.next(", ")?, "set at {at}"),
                None => Ok(()),
            };
        }
        // That a read has two kinds of timeout is worth a word.
        let of_two = matches!(noun, "idle timeout" | "read timeout");
        if self.name.is_none() && self.set_at.is_none() && !of_two {
            return Ok(());
        }
        let f = aside.next(", ")?;
        f.write_str(noun)?;
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        if let Some(at) = self.set_at {
            write!(f, " set at {at}")?;
        }
        Ok(())
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
        let mut aside = Aside { f, open: false };
        if let Some(name) = &self.name {
            write!(aside.next(", ")?, "deadline {name:?}")?;
        }
        if let Some(at) = self.set_at {
            write!(aside.next(" ")?, "set at {at}")?;
        }
        aside.close()
    }

    /// Who had the most part in a lateness that one would notice.
    fn through_whom(&self, f: &mut OneLine<'_, '_>) -> fmt::Result {
        let Some(firing) = self.firing.as_ref().filter(|firing| firing.lateness() >= NOTICEABLE) else {
            return Ok(());
        };
        let parts = [
            (firing.in_loop, "through our own loop"),
            (firing.kernel, "through the kernel's wake-up"),
            (firing.quantisation, "chosen, to share a wake-up"),
        ];
        match parts.into_iter().find(|(part, _)| *part * 2 >= firing.lateness()) {
            Some((part, whom)) => write!(f, ", {} of it {whom}", Short(part)),
            None => Ok(()),
        }
    }
}

/// What stands in parentheses, if anything does.
struct Aside<'f, 'a, 'b> {
    f: &'f mut OneLine<'a, 'b>,
    open: bool,
}

impl<'a, 'b> Aside<'_, 'a, 'b> {
    /// Goes on to the next item, set off from the one before.
    fn next(&mut self, separator: &str) -> Result<&mut OneLine<'a, 'b>, fmt::Error> {
        self.f.write_str(if self.open { separator } else { " (" })?;
        self.open = true;
        Ok(self.f)
    }

    fn close(self) -> fmt::Result {
        if self.open { self.f.write_str(")") } else { Ok(()) }
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
