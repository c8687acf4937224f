//! Sending datagrams.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::Duration;

use punctual_reactor::{Direction, Done, Failure, Readiness, messages};
use socket2::{SockAddr, SockRef};

use super::Batch;
use crate::error::{Error, Phase};
use crate::pause::{Pause, operate};
use crate::socket::Socket;
use crate::socket::transport::DatagramTransport;
use crate::stream::NO_SIGNAL;

/// How soon a full queue is tried again, and how long it is left alone at most, where nobody tells when there
/// is room.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Sending datagrams. Each is sent whole or not at all.
///
/// A UDP send waits only for room in the buffer of this socket. A Unix one also waits for room in the queue of its
/// receiver; of that the kernel tells a socket that is [connected](Socket::connect) to it, and no other: a send to
/// an address is tried anew after 1 ms, 2 ms, and so on up to every 50 ms, and once more when its deadline comes.
impl<T: DatagramTransport> Socket<T> {
    /// Sends a datagram to whom the socket is connected to. Returns how many bytes that were: all. An empty one
    /// is a datagram too.
    ///
    /// # Errors
    /// A deadline or timeout of the write side, a cancel, a close, or what the kernel says:
    /// `Kernel(EDESTADDRREQ)` or
    /// `Kernel(ENOTCONN)` on a socket that is not connected, `Kernel(EMSGSIZE)` for a datagram that is too long, and
    /// `Kernel(ECONNREFUSED)` if nobody is there; of UDP that concerns an earlier datagram, is said once, and the
    /// socket stays usable.
    pub async fn send(&self, payload: &[u8]) -> Result<usize, Error> {
        let sent = self.send_by(false, |io| {
            let sent = SockRef::from(io).send_with_flags(payload, NO_SIGNAL)?;
            Ok(Done::bytes(sent, payload.len()))
        });
        sent.await.map_err(|failure| self.failed(Phase::Write, failure).tell())
    }

    /// As [`send`](Socket::send), to `address`.
    ///
    /// # Errors
    /// As [`send`](Socket::send), and `InvalidInput` for an address that makes no sense.
    pub async fn send_to(&self, payload: &[u8], address: impl Into<T::Address>) -> Result<usize, Error> {
        let address = address.into();
        let to = self.kernel_address(&address)?;
        let sent = self.send_by(T::FULL_QUEUES_ARE_SILENT, |io| {
            let sent = SockRef::from(io).send_to_with_flags(payload, &to, NO_SIGNAL)?;
            Ok(Done::bytes(sent, payload.len()))
        });
        sent.await.map_err(|failure| T::at(Error::failed(Phase::Write, failure), &address).tell())
    }

    /// Sends the first of `payloads`, each as a datagram, in one system call (sendmmsg(2)) where there is one;
    /// up to [`Batch::MAX`], and as many as there is room for. Returns how many were sent, at least one unless
    /// there were none: go on with the next.
    ///
    /// # Errors
    /// As [`send`](Socket::send), of the first; an error of a later one is that of the call which begins with it.
    pub async fn send_batch(&self, payloads: &[impl AsRef<[u8]>]) -> Result<usize, Error> {
        self.trivial_if(payloads.is_empty(), Direction::Write);
        let sent = self.send_by(false, |io| {
            let some = payloads.iter().map(|payload| (payload.as_ref(), None));
            Ok(Done::new(messages::send_many(io.as_fd(), some)?))
        });
        sent.await.map_err(|failure| self.failed(Phase::Write, failure).tell())
    }

    /// As [`send_batch`](Socket::send_batch), each to the address beside it.
    ///
    /// # Errors
    /// As [`send_to`](Socket::send_to), of the first; but an address that makes no sense is found before any is
    /// sent.
    pub async fn send_batch_to(
        &self,
        messages: &[(impl AsRef<[u8]>, T::Address)],
    ) -> Result<usize, Error> {
        self.trivial_if(messages.is_empty(), Direction::Write);
        let messages = &messages[..messages.len().min(Batch::<T::Address>::MAX)];
        let to = messages.iter().map(|(_, address)| self.kernel_address(address));
        let to = to.collect::<Result<Vec<_>, _>>()?;
        let sent = self.send_by(T::FULL_QUEUES_ARE_SILENT, |io| {
            let payloads = messages.iter().map(|(payload, _)| payload.as_ref());
            let some = payloads.zip(to.iter().cloned().map(Some));
            Ok(Done::new(messages::send_many(io.as_fd(), some)?))
        });
        sent.await.map_err(|failure| match messages.first() {
            Some((_, address)) => T::at(Error::failed(Phase::Write, failure), address).tell(),
            None => self.failed(Phase::Write, failure).tell(),
        })
    }

    fn kernel_address(&self, address: &T::Address) -> Result<SockAddr, Error> {
        let invalid = |error: io::Error| Error::invalid(Phase::Write, error.to_string());
        T::to_kernel(address).map_err(|error| T::at(invalid(error), address))
    }

    /// Sends, and tries again by itself where a full queue is `silent`.
    async fn send_by<V>(
        &self,
        silent: bool,
        mut attempt: impl FnMut(&T::Io) -> io::Result<Done<V>> + Unpin,
    ) -> Result<V, Failure> {
        if silent {
            // One queue that is full says nothing of another's: each send has its own try. A closed socket says so
            // in the operation itself.
            let _ = self.io.assume(Readiness::WRITABLE);
        }
        let pause = Pause::new(FIRST_PAUSE, LONGEST_PAUSE);
        let sending = operate(&self.io, Direction::Write, &pause, |io| {
            attempt(io).map_err(|error| match error.kind() {
                ErrorKind::WouldBlock if !silent => error,
                ErrorKind::WouldBlock => {
                    pause.begin();
                    error
                }
                // What BSDs say of a full queue; they too tell nobody when there is room.
                _ if T::FULL_QUEUES_ARE_SILENT && ENOBUFS_IS_FULL && is_no_buffers(&error) => {
                    pause.begin();
                    ErrorKind::WouldBlock.into()
                }
                _ => error,
            })
        });
        sending.await
    }
}

const ENOBUFS_IS_FULL: bool = !cfg!(any(target_os = "linux", target_os = "android"));

fn is_no_buffers(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOBUFS)
}
