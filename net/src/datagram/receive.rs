//! Receiving datagrams.

use std::io;
use std::os::fd::AsFd;

use punctual_reactor::{Direction, Done, messages};

use super::{Batch, Datagram};
use crate::error::{Error, Phase};
use crate::socket::Socket;
use crate::socket::transport::DatagramTransport;

/// Receiving datagrams. Those of a connected socket come from its peer alone, but for what had come
/// before it was connected.
impl<T: DatagramTransport> Socket<T> {
    /// Receives the next datagram into `buffer`, or waits for it. Returns its length, which may be 0: there is
    /// no end of datagrams. With an empty `buffer` too it waits for one and takes it.
    ///
    /// # Errors
    /// `Kernel(EMSGSIZE)` if the datagram was longer than `buffer`, which holds the front of it, as many bytes as
    /// [`transferred`](Error::transferred) says; the rest is lost. A deadline or timeout of the read side, a
    /// cancel, a close. What the kernel says: on a connected UDP socket `Kernel(ECONNREFUSED)`, once, if nobody
    /// received what was sent before. The socket is usable after all of these but a cancel and a close.
    pub async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        let datagram = self.take(buffer, false).await?;
        if datagram.truncated {
            let too_long = io::Error::from_raw_os_error(libc::EMSGSIZE);
            let error = T::at(Error::kernel(Phase::Read, too_long), &datagram.from);
            return Err(error.with_transferred(datagram.len));
        }
        Ok(datagram.len)
    }

    /// As [`recv`](Socket::recv), with all that is known of the datagram. One that was longer than `buffer` is
    /// not an error here: [`truncated`](Datagram::truncated) says so.
    ///
    /// # Errors
    /// As [`recv`](Socket::recv), but for `Kernel(EMSGSIZE)`.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> Result<Datagram<T::Address>, Error> {
        self.take(buffer, false).await
    }

    /// As [`recv_from`](Socket::recv_from), but leaves the datagram to be received again.
    ///
    /// # Errors
    /// As [`recv_from`](Socket::recv_from).
    pub async fn peek_from(&self, buffer: &mut [u8]) -> Result<Datagram<T::Address>, Error> {
        self.take(buffer, true).await
    }

    async fn take(&self, buffer: &mut [u8], peek: bool) -> Result<Datagram<T::Address>, Error> {
        let done = self.io.operate(Direction::Read, |io| {
            let arrival = messages::receive(io.as_fd(), buffer, peek, self.names.timestamps.get())?;
            let asked = buffer.len();
            Ok(Done::step(arrival.bytes, asked).ends_with(Datagram::of::<T>(&arrival)))
        });
        done.await.map_err(|failure| self.read_failed(failure).tell())
    }

    /// Receives what has come, as many datagrams as `batch` has room for, in one system call (recvmmsg(2))
    /// where there is one, or waits for the first. Returns how many there are, at least one.
    ///
    /// # Errors
    /// As [`recv_from`](Socket::recv_from); `batch` is then empty.
    pub async fn recv_batch(&self, batch: &mut Batch<T::Address>) -> Result<usize, Error> {
        batch.clear();
        let done = self.io.operate(Direction::Read, |io| {
            let count = batch.fill::<T>(io.as_fd(), self.names.timestamps.get())?;
            let bytes = batch.bytes();
            Ok(Done::step(bytes, bytes).ends_with(count))
        });
        done.await.map_err(|failure| self.read_failed(failure).tell())
    }

    /// Has the kernel say of each datagram when it took it in: [`Datagram::received_at`] (`SO_TIMESTAMPNS`,
    /// socket(7), in nanoseconds; elsewhere than on Linux `SO_TIMESTAMP`, in microseconds). What has come
    /// before it was asked, and in the first moments after, may have the time at which it was received here
    /// instead.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn set_receive_timestamps(&self, on: bool) -> Result<(), Error> {
        self.option(|io| messages::set_timestamps(io.as_fd(), on))?;
        self.names.timestamps.set(on);
        Ok(())
    }
}
