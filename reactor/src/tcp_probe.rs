//! [`TcpProbe`]: asking after a connection that somebody else owns.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use mio::event::Source as MioSource;

use crate::executor::context;
use crate::registration::Registration;
use crate::tcp_info::TcpInfo;
use crate::token::Token;

/// Asks the kernel after a TCP connection without owning or borrowing it: for whoever has given the stream away, as to
/// hyper or to TLS, and is to say later why time ran out on it.
///
/// It names one registration. Once that is closed or dropped, the answer is that there is none: it never asks after
/// another connection that was given the same descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TcpProbe {
    token: Token,
    socket: RawFd,
}

impl TcpProbe {
    /// Of the connection that `registration` owns; `None` if it was closed.
    #[must_use]
    pub fn of<S: MioSource + AsFd>(registration: &Registration<S>) -> Option<TcpProbe> {
        let socket = registration.get_ref()?.as_fd().as_raw_fd();
        Some(TcpProbe { token: registration.token(), socket })
    }

    /// Asks the kernel: [`TcpInfo::read`]. `None` if the connection is closed, or is not of this thread's runtime.
    ///
    /// # Errors
    /// As [`TcpInfo::read`].
    #[must_use]
    pub fn read(&self) -> Option<io::Result<TcpInfo>> {
        let driver = context::try_current()?;
        // What is registered has not been closed: that comes after.
        let is_live = driver.reactor.borrow_mut().source(self.token).is_ok();
        is_live.then(|| TcpInfo::read_raw(self.socket))
    }
}

impl fmt::Debug for TcpProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpProbe").field("token", &self.token).finish_non_exhaustive()
    }
}
