//! Whether what failed may be begun anew.

use super::{DeadlineInfo, DnsFailure, Error, Kind, Phase};

impl Error {
    /// Whether the whole exchange may be begun anew on a new connection without a risk that the peer
    /// does something twice: no byte of the application can have reached it. Conservative: `false`
    /// for everything after the connection stood, and for what would fail again or was called off here.
    ///
    /// | phase \ kind | `Timeout` | `Kernel` | `Dns` | `Overloaded`, `SelfConnect` | all others |
    /// |---|---|---|---|---|---|
    /// | `Resolve` | yes ¹ | may pass ² | may pass ³ | yes | no |
    /// | `Connect` | yes ¹ | may pass ² | may pass ³ | yes | no |
    /// | `Tls` | yes ¹ | may pass ² | no | no | `UnexpectedEof` ⁴: yes; no |
    /// | all others | no | no | no | no | no |
    ///
    /// 1. Unless its deadline had passed before it began: the next one would meet the same.
    /// 2. Refused, reset, unreachable, timed out by the kernel, out of descriptors or memory: `ECONNREFUSED`,
    ///    `ECONNRESET`, `ECONNABORTED`, `ETIMEDOUT`, `EHOSTUNREACH`, `EHOSTDOWN`, `ENETUNREACH`, `ENETDOWN`,
    ///    `ENETRESET`, `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`, `EAGAIN`, `EINTR`; and `ENOENT`, of a Unix socket that
    ///    nobody has bound yet. Not an address that makes no sense or cannot be had.
    /// 3. A lookup that got no answer, not one that was answered with no: [`DnsFailure::may_pass`].
    /// 4. The peer has gone in the middle of the handshake. A certificate that does not hold, and what the peer refuses,
    ///    would fail again.
    ///
    /// An HTTP request tells more: it is safe if nothing of it was sent, or the peer says that it has not looked at it
    /// (`REFUSED_STREAM`, or a `GOAWAY` that leaves it out); and if the connection ended before a response
    /// began and the method is idempotent (RFC 9110, section 9.2.2), so that doing it twice is doing it once. Not
    /// if it ran out of time.
    ///
    /// Of several addresses one that may answer later is enough. A cancel is never retried: it was called off; and
    /// nor is anything that has [moved](Error::transferred) bytes.
    #[must_use]
    pub fn is_retry_safe(&self) -> bool {
        if self.0.harmless {
            return true;
        }
        if !matches!(self.0.phase, Phase::Resolve | Phase::Connect | Phase::Tls)
            || self.0.transferred > 0
        {
            return false;
        }
        match self.0.kind {
            Kind::Timeout => !self.deadline().is_some_and(DeadlineInfo::before_it_began),
            Kind::UnexpectedEof => self.0.phase == Phase::Tls,
            Kind::Kernel(errno) if self.0.phase == Phase::Tls => MAY_PASS.contains(&errno),
            _ if self.0.phase == Phase::Tls => false,
            Kind::Overloaded | Kind::SelfConnect => true,
            Kind::Kernel(_) | Kind::Dns if !self.0.sources.is_empty() => {
                self.0.sources.iter().any(Error::is_retry_safe)
            }
            Kind::Kernel(errno) => MAY_PASS.contains(&errno),
            Kind::Dns => self.dns_failure().is_some_and(DnsFailure::may_pass),
            _ => false,
        }
    }
}

/// What keeps a connection from being made now, and perhaps not a little later.
const MAY_PASS: [i32; 16] = [
    libc::ECONNREFUSED,
    libc::ECONNRESET,
    libc::ECONNABORTED,
    libc::ETIMEDOUT,
    libc::EHOSTUNREACH,
    libc::EHOSTDOWN,
    libc::ENETUNREACH,
    libc::ENETDOWN,
    libc::ENETRESET,
    libc::EMFILE,
    libc::ENFILE,
    libc::ENOBUFS,
    libc::ENOMEM,
    libc::EAGAIN,
    libc::EINTR,
    libc::ENOENT,
];

#[cfg(test)]
mod tests {
    use super::*;
    use punctual_reactor::Instant;
    use std::io;

    const PHASES: [Phase; 13] = [
        Phase::Resolve,
        Phase::Bind,
        Phase::Connect,
        Phase::Accept,
        Phase::Read,
        Phase::Write,
        Phase::Shutdown,
        Phase::Configure,
        Phase::Tls,
        Phase::Request,
        Phase::FirstByte,
        Phase::GrpcHeader,
        Phase::Body,
    ];

    fn lookup(said: &str) -> io::Error {
        io::Error::other(format!("failed to lookup address information: {said}"))
    }

    #[test]
    fn only_what_never_reached_the_peer_and_may_pass_is_safe_to_retry() {
        use Kind::*;
        // What holds while there is no connection yet.
        let kinds = [
            (Timeout, true),
            (Overloaded, true),
            (SelfConnect, true),
            (Cancelled, false),
            (Closed, false),
            (Shutdown, false),
            (InvalidInput, false),
            (Protocol, false),
            (Tls, false),
            (UnexpectedEof, false),
            (Dns, false),
            (Kernel(0), false),
            (Kernel(libc::EINVAL), false),
            (Kernel(libc::EAFNOSUPPORT), false),
            (Kernel(libc::EADDRNOTAVAIL), false),
            (Kernel(libc::EADDRINUSE), false),
            (Kernel(libc::EACCES), false),
            (Kernel(libc::EPERM), false),
            (Kernel(libc::EPIPE), false),
        ];
        let may_pass = MAY_PASS.map(|errno| (Kernel(errno), true));
        for (kind, safe) in kinds.into_iter().chain(may_pass) {
            for phase in PHASES {
                let expected = match phase {
                    Phase::Resolve | Phase::Connect => safe,
                    // Bytes have moved, but none of the application's.
                    Phase::Tls => safe && matches!(kind, Timeout | Kernel(_)) || kind == UnexpectedEof,
                    _ => false,
                };
                let error = Error::new(kind, phase);
                assert_eq!(error.is_retry_safe(), expected, "{kind:?} in {phase}");
                let moved = error.with_transferred(1);
                assert!(!moved.is_retry_safe(), "{kind:?} in {phase}, with bytes moved");
            }
        }
    }

    #[test]
    fn a_deadline_that_had_passed_beforehand_would_be_met_again() {
        for phase in PHASES {
            let mut info = DeadlineInfo::new(Instant::from_nanos(1), Instant::from_nanos(2));
            info.before_it_began = true;
            assert!(!Error::timeout(phase, info).is_retry_safe(), "{phase}");
        }
    }

    #[test]
    fn a_lookup_without_an_answer_may_have_one_later() {
        let safe = |said| Error::new(Kind::Dns, Phase::Resolve).because(lookup(said)).is_retry_safe();
        assert!(safe("Temporary failure in name resolution") && safe("Try again"));
        assert!(!safe("Name or service not known") && !safe("Name does not resolve"));
    }

    #[test]
    fn of_several_addresses_one_is_enough() {
        let several = |errnos: [i32; 2]| {
            let one = |errno| Error::new(Kind::Kernel(errno), Phase::Connect);
            one(errnos[0]).with_sources(errnos.map(one).into()).is_retry_safe()
        };
        assert!(several([libc::EADDRNOTAVAIL, libc::ECONNREFUSED]));
        assert!(!several([libc::EADDRNOTAVAIL, libc::EINVAL]));
    }
}
