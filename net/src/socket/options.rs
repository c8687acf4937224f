//! Options of sockets of every kind.

use std::io;

use punctual_reactor::Failure;
use socket2::SockRef;

use super::Socket;
use super::transport::Transport;
use crate::error::{Error, Phase};

/// Socket options.
impl<T: Transport> Socket<T> {
    /// Runs `what` on the socket, for options that have no method here. It must neither close it nor
    /// change whether the socket blocks; what it reads, no deadline bounds.
    ///
    /// # Errors
    /// `Closed`; it did not run.
    pub fn with_socket<V>(&self, what: impl FnOnce(SockRef<'_>) -> V) -> Result<V, Error> {
        self.option(|io| Ok(what(SockRef::from(io))))
    }

    pub(crate) fn option<V>(&self, option: impl FnOnce(&T::Io) -> io::Result<V>) -> Result<V, Error> {
        let io = self.io().get_ref().ok_or_else(|| self.unconfigured(Failure::Closed))?;
        option(&io).map_err(|error| self.unconfigured(Failure::Io(error)))
    }

    pub(crate) fn unconfigured(&self, why: Failure) -> Error {
        self.failed(Phase::Configure, why)
    }
}
