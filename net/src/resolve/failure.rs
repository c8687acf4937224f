//! [`Failed`]: why no server has answered a question, and what each of them said.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use domain::base::iana::OptRcode;
use punctual_reactor::Failure;

use super::message::Refusal;
use crate::error::{DnsFailure, Error, Kind, Phase, Why};

/// How many servers' words are spelt out.
const SERVERS_SHOWN: usize = 4;

/// Why a query has no answer.
#[derive(Debug)]
pub(super) enum Failed {
    Servers(Vec<Report>),
    /// This process or host lacks something, as descriptors.
    Local(io::Error),
    Ended(Failure),
    Shutdown,
}

/// What one server said, at last, and how often it was asked.
#[derive(Debug)]
pub(super) struct Report {
    server: SocketAddr,
    tries: u32,
    said: Option<Said>,
}

#[derive(Debug)]
pub(super) enum Said {
    /// Nothing, for this long each time.
    Nothing(Duration),
    Unreachable(io::Error),
    Refusal(Refusal),
}

impl Report {
    pub(super) fn of(server: SocketAddr) -> Report {
        Report { server, tries: 0, said: None }
    }

    pub(super) fn server(&self) -> SocketAddr {
        self.server
    }

    pub(super) fn add(&mut self, said: Said) {
        self.tries += 1;
        self.said = Some(said);
    }
}

impl Failed {
    pub(super) fn kind(&self) -> DnsFailure {
        match self {
            Failed::Servers(reports) => {
                let refused = reports.iter().any(|report| matches!(report.said, Some(Said::Refusal(_))));
                if refused { DnsFailure::ServerFailure } else { DnsFailure::NoAnswer }
            }
            _ => DnsFailure::NoAnswer,
        }
    }

    /// The error of a lookup that came to this.
    pub(super) fn to_error(&self) -> Error {
        match self {
            Failed::Shutdown => Error::new(Kind::Shutdown, Phase::Resolve),
            Failed::Ended(Failure::Cancelled(cause)) => {
                Error::failed(Phase::Resolve, Failure::Cancelled(cause.clone()))
            }
            Failed::Ended(_) => Error::new(Kind::Closed, Phase::Resolve),
            Failed::Local(error) => Error::kernel(Phase::Resolve, copy(error)),
            Failed::Servers(_) => Why::error(self.kind(), format!("{}: {self}", self.kind())),
        }
    }
}

/// An error of the kernel's can be said again.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reports = match self {
            Failed::Servers(reports) => reports,
            Failed::Local(error) => return error.fmt(f),
            Failed::Ended(failure) => return failure.fmt(f),
            Failed::Shutdown => return f.write_str("the runtime is shutting down"),
        };
        if reports.is_empty() {
            return f.write_str("there is no server to ask");
        }
        for (index, report) in reports.iter().take(SERVERS_SHOWN).enumerate() {
            write!(f, "{}{report}", if index == 0 { "" } else { "; " })?;
        }
        match reports.len().saturating_sub(SERVERS_SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)?;
        match &self.said {
            None => return f.write_str(" was not asked"),
            Some(Said::Nothing(time)) => write!(f, " did not answer within {time:?}")?,
            Some(Said::Unreachable(error)) => write!(f, " cannot be asked: {error}")?,
            Some(Said::Refusal(Refusal::Code(code))) => {
                write!(f, " answered {}", OptRcode::masked_from_int(*code))?;
            }
            Some(Said::Refusal(Refusal::Lame)) => f.write_str(" neither knows nor asks others")?,
            Some(Said::Refusal(Refusal::Malformed)) => {
                f.write_str(" sent an answer that makes no sense")?
            }
            Some(Said::Refusal(Refusal::Aliases)) => f.write_str(" sent aliases that lead nowhere")?,
        }
        if self.tries > 1 { write!(f, ", {} tries", self.tries) } else { Ok(()) }
    }
}
