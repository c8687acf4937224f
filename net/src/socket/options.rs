//! Options of sockets of every kind.

use std::io;

use punctual_reactor::Failure;
use socket2::SockRef;

use super::Socket;
use super::transport::{KernelTransport, Transport};
use crate::error::{Error, Phase};

/// Socket options.
impl<T: KernelTransport> Socket<T> {
    /// The room in the kernel for what has come and was not read (`SO_RCVBUF`, socket(7)), in bytes. Linux
    /// counts its own bookkeeping in, and says twice of what was set.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn recv_buffer_size(&self) -> Result<usize, Error> {
        self.option(|io| SockRef::from(io).recv_buffer_size())
    }

    /// Sets the room for what has come and was not read (`SO_RCVBUF`); the kernel has its bounds
    /// (`net.core.rmem_max`).
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> Result<(), Error> {
        self.option(|io| SockRef::from(io).set_recv_buffer_size(bytes))
    }

    /// The room in the kernel for what was written and is not gone (`SO_SNDBUF`, socket(7)), in bytes.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn send_buffer_size(&self) -> Result<usize, Error> {
        self.option(|io| SockRef::from(io).send_buffer_size())
    }

    /// Sets the room for what was written and is not gone (`SO_SNDBUF`); the kernel has its bounds
    /// (`net.core.wmem_max`).
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn set_send_buffer_size(&self, bytes: usize) -> Result<(), Error> {
        self.option(|io| SockRef::from(io).set_send_buffer_size(bytes))
    }

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
}

impl<T: Transport> Socket<T> {
    pub(crate) fn unconfigured(&self, why: Failure) -> Error {
        self.failed(Phase::Configure, why)
    }
}
