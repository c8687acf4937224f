//! How an [`Error`] is made, and how it gets into an [`io::Error`].

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use punctual_reactor::{Failure, Firing, Registration, Source, TcpInfo};

use super::{DeadlineInfo, Diagnosis, Error, Inner, Kind, Phase};
use crate::io::Copied;
use crate::resolve::Progress;

impl Error {
    pub(crate) fn new(kind: Kind, phase: Phase) -> Error {
        Error(Box::new(Inner {
            kind,
            phase,
            peer: None,
            target: None,
            deadline: None,
            diagnosis: None,
            addresses: 0,
            cause: None,
            transferred: 0,
            source: None,
            sources: Vec::new(),
            copied: None,
            told: false,
            harmless: false,
            #[cfg(feature = "http")]
            timeline: None,
        }))
    }

    pub(crate) fn failed(phase: Phase, failure: Failure) -> Error {
        match failure {
            Failure::Io(error) => Error::kernel(phase, error),
            Failure::Elapsed(elapsed) => Error::timeout(phase, elapsed.into()),
            Failure::Cancelled(cause) => {
                let mut error = Error::new(Kind::Cancelled, phase);
                error.0.cause = Some(cause);
                error
            }
            Failure::Shutdown => Error::new(Kind::Shutdown, phase),
            _ => Error::new(Kind::Closed, phase),
        }
    }

    /// An error that the kernel reported; one of ours inside of it comes out whole.
    pub(crate) fn kernel(phase: Phase, error: io::Error) -> Error {
        let error = match Error::take_from_io(error) {
            Ok(ours) => return ours,
            Err(error) => error,
        };
        let kind = match error.kind() {
            io::ErrorKind::UnexpectedEof => Kind::UnexpectedEof,
            io::ErrorKind::Unsupported if error.raw_os_error().is_none() => Kind::Unsupported,
            _ => Kind::Kernel(error.raw_os_error().unwrap_or(0)),
        };
        Error::new(kind, phase).because(error)
    }

    /// Something could not be set up: `what` is its name.
    pub(crate) fn setting(what: &'static str, error: io::Error) -> Error {
        let mut error = Error::kernel(Phase::Configure, error);
        error.0.source =
            error.0.source.map(|source| io::Error::new(source.kind(), Setting { what, source }));
        error
    }

    pub(crate) fn timeout(phase: Phase, deadline: DeadlineInfo) -> Error {
        let mut error = Error::new(Kind::Timeout, phase);
        error.0.diagnosis = Diagnosis::of_loop(&deadline);
        error.0.deadline = Some(deadline);
        error
    }

    pub(crate) fn invalid(phase: Phase, what: impl Into<Cow<'static, str>>) -> Error {
        let what = what.into().into_owned();
        Error::new(Kind::InvalidInput, phase).because(io::Error::new(io::ErrorKind::InvalidInput, what))
    }

    pub(crate) fn because(mut self, source: io::Error) -> Error {
        self.0.source = Some(source);
        self
    }

    pub(crate) fn with_peer(mut self, peer: SocketAddr) -> Error {
        self.0.peer = Some(peer);
        self
    }

    pub(crate) fn with_target(mut self, target: impl Into<Cow<'static, str>>) -> Error {
        self.0.target = Some(target.into());
        self
    }

    pub(crate) fn with_transferred(mut self, bytes: usize) -> Error {
        self.0.transferred = bytes as u64;
        self
    }

    /// Says of a copy what it had moved.
    pub(crate) fn with_copied(mut self, copied: Copied) -> Error {
        self.0.transferred = copied.bytes();
        self.0.copied = Some(Box::new(copied));
        self
    }

    pub(crate) fn with_sources(mut self, sources: Vec<Error>) -> Error {
        self.0.sources = sources;
        self
    }

    /// Of how many addresses [those that were tried](Error::with_sources) are.
    pub(crate) fn with_addresses(mut self, addresses: usize) -> Error {
        self.0.addresses = addresses;
        self
    }

    /// The same, as an end of `phase`, in which it occurred.
    pub(crate) fn in_phase(mut self, phase: Phase) -> Error {
        self.0.phase = phase;
        self
    }

    /// To begin it anew does no harm: the peer has done nothing with it, or nothing that counts twice.
    #[cfg(feature = "http")]
    #[allow(dead_code, reason = "until the client tells")]
    pub(crate) fn harmless(mut self) -> Error {
        self.0.harmless = true;
        self
    }

    /// Where the time went.
    #[cfg(feature = "http")]
    pub(crate) fn with_timeline(mut self, timeline: crate::http::Timeline) -> Error {
        self.0.timeline = Some(Box::new(timeline));
        self
    }

    /// It has been [told](Error::tell).
    pub(crate) fn once_told(mut self) -> Error {
        self.0.told = true;
        self
    }

    /// What was to be reached, in the words of whoever asked.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        self.0.target.as_deref()
    }

    /// Whether it is a timeout that has been [told](Error::tell).
    pub(crate) fn was_told(&self) -> bool {
        self.0.told
    }

    /// A timeout whose lateness came about like this.
    pub(crate) fn fired_as(mut self, firing: Firing) -> Error {
        self = self.with_deadline(|info| info.firing = Some(firing));
        self.0.diagnosis = self.deadline().and_then(Diagnosis::of_loop);
        self
    }

    /// The timeout of a whole, explained by that of the `part` that was under way.
    pub(crate) fn explained_by(mut self, part: Option<&Error>) -> Error {
        if let (Some(info), Some(part)) = (&mut self.0.deadline, part.filter(|part| part.is_timeout())) {
            info.firing = part.deadline().and_then(|info| info.firing);
            info.held_up = part.deadline().map(DeadlineInfo::held_up).unwrap_or_default();
            self.0.diagnosis = part.0.diagnosis.clone();
        }
        self
    }

    /// What ended `part` ended this: the same deadline, or the same cause.
    #[cfg(feature = "http")]
    pub(crate) fn ended_as(mut self, part: Option<&Error>) -> Error {
        if let Some(part) = part.filter(|part| part.kind() == self.kind()) {
            self.0.deadline = part.0.deadline.clone();
            self.0.cause = part.0.cause.clone();
            self.0.diagnosis = part.0.diagnosis.clone();
            self.0.told |= part.0.told;
        }
        self
    }

    /// Asks the kernel, if time ran out on `io`, what it knows of the connection. Anything else, and a deadline
    /// that had passed beforehand, costs no system call.
    pub(crate) fn diagnosed<S: Source + AsFd>(self, io: &Registration<S>) -> Error {
        match io.get_ref() {
            Some(io) => self.diagnosed_on(&*io),
            None => self,
        }
    }

    /// As [`diagnosed`](Error::diagnosed), on a bare socket.
    pub(crate) fn diagnosed_on(self, socket: &impl AsFd) -> Error {
        self.diagnosed_from(|| Some(TcpInfo::read(socket)))
    }

    /// As [`diagnosed`](Error::diagnosed), by what `ask` gets to know, if anything.
    pub(crate) fn diagnosed_from(mut self, ask: impl FnOnce() -> Option<io::Result<TcpInfo>>) -> Error {
        if !self.ran_out() {
            return self;
        }
        // Not every system has it, nor every socket.
        if let Some(Ok(info)) = ask() {
            let elapsed = self.deadline().and_then(DeadlineInfo::elapsed).unwrap_or_default();
            let kernel = Diagnosis::of_connection(self.0.phase, &info, elapsed);
            let beyond_the_loop = kernel.as_ref().is_some_and(Diagnosis::is_beyond_the_loop);
            if beyond_the_loop || self.0.diagnosis.is_none() {
                self.0.diagnosis = kernel;
            }
        }
        self
    }

    /// Says of a lookup, if time ran out on it, whom it waited for. A loop that was held up comes first: it may have
    /// kept the answer waiting, and the next question unasked.
    pub(crate) fn awaiting(mut self, progress: &Progress) -> Error {
        if self.ran_out() && self.0.diagnosis.is_none() {
            self.0.diagnosis = progress.diagnosis();
        }
        self
    }

    /// Whether time ran out on something that had begun.
    fn ran_out(&self) -> bool {
        self.is_timeout() && self.deadline().is_some_and(|info| !info.before_it_began)
    }

    /// Says of a timeout how much time it had had, where that was set, and what the operation is called.
    pub(crate) fn with_deadline(mut self, describe: impl FnOnce(&mut DeadlineInfo)) -> Error {
        if let Some(info) = &mut self.0.deadline {
            describe(info);
        }
        self
    }
}

/// What the kernel said, and of what.
#[derive(Debug)]
struct Setting {
    what: &'static str,
    source: io::Error,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.source)
    }
}

impl std::error::Error for Setting {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl From<Error> for io::Error {
    /// A timeout of ours becomes `TimedOut`; nothing becomes `Interrupted`, which std would retry.
    fn from(error: Error) -> io::Error {
        let kind = match error.kind() {
            Kind::Timeout => io::ErrorKind::TimedOut,
            Kind::Closed => io::ErrorKind::NotConnected,
            Kind::UnexpectedEof => io::ErrorKind::UnexpectedEof,
            Kind::SelfConnect => io::ErrorKind::AddrNotAvailable,
            Kind::Protocol | Kind::Tls => io::ErrorKind::InvalidData,
            Kind::InvalidInput => io::ErrorKind::InvalidInput,
            Kind::LimitExceeded => io::ErrorKind::FileTooLarge,
            Kind::Unsupported => io::ErrorKind::Unsupported,
            Kind::Kernel(errno) => {
                let of_errno = || io::Error::from_raw_os_error(errno).kind();
                match error.0.source.as_ref().map_or_else(of_errno, io::Error::kind) {
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => io::ErrorKind::Other,
                    kind => kind,
                }
            }
            Kind::Overloaded => io::ErrorKind::ResourceBusy,
            Kind::Cancelled | Kind::Dns | Kind::Shutdown => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_travels_through_an_io_error_and_comes_out_whole() {
        let kinds = [
            (Kind::Timeout, io::ErrorKind::TimedOut),
            (Kind::Cancelled, io::ErrorKind::Other),
            (Kind::Closed, io::ErrorKind::NotConnected),
            (Kind::UnexpectedEof, io::ErrorKind::UnexpectedEof),
            (Kind::SelfConnect, io::ErrorKind::AddrNotAvailable),
            (Kind::InvalidInput, io::ErrorKind::InvalidInput),
            (Kind::Shutdown, io::ErrorKind::Other),
        ];
        for (kind, io_kind) in kinds {
            let io: io::Error = Error::new(kind, Phase::Read).with_transferred(7).into();
            assert_eq!(io.kind(), io_kind, "{kind:?}");
            let ours = Error::from_io(&io).expect("one of ours");
            assert_eq!((ours.kind(), ours.phase(), ours.transferred()), (kind, Phase::Read, 7));
            let again = Error::kernel(Phase::Write, io);
            assert_eq!((again.kind(), again.phase()), (kind, Phase::Read), "not wrapped twice");
        }
    }

    #[test]
    fn pol_7_a_timeout_of_the_kernel_is_not_one_of_ours() {
        let error = Error::kernel(Phase::Read, io::Error::from_raw_os_error(libc::ETIMEDOUT));
        assert_eq!(error.kind(), Kind::Kernel(libc::ETIMEDOUT));
        assert!(!error.is_timeout() && error.deadline().is_none());
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn nothing_becomes_interrupted() {
        for errno in [libc::EINTR, libc::EAGAIN] {
            let error = Error::kernel(Phase::Connect, io::Error::from_raw_os_error(errno));
            assert_eq!(io::Error::from(error).kind(), io::ErrorKind::Other);
        }
    }

    #[test]
    fn of_several_addresses_the_kind_is_that_of_the_errno() {
        let refused = || Error::kernel(Phase::Connect, io::Error::from_raw_os_error(libc::ECONNREFUSED));
        let error =
            Error::new(refused().kind(), Phase::Connect).with_sources(vec![refused(), refused()]);
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionRefused);
    }
}
