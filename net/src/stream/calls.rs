//! The system calls of a stream, and what is remembered of their errors.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsFd;

use punctual_reactor::{Done, messages};
use socket2::SockRef;

use crate::socket::Socket;
use crate::socket::transport::StreamTransport;

#[cfg(not(target_vendor = "apple"))]
pub(crate) const NO_SIGNAL: libc::c_int = libc::MSG_NOSIGNAL;
/// There the socket itself is told, with `SO_NOSIGPIPE`.
#[cfg(target_vendor = "apple")]
pub(crate) const NO_SIGNAL: libc::c_int = 0;

/// The kernel looks at no more slices than this in one call (`IOV_MAX`).
pub(crate) const SLICES_MAX: usize = 1024;

/// Writes to a socket of the kernel; a peer that has gone is no signal (send(2)).
#[inline]
pub(crate) fn send(io: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    messages::send_bytes(io.as_fd(), bytes, NO_SIGNAL)
}

/// The same from several buffers in turn (sendmsg(2)).
pub(crate) fn send_vectored(io: &impl AsFd, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    SockRef::from(io).send_vectored_with_flags(buffers, NO_SIGNAL)
}

impl<T: StreamTransport> Socket<T> {
    #[inline]
    pub(crate) fn try_send(&self, io: &T::Io, buffer: &[u8]) -> io::Result<Done<usize>> {
        if buffer.is_empty() {
            return Ok(Done::new(0));
        }
        let sent = self.try_send_some(io, buffer)?;
        Ok(Done::bytes(sent, buffer.len()))
    }

    pub(crate) fn try_send_vectored(
        &self,
        io: &T::Io,
        buffers: &[IoSlice<'_>],
    ) -> io::Result<Done<usize>> {
        let some = &buffers[..buffers.len().min(SLICES_MAX)];
        let offered: usize = some.iter().map(|buffer| buffer.len()).sum();
        if offered == 0 {
            return Ok(Done::new(0));
        }
        let sent = self.sent(T::write_vectored(io, some))?;
        Ok(Done::bytes(sent, offered))
    }

    #[inline]
    pub(crate) fn try_send_some(&self, io: &T::Io, bytes: &[u8]) -> io::Result<usize> {
        self.sent(T::write(io, bytes))
    }

    /// A connection that was broken does not end cleanly.
    #[inline]
    pub(crate) fn received(&self, result: io::Result<usize>) -> io::Result<usize> {
        match result {
            Ok(0) if self.broken.get() != 0 => Err(io::Error::from_raw_os_error(self.broken.get())),
            result => result.inspect_err(|error| self.remember(error)),
        }
    }

    /// Of a connection that was broken the kernel says EPIPE, once the reason has been told.
    #[inline]
    pub(crate) fn sent(&self, result: io::Result<usize>) -> io::Result<usize> {
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe && self.broken.get() != 0 => {
                Err(io::Error::from_raw_os_error(self.broken.get()))
            }
            result => result.inspect_err(|error| self.remember(error)),
        }
    }

    #[cold]
    fn remember(&self, error: &io::Error) {
        let breaks = [
            libc::ECONNRESET,
            libc::ECONNABORTED,
            libc::ETIMEDOUT,
            libc::EHOSTUNREACH,
            libc::ENETUNREACH,
        ];
        if let Some(errno) = error.raw_os_error().filter(|errno| breaks.contains(errno)) {
            self.broken.set(errno);
        }
    }
}
